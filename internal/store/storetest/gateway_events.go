package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/payment"
)

// event returns a gateway event with a digest of its own.
func event(n int) ledger.GatewayEvent {
	return ledger.GatewayEvent{
		ID: fmt.Sprintf("whe_%s", rand.Text()), Digest: rand.Text(), Kind: "ecommerce_completed",
		Body: `{"status":"completed"}`, Headers: `{"User-Agent":"ATH"}`,
		Verdict: ledger.EventPending, Deliveries: 1,
		NotBefore: noon(), ReceivedAt: noon().Add(time.Duration(n) * time.Millisecond),
	}
}

func add(t *testing.T, s *store.Store, e ledger.GatewayEvent) ledger.GatewayEvent {
	t.Helper()
	added, err := s.AddGatewayEvent(t.Context(), e)
	require.NoError(t, err)
	require.True(t, added)
	return e
}

// only returns the one event that the store holds.
func only(t *testing.T, s *store.Store) ledger.GatewayEvent {
	t.Helper()
	events, _, err := s.GatewayEvents(t.Context(), ledger.GatewayEventFilter{})
	require.NoError(t, err)
	require.Len(t, events, 1)
	return events[0]
}

func lease(t *testing.T, s *store.Store, limit int) []ledger.GatewayEvent {
	t.Helper()
	events, err := s.LeaseGatewayEvents(t.Context(), limit, time.Minute)
	require.NoError(t, err)
	return events
}

func ids(events []ledger.GatewayEvent) []string {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	return ids
}

func eventOnce(t *testing.T, open Opener) {
	clock := newClock()
	s := open(clock.now)
	e := event(1)
	e.EcommerceID, e.ReferenceNumber, e.PaymentID, e.Total = "ec", "rn", "pay_claimed", amount(3_00)
	e.Payer = payment.Customer{Name: "María Ñandú", PhoneNumber: "7875550002", Email: "maria@example.com"}
	e.Message = "gracias"
	add(t, s, e)
	require.Equal(t, e, only(t, s))

	again := e
	again.ID, again.Body, again.Kind, again.Message = "whe_again", "another", "another", "another"
	again.ReceivedAt = noon().Add(time.Hour)
	for range 2 {
		added, err := open(clock.now).AddGatewayEvent(t.Context(), again)
		require.NoError(t, err)
		require.False(t, added)
	}
	e.Deliveries = 3
	require.Equal(t, e, only(t, s))

	stolen := event(2)
	stolen.ID = e.ID
	_, err := s.AddGatewayEvent(t.Context(), stolen)
	require.ErrorContains(t, err, "another digest")

	malformed := event(3)
	malformed.Verdict = ledger.EventMalformed
	add(t, s, malformed)
	events, _, err := s.GatewayEvents(t.Context(), ledger.GatewayEventFilter{Verdict: ledger.EventMalformed, Limit: 10})
	require.NoError(t, err)
	at := clock.now()
	malformed.SettledAt = &at
	require.Equal(t, []ledger.GatewayEvent{malformed}, events)
	require.Equal(t, []string{e.ID}, ids(lease(t, s, 10)), "what is settled on arrival is never handed out")
}

func leases(t *testing.T, open Opener) {
	clock := newClock()
	s := open(clock.now)
	third, first, second := event(3), event(1), event(2)
	for _, e := range []ledger.GatewayEvent{third, first, second} {
		add(t, s, e)
	}
	future := event(0)
	future.NotBefore = noon().Add(2 * time.Minute)
	add(t, s, future)

	got := lease(t, s, 2)
	require.Equal(t, []string{first.ID, second.ID}, ids(got), "oldest first")
	require.Equal(t, 1, got[0].Attempts)
	require.Equal(t, []string{third.ID}, ids(lease(t, s, 10)))
	require.Empty(t, lease(t, s, 10))

	clock.advance(time.Minute)
	got = lease(t, s, 10)
	require.Equal(t, []string{first.ID, second.ID, third.ID}, ids(got), "a lease runs out")
	require.Equal(t, 2, got[0].Attempts)

	require.NoError(t, s.PostponeGatewayEvent(t.Context(), first.ID, clock.now().Add(time.Second)))
	require.Empty(t, lease(t, s, 10))
	clock.advance(time.Second)
	require.Equal(t, []string{first.ID}, ids(lease(t, s, 10)), "postponed, and not on lease any more")

	require.NoError(t, s.SettleGatewayEvent(t.Context(), first.ID, ledger.EventSignalled, "", ""))
	require.NoError(t, s.PostponeGatewayEvent(t.Context(), first.ID, noon()), "too late to postpone")
	clock.advance(time.Hour)
	require.Equal(t, []string{future.ID, second.ID, third.ID}, ids(lease(t, s, 10)))
}

func leaseRace(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	var want []string
	for i := range 40 {
		want = append(want, add(t, stores[0], event(i)).ID)
	}
	got := make([][]string, 8)
	errs := make([]error, len(got))
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			for {
				events, err := stores[i%len(stores)].LeaseGatewayEvents(t.Context(), 3, time.Hour)
				if err != nil || len(events) == 0 {
					errs[i] = err
					return
				}
				got[i] = append(got[i], ids(events)...)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.ElementsMatch(t, want, slices.Concat(got...), "each event exactly once")
}

func verdicts(t *testing.T, open Opener) {
	clock := newClock()
	s, ctx := open(clock.now), t.Context()
	e := add(t, s, event(1))
	lease(t, s, 1)
	want := func(verdict ledger.EventVerdict, matchedID, effect string) {
		t.Helper()
		got := only(t, s)
		require.Equal(t, verdict, got.Verdict)
		require.Equal(t, matchedID, got.MatchedID)
		require.Equal(t, effect, got.Effect)
		require.Equal(t, verdict != ledger.EventPending, got.SettledAt != nil)
	}
	require.ErrorContains(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventPending, "", ""), "not a verdict to settle with")
	require.Error(t, s.SettleGatewayEvent(ctx, e.ID, "", "", ""))
	want(ledger.EventPending, "", "")

	require.NoError(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventSignalled, "pay_1", "told who paid"))
	want(ledger.EventSignalled, "pay_1", "told who paid")
	require.NoError(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventSignalled, "", ""))
	want(ledger.EventSignalled, "pay_1", "told who paid")
	require.NoError(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventUnmatched, "", "nobody's"))
	want(ledger.EventSignalled, "pay_1", "told who paid")
	require.NoError(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventLate, "pay_1", "nothing new"))
	want(ledger.EventLate, "pay_1", "nothing new")
	require.NoError(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventKnown, "", "an echo"))
	want(ledger.EventKnown, "pay_1", "an echo")
	require.NoError(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventLate, "pay_1", "handed over"))
	want(ledger.EventKnown, "pay_1", "an echo")

	for verdict, of := range map[ledger.EventVerdict]string{ledger.EventKnown: "", "": "pay_1"} {
		events, _, err := s.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: verdict, PaymentID: of, Limit: 1})
		require.NoError(t, err)
		require.Len(t, events, 1)
	}
	events, _, err := s.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventSignalled, PaymentID: "pay_1", Limit: 1})
	require.NoError(t, err)
	require.Empty(t, events)

	newer := add(t, s, event(2))
	events, _, err = s.GatewayEvents(ctx, ledger.GatewayEventFilter{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []string{newer.ID}, ids(events), "newest first")
}

func unmatched(t *testing.T, open Opener) {
	clock := newClock()
	s, ctx := open(clock.now), t.Context()
	sale := pending(t)
	settleAll := func() {
		t.Helper()
		for _, e := range lease(t, s, 10) {
			require.NoError(t, s.SettleGatewayEvent(ctx, e.ID, ledger.EventUnmatched, "", ""))
		}
	}
	byTicket, byPayment, stranger := event(1), event(2), event(3)
	byTicket.EcommerceID, byPayment.PaymentID, stranger.EcommerceID = "ec-1", sale.Payment.ID, "ec-2"
	for _, e := range []ledger.GatewayEvent{byTicket, byPayment, stranger} {
		add(t, s, e)
	}
	settleAll()
	clock.advance(time.Hour)
	require.Empty(t, lease(t, s, 10))

	record(ctx, t, s, sale)
	require.Empty(t, lease(t, s, 10), "the payment has no ticket yet")
	sale.Revision, sale.Payment.Status, sale.Payment.EcommerceID = 2, payment.StatusOpen, "ec-1"
	record(ctx, t, s, sale)
	events, _, err := s.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventPending, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{byPayment.ID, byTicket.ID}, ids(events))
	require.Nil(t, events[0].SettledAt)
	require.Equal(t, []string{byTicket.ID, byPayment.ID}, ids(lease(t, s, 10)))

	sale.Revision = 3
	record(ctx, t, s, sale)
	require.Empty(t, lease(t, s, 10), "a ticket that was known opens nothing again")

	// The ticket is recorded between the relay's look and its verdict.
	require.NoError(t, s.SettleGatewayEvent(ctx, byTicket.ID, ledger.EventUnmatched, "", ""))
	require.Equal(t, []string{byTicket.ID}, ids(lease(t, s, 10)), "looked up a moment too early")
	require.NoError(t, s.SettleGatewayEvent(ctx, byTicket.ID, ledger.EventUnmatched, sale.Payment.ID, "contradicts"))
	events, _, err = s.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventUnmatched, PaymentID: sale.Payment.ID, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{byTicket.ID}, ids(events), "a relay that knew the payment decides")
}

func matching(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	a, b := filled(t), filled(t)
	record(ctx, t, s, a)
	record(ctx, t, s, b)
	asked := ask(a.Payment.ID, "k", nil)
	granted, err := s.ReserveRefund(ctx, asked)
	require.NoError(t, err)
	done := settled(ledger.RefundRecord{Refund: granted.Refund, Fingerprint: asked.Fingerprint}, payment.RefundCompleted)
	done.Refund.ReferenceNumber = "rr-a"
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: done})
	require.NoError(t, err)

	tests := []struct {
		name  string
		event ledger.GatewayEvent
		want  string
	}{
		{"ticket", ledger.GatewayEvent{EcommerceID: a.Payment.EcommerceID, ReferenceNumber: b.Payment.ReferenceNumber, PaymentID: b.Payment.ID}, a.Payment.ID},
		{"reference", ledger.GatewayEvent{EcommerceID: "unknown", ReferenceNumber: a.Payment.ReferenceNumber, PaymentID: b.Payment.ID}, a.Payment.ID},
		{"a refund's reference", ledger.GatewayEvent{ReferenceNumber: "rr-a"}, a.Payment.ID},
		{"metadata", ledger.GatewayEvent{EcommerceID: "unknown", ReferenceNumber: "unknown", PaymentID: b.Payment.ID}, b.Payment.ID},
		{"unknown", ledger.GatewayEvent{EcommerceID: "unknown", ReferenceNumber: "unknown", PaymentID: newID(t)}, ""},
		{"nothing", ledger.GatewayEvent{}, ""},
	}
	for _, tt := range tests {
		got, err := s.MatchGatewayEvent(ctx, tt.event)
		if tt.want == "" {
			require.ErrorIs(t, err, ledger.ErrNotFound, tt.name)
			continue
		}
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, got, tt.name)
	}
}

func eventPages(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	var want []string
	for n := range 5 {
		e := event(n / 2) // two at a time have one moment
		e.Verdict, e.MatchedID = ledger.EventSignalled, "pay_1"
		if n == 3 {
			e.MatchedID = "pay_2"
		}
		add(t, s, e)
		want = append(want, e.ID)
	}
	for _, tt := range []struct {
		filter ledger.GatewayEventFilter
		want   []string
	}{
		{ledger.GatewayEventFilter{Limit: 2}, want},
		{ledger.GatewayEventFilter{Limit: 1, PaymentID: "pay_1", Verdict: ledger.EventSignalled}, slices.Delete(slices.Clone(want), 3, 4)},
		{ledger.GatewayEventFilter{Limit: 2, Verdict: ledger.EventUnmatched}, nil},
	} {
		var got []string
		for filter := tt.filter; ; {
			page, next, err := s.GatewayEvents(ctx, filter)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), filter.Limit)
			for i := range page {
				require.False(t, i > 0 && page[i].ReceivedAt.After(page[i-1].ReceivedAt), "newest first")
			}
			got = append(got, ids(page)...)
			if next == (ledger.Cursor{}) {
				break
			}
			filter.After = next
		}
		require.ElementsMatch(t, tt.want, got)
	}

	has, err := s.HasGatewayEvent(ctx, "unknown")
	require.NoError(t, err)
	require.False(t, has)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.HasGatewayEvent(ended, "d")
	require.ErrorContains(t, err, "look for gateway event d")
}
