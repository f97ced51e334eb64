package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ErrNoPostgres says that this machine has no PostgreSQL to start.
var ErrNoPostgres = errors.New("there is no PostgreSQL on this machine: install it (on Debian: apt-get install postgresql)")

// Postgres is a PostgreSQL server of its own, from the machine's binaries, in a
// folder that goes away with it.
type Postgres struct {
	folder, binaries string
	port             int
	as               *syscall.Credential // nil for whoever runs the test
}

// postgresRole owns every database.
const postgresRole = "rig"

// StartPostgres starts a server that nobody else uses. It is [ErrNoPostgres]
// where there are no binaries. PostgreSQL does not run as root, so that root
// starts it as the user postgres.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	p := &Postgres{}
	var err error
	if p.binaries, err = postgresBinaries(); err != nil {
		return nil, err
	}
	if p.folder, err = os.MkdirTemp("", "cobro-postgres-"); err != nil {
		return nil, err
	}
	if os.Getuid() == 0 {
		if err := p.becomePostgres(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(p.folder))
		}
	}
	if p.port, err = freePort(ctx); err == nil {
		err = p.run(ctx, "initdb", "--pgdata", p.data(), "--username", postgresRole, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	}
	if err == nil {
		err = p.control(ctx, "start")
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.folder))
	}
	return p, nil
}

// postgresBinaries looks where Debian has them, newest first, and in PATH.
func postgresBinaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(a, b string) int { return postgresMajor(b) - postgresMajor(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrNoPostgres
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

func postgresMajor(path string) int {
	major, _ := strconv.Atoi(strings.Split(path, "/")[4]) // zero is the oldest
	return major
}

func (p *Postgres) becomePostgres() error {
	account, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.folder, uid, gid)
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

func (p *Postgres) data() string { return filepath.Join(p.folder, "data") }

// control is pg_ctl. What a killed server had committed the operating system
// has, so that fsync would only cost time.
func (p *Postgres) control(ctx context.Context, verb string, more ...string) error {
	settings := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=400 -c fsync=off", p.port)
	return p.run(ctx, "pg_ctl", append([]string{verb, "--pgdata", p.data(), "--wait", "--log", filepath.Join(p.folder, "log"), "--options", settings}, more...)...)
}

func (p *Postgres) run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(p.binaries, program), args...)
	cmd.Dir = p.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	said, err := os.OpenFile(filepath.Join(p.folder, program), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = said.Close() }() // it is read again below
	cmd.Stdout, cmd.Stderr = said, said // no pipe: the server would hold on to it
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(said.Name())
		return fmt.Errorf("%s: %w\n%s", program, err, text)
	}
	return nil
}

// Create makes an empty database and returns its DSN.
func (p *Postgres) Create(ctx context.Context, name string) (string, error) {
	err := p.run(ctx, "createdb", "--host", "127.0.0.1", "--port", strconv.Itoa(p.port), "--username", postgresRole, name)
	return p.DSN(name), err
}

// DSN returns the address of a database that may not exist.
func (p *Postgres) DSN(name string) string {
	return fmt.Sprintf("postgres://%s:none@127.0.0.1:%d/%s?sslmode=disable", postgresRole, p.port, name)
}

// Restart ends the server as a crash does, connections, transactions and all,
// and starts it again.
func (p *Postgres) Restart(ctx context.Context) error {
	return p.control(ctx, "restart", "--mode", "immediate")
}

// Stop ends the server and removes its folder.
func (p *Postgres) Stop(ctx context.Context) error {
	return errors.Join(p.run(ctx, "pg_ctl", "stop", "--pgdata", p.data(), "--wait", "--mode", "immediate"), os.RemoveAll(p.folder))
}
