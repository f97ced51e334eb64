package postgrestest_test

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/store/postgrestest"
)

func TestServerCopiesRestartsAndStops(t *testing.T) {
	t.Parallel()
	s := postgrestest.New(t, postgrestest.Config{Settings: map[string]string{"fsync": "on", "work_mem": "5MB"}})
	template := s.Database(t, "")
	db, err := s.Connect(template)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `CREATE TABLE kept (n INT); INSERT INTO kept VALUES (7)`)
	require.NoError(t, err)
	require.NoError(t, db.Close(), "a copy needs a template without connections")

	copied := s.Raw(t, s.Database(t, template))
	read := func() (started string) {
		t.Helper()
		var n int
		var memory string
		require.NoError(t, copied.QueryRowContext(t.Context(), `SELECT n, current_setting('work_mem'), pg_postmaster_start_time()::text FROM kept`).
			Scan(&n, &memory, &started))
		require.Equal(t, 7, n)
		require.Equal(t, "5MB", memory)
		return started
	}
	before := read()
	require.NoError(t, s.Restart(t.Context()))
	require.NotEqual(t, before, read(), "it was restarted")

	stranger, err := url.Parse(template)
	require.NoError(t, err)
	stranger.User = url.UserPassword("cobro", "guess")
	require.ErrorContains(t, s.Raw(t, stranger.String()).PingContext(t.Context()), "password authentication failed")

	require.DirExists(t, s.Folder())
	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "twice")
	require.NoDirExists(t, s.Folder())
}

func TestStartErrorHasServerOutput(t *testing.T) {
	t.Parallel()
	postgrestest.New(t, postgrestest.Config{}) // skips if PostgreSQL is not installed
	_, err := postgrestest.Start(t.Context(), postgrestest.Config{Settings: map[string]string{"work_mem": "much"}})
	require.ErrorContains(t, err, "the server exited")
	require.ErrorContains(t, err, "work_mem")
}

// A server that is just starting ignores the first signal.
func TestServerStopsWhileStarting(t *testing.T) {
	t.Parallel()
	s := postgrestest.New(t, postgrestest.Config{})
	require.NoError(t, s.Crash())
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Resume(canceled), context.Canceled)
	require.NoDirExists(t, s.Folder())
}

// orphan is set in a child process that starts a server and waits to be killed.
const orphan = "COBRO_TEST_ORPHAN"

func TestServerStopsWhenItsProcessIsKilled(t *testing.T) {
	t.Parallel()
	if os.Getenv(orphan) != "" {
		s := postgrestest.New(t, postgrestest.Config{})
		fmt.Printf("server %s %s\n", s.Folder(), s.DSN("postgres")) // for the parent test
		<-t.Context().Done()
		return
	}
	s := postgrestest.New(t, postgrestest.Config{}) // skips if PostgreSQL is not installed
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestServerStopsWhenItsProcessIsKilled$")
	child.Env = append(os.Environ(), orphan+"=1")
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	var folder, dsn string
	for lines := bufio.NewScanner(out); folder == "" && lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), "server "); found {
			folder, dsn, _ = strings.Cut(rest, " ")
		}
	}
	require.NotEmpty(t, folder)
	db := s.Raw(t, dsn)
	require.NoError(t, db.PingContext(t.Context()))

	require.NoError(t, child.Process.Kill())
	_ = child.Wait() // it was killed
	require.Eventually(t, func() bool {
		_, err := os.Stat(folder)
		return os.IsNotExist(err) && db.PingContext(t.Context()) != nil
	}, time.Minute, 50*time.Millisecond, "the server outlived its process")
}
