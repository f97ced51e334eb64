package api_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/api"
)

func TestOperations(t *testing.T) {
	t.Parallel()
	var temporal, worker error
	stopping := make(chan struct{})
	w := newWorld(t, func(cfg *configs) {
		cfg.api.Stopping = stopping
		cfg.api.Ready = []api.ReadyCheck{
			{Name: "store", Check: func(context.Context) error { return nil }},
			{Name: "temporal", Check: func(context.Context) error { return temporal }},
			{Name: "worker", Check: func(context.Context) error { return worker }, Advisory: true},
		}
		cfg.api.Codec = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, "codec "+r.URL.Path)
		})
	})
	operations := httptest.NewServer(w.api.Operations())
	defer operations.Close()
	get := func(path string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), "GET", operations.URL+path, nil)
		require.NoError(t, err)
		response, err := operations.Client().Do(request)
		require.NoError(t, err)
		defer func() { require.NoError(t, response.Body.Close()) }()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body)
	}

	status, body := get("/healthz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ok"}`, body)

	status, body = get("/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ready","checks":{"store":"ok","temporal":"ok","worker":"ok"}}`, body)

	temporal = errors.New("connection refused")
	status, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"not ready","missing":["temporal"],"checks":{"store":"ok","temporal":"failing","worker":"ok"}}`, body)
	require.Contains(t, w.logs.String(), "connection refused")

	temporal, worker = nil, errors.New("nobody works")
	status, body = get("/readyz")
	require.Equal(t, http.StatusOK, status, "payments are taken without a worker too: they are pending")
	require.JSONEq(t, `{"status":"ready","checks":{"store":"ok","temporal":"ok","worker":"failing"}}`, body)

	status, _ = get("/healthz")
	require.Equal(t, http.StatusOK, status, "a process whose neighbour is away still lives")

	status, body = get("/codec/decode")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "codec /decode", body)

	status, _ = get("/v1/payments")
	require.Equal(t, http.StatusNotFound, status)

	worker = nil
	close(stopping)
	status, body = get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status, "so that nothing new is sent to a process that stops")
	require.JSONEq(t, `{"status":"stopping","checks":{"store":"ok","temporal":"ok","worker":"ok"}}`, body)
	status, _ = get("/healthz")
	require.Equal(t, http.StatusOK, status)
}

func TestOperationsWithoutACodec(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recorder := httptest.NewRecorder()
	w.api.Operations().ServeHTTP(recorder, httptest.NewRequest("POST", "/codec/decode", nil))
	require.Equal(t, http.StatusNotFound, recorder.Code)
}
