//go:build linux || darwin

package store_test

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/store/storetest"
)

// TestAFullDisk runs itself in another process, where no file may grow: the
// database is as it is on a full disk.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	const inside = "STORE_TEST_FULL_DISK"
	if dsn := os.Getenv(inside); dsn != "" {
		onAFullDisk(t, dsn)
		return
	}
	cfg := migrated(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAFullDisk$")
	cmd.Env = append(os.Environ(), inside+"="+cfg.DSN)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
}

func onAFullDisk(t *testing.T, dsn string) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	s := open(t, store.Config{DSN: dsn, Sealer: storetest.NewSealer(t), Now: func() time.Time { return now }})
	require.NoError(t, s.Ping(t.Context()))
	journal, err := os.Stat(path(store.Config{DSN: dsn}) + "-wal")
	require.NoError(t, err)

	signal.Ignore(syscall.SIGXFSZ) // a write that does not fit is an error then
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	full := syscall.Rlimit{Cur: uint64(journal.Size()), Max: limit.Max}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full))
	now = now.Add(time.Minute)
	_, err = s.Merchant(t.Context())
	require.NoError(t, err, "it answers")
	require.Error(t, s.Ping(t.Context()))

	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	require.NoError(t, s.Ping(t.Context()))
}
