// Package postgrestest starts a private PostgreSQL server for tests, from the
// PostgreSQL that is installed on this machine.
//
//	server := postgrestest.New(t, postgrestest.Config{}) // without PostgreSQL it skips, and fails in CI
//	dsn := server.Database(t, "")                        // a new database for this test
//
// Share one server between all tests of a binary: start it in one test, and run
// the others as subtests. It has a temporary folder and a password, and listens
// on a free local port. A small shell process stops it when the test process ends,
// even if that is killed. fsync is off, so that data survives a crash of the
// server, but not of the machine; [Config.Settings] can change that.
//
// [Start] starts a server that belongs to no test, for a program that runs a whole
// system.
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

// ErrMissing means that no PostgreSQL server is installed.
var ErrMissing = errors.New("no PostgreSQL server is installed: `make install` brings it (Debian: postgresql)")

// Config configures a server. The zero value works.
type Config struct {
	// Settings are settings of postgresql.conf, such as fsync or max_connections.
	// They add to or override those of this package.
	Settings map[string]string
	// Log receives the server's output; nil discards it. If the server does not
	// start, the error has the last lines either way.
	Log io.Writer
}

// Server is a running PostgreSQL server. It is safe for concurrent use, except for
// Restart and Stop.
type Server struct {
	folder   string // holds everything; owned by the user that runs the server
	bin      string // the folder with initdb and postgres
	password string
	cfg      Config
	port     int

	command *exec.Cmd
	output  *tail
	stdin   io.WriteCloser // of the supervisor, which stops the server when this is closed
	ended   chan struct{}  // closed when the server has exited
}

// Start starts a server with no data. The caller must stop it. The error is
// [ErrMissing] if PostgreSQL is not installed.
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

// binaries returns the folder with initdb and postgres, from PATH or else Debian's
// newest version.
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

// release returns the version in a path like /usr/lib/postgresql/15/bin.
func release(folder string) int {
	number, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	if err != nil {
		return 0
	}
	return number
}

func executable(path string) bool {
	info, err := os.Stat(path) //nolint:gosec // a folder of PATH
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// initialize creates the database cluster. It uses a language's collation, as many
// databases do, so that tests catch code that relies on byte order.
func (s *Server) initialize(ctx context.Context) error {
	secret := filepath.Join(s.folder, "password")
	if err := os.WriteFile(secret, []byte(s.password), 0o600); err != nil {
		return err
	}
	for _, path := range []string{s.folder, secret} {
		if err := chownToServer(path); err != nil {
			return err
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), //nolint:gosec // a program of this machine
		"--username", "cobro", "--pwfile", secret, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--locale-provider", "icu", "--icu-locale", "en-US", "--no-sync")
	initdb.Dir = s.folder
	if err := runAsServer(initdb); err != nil {
		return err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return os.Remove(secret)
}

// portTaken is in the output of a server whose port is in use.
const portTaken = "could not create any TCP/IP sockets"

// start starts the server on a free port. PostgreSQL cannot choose a port itself,
// and another program may take ours first, so it tries again with another port.
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

// supervisor is a shell script that runs the server until it exits, or until the
// script's standard input is closed. The system closes it however our process
// dies; then the script stops the server and removes its folder. $1 is the folder,
// and the rest is the server's command line. The subshell that reads standard
// input redirects its output, so that the server's output ends when the server
// does. It repeats SIGQUIT until the server is gone, because a background job of a
// shell ignores SIGQUIT until the server installs its own handler.
const supervisor = `
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

// keep tells the supervisor not to remove the folder.
const keep = "keep\n"

// run starts the server on its port and waits until it accepts connections.
func (s *Server) run(ctx context.Context) error {
	settings := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(s.port), "unix_socket_directories": s.folder,
		"max_connections": "200", "shared_buffers": "32MB",
		"fsync": "off", "full_page_writes": "off",
		"timezone": "America/Puerto_Rico", // not UTC, so that tests catch code that depends on it
	}
	for name, value := range s.cfg.Settings {
		settings[name] = value
	}
	args := []string{"-c", supervisor, "supervisor", s.folder, filepath.Join(s.bin, "postgres"), "-D", s.data()}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	output := &tail{to: s.cfg.Log}
	s.output = output
	s.command = exec.Command("/bin/sh", args...) //nolint:gosec,noctx // Stop or the supervisor ends it
	s.command.Dir, s.command.Stdout, s.command.Stderr = s.folder, output, output
	if err := runAsServer(s.command); err != nil {
		return err
	}
	var err error
	if s.stdin, err = s.command.StdinPipe(); err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	s.ended = ended
	go func() { // returns when the server exits; end waits for that
		_ = s.command.Wait() // an error is expected: we stop it by a signal
		close(ended)
	}()
	if err := s.waitReady(ctx); err != nil {
		s.end()
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, output)
	}
	return nil
}

// waitReady waits until the server accepts connections.
func (s *Server) waitReady(ctx context.Context) error {
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
			return errors.New("the server exited")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// DSN returns the URL of a database on this server, for the superuser "cobro".
func (s *Server) DSN(database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword("cobro", s.password), Host: "127.0.0.1:" + strconv.Itoa(s.port),
		Path: database, RawQuery: "sslmode=disable",
	}).String()
}

// Folder returns where the server's files and its Unix socket are.
func (s *Server) Folder() string { return s.folder }

// Create makes a database, empty or as a copy of template, to which nothing may be
// connected meanwhile.
func (s *Server) Create(ctx context.Context, database, template string) error {
	if template == "" {
		template = "template1"
	}
	return s.exec(ctx, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s`,
		pgx.Identifier{database}.Sanitize(), pgx.Identifier{template}.Sanitize()))
}

// Drop removes a database and closes its connections.
func (s *Server) Drop(ctx context.Context, database string) error {
	return s.exec(ctx, fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, pgx.Identifier{database}.Sanitize()))
}

func (s *Server) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// Connect opens a database independently of the code under test. The caller closes
// it.
func (s *Server) Connect(dsn string) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	return stdlib.OpenDB(*cfg), nil
}

// Restart crashes the server and starts it again, with the same port and data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Crash(); err != nil {
		return err
	}
	return s.Resume(ctx)
}

// Crash stops the server at once, without a shutdown, and keeps its folder for
// Resume.
func (s *Server) Crash() error {
	if _, err := io.WriteString(s.stdin, keep); err != nil {
		return err
	}
	s.end()
	return nil
}

// Resume starts a crashed server again.
func (s *Server) Resume(ctx context.Context) error { return s.start(ctx) }

// Stop stops the server and removes its folder. A second call does nothing.
func (s *Server) Stop() error {
	s.end()
	return os.RemoveAll(s.folder)
}

// end stops the server and waits until it has exited.
func (s *Server) end() {
	_ = s.stdin.Close() // the supervisor notices
	<-s.ended
}

// tail keeps the last 4 KiB that were written and forwards everything.
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

// String returns the kept part.
func (t *tail) String() string {
	t.lock.Lock()
	defer t.lock.Unlock()
	return string(bytes.TrimSpace(t.kept))
}
