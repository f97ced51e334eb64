package process_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
	"github.com/cobropay/cobro/internal/temporalclient"
)

// installation returns what opens a new database, and the log.
func installation(t *testing.T) (process.Config, *telemetrytest.LogBuffer) {
	t.Helper()
	dir, log := t.TempDir(), &telemetrytest.LogBuffer{}
	cfg := process.Config{
		Store: "sqlite:" + filepath.Join(dir, "cobro.db"), KeyFile: filepath.Join(dir, "keys.json"),
		Temporal: temporalclient.Options{Address: "127.0.0.1:1"}, StartTimeout: time.Hour, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}
	_, err := seal.Create(cfg.KeyFile)
	require.NoError(t, err)
	require.NoError(t, store.Migrate(t.Context(), store.Config{DSN: cfg.Store}))
	return cfg, log
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := process.Listen(t.Context(), "127.0.0.1:0", "--ops-listen")
	require.NoError(t, err)
	return listener
}

func at(listener net.Listener) func(context.Context) (net.Listener, error) {
	return func(context.Context) (net.Listener, error) { return listener, nil }
}

func get(t *testing.T, listener net.Listener, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+path, nil)
	require.NoError(t, err)
	response, err := new(http.Transport).RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

func TestWaitingProcessSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	for missing, change := range map[string]func(*process.Config){
		"store":    func(c *process.Config) { c.Store = "postgres://nobody@127.0.0.1:1/cobro" },
		"temporal": func(*process.Config) {},
	} {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			cfg, log := installation(t)
			change(&cfg)
			listener := listen(t)
			cfg.Operations = at(listener)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { // received below
				ended <- process.Run(ctx, cfg, func(context.Context, *process.Process) error { return errors.New("it has opened") })
			}()
			require.Eventually(t, func() bool {
				status, answer := get(t, listener, "/readyz")
				return status == http.StatusServiceUnavailable && answer == `{"status":"not ready","missing":["`+missing+`"],"checks":{"`+missing+`":"failing"}}`+"\n"
			}, time.Minute, time.Millisecond)
			status, _ := get(t, listener, "/healthz")
			require.Equal(t, http.StatusOK, status)
			status, _ = get(t, listener, "/metrics")
			require.Equal(t, http.StatusOK, status)

			stop()
			require.NoError(t, <-ended, "a stop is no failure")
			require.Contains(t, log.String(), "cut short by the stop")
			require.ErrorIs(t, listener.Close(), net.ErrClosed)
		})
	}
}

func TestOpenClosesTheListenerAfterAnError(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*process.Config){
		"no store":         func(c *process.Config) { c.Store = "" },
		"no key ring":      func(c *process.Config) { c.KeyFile += ".none" },
		"another merchant": func(c *process.Config) { c.MerchantID = "another" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, _ := installation(t)
			cfg.StoreOnly, cfg.MerchantID = true, "shop"
			p, err := process.Open(t.Context(), cfg)
			require.NoError(t, err)
			require.NoError(t, p.Close())

			change(&cfg)
			listener := listen(t)
			cfg.Operations = at(listener)
			_, err = process.Open(t.Context(), cfg)
			require.Error(t, err)
			require.ErrorIs(t, listener.Close(), net.ErrClosed)
		})
	}
}

// Only an error after the stop is one that the stop may have caused.
func TestRunReturnsErrorsUnlessItWasStopped(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, stopped := range []bool{false, true} {
		cfg, log := installation(t)
		cfg.StoreOnly = true
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		err := process.Run(ctx, cfg, func(_ context.Context, p *process.Process) error {
			require.NoError(t, p.Store.Ping(t.Context()), "the store is open")
			if stopped {
				stop()
			}
			return broken
		})
		if stopped {
			require.NoError(t, err)
			require.Contains(t, log.String(), "broken")
		} else {
			require.ErrorIs(t, err, broken)
		}
	}
}

// closing is a Temporal client that tells when it is closed.
type closing struct {
	client.Client
	do func()
}

func (c closing) Close() { c.do() }

// A last scrape that finds the store closed reports cobro_store_up 0, which is an
// alert.
func TestCloseStopsScrapesBeforeItClosesTheStore(t *testing.T) {
	t.Parallel()
	cfg, _ := installation(t)
	cfg.StoreOnly = true
	listener := listen(t)
	cfg.Operations = at(listener)
	p, err := process.Open(t.Context(), cfg)
	require.NoError(t, err)
	closed := false
	p.Temporal = closing{do: func() {
		closed = true
		require.ErrorIs(t, listener.Close(), net.ErrClosed)
		require.NoError(t, p.Store.Ping(t.Context()))
	}}
	require.NoError(t, p.Close())
	require.True(t, closed)
	require.Error(t, p.Store.Ping(t.Context()))
}

func TestFailedListenerIsReported(t *testing.T) {
	t.Parallel()
	cfg, log := installation(t)
	cfg.StoreOnly = true
	listener := listen(t)
	cfg.Operations = at(listener)
	p, err := process.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	require.ErrorContains(t, <-p.Failed(), "serve "+listener.Addr().String())
	require.NoError(t, p.Close())
	require.NotContains(t, log.String(), "not served", "whoever received it reports it")
}

func TestTakenAddressNamesItsSetting(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	defer taken.Close()
	_, err := process.Listen(t.Context(), taken.Addr().String(), "--listen")
	require.ErrorContains(t, err, "--listen changes the address")
	require.ErrorContains(t, process.CheckFree(t.Context(), taken.Addr().String(), "--listen"), "--listen changes the address")
	require.NoError(t, process.CheckFree(t.Context(), "127.0.0.1:0", "--listen"))
}

func TestReadyChecksNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	cfg, _ := installation(t)
	cfg.StoreOnly = true
	p, err := process.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	p.Temporal, err = client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"}) // where nobody listens
	require.NoError(t, err)
	p.ExpectPayments()

	recorder := httptest.NewRecorder()
	operations.Handler(operations.Config{Ready: p.ReadyChecks(), Logger: slog.New(slog.DiscardHandler)}).
		ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	require.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	var shown struct {
		Missing []string
		Checks  map[string]string
	}
	require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &shown))
	require.ElementsMatch(t, []string{"temporal", "search_attributes"}, shown.Missing)
	require.Equal(t, "ok", shown.Checks["store"])
	require.Equal(t, "ok", shown.Checks["schema"])
}

// Another program may hold the database's lock for longer than one call waits, such
// as an import.
func TestStartWaitsForALockedDatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits until a call gives up")
	}
	cfg, log := installation(t)
	cfg.StoreOnly, cfg.MerchantID = true, "shop"
	other, err := sql.Open("sqlite", strings.TrimPrefix(cfg.Store, "sqlite:"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	lock, err := other.Conn(t.Context())
	require.NoError(t, err)
	_, err = lock.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	opened := make(chan error, 1)
	go func() { // received below
		p, err := process.Open(t.Context(), cfg)
		if err == nil {
			err = p.Close()
		}
		opened <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "waiting for the database") }, time.Minute, 10*time.Millisecond)
	_, err = lock.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	require.NoError(t, <-opened)
}
