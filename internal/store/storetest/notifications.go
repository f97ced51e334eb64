package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// receiver returns a receiver with a timeout of three seconds.
func receiver(host string, event payment.Event, name string) payment.Receiver {
	return payment.Receiver{Host: host, Event: event, Name: name, Timeout: 3 * time.Second}
}

// expected returns the pending delivery that an announcement makes.
func expected(subject string, d payment.Delivery) payment.Delivery {
	d.ID = payment.NotificationID(subject, d.Event, d.Sequence, d.Host, d.Receiver)
	d.Status, d.CreatedAt = payment.DeliveryPending, noon()
	return d
}

func announcements(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	shop := receiver("shop", payment.EventCompleted, "send-receipt")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []payment.Receiver{
		receiver("shop", payment.EventCreated, "other-event"), shop, receiver("shop", payment.EventCompleted, "count"),
	}))
	require.NoError(t, s.AnnounceReceivers(ctx, "cobro", []payment.Receiver{receiver("cobro", payment.EventCompleted, "webhook")}))

	paid := completed(t)
	change := payment.Change{Record: paid, Announce: payment.EventCompleted}
	want := []payment.Receiver{
		receiver("cobro", payment.EventCompleted, "webhook"), receiver("shop", payment.EventCompleted, "count"), shop,
	}
	got, err := s.RecordPayment(ctx, change)
	require.NoError(t, err)
	require.Equal(t, want, got.Receivers)
	require.Equal(t, 1, got.Sequence)

	require.NoError(t, s.AnnounceReceivers(ctx, "late", []payment.Receiver{receiver("late", payment.EventCompleted, "a")}))
	got, err = s.RecordPayment(ctx, change)
	require.NoError(t, err)
	require.Equal(t, want, got.Receivers, "a retry has the same answer")
	require.Equal(t, 1, got.Sequence)

	id := paid.Payment.ID
	pendings := []payment.Delivery{
		expected(id, payment.Delivery{PaymentID: id, Event: payment.EventCompleted, Sequence: 1, Host: "cobro", Receiver: "webhook"}),
		expected(id, payment.Delivery{PaymentID: id, Event: payment.EventCompleted, Sequence: 1, Host: "shop", Receiver: "count"}),
		expected(id, payment.Delivery{PaymentID: id, Event: payment.EventCompleted, Sequence: 1, Host: "shop", Receiver: "send-receipt"}),
	}
	deliveries, err := s.Deliveries(ctx, id)
	require.NoError(t, err)
	require.Equal(t, pendings, deliveries)

	ended := noon().Add(time.Minute)
	outcome := pendings[2]
	outcome.Status, outcome.Attempts, outcome.EndedAt = payment.DeliveryDelivered, 2, &ended
	paid.Revision++
	_, err = s.RecordPayment(ctx, payment.Change{Record: paid, Deliveries: []payment.Delivery{outcome}})
	require.NoError(t, err)
	deliveries, err = s.Deliveries(ctx, id)
	require.NoError(t, err)
	require.Equal(t, []payment.Delivery{pendings[0], pendings[1], outcome}, deliveries)

	silent := pending(t)
	got, err = s.RecordPayment(ctx, payment.Change{Record: silent, Announce: payment.EventExpired})
	require.NoError(t, err)
	require.Empty(t, got.Receivers, "nobody listens")
}

func refundAnnouncements(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	shop := receiver("shop", payment.EventRefundCompleted, "book")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []payment.Receiver{shop}))
	paid := completed(t)
	record(ctx, t, s, paid)
	id := paid.Payment.ID

	var want []payment.Delivery
	for i, key := range []string{"k1", "k2"} {
		asked := ask(id, key, amount(1_00))
		granted, err := s.ReserveRefund(ctx, asked)
		require.NoError(t, err)
		done := settled(payment.RefundRecord{Refund: granted.Refund, Fingerprint: asked.Fingerprint}, payment.RefundCompleted)
		for range 2 {
			got, err := s.RecordRefund(ctx, payment.RefundChange{Record: done, Announce: payment.EventRefundCompleted})
			require.NoError(t, err)
			require.Equal(t, 1+i, got.Sequence)
			require.Equal(t, []payment.Receiver{shop}, got.Receivers)
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
	again, err := s.RecordRefund(ctx, payment.RefundChange{Record: first, Announce: payment.EventRefundCompleted})
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
	want := func(status payment.DeliveryStatus, attempts int, lastError string) {
		t.Helper()
		got, err := s.Deliveries(ctx, paid.Payment.ID)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, status, got[0].Status)
		require.Equal(t, attempts, got[0].Attempts)
		require.Equal(t, lastError, got[0].LastError)
		require.Equal(t, status != payment.DeliveryPending, got[0].EndedAt != nil)
	}
	attempt := func(n int, lastError string) {
		t.Helper()
		require.NoError(t, s.RecordAttempt(ctx, d.ID, n, lastError, noon()))
	}
	attempt(1, "")
	want(payment.DeliveryPending, 1, "")
	attempt(1, "timeout")
	attempt(3, "")
	want(payment.DeliveryPending, 3, "timeout")
	attempt(2, "late news")
	want(payment.DeliveryPending, 3, "timeout")

	ended := noon().Add(time.Minute)
	outcome := func(status payment.DeliveryStatus, attempts int, lastError string) {
		t.Helper()
		o := d
		o.Status, o.Attempts, o.LastError = status, attempts, lastError
		if status != payment.DeliveryPending {
			o.EndedAt = &ended
		}
		require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{o}))
	}
	outcome(payment.DeliveryFailed, 2, "gone")
	want(payment.DeliveryFailed, 3, "gone")
	attempt(4, "after the end")
	outcome(payment.DeliveryPending, 9, "after the end")
	want(payment.DeliveryFailed, 3, "gone")
	outcome(payment.DeliveryDelivered, 5, "")
	want(payment.DeliveryDelivered, 5, "gone")
	outcome(payment.DeliveryFailed, 6, "after the end")
	want(payment.DeliveryDelivered, 5, "gone")
}

func receivers(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	a, b := receiver("shop", payment.EventCompleted, "a"), receiver("shop", payment.EventCompleted, "b")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []payment.Receiver{b, a}))
	a.Timeout = time.Minute
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []payment.Receiver{{Event: a.Event, Name: a.Name, Timeout: a.Timeout}}))
	got, err := open(nil).Receivers(ctx)
	require.NoError(t, err)
	require.Equal(t, []payment.Receiver{a, b}, got)
	require.ErrorContains(t, s.AnnounceReceivers(ctx, "other", []payment.Receiver{a}), "belongs to host shop")
}
