package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

func pollers(t *testing.T, open Opener) {
	clock, ctx := newClock(), t.Context()
	s := open(clock.now)
	renew := func(worker string, alive ...string) {
		t.Helper()
		got, err := s.RenewPoller(ctx, worker)
		require.NoError(t, err)
		require.Equal(t, alive, got)
	}
	renew("b", "b")
	renew("a", "a", "b")
	clock.advance(3 * time.Second)
	renew("a", "a", "b")
	clock.advance(time.Second)
	renew("a", "a") // b was silent for four seconds
	renew("b", "a", "b")
	require.NoError(t, s.RemovePoller(ctx, "a"))
	require.NoError(t, s.RemovePoller(ctx, "a"), "which is already removed")
	renew("b", "b")

	clock.advance(-time.Minute) // another machine's clock
	renew("c", "b", "c")
	clock.advance(time.Hour)
	renew("c", "c")
}

func openTickets(t *testing.T, open Opener) {
	clock, ctx := newClock(), t.Context()
	s := open(clock.now)
	for i, status := range payment.Statuses() {
		r := pending(t)
		r.Payment.Status, r.Payment.EcommerceID = status, fmt.Sprintf("ticket-%d", i)
		record(ctx, t, s, r)
	}
	var want []ledger.OpenTicket
	for i := range 3 { // of which the last is the first to end
		r := pending(t)
		r.Payment.Status, r.Payment.EcommerceID = payment.StatusOpen, fmt.Sprintf("open-%d", i)
		r.Payment.ExpiresAt = noon().Add(time.Duration(3-i) * time.Minute)
		record(ctx, t, s, r)
		want = append([]ledger.OpenTicket{{PaymentID: r.Payment.ID, EcommerceID: r.Payment.EcommerceID, ExpiresAt: r.Payment.ExpiresAt}}, want...)
	}
	got, err := s.OpenTickets(ctx)
	require.NoError(t, err)
	require.Len(t, got, 4, "one of each status is open too")
	require.Equal(t, want, got[:3])

	clock.advance(time.Minute)
	got, err = s.OpenTickets(ctx)
	require.NoError(t, err)
	require.Equal(t, want[1:], got[:2], "from its deadline on a payment's workflow looks by itself")
	require.Len(t, got, 3)
}

func pollerRace(t *testing.T, open Opener) {
	ctx := t.Context()
	var racing sync.WaitGroup
	for i := range 8 {
		s := open(nil)
		racing.Go(func() {
			for range 10 {
				alive, err := s.RenewPoller(ctx, fmt.Sprintf("worker-%d", i))
				if err != nil || len(alive) == 0 {
					t.Errorf("%v alive: %v", alive, err)
				}
			}
		})
	}
	racing.Wait()
	alive, err := open(nil).RenewPoller(ctx, "worker-0")
	require.NoError(t, err)
	require.Len(t, alive, 8)
}
