package activities_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// shelf is a store with one completed payment.
type shelf struct {
	activities.ReconcileStore
	refunds []payment.Refund
}

func (s *shelf) CompletedPayments(context.Context, time.Time, time.Time, ledger.Cursor, int) ([]payment.Payment, error) {
	p := payment.Payment{ID: paymentID, EcommerceID: ticketID, ReferenceNumber: reference, CompletedAt: &now}
	for _, r := range s.refunds {
		if r.Status == payment.RefundCompleted {
			p.RefundedAmount = p.RefundedAmount.Add(r.Amount)
		}
	}
	return []payment.Payment{p}, nil
}

func (s *shelf) Refunds(context.Context, string) ([]payment.Refund, error) { return s.refunds, nil }

// TestAStuckRefundIsNotSilent: while a refund of ours is pending, nothing that
// rose is booked, and no other refund is made.
func TestAStuckRefundIsNotSilent(t *testing.T) {
	t.Parallel()
	given := func(status payment.RefundStatus, age time.Duration, review bool) payment.Refund {
		return payment.Refund{ID: refundID, PaymentID: paymentID, Amount: money.FromCents(3_00), Status: status, NeedsReview: review, CreatedAt: now.Add(-age)}
	}
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		refund payment.Refund
		total  string // the gateway's
		rises  int
		ours   string // of the mismatch; empty where there is none
	}{
		"pending for long, and the total rose":      {given(payment.RefundPending, day+time.Second, false), "3.00", 1, "0.00, and 3.00 pending as " + refundID},
		"pending for long":                          {given(payment.RefundPending, day+time.Second, false), "0.00", 0, "0.00, and 3.00 pending as " + refundID},
		"pending for a while":                       {given(payment.RefundPending, day, false), "3.00", 1, ""},
		"in review for long":                        {given(payment.RefundPending, 2*day, true), "0.00", 0, ""},
		"in review for long, and the total rose":    {given(payment.RefundPending, 2*day, true), "4.00", 1, "0.00, and 3.00 pending as " + refundID},
		"failed long ago":                           {given(payment.RefundFailed, 2*day, false), "0.00", 0, ""},
		"completed long ago":                        {given(payment.RefundCompleted, 2*day, false), "3.00", 0, ""},
		"completed long ago, and there is one more": {given(payment.RefundCompleted, 2*day, false), "4.00", 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer := strings.Replace(transaction("COMPLETED", reference), `"totalRefundedAmount":5`, `"totalRefundedAmount":`+tt.total, 1)
			require.Contains(t, answer, `"totalRefundedAmount":`+tt.total)
			gateway := gatewayAt(t, answering(t, always(http.StatusOK, answer)).URL)
			r := &activities.Reconcile{Client: gateway.Client, Store: &shelf{refunds: []payment.Refund{tt.refund}}, Now: func() time.Time { return now }}
			got, err := r.LookForRefunds(t.Context(), activities.LookForRefundsInput{})
			require.NoError(t, err)
			require.Len(t, got.Rises, tt.rises)
			if tt.ours == "" {
				require.Empty(t, got.Mismatches)
				return
			}
			require.Len(t, got.Mismatches, 1)
			require.Equal(t, payment.MismatchRefunded, got.Mismatches[0].Kind)
			require.Equal(t, paymentID, got.Mismatches[0].PaymentID)
			require.Equal(t, tt.ours, got.Mismatches[0].Ours)
			require.Equal(t, tt.total, got.Mismatches[0].Theirs)
		})
	}
}

// pagedReviews is a store that lists one review a page.
type pagedReviews struct {
	activities.ReconcileStore

	reviews []payment.Review
}

func (s pagedReviews) Reviews(_ context.Context, filter ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error) {
	for i, r := range s.reviews {
		if filter.After == (ledger.Cursor{}) || i > 0 && filter.After.ID == s.reviews[i-1].ID {
			next := ledger.Cursor{CreatedAt: time.Unix(0, 0), ID: r.ID}
			if i == len(s.reviews)-1 {
				next = ledger.Cursor{}
			}
			return []payment.Review{r}, next, nil
		}
	}
	return nil, ledger.Cursor{}, nil
}

// A refund beyond the first page waits like any other.
func TestRefundsInReviewAreAllOfThem(t *testing.T) {
	t.Parallel()
	r := activities.Reconcile{Store: pagedReviews{reviews: []payment.Review{
		{ID: "rev_3", RefundID: "ref_3"}, {ID: "rev_2", PaymentID: "pay_2"}, {ID: "rev_1", RefundID: "ref_1"},
	}}}
	got, err := r.RefundsInReview(t.Context(), activities.RefundsInReviewInput{})
	require.NoError(t, err)
	require.Equal(t, []string{"ref_3", "ref_1"}, got.RefundIDs)
}
