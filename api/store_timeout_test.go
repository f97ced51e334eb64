package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// silent is a store whose database has vanished. A store bounds its calls, and
// this is what is left of them.
type silent struct{ database }

func (silent) Payment(context.Context, string) (ledger.Record, error) {
	return ledger.Record{}, context.DeadlineExceeded
}

func (silent) Payments(context.Context, ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error) {
	return nil, ledger.Cursor{}, context.DeadlineExceeded
}

func (silent) Receivers(context.Context) ([]ledger.Receiver, error) {
	return nil, context.DeadlineExceeded
}

func (silent) AddGatewayEvent(context.Context, ledger.GatewayEvent) (bool, error) {
	return false, context.DeadlineExceeded
}

func TestAStoreThatHangsIsAnsweredWith503(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *configs) { cfg.store(silent{}) })
	id := ledger.DeriveID("default", "k")
	for _, tt := range []struct{ method, path, body string }{
		{"GET", "/v1/payments", ""},
		{"GET", "/v1/payments/" + id, ""},
		{"GET", "/v1/payments/" + id + "/events", ""},
		{"GET", "/v1/receivers", ""},
		{"POST", "/v1/payments/" + id + "/cancel", ""},
		{"POST", webhookPath, completedEvent("ticket-1", "3")},
	} {
		got := w.do(tt.method, tt.path, tt.body)
		require.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
		require.NotEmpty(t, got.header.Get("Retry-After"))
	}
}

// waiting is a store that answers when its caller has gone, and not before.
type waiting struct {
	database
	asked chan struct{}
}

func (w waiting) Payment(ctx context.Context, _ string) (ledger.Record, error) {
	close(w.asked)
	<-ctx.Done()
	return ledger.Record{}, ctx.Err()
}

// answers keeps how requests ended.
type answers struct{ status chan int }

func (a answers) Request(r *http.Request, _ string) (context.Context, func(api.Answered)) {
	return r.Context(), func(answered api.Answered) { a.status <- answered.Status }
}

// TestAClientThatHangsUpIsNoServerError: logs and metrics show 499, and no alert
// on 5xx fires.
func TestAClientThatHangsUpIsNoServerError(t *testing.T) {
	t.Parallel()
	store, seen := waiting{asked: make(chan struct{})}, answers{make(chan int, 1)}
	w := newWorld(t, func(cfg *configs) {
		cfg.store(store)
		cfg.api.Watch = seen
	})
	ctx, hangUp := context.WithCancel(t.Context())
	go func() { // ends with the request
		<-store.asked
		hangUp()
	}()
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/payments/"+ledger.DeriveID("default", "k"), http.NoBody)
	request.Header.Set("Authorization", "Bearer "+apiKey)
	w.api.Handler().ServeHTTP(httptest.NewRecorder(), request)
	require.Equal(t, 499, <-seen.status)
	require.Contains(t, w.logs.String(), `"status":499`)
	require.NotContains(t, w.logs.String(), `"level":"ERROR"`)
}
