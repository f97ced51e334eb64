package app_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// TestOverloadRefusesBeforeAnythingIsKept: more payments are asked for than the
// system begins. Those over the limit leave no trace, their keys are free, and
// whatever is no new payment goes on.
func TestOverloadRefusesBeforeAnythingIsKept(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	f := &workflow{open: func(in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		begun <- struct{}{}
		<-goOn
		return workflows.TicketOutcome{Payment: &payment.Payment{
			ID: in.PaymentID, Status: payment.StatusOpen, Request: in.Request, CreatedAt: in.CreatedAt,
		}, Waited: time.Minute}, nil
	}}
	a := newApp(t, s, f, ring)
	open := func(key string) (app.Opened, error) {
		return a.OpenPayment(t.Context(), app.OpenPaymentInput{Key: key, Request: payment.Request{
			Total: money.FromCents(5_00), ExpiresIn: 10 * time.Minute, Reference: "order-" + key,
		}})
	}
	var opening sync.WaitGroup
	limit := a.Creates().Limit
	for i := range limit {
		opening.Go(func() { _, _ = open(strconv.Itoa(i)) }) // waited for below
		<-begun
	}
	_, err := open("refused")
	requireKind(t, err, app.KindUnavailable)
	require.ErrorIs(t, err, app.ErrOverloaded)
	var refusal *app.Error
	require.ErrorAs(t, err, &refusal)
	require.Positive(t, refusal.RetryAfter)
	require.Equal(t, app.Creates{Limit: limit, Opening: limit, Refused: 1}, a.Creates())
	listed, err := a.Payments(t.Context(), ledger.PaymentFilter{})
	require.NoError(t, err)
	require.Len(t, listed.Items, limit, "those that were begun, and no other")

	close(goOn)
	opening.Wait()
	require.Equal(t, limit*51/100, a.Creates().Limit, "each began a minute late")
	require.Zero(t, a.Creates().Opening)
	go func() { <-begun }() // ends with the request below
	opened, err := open("refused")
	require.NoError(t, err)
	require.Equal(t, payment.StatusOpen, opened.Payment.Status)
	require.False(t, opened.Replayed, "the key was free")
}

// BacklogAge implements app.Flows.
func (w *workflow) BacklogAge(context.Context) (time.Duration, error) { return 0, nil }
