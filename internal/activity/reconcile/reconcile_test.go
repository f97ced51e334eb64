package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/reconcile"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

const (
	ticketID  = "39906664-e44e-11ed-b127-a519df48811e"
	reference = "215070443-402894c185ab1be40185acfe61c2000b"
)

var (
	now       = time.Date(2026, time.March, 2, 15, 0, 0, 0, time.UTC)
	paymentID = ledger.DeriveID("default", "key")
	refundID  = ledger.DeriveRefundID(paymentID, "key")
)

// shelf is a store with one completed payment.
type shelf struct {
	reconcile.Store
	refunds  []payment.Refund
	captured *money.Amount
}

func (s *shelf) CompletedPayments(context.Context, time.Time, time.Time, ledger.Cursor, int) ([]payment.Payment, error) {
	p := payment.Payment{ID: paymentID, EcommerceID: ticketID, ReferenceNumber: reference, Captured: s.captured, CompletedAt: &now}
	for _, r := range s.refunds {
		if r.Status == payment.RefundCompleted {
			p.RefundedAmount = p.RefundedAmount.Add(r.Amount)
		}
	}
	return []payment.Payment{p}, nil
}

func (s *shelf) Refunds(context.Context, string) ([]payment.Refund, error) { return s.refunds, nil }

// refunded is a client of a gateway that says of every ticket what was refunded.
func refunded(t *testing.T, total string) *athmovil.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"ecommerceStatus":"COMPLETED","ecommerceId":%q,"referenceNumber":%q,
			"dailyTransactionId":"0006","transactionDate":"2026-03-02 11:00:00","total":25.00,"tax":0,"subTotal":0,
			"fee":0.60,"netAmount":24.40,"totalRefundedAmount":%s,"metadata1":"","metadata2":"","items":[]}}`, ticketID, reference, total)
	}))
	t.Cleanup(server.Close)
	client, err := athmovil.New(athmovil.Config{
		PublicToken: "public", PrivateToken: private.NewToken("secret"), BaseURL: server.URL, ReportBaseURL: server.URL,
	})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// TestAStuckRefundIsNotSilent: while a refund of ours is pending, nothing that
// rose is booked, and no other refund is made.
func TestAStuckRefundIsNotSilent(t *testing.T) {
	t.Parallel()
	given := func(status payment.RefundStatus, age time.Duration, review bool) payment.Refund {
		return payment.Refund{ID: refundID, PaymentID: paymentID, Amount: money.FromCents(3_00), Status: status, NeedsReview: review, CreatedAt: now.Add(-age)}
	}
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		refund   payment.Refund
		total    string // the gateway's
		unbooked int
		ours     string // of the mismatch; empty where there is none
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
			r := &reconcile.Reconcile{Client: refunded(t, tt.total), Store: &shelf{refunds: []payment.Refund{tt.refund}}, Now: func() time.Time { return now }}
			got, err := r.LookForRefunds(t.Context(), activity.LookForRefundsInput{})
			require.NoError(t, err)
			require.Len(t, got.Unbooked, tt.unbooked)
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

// A look that tells of another sale books nothing.
func TestALookAtAnotherSaleBooksNothing(t *testing.T) {
	t.Parallel()
	captured := money.FromCents(24_00) // and the gateway says 25.00
	r := &reconcile.Reconcile{Client: refunded(t, "5.00"), Store: &shelf{captured: &captured}, Now: func() time.Time { return now }}
	got, err := r.LookForRefunds(t.Context(), activity.LookForRefundsInput{})
	require.NoError(t, err)
	require.Empty(t, got.Unbooked)
	require.Len(t, got.Mismatches, 1)
	require.Equal(t, payment.MismatchAmount, got.Mismatches[0].Kind)
	require.Equal(t, "24.00", got.Mismatches[0].Ours)
	require.Equal(t, "25.00", got.Mismatches[0].Theirs)
}

// pagedReviews is a store that lists one review a page.
type pagedReviews struct {
	reconcile.Store

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
	r := reconcile.Reconcile{Store: pagedReviews{reviews: []payment.Review{
		{ID: "rev_3", RefundID: "ref_3"}, {ID: "rev_2", PaymentID: "pay_2"}, {ID: "rev_1", RefundID: "ref_1"},
	}}}
	got, err := r.RefundsInReview(t.Context(), activity.None{})
	require.NoError(t, err)
	require.Equal(t, []string{"ref_3", "ref_1"}, got.RefundIDs)
}

// nobody is a store without payments.
type nobody struct{ reconcile.Store }

func (nobody) CompletedPayments(context.Context, time.Time, time.Time, ledger.Cursor, int) ([]payment.Payment, error) {
	return nil, nil
}

// A report is asked for with some minutes on both sides, so the rows there are in two.
func TestUnreadableRowsBelongToOneSpan(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, time.March, 2, 0, 0, 0, 0, athmovil.Location())
	rows := []struct {
		at   time.Time // as the gateway knows
		text string
	}{
		{midnight.Add(-6 * time.Minute), `{"date":"2026-03-01 23:54:00","referenceNumber":"rn-1"}`},
		{midnight.Add(-time.Minute), `"no row at all"`},
		{midnight.Add(-time.Second), `{"date":"soon","referenceNumber":"rn-2"}`},
		{midnight, `{"referenceNumber":"rn-3"}`},
		{midnight.Add(5 * time.Minute), `{"date":"2026-03-02 00:05:00.0","referenceNumber":"rn-4"}`},
		{midnight.Add(13 * time.Hour), `{"referenceNumber":"rn-5"}`},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ FromDate, ToDate string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var listed []string
		for _, row := range rows {
			if at := row.at.Format(time.DateTime); at >= asked.FromDate && at <= asked.ToDate {
				listed = append(listed, row.text)
			}
		}
		_, _ = fmt.Fprintf(w, "[%s]", strings.Join(listed, ","))
	}))
	t.Cleanup(server.Close)
	client, err := athmovil.New(athmovil.Config{
		PublicToken: "public", PrivateToken: private.NewToken("secret"), BaseURL: server.URL, ReportBaseURL: server.URL,
	})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	r := &reconcile.Reconcile{Client: client, Store: nobody{}, Now: func() time.Time { return midnight.AddDate(0, 0, 7) }}

	told := map[string][]string{} // references by the mismatch's id
	count := func(from, to time.Time) (references []string) {
		got, err := r.CompareSpan(t.Context(), activity.CompareSpanInput{From: from.UTC(), To: to.UTC()})
		require.NoError(t, err)
		require.Len(t, got.Mismatches, got.Quarantined)
		for _, m := range got.Mismatches {
			require.Equal(t, payment.MismatchUnreadableRow, m.Kind)
			told[m.ID] = append(told[m.ID], m.ReferenceNumber)
			references = append(references, m.ReferenceNumber)
		}
		return references
	}
	require.ElementsMatch(t, []string{"rn-1", "", "rn-2"}, count(midnight.Add(-time.Hour), midnight))
	require.ElementsMatch(t, []string{"rn-3", "rn-4"}, count(midnight, midnight.Add(time.Hour)))
	require.Len(t, told, 5)
	require.Equal(t, []string{"rn-4"}, count(midnight.Add(5*time.Minute), midnight.Add(time.Hour)), "at another place of the report")
	require.Len(t, count(midnight, midnight.AddDate(0, 0, 1)), 3, "in another span")
	require.Len(t, told, 6, "a row is told once")
}
