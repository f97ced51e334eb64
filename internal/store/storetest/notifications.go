package storetest

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// receiver returns a receiver with a timeout of three seconds.
func receiver(host string, event payment.Event, name string) ledger.Receiver {
	return ledger.Receiver{Host: host, Event: event, Name: name, Timeout: 3 * time.Second}
}

// expected returns the pending delivery that an announcement makes.
func expected(subject string, d payment.Delivery) payment.Delivery {
	d.ID = ledger.NotificationID(subject, d.Event, d.Sequence, d.Host, d.Receiver)
	d.Status, d.CreatedAt = payment.DeliveryPending, noon()
	return d
}

func announcements(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	shop := receiver("shop", payment.EventCompleted, "send-receipt")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{
		receiver("shop", payment.EventCreated, "other-event"), shop, receiver("shop", payment.EventCompleted, "count"),
	}))
	require.NoError(t, s.AnnounceReceivers(ctx, "cobro", []ledger.Receiver{receiver("cobro", payment.EventCompleted, "webhook")}))

	paid := completed(t)
	change := ledger.Change{Record: paid, Announce: payment.EventCompleted, Workflow: paid.Payment.ID}
	want := []ledger.Receiver{
		receiver("cobro", payment.EventCompleted, "webhook"), receiver("shop", payment.EventCompleted, "count"), shop,
	}
	got, err := s.RecordPayment(ctx, change)
	require.NoError(t, err)
	require.Equal(t, want, got.Receivers)
	require.Equal(t, 1, got.Sequence)

	require.NoError(t, s.AnnounceReceivers(ctx, "late", []ledger.Receiver{receiver("late", payment.EventCompleted, "a")}))
	got, err = s.RecordPayment(ctx, change)
	require.NoError(t, err)
	require.Equal(t, want, got.Receivers, "a retry has the same answer")
	require.Equal(t, 1, got.Sequence)

	_, err = s.RemoveReceivers(ctx, "shop", payment.EventCompleted, "count")
	require.NoError(t, err)
	got, err = s.RecordPayment(ctx, change)
	require.NoError(t, err)
	want[1] = ledger.Receiver{Host: "shop", Event: payment.EventCompleted, Name: "count"}
	require.Equal(t, want, got.Receivers, "its delivery is pending, and somebody has to end it")

	id := paid.Payment.ID
	pendings := []payment.Delivery{
		expected(id, payment.Delivery{WorkflowID: id, PaymentID: id, Event: payment.EventCompleted, Sequence: 1, Host: "cobro", Receiver: "webhook"}),
		expected(id, payment.Delivery{WorkflowID: id, PaymentID: id, Event: payment.EventCompleted, Sequence: 1, Host: "shop", Receiver: "count"}),
		expected(id, payment.Delivery{WorkflowID: id, PaymentID: id, Event: payment.EventCompleted, Sequence: 1, Host: "shop", Receiver: "send-receipt"}),
	}
	deliveries, err := s.Deliveries(ctx, id)
	require.NoError(t, err)
	require.Equal(t, pendings, deliveries)

	ended := noon().Add(time.Minute)
	outcome := pendings[2]
	outcome.Status, outcome.EndedAt = payment.DeliveryDelivered, &ended
	require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{outcome}))
	deliveries, err = s.Deliveries(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []payment.Delivery{pendings[0], pendings[1], outcome}, deliveries)

	silent := pending(t)
	got, err = s.RecordPayment(ctx, ledger.Change{Record: silent, Announce: payment.EventExpired})
	require.NoError(t, err)
	require.Empty(t, got.Receivers, "nobody listens")
}

func refundAnnouncements(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	shop := receiver("shop", payment.EventRefundCompleted, "book")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{shop}))
	paid := completed(t)
	record(ctx, t, s, paid)
	id := paid.Payment.ID

	var want []payment.Delivery
	for i, key := range []string{"k1", "k2"} {
		asked := ask(id, key, amount(1_00))
		granted, err := s.ReserveRefund(ctx, asked)
		require.NoError(t, err)
		done := settled(ledger.RefundRecord{Refund: granted.Refund, Fingerprint: asked.Fingerprint}, payment.RefundCompleted)
		for range 2 {
			got, err := s.RecordRefund(ctx, ledger.RefundChange{Record: done, Announce: payment.EventRefundCompleted})
			require.NoError(t, err)
			require.Equal(t, 1+i, got.Sequence)
			require.Equal(t, []ledger.Receiver{shop}, got.Receivers)
			require.Equal(t, id, got.Payment.ID)
			require.Equal(t, money.FromCents(int64(i+1)*1_00), got.Payment.RefundedAmount, "the refund counts already")
		}
		want = append(want, expected(asked.RefundID, payment.Delivery{
			PaymentID: id, RefundID: asked.RefundID, Event: payment.EventRefundCompleted, Sequence: 1 + i, Host: "shop", Receiver: "book",
		}))
	}
	deliveries, err := s.Deliveries(ctx, id)
	require.NoError(t, err)
	require.Equal(t, want, deliveries)

	paid.Revision++ // the workflow knows nothing of the refunds' events
	record(ctx, t, s, paid)
	r, err := s.Payment(ctx, id)
	require.NoError(t, err)
	require.Equal(t, 2, r.Sequence)
	first, err := s.Refund(ctx, ask(id, "k1", nil).RefundID)
	require.NoError(t, err)
	again, err := s.RecordRefund(ctx, ledger.RefundChange{Record: first, Announce: payment.EventRefundCompleted})
	require.NoError(t, err)
	require.Equal(t, 1, again.Sequence)
}

func deliveries(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	paid := completed(t)
	record(ctx, t, s, paid)
	d := expected(paid.Payment.ID, payment.Delivery{
		PaymentID: paid.Payment.ID, Event: payment.EventCompleted, Sequence: 1, Host: "shop", Receiver: "book",
	})
	require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{d}))
	want := func(status payment.DeliveryStatus, attempts int, lastError private.Text) {
		t.Helper()
		got, err := s.Deliveries(ctx, paid.Payment.ID)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, status, got[0].Status)
		require.Equal(t, attempts, got[0].Attempts)
		require.Equal(t, lastError, got[0].LastError)
		require.Equal(t, status != payment.DeliveryPending, got[0].EndedAt != nil)
	}
	var made []ledger.Attempt
	attempt := func(n int, lastError private.Text, answer *ledger.Answer) {
		t.Helper()
		a := ledger.Attempt{DeliveryID: d.ID, Execution: "run/7", Number: n, At: noon().Add(time.Duration(n) * time.Second), Error: lastError, Answer: answer}
		for range 2 { // the same again changes nothing
			require.NoError(t, s.RecordAttempt(ctx, a))
		}
		made = append(made, a)
	}
	attempt(1, "", nil)
	want(payment.DeliveryPending, 1, "")
	attempt(2, "no ink for Valeria", &ledger.Answer{Status: 503, Body: "Valeria is not here"})
	attempt(3, "", &ledger.Answer{Status: 204})
	want(payment.DeliveryPending, 3, "no ink for Valeria")
	attempts, err := s.Attempts(ctx, d.ID)
	require.NoError(t, err)
	require.Equal(t, made, attempts)
	for n := 4; n <= 60; n++ {
		attempt(n, "no ink", nil)
	}
	want(payment.DeliveryPending, 60, "no ink")
	attempts, err = s.Attempts(ctx, d.ID)
	require.NoError(t, err)
	require.Equal(t, slices.Concat(made[:10], made[20:]), attempts, "the first 10 and the last 40")
	attempt(61, "no ink for Valeria", nil)

	ended := noon().Add(time.Minute)
	outcome := func(status payment.DeliveryStatus, lastError private.Text) {
		t.Helper()
		o := d
		o.Status, o.LastError = status, lastError
		if status != payment.DeliveryPending {
			o.EndedAt = &ended
		}
		require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{o}))
	}
	outcome(payment.DeliveryFailed, "no ink at all")
	outcome(payment.DeliveryPending, "after the end")
	want(payment.DeliveryFailed, 61, "no ink at all")
	outcome(payment.DeliveryDropped, "gone")
	want(payment.DeliveryDropped, 61, "gone")
	outcome(payment.DeliveryPending, "after the end")
	outcome(payment.DeliveryFailed, "after the end")
	want(payment.DeliveryDropped, 61, "gone")
	outcome(payment.DeliveryDelivered, "")
	want(payment.DeliveryDelivered, 61, "gone")
	outcome(payment.DeliveryFailed, "after the end")
	want(payment.DeliveryDelivered, 61, "gone")
}

func redeliveries(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	shop := receiver("shop", payment.EventCompleted, "book")
	shop.Retry = payment.Retry{First: time.Second, Most: time.Minute, For: time.Hour}
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{shop}))
	paid := completed(t)
	change := ledger.Change{Record: paid, Announce: payment.EventCompleted, Workflow: paid.Payment.ID}
	_, err := s.RecordPayment(ctx, change)
	require.NoError(t, err)
	id := ledger.NotificationID(paid.Payment.ID, payment.EventCompleted, 1, "shop", "book")

	var pending *ledger.DeliveryPendingError
	_, err = s.ReopenDelivery(ctx, id, "redeliver/"+id, "")
	require.ErrorAs(t, err, &pending)
	require.Equal(t, paid.Payment.ID, pending.WorkflowID)
	_, err = s.ReopenDelivery(ctx, id, "redeliver/"+id, "another")
	require.ErrorAs(t, err, &pending)

	ended := noon()
	require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{{ID: id, Status: payment.DeliveryFailed, EndedAt: &ended}}))
	told := change.Notification()
	told.ID, told.Sequence = id, 1
	for range 2 { // the same workflow asks again
		got, err := s.ReopenDelivery(ctx, id, "redeliver/"+id, "")
		require.NoError(t, err)
		require.Equal(t, shop, got.Receiver)
		want, err := json.Marshal(told)
		require.NoError(t, err)
		again, err := json.Marshal(got.Notification)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(again), "as it was told")
	}
	d, err := s.Delivery(ctx, id)
	require.NoError(t, err)
	require.Equal(t, payment.DeliveryPending, d.Status)
	require.Equal(t, "redeliver/"+id, d.WorkflowID)
	require.Nil(t, d.EndedAt)
	late := payment.Delivery{ID: id, Status: payment.DeliveryDelivered, EndedAt: &ended, WorkflowID: paid.Payment.ID}
	require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{late}))
	d, err = s.Delivery(ctx, id)
	require.NoError(t, err)
	require.Equal(t, payment.DeliveryPending, d.Status, "the workflow that had it is not heard any more")
	require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{{ID: id, Status: payment.DeliveryDelivered, EndedAt: &ended}}))

	// A receiver that was removed can still be asked for.
	removed, err := s.RemoveReceivers(ctx, "shop", "", "")
	require.NoError(t, err)
	require.Equal(t, []ledger.Receiver{shop}, removed)
	got, err := s.ReopenDelivery(ctx, id, "redeliver/"+id, "")
	require.NoError(t, err)
	require.Equal(t, ledger.Receiver{Host: "shop", Event: payment.EventCompleted, Name: "book"}, got.Receiver)
}

func notificationLists(t *testing.T, open Opener) {
	clock := newClock()
	s, ctx := open(clock.now), t.Context()
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{
		receiver("shop", payment.EventCompleted, "a"), receiver("shop", payment.EventCompleted, "b"),
	}))
	require.NoError(t, s.AnnounceReceivers(ctx, "office", []ledger.Receiver{receiver("office", payment.EventCompleted, "a")}))
	var payments []string
	for range 3 {
		paid := completed(t)
		_, err := s.RecordPayment(ctx, ledger.Change{Record: paid, Announce: payment.EventCompleted, Workflow: paid.Payment.ID})
		require.NoError(t, err)
		payments = append(payments, paid.Payment.ID)
		clock.advance(time.Hour)
	}
	ended := noon()
	failed := ledger.NotificationID(payments[0], payment.EventCompleted, 1, "shop", "a")
	require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{{ID: failed, Status: payment.DeliveryFailed, EndedAt: &ended}}))

	for _, tt := range []struct {
		name   string
		filter ledger.DeliveryFilter
		want   int
	}{
		{"all", ledger.DeliveryFilter{}, 9},
		{"of a payment", ledger.DeliveryFilter{PaymentID: payments[1]}, 3},
		{"failed", ledger.DeliveryFilter{Status: payment.DeliveryFailed}, 1},
		{"to a host", ledger.DeliveryFilter{Host: "shop"}, 6},
		{"to a receiver", ledger.DeliveryFilter{Host: "shop", Receiver: "a"}, 3},
		{"of an event", ledger.DeliveryFilter{Event: payment.EventExpired}, 0},
		{"since", ledger.DeliveryFilter{CreatedFrom: noon().Add(time.Hour)}, 6},
		{"until", ledger.DeliveryFilter{CreatedTo: noon().Add(time.Hour)}, 3},
	} {
		seen := map[string]bool{}
		tt.filter.Limit = 2
		var last payment.Delivery
		for {
			page, next, err := s.Notifications(ctx, tt.filter)
			require.NoError(t, err, tt.name)
			for _, d := range page {
				require.False(t, seen[d.ID], "%s: twice", tt.name)
				require.False(t, last.ID != "" && d.CreatedAt.After(last.CreatedAt), "%s: newest first", tt.name)
				seen[d.ID], last = true, d
			}
			if next == (ledger.Cursor{}) {
				break
			}
			tt.filter.After = next
		}
		require.Len(t, seen, tt.want, tt.name)
	}
	counts, err := s.CountDeliveries(ctx)
	require.NoError(t, err)
	total := 0
	for _, c := range counts {
		total += c.Count
		if c.Status == payment.DeliveryFailed {
			require.Equal(t, ledger.DeliveryCount{Host: "shop", Receiver: "a", Event: payment.EventCompleted, Status: payment.DeliveryFailed, Count: 1}, c)
		}
	}
	require.Equal(t, 9, total)
}

func receivers(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	a, b := receiver("shop", payment.EventCompleted, "a"), receiver("shop", payment.EventCompleted, "b")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{b, a}))
	a.Timeout = time.Minute
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{{Event: a.Event, Name: a.Name, Timeout: a.Timeout}}))
	got, err := open(nil).Receivers(ctx)
	require.NoError(t, err)
	require.Equal(t, []ledger.Receiver{a, b}, got)
	require.ErrorContains(t, s.AnnounceReceivers(ctx, "other", []ledger.Receiver{a}), "belongs to host shop")

	removed, err := s.RemoveReceivers(ctx, "shop", payment.EventCompleted, "b")
	require.NoError(t, err)
	require.Equal(t, []ledger.Receiver{b}, removed)
	removed, err = s.RemoveReceivers(ctx, "shop", payment.EventCompleted, "b")
	require.NoError(t, err)
	require.Empty(t, removed)
	got, err = open(nil).Receivers(ctx)
	require.NoError(t, err)
	require.Equal(t, []ledger.Receiver{a}, got)
}
