package operations_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/operations"
)

func TestReadyzReportsChecks(t *testing.T) {
	t.Parallel()
	works := func(context.Context) error { return nil }
	fails := func(context.Context) error { return errors.New("canary") }
	stopped := make(chan struct{})
	close(stopped)
	for name, tt := range map[string]struct {
		cfg    operations.Config
		status int
		body   string
	}{
		"no checks": {operations.Config{}, http.StatusOK, `{"status":"ready"}`},
		"all pass":  {operations.Config{Ready: []operations.Check{{Name: "store", Check: works}}}, http.StatusOK, `{"status":"ready","checks":{"store":"ok"}}`},
		"one fails": {
			operations.Config{Ready: []operations.Check{{Name: "store", Check: works}, {Name: "temporal", Check: fails}}},
			http.StatusServiceUnavailable, `{"status":"not ready","missing":["temporal"],"checks":{"store":"ok","temporal":"failing"}}`,
		},
		"an advisory check fails": {
			operations.Config{Ready: []operations.Check{{Name: "workers", Check: fails, Advisory: true}}},
			http.StatusOK, `{"status":"ready","checks":{"workers":"failing"}}`,
		},
		"stopping": {
			operations.Config{Ready: []operations.Check{{Name: "store", Check: works}}, Stopping: stopped},
			http.StatusServiceUnavailable, `{"status":"stopping","checks":{"store":"ok"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Logger = slog.New(slog.DiscardHandler)
			handler := operations.Handler(tt.cfg)
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/readyz", nil))
			require.Equal(t, tt.status, recorder.Code)
			require.JSONEq(t, tt.body, recorder.Body.String())

			recorder = httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/healthz", nil))
			require.Equal(t, http.StatusOK, recorder.Code, "it is alive")
		})
	}
}

func TestStartupHandlerNamesWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	handler := operations.NewStartupHandler(operations.Config{
		Metrics:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		Stopping: stopping, Logger: slog.New(slog.DiscardHandler),
	}, "store")
	ask := func(path string, status int, body string) {
		t.Helper()
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, status, recorder.Code)
		if body != "" {
			require.JSONEq(t, body, recorder.Body.String())
		}
	}
	ask("/healthz", http.StatusOK, `{"status":"ok"}`)
	ask("/metrics", http.StatusOK, "")
	ask("/readyz", http.StatusServiceUnavailable, `{"status":"not ready","missing":["store"],"checks":{"store":"failing"}}`)
	handler.WaitFor("temporal")
	ask("/readyz", http.StatusServiceUnavailable, `{"status":"not ready","missing":["temporal"],"checks":{"temporal":"failing"}}`)
	handler.SetHandler(operations.Handler(operations.Config{}))
	ask("/readyz", http.StatusOK, `{"status":"ready"}`)
	handler.WaitFor("store")
	close(stopping)
	ask("/readyz", http.StatusServiceUnavailable, `{"status":"stopping","missing":["store"],"checks":{"store":"failing"}}`)
}
