package api_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/workflows"
)

type watchKey struct{}

// diary is a Watcher that tells what it learns.
type diary chan string

func (d diary) Request(r *http.Request, route string) (context.Context, func(api.Answered)) {
	return context.WithValue(r.Context(), watchKey{}, "request"), func(a api.Answered) {
		d <- fmt.Sprintf("%s %s: %d %s %t", r.Method, route, a.Status, a.Code, a.PaymentID != "")
	}
}

// A watcher learns patterns and our own ids, and the workflows are asked with
// its context.
func TestAWatcher(t *testing.T) {
	t.Parallel()
	d := make(diary, 1)
	var seen []any
	w := newWorld(t, func(cfg *configs) { cfg.api.Watch = d })
	w.flows.open = func(ctx context.Context, _ workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		seen = append(seen, ctx.Value(watchKey{}))
		return workflows.TicketOutcome{}, flows.ErrUnavailable
	}
	w.do("POST", "/v1/payments", `{"total":"1.00","phone_number":"`+phone+`"}`)
	require.Equal(t, "POST /v1/payments: 503 temporarily_unavailable true", <-d)
	w.do("GET", "/nowhere/"+phone, "")
	require.Equal(t, "GET none: 404 not_found false", <-d)

	p := w.open("watched")
	w.do("POST", webhookPath, completedEvent(p.EcommerceID, "10"))
	require.Equal(t, "POST /webhooks/athmovil/:secret: 200  false", <-d)
	require.Equal(t, []any{"request"}, seen)
}
