// Package postgrestest starts a PostgreSQL server of a test's own, from the
// binaries of this machine.
//
//	server := postgrestest.New(t)       // skips where there is no PostgreSQL, fails in CI
//	dsn := server.Database(t, "")       // a fresh database for this test
//
// One server serves all tests of a binary: make it in one test, and run the
// others as its subtests. Its folder is temporary, it listens on a free port of
// this machine alone, with a password, and it ends with its test, however that
// ends: a small shell waits beside it until the test's process is gone. It does
// not wait for its disk, so that what it holds survives its crash, but not the
// machine's; [Config.Settings] can change that.
//
// A server that no test owns, such as that of a whole system that is started
// by a program, comes from [Start].
package postgrestest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// ErrMissing says that this machine has no PostgreSQL server to start.
var ErrMissing = errors.New("no PostgreSQL server is installed: `make install` brings it (Debian: postgresql)")

// Config says how a server runs. The zero value is fine.
type Config struct {
	// Settings are those of postgresql.conf, such as fsync or max_connections,
	// beside or in place of the package's.
	Settings map[string]string
	// Log hears what the server says; nil means nobody, and the last lines are
	// in the error where it does not start.
	Log io.Writer
}

// Server is a running PostgreSQL server. It is safe for concurrent use, but for
// Restart and Stop.
type Server struct {
	folder   string // of everything; owned by who runs the server
	bin      string // the folder of its programs
	password string
	cfg      Config
	port     int

	command *exec.Cmd
	said    *tail
	hold    io.WriteCloser // the server ends when this is closed
	ended   chan struct{}  // closed when the server has ended
}

// Start starts a server with an empty folder. The caller stops it. Where this
// machine has no server, the error is [ErrMissing].
func Start(ctx context.Context, cfg Config) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "cobro-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder, bin: bin, password: rand.Text(), cfg: cfg}
	if err := s.initialize(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return s, nil
}

// binaries returns the folder of initdb and postgres: that of PATH, or Debian's
// newest.
func binaries() (string, error) {
	folders := filepath.SplitList(os.Getenv("PATH"))
	debian, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(debian, func(a, b string) int { return release(b) - release(a) })
	for _, folder := range append(folders, debian...) {
		if executable(filepath.Join(folder, "initdb")) && executable(filepath.Join(folder, "postgres")) {
			return folder, nil
		}
	}
	return "", ErrMissing
}

// release returns the number in /usr/lib/postgresql/15/bin.
func release(folder string) int {
	number, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	if err != nil {
		return 0
	}
	return number
}

func executable(path string) bool {
	info, err := os.Stat(path) //nolint:gosec // where the machine keeps its programs
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// initialize makes the server's files. They order text by the rules of a
// language, as many databases do, so that who relies on the order of bytes is
// found out.
func (s *Server) initialize(ctx context.Context) error {
	secret := filepath.Join(s.folder, "password")
	if err := os.WriteFile(secret, []byte(s.password), 0o600); err != nil {
		return err
	}
	for _, path := range []string{s.folder, secret} {
		if err := giveAway(path); err != nil {
			return err
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), //nolint:gosec // a program of this machine
		"--username", "cobro", "--pwfile", secret, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--locale-provider", "icu", "--icu-locale", "en-US", "--no-sync")
	initdb.Dir = s.folder
	if err := asServer(initdb); err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return os.Remove(secret)
}

// The server's words where it does not start because its port was taken.
const portTaken = "could not create any TCP/IP sockets"

// start starts the server on a free port. PostgreSQL cannot choose one by
// itself, so that another program may be quicker to take it: then the next one
// is tried.
func (s *Server) start(ctx context.Context) error {
	var err error
	for range 5 {
		if s.port == 0 {
			if s.port, err = freePort(ctx); err != nil {
				return err
			}
		}
		if err = s.run(ctx); err == nil || !strings.Contains(err.Error(), portTaken) {
			return err
		}
		s.port = 0
	}
	return err
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil //nolint:forcetypeassert // a TCP listener
}

// guard runs a server until it ends, or until the file that is its standard
// input is closed, which the system does for a process however it dies. In that
// case it removes the server's folder. $1 is the folder; the rest is the server.
// Who reads the file keeps no other one open: the end of the server's output is
// its end. It asks until the server has gone, since a shell's background job
// ignores SIGQUIT until the server has a handler of its own.
const guard = `
folder=$1
shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(
	read -r word <&3
	case $word in keep) ended=0 ;; *) ended=7 ;; esac
	trap "exit $ended" TERM
	while kill -QUIT $server; do sleep 0.1; done
	exit $ended
) >/dev/null 2>&1 &
reader=$!
wait $server
kill $reader 2>/dev/null
wait $reader
[ $? -ne 7 ] || rm -rf "$folder"`

// keep tells the guard to let the folder be.
const keep = "keep\n"

// run starts the server on its port and waits until it answers.
func (s *Server) run(ctx context.Context) error {
	settings := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(s.port), "unix_socket_directories": s.folder,
		"max_connections": "200", "shared_buffers": "32MB",
		"fsync": "off", "full_page_writes": "off",
		"timezone": "America/Puerto_Rico", // nothing may depend on it
	}
	for name, value := range s.cfg.Settings {
		settings[name] = value
	}
	args := []string{"-c", guard, "guard", s.folder, filepath.Join(s.bin, "postgres"), "-D", s.data()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	said := &tail{to: s.cfg.Log}
	s.said = said
	s.command = exec.Command("/bin/sh", args...) //nolint:gosec,noctx // it is ended by Stop, or by the guard
	s.command.Dir, s.command.Stdout, s.command.Stderr = s.folder, said, said
	if err := asServer(s.command); err != nil {
		return err
	}
	var err error
	if s.hold, err = s.command.StdinPipe(); err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() { // ends with the server; end waits for it
		_ = s.command.Wait() // a server that is killed is no news
		close(ended)
	}()
	if err := s.answers(ctx); err != nil {
		s.end()
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, said)
	}
	return nil
}

// answers waits until the server takes connections.
func (s *Server) answers(ctx context.Context) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ticker.C:
		case <-s.ended:
			return errors.New("the server ended")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// DSN returns the URL of a database of this server, as the superuser "cobro".
func (s *Server) DSN(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword("cobro", s.password), Host: "127.0.0.1:" + strconv.Itoa(s.port),
		Path: database, RawQuery: "sslmode=disable",
	}).String()
}

// Folder returns where the server's files and its Unix socket are.
func (s *Server) Folder() string { return s.folder }

// Create makes a database, empty or as the template is, which nobody may be
// connected to meanwhile.
func (s *Server) Create(ctx context.Context, database, template string) error {
	if template == "" {
		template = "template1"
	}
	return s.manage(ctx, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s`,
		pgx.Identifier{database}.Sanitize(), pgx.Identifier{template}.Sanitize()))
}

// Drop removes a database and ends its connections.
func (s *Server) Drop(ctx context.Context, database string) error {
	return s.manage(ctx, fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, pgx.Identifier{database}.Sanitize()))
}

func (s *Server) manage(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// Connect returns connections to a database beside those under test. The caller
// closes them.
func (s *Server) Connect(dsn string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*cfg), nil
}

// Restart crashes the server and starts it again, on the same port with the same
// databases.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Crash(); err != nil {
		return err
	}
	return s.Resume(ctx)
}

// Crash ends the server at once, as if it had been killed, and keeps its folder
// for Resume.
func (s *Server) Crash() error {
	if _, err := io.WriteString(s.hold, keep); err != nil {
		return err
	}
	s.end()
	return nil
}

// Resume starts a server that has crashed.
func (s *Server) Resume(ctx context.Context) error { return s.start(ctx) }

// Stop ends the server and removes its folder. A second call does nothing.
func (s *Server) Stop() error {
	s.end()
	return os.RemoveAll(s.folder)
}

// end ends the server and waits until it has.
func (s *Server) end() {
	_ = s.hold.Close() // the guard sees it
	<-s.ended
}

// tail keeps the end of what was written, and passes all of it on.
type tail struct {
	to   io.Writer
	lock sync.Mutex
	kept []byte
}

// Write implements [io.Writer].
func (t *tail) Write(p []byte) (int, error) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-4096):]
	if t.to != nil {
		return t.to.Write(p)
	}
	return len(p), nil
}

// String returns the end.
func (t *tail) String() string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return string(bytes.TrimSpace(t.kept))
}
