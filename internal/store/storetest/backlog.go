package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/payment"
)

func backlogs(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	empty, err := s.Backlog(ctx)
	require.NoError(t, err)
	require.Equal(t, store.Backlog{Payments: map[payment.Status]int{}}, empty)

	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{
		receiver("shop", payment.EventCompleted, "a"), receiver("shop", payment.EventCompleted, "b"),
	}))
	paid := completed(t)
	_, err = s.RecordPayment(ctx, ledger.Change{Record: paid, Announce: payment.EventCompleted, Workflow: paid.Payment.ID})
	require.NoError(t, err)
	ended := noon()
	require.NoError(t, s.RecordDeliveries(ctx, []payment.Delivery{
		{ID: ledger.NotificationID(paid.Payment.ID, payment.EventCompleted, 1, "shop", "a"), Status: payment.DeliveryDelivered, EndedAt: &ended},
		{ID: ledger.NotificationID(paid.Payment.ID, payment.EventCompleted, 1, "shop", "b"), Status: payment.DeliveryFailed, EndedAt: &ended},
	}))
	record(ctx, t, s, pending(t))
	waiting := pending(t)
	waiting.Payment.Status, waiting.Payment.NeedsReview = payment.StatusOpen, true
	for number, refundID := range []string{"", "", "ref_1"} {
		review := payment.Review{
			ID: ledger.DeriveReviewID(waiting.Payment.ID+refundID, number), PaymentID: waiting.Payment.ID, RefundID: refundID, OpenedAt: noon(),
		}
		if number == 1 {
			review.Decision = &payment.Decision{Verdict: payment.VerdictCompleted, At: noon()}
		}
		_, err = s.RecordPayment(ctx, ledger.Change{Record: waiting, Review: &review})
		require.NoError(t, err)
	}
	first := add(t, s, event(1))
	add(t, s, event(2))
	require.NoError(t, s.SettleGatewayEvent(ctx, add(t, s, event(0)).ID, ledger.EventIgnored, "", ""))
	for day, at := range []time.Time{noon().Add(time.Hour), noon()} {
		require.NoError(t, s.RecordReconciliation(ctx, payment.Reconciliation{
			RunID: string(rune('a' + day)), Day: "2026-03-01", StartedAt: noon(), EndedAt: at,
		}))
	}

	got, err := s.Backlog(ctx)
	require.NoError(t, err)
	require.Equal(t, store.Backlog{
		Payments:       map[payment.Status]int{payment.StatusPending: 1, payment.StatusOpen: 1},
		PaymentReviews: 1, RefundReviews: 1,
		Events: 2, OldestEvent: first.ReceivedAt,
		Notifications: []ledger.DeliveryCount{
			{Host: "shop", Event: payment.EventCompleted, Receiver: "b", Status: payment.DeliveryFailed, Count: 1},
		},
		ReconciledAt: noon().Add(time.Hour),
	}, got)
}
