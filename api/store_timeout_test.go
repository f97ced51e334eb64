package api_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

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
