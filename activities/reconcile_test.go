package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
)

// pagedReviews is a store that lists one review a page.
type pagedReviews struct {
	activities.ReconcileStore

	reviews []payment.Review
}

func (s pagedReviews) Reviews(_ context.Context, filter payment.ReviewFilter) ([]payment.Review, payment.Cursor, error) {
	for i, r := range s.reviews {
		if filter.After == (payment.Cursor{}) || i > 0 && filter.After.ID == s.reviews[i-1].ID {
			next := payment.Cursor{CreatedAt: time.Unix(0, 0), ID: r.ID}
			if i == len(s.reviews)-1 {
				next = payment.Cursor{}
			}
			return []payment.Review{r}, next, nil
		}
	}
	return nil, payment.Cursor{}, nil
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
