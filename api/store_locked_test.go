package api_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
)

// TestALockedDatabase: another program holds the database for longer than a write
// waits. What has to be written is refused with 503, to be repeated; what is only
// read is answered; and nothing has to be restarted.
func TestALockedDatabase(t *testing.T) {
	t.Parallel()
	ring, err := seal.New()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "cobro.db")
	cfg := store.Config{DSN: "sqlite:" + file, Sealer: ring}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	w := newWorld(t, func(cfg *configs) { cfg.store(s) })

	other, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	holder, err := other.Conn(t.Context())
	require.NoError(t, err)
	_, err = holder.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	for _, path := range []string{"/v1/payments", "/v1/notifications", "/v1/receivers"} {
		require.Equal(t, 200, w.do("GET", path, "").status, path)
	}
	announced := `{"receivers":[{"event":"payment_completed","name":"print"}]}`
	refused := w.do("PUT", "/v1/receivers/shop", announced)
	w.requireProblem(refused, 503, "temporarily_unavailable")
	require.NotEmpty(t, refused.header.Get("Retry-After"))
	w.requireProblem(w.do("POST", webhookPath, completedEvent("ticket-1", "3")), 503, "temporarily_unavailable")

	_, err = holder.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, holder.Close())
	require.Equal(t, 200, w.do("PUT", "/v1/receivers/shop", announced).status)
	require.Equal(t, 200, w.do("POST", webhookPath, completedEvent("ticket-1", "3")).status)
}
