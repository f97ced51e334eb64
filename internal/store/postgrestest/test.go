package postgrestest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// New starts a server that stops when the test and its subtests end. Without
// PostgreSQL the test is skipped; in CI it fails.
func New(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if errors.Is(err, ErrMissing) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	require.NoError(t, err, "CI must have PostgreSQL: .ci/install brings it")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL's last output:\n%s", s.output)
		}
		require.NoError(t, s.Stop())
	})
	return s
}

// Database creates a database, empty or as a copy of the one at the DSN template,
// and returns its DSN. It is dropped when the test ends.
func (s *Server) Database(t testing.TB, template string) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text())
	if template != "" {
		from, err := url.Parse(template)
		require.NoError(t, err)
		template = strings.TrimPrefix(from.Path, "/")
	}
	require.NoError(t, s.Create(t.Context(), name, template))
	t.Cleanup(func() {
		select {
		case <-s.ended: // the server is gone, and its databases with it
		default:
			require.NoError(t, s.Drop(context.WithoutCancel(t.Context()), name))
		}
	})
	return s.DSN(name)
}

// Raw is [Server.Connect] until the test ends.
func (s *Server) Raw(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := s.Connect(dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
