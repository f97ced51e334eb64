package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/payment"
)

// silent is a store whose database has vanished: nothing is answered, not even
// that.
type silent struct{ api.Store }

func (silent) Payment(ctx context.Context, _ string) (ledger.Record, error) {
	<-ctx.Done()
	return ledger.Record{}, ctx.Err()
}

func (silent) Payments(ctx context.Context, _ ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error) {
	<-ctx.Done()
	return nil, ledger.Cursor{}, ctx.Err()
}

func (silent) Receivers(ctx context.Context) ([]ledger.Receiver, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (silent) AddGatewayEvent(ctx context.Context, _ ledger.GatewayEvent) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// TestASilentDatabaseIsAnswered runs in a bubble, where what waits for ever is a
// failure and what waits for seconds takes no time.
func TestASilentDatabaseIsAnswered(t *testing.T) {
	t.Parallel()
	ring, err := seal.New()
	require.NoError(t, err)
	id := ledger.DeriveID("default", "k")
	for _, tt := range []struct{ method, path, body string }{
		{"GET", "/v1/payments", ""},
		{"GET", "/v1/payments/" + id, ""},
		{"GET", "/v1/payments/" + id + "/events", ""},
		{"GET", "/v1/receivers", ""},
		{"POST", "/v1/payments/" + id + "/cancel", ""},
		{"POST", webhookPath, completedEvent("ticket-1", "3")},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server, err := api.New(config(silent{}, &flows{t: t}, ring, io.Discard, time.Now))
				require.NoError(t, err)
				request := httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body))
				request.Header.Set("Authorization", "Bearer "+apiKey)
				got := httptest.NewRecorder()
				server.Handler().ServeHTTP(got, request)
				require.Equal(t, http.StatusServiceUnavailable, got.Code, got.Body)
				require.NotEmpty(t, got.Header().Get("Retry-After"))
			})
		})
	}
}
