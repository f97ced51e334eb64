package store_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/store/storetest"
)

// signalled tells that something was logged.
type signalled struct {
	once sync.Once
	told chan struct{}
}

func (s *signalled) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.told) })
	return len(p), nil
}

// unmigrated returns a database that is there and empty.
func unmigrated(t *testing.T) store.Config {
	t.Helper()
	empty := filepath.Join(t.TempDir(), "empty.db")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	return store.Config{DSN: "sqlite:" + empty, Sealer: storetest.NewSealer(t)}
}

func TestAwaitWaitsForAMigration(t *testing.T) {
	t.Parallel()
	cfg := unmigrated(t)
	log := &signalled{told: make(chan struct{})}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	migrated := make(chan error, 1)
	go func() { // waited for below
		<-log.told
		migrated <- store.Migrate(t.Context(), store.Config{DSN: cfg.DSN})
	}()
	s, err := store.Await(t.Context(), cfg, time.Minute)
	require.NoError(t, err)
	require.NoError(t, <-migrated)
	require.NoError(t, s.CheckSchema(t.Context()))
	require.NoError(t, s.Close())
}

func TestAwaitEndsAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	cfg := unmigrated(t)
	_, err := store.Await(t.Context(), cfg, 10*time.Millisecond)
	require.ErrorContains(t, err, "run cobro migrate")
	require.ErrorContains(t, err, "COBRO_START_TIMEOUT")

	var logged bytes.Buffer
	for _, dsn := range []string{"mysql://cobro:canary@db/cobro", "sqlite:" + filepath.Join(t.TempDir(), "missing.db")} {
		_, err = store.Await(t.Context(), store.Config{DSN: dsn, Sealer: cfg.Sealer, Logger: slog.New(slog.NewTextHandler(&logged, nil))}, time.Hour)
		require.Error(t, err, "no wait would help")
		require.NotContains(t, err.Error(), "canary")
	}
	require.Empty(t, logged.String())
}

// An old process serves on while an upgrade has migrated already.
func TestANewerSchemaIsReady(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	s := open(t, cfg)
	require.NoError(t, s.CheckSchema(t.Context()))
	_, err := raw(t, cfg).ExecContext(t.Context(), `INSERT INTO schema_versions (version_id, is_applied) VALUES (99, 1)`)
	require.NoError(t, err)
	require.NoError(t, s.CheckSchema(t.Context()))
	_, err = raw(t, cfg).ExecContext(t.Context(), `DELETE FROM schema_versions WHERE version_id > 0`)
	require.NoError(t, err)
	require.ErrorContains(t, s.CheckSchema(t.Context()), "run cobro migrate")
}

// A store that answers reads and takes no write is not well. One write stands
// for those who ask soon after it; a failure is never remembered.
func TestPingWrites(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	cfg.Now = func() time.Time { return now }
	s, file := open(t, cfg), raw(t, cfg)
	require.NoError(t, s.Ping(t.Context()))
	_, err := file.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE INSERT ON settings BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	require.NoError(t, err)
	now = now.Add(2 * time.Second)
	require.NoError(t, s.Ping(t.Context()))
	now = now.Add(time.Second)
	for range 2 {
		require.ErrorContains(t, s.Ping(t.Context()), "the disk is full")
	}
	_, err = file.ExecContext(t.Context(), `DROP TRIGGER full`)
	require.NoError(t, err)
	require.NoError(t, s.Ping(t.Context()))
	var rows int
	require.NoError(t, file.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM settings`).Scan(&rows))
	require.Zero(t, rows, "nothing is left of it")
}

func TestMerchant(t *testing.T) {
	t.Parallel()
	s := open(t, migrated(t))
	owner, err := s.Merchant(t.Context())
	require.NoError(t, err)
	require.Empty(t, owner)
	require.NoError(t, s.ClaimMerchant(t.Context(), "bakery"))
	owner, err = s.Merchant(t.Context())
	require.NoError(t, err)
	require.Equal(t, "bakery", owner)
}
