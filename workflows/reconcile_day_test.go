package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// report is the gateway's report as ReconcileDay meets it.
type report struct {
	compare func(activity.CompareSpanInput) (activity.CompareSpanResult, error)
	look    func(activity.LookForRefundsInput) (activity.LookForRefundsResult, error)
	search  func(activity.SearchReportInput) (activity.SearchReportResult, error)
	spans   []activity.CompareSpanInput
}

// reconcile runs ReconcileDay to its end.
func (s *fixture) reconcile(r *report, in workflows.ReconcileDayInput) payment.Reconciliation {
	s.t.Helper()
	s.mocks = append(s.mocks, func() {
		s.env.OnActivity(activity.CompareSpan.Name(), mock.Anything, mock.Anything).Return(
			func(_ context.Context, in activity.CompareSpanInput) (activity.CompareSpanResult, error) {
				r.spans = append(r.spans, in)
				if r.compare == nil {
					return activity.CompareSpanResult{Rows: 1}, nil
				}
				return r.compare(in)
			})
		s.env.OnActivity(activity.LookForRefunds.Name(), mock.Anything, mock.Anything).Return(
			func(_ context.Context, in activity.LookForRefundsInput) (activity.LookForRefundsResult, error) {
				if r.look == nil {
					return activity.LookForRefundsResult{}, nil
				}
				return r.look(in)
			})
		s.env.OnActivity(activity.SearchReport.Name(), mock.Anything, mock.Anything).Return(
			func(_ context.Context, in activity.SearchReportInput) (activity.SearchReportResult, error) {
				return r.search(in)
			})
	})
	s.execute(workflows.ReconcileWorkflowID("2026-03-01"), workflows.ReconcileDayName, in)
	require.NoError(s.t, s.env.GetWorkflowError())
	var result workflows.ReconcileDayResult
	require.NoError(s.t, s.env.GetWorkflowResult(&result))
	runs, err := s.db.Reconciliations(s.t.Context(), 10)
	require.NoError(s.t, err)
	require.Equal(s.t, []payment.Reconciliation{result.Reconciliation}, runs)
	s.checkNothingPrivate()
	return result.Reconciliation
}

func TestReconcileDay(t *testing.T) {
	t.Parallel()
	day := workflows.ReconcileDayInput{Day: "2026-03-01"}
	midnight := time.Date(2026, time.March, 1, 4, 0, 0, 0, time.UTC) // in Puerto Rico
	// misses is a report that lacks a payment.
	misses := func() *report {
		return &report{compare: func(in activity.CompareSpanInput) (activity.CompareSpanResult, error) {
			compared := activity.CompareSpanResult{Rows: 1}
			if in.From.Equal(midnight) {
				compared.Mismatches = []payment.Mismatch{{
					ID: ledger.DeriveMismatchID(payment.MismatchMissingThere, paymentID), Kind: payment.MismatchMissingThere, PaymentID: paymentID,
				}}
			}
			return compared, nil
		}}
	}

	t.Run("covers the day", func(t *testing.T) {
		t.Parallel()
		s, r := newFixture(t), &report{}
		got := s.reconcile(r, day)
		require.Equal(t, 4, got.Rows)
		require.Equal(t, midnight, r.spans[0].From)
		for i, span := range r.spans[1:] {
			require.Equal(t, r.spans[i].To, span.From)
		}
		require.Equal(t, midnight.Add(24*time.Hour), r.spans[3].To)
		require.Empty(t, s.inbox.events(books))
	})
	t.Run("a span without an answer is halved, and then set aside", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		broken := midnight.Add(7 * time.Hour)
		r := &report{compare: func(in activity.CompareSpanInput) (activity.CompareSpanResult, error) {
			if !broken.Before(in.From) && broken.Before(in.To) {
				return activity.CompareSpanResult{}, temporal.NewApplicationError("timed out", "unknown")
			}
			return activity.CompareSpanResult{Rows: 1}, nil
		}}
		got := s.reconcile(r, day)
		require.Equal(t, 1, got.Quarantined)
		require.Equal(t, 5, got.Rows, "three whole spans, a half and a quarter")
		require.Equal(t, "reconciliation_mismatch", s.inbox.events(books))
		found := s.inbox.received(books)[0].Mismatch
		require.Equal(t, payment.MismatchReportUnavailable, found.Kind)
		require.Equal(t, "2026-03-01 06:00:00 to 2026-03-01 07:30:00", found.Theirs)
	})
	t.Run("refunds made elsewhere are booked and announced", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		pages := 0
		r := &report{look: func(in activity.LookForRefundsInput) (activity.LookForRefundsResult, error) {
			if pages++; pages == 1 {
				require.Equal(t, 30*24*time.Hour, in.To.Sub(in.From))
				return activity.LookForRefundsResult{Next: ledger.Cursor{CreatedAt: start, ID: paymentID}}, nil
			}
			require.Equal(t, paymentID, in.After.ID)
			two := money.FromCents(2_00)
			return activity.LookForRefundsResult{Unbooked: []ledger.ExternalRefund{{
				RefundID: ledger.DeriveExternalRefundID(paymentID, "total 2.00"), PaymentID: paymentID, Amount: two, Total: two,
				Source: payment.SourceUnexplained, At: start,
			}}}, nil
		}}
		require.Equal(t, 1, s.reconcile(r, day).Booked)
		require.Equal(t, "refund_completed", s.inbox.events(books))
		require.Equal(t, money.FromCents(2_00), s.record().Payment.RefundedAmount)
	})
	t.Run("a person's cancellation loses nothing that was found", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.receivers.Add(activities.Receiver{
			Event: payment.EventReconciliationMismatch, Name: "printer", Func: s.inbox.receiver("printer", failures(8)...),
			Retry: payment.Retry{First: time.Minute},
		})
		s.at(10*time.Second, s.env.CancelWorkflow)
		s.reconcile(misses(), day)
		require.Len(t, s.inbox.received("printer"), 9, "until it succeeded")
	})
	t.Run("what another receiver came to is written when one is removed", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		for name, fails := range map[string]int{"aaa": 1000, "bbb": 1} {
			s.receivers.Add(activities.Receiver{
				Event: payment.EventReconciliationMismatch, Name: name, Func: s.inbox.receiver(name, failures(fails)...),
				Retry: payment.Retry{First: time.Minute},
			})
		}
		s.at(10*time.Second, func() {
			s.records.away.Store(true) // so that bbb ends while aaa's end is being written
			n := s.inbox.received("aaa")[0]
			s.env.SignalWorkflow(workflows.SignalDeliveries, workflows.DeliveryOrder{Drop: []string{n.ID}})
		})
		s.at(140*time.Second, func() { s.records.away.Store(false) }) // bbb's end is written first
		s.reconcile(misses(), day)
		for name, want := range map[string]payment.DeliveryStatus{"aaa": payment.DeliveryDropped, "bbb": payment.DeliveryDelivered} {
			require.Equal(t, want, s.delivery(payment.EventReconciliationMismatch, name).Status, name)
		}
	})
	t.Run("what a receiver came to is seen, and can be hurried, while the day is still compared", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.receivers.Add(activities.Receiver{
			Event: payment.EventReconciliationMismatch, Name: "printer", Func: s.inbox.receiver("printer", failures(1)...),
			Retry: payment.Retry{First: time.Hour},
		})
		r := misses()
		r.look = func(activity.LookForRefundsInput) (activity.LookForRefundsResult, error) {
			return activity.LookForRefundsResult{}, temporal.NewApplicationError("timed out", "unknown") // three tries, with pauses
		}
		seen := false
		s.at(500*time.Millisecond, func() {
			seen = true
			require.False(t, s.env.IsWorkflowCompleted())
			require.Equal(t, payment.DeliveryDelivered, s.delivery(payment.EventReconciliationMismatch, books).Status)
			n := s.inbox.received("printer")[0]
			s.ask(workflows.UpdateDeliverNow, "now", workflows.DeliverNowRequest{NotificationID: n.ID})
		})
		s.at(time.Minute, func() { require.Len(t, s.inbox.received("printer"), 2, "not in an hour") })
		s.reconcile(r, day)
		require.True(t, seen)
		require.True(t, answerOf[workflows.DeliverNowOutcome](s, "now").Trying)
	})
	t.Run("a refund in review hears what a whole report says", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.reserve(refundID, "fingerprint", given)
		_, err := s.db.RecordRefund(t.Context(), ledger.RefundChange{
			Record: ledger.RefundRecord{Revision: 1, Refund: payment.Refund{
				ID: refundID, PaymentID: paymentID, Amount: given, Status: payment.RefundPending, NeedsReview: true, Source: payment.SourceAPI, CreatedAt: start,
			}},
			Review: &payment.Review{ID: ledger.DeriveReviewID(refundID, 1), PaymentID: paymentID, RefundID: refundID, Cause: payment.CauseRefundUnknown, OpenedAt: start},
		})
		require.NoError(t, err)
		delivered := 0
		s.mocks = append(s.mocks, func() {
			s.env.OnSignalExternalWorkflow(mock.Anything, workflows.RefundWorkflowID(refundID), "", workflows.SignalReportAnswered, mock.Anything).
				Return(func(string, string, string, string, any) error { delivered++; return nil })
		})
		r := &report{search: func(activity.SearchReportInput) (activity.SearchReportResult, error) {
			return activity.SearchReportResult{Until: start.Add(time.Hour), Whole: true}, nil
		}}
		s.reconcile(r, day)
		require.Equal(t, 1, delivered)
	})
}

func TestReconcileDayOfASchedule(t *testing.T) {
	t.Parallel()
	s, r := newFixture(t), &report{}
	require.NoError(t, s.env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(
		temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime").ValueSet(time.Date(2026, time.February, 11, 6, 0, 0, 0, time.UTC)))))
	got := s.reconcile(r, workflows.ReconcileDayInput{})
	require.Equal(t, "2026-02-10", got.Day, "the day before the one that it was due on, however late it runs")
}

func TestReconcileDayNeedsADay(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.execute(workflows.ReconcileWorkflowID("today"), workflows.ReconcileDayName, workflows.ReconcileDayInput{Day: "today"})
	require.ErrorContains(t, s.env.GetWorkflowError(), "must be like 2026-01-31")
}
