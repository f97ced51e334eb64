package runner_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/runner"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
)

func TestWorkerReadinessNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	ring, err := seal.New()
	require.NoError(t, err)
	cfg := store.Config{DSN: filepath.Join(t.TempDir(), "cobro.db"), Sealer: ring}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	db, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	temporal, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"}) // where nobody listens
	require.NoError(t, err)
	t.Cleanup(temporal.Close)

	recorder := httptest.NewRecorder()
	operations.Handler(operations.Config{
		Ready: runner.ReadyChecks(db, temporal, "cobro"), Logger: slog.New(slog.DiscardHandler),
	}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	require.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	var shown struct {
		Missing []string
		Checks  map[string]string
	}
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &shown))
	require.ElementsMatch(t, []string{"temporal", "workers"}, shown.Missing)
	require.Equal(t, "ok", shown.Checks["store"])
	require.Equal(t, "ok", shown.Checks["schema"])
}

// The alert that no worker runs payments must fire although a merchant's receivers
// run beside it.
func TestMetricsTellWorkersFromReceivers(t *testing.T) {
	t.Parallel()
	for program, payments := range map[string]bool{"worker": true, "receivers": false} {
		recorder := httptest.NewRecorder()
		runner.Metrics(runner.Config{Config: process.Config{Payments: payments}}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		require.Equal(t, 1, strings.Count(recorder.Body.String(), "cobro_build_info{"))
		require.Regexp(t, `cobro_build_info\{.*program="`+program+`".*\} 1`, recorder.Body.String())
	}
}
