package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// settlement runs SettleRefund to its end.
func (s *fixture) settlement(verdict payment.Verdict) workflows.ReviewOutcome {
	s.t.Helper()
	word := workflows.ReviewRequest{Verdict: verdict, Reason: "asked " + customerName, By: "till"}
	s.at(0, func() {
		s.ask(workflows.UpdateAwaitSettlement, "word", word)
		other := word
		other.Reason = "somebody else's"
		s.ask(workflows.UpdateAwaitSettlement, "other", other)
	})
	s.execute(workflows.SettlementWorkflowID(refundID), workflows.SettleRefundName, workflows.SettleRefundInput{
		PaymentID: paymentID, RefundID: refundID, Word: word,
	})
	require.NoError(s.t, s.env.GetWorkflowError())
	var outcome workflows.ReviewOutcome
	require.NoError(s.t, s.env.GetWorkflowResult(&outcome))
	require.Equal(s.t, outcome, answerOf[workflows.ReviewOutcome](s, "word"))
	require.Equal(s.t, workflows.ReviewNotOpen, answerOf[workflows.ReviewOutcome](s, "other").Refused, "only one is heard")
	require.Zero(s.t, s.gateway.count(activity.Refund.Name()), "it never sends a refund")
	s.checkNothingPrivate()
	return outcome
}

// TestSettleRefund has refunds of which the workflow is gone.
func TestSettleRefund(t *testing.T) {
	t.Parallel()
	const run = "the run that is gone"
	for _, tt := range []struct {
		name   string
		script func(*fixture)
		word   payment.Verdict

		refused workflows.ReviewRefusal
		status  payment.RefundStatus
		events  string
	}{
		{
			name: "made", word: payment.VerdictCompleted,
			script: func(s *fixture) { s.gateway.refunded(given) },
			status: payment.RefundCompleted, events: "refund_completed",
		},
		{
			name: "made, and another one too", word: payment.VerdictCompleted,
			script: func(s *fixture) { s.gateway.refunded(given.Add(money.FromCents(1_00))) },
			status: payment.RefundCompleted, events: "refund_completed",
		},
		{
			name: "never made", word: payment.VerdictNotExecuted,
			script: func(*fixture) {},
			status: payment.RefundFailed, events: "refund_failed",
		},
		{
			name: "never made, after one that was", word: payment.VerdictNotExecuted,
			script: func(s *fixture) { // the books have it
				booked(s, given)
				s.gateway.refunded(given)
			},
			status: payment.RefundFailed, events: "refund_failed",
		},
		{
			name: "never made, which the gateway contradicts", word: payment.VerdictNotExecuted,
			script:  func(s *fixture) { s.gateway.refunded(given) },
			refused: workflows.ReviewContradicted, status: payment.RefundPending,
		},
		{
			name: "made, which the gateway contradicts", word: payment.VerdictCompleted,
			script:  func(s *fixture) { s.gateway.refunded(given.Sub(money.FromCents(1))) },
			refused: workflows.ReviewContradicted, status: payment.RefundPending,
		},
		{
			name: "made, with a gateway that is away", word: payment.VerdictCompleted,
			script: func(s *fixture) { s.lookLost() },
			status: payment.RefundCompleted, events: "refund_completed",
		},
		{
			name: "settled by somebody meanwhile", word: payment.VerdictNotExecuted,
			script:  func(s *fixture) { s.settle(refundID, given) },
			refused: workflows.ReviewNotOpen, status: payment.RefundCompleted,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.paid()
			s.reserve(refundID, "fingerprint", given)
			require.NoError(t, s.db.ClaimRefund(t.Context(), refundID, 1, run))
			tt.script(s)
			outcome := s.settlement(tt.word)
			require.Equal(t, tt.refused, outcome.Refused)
			require.Equal(t, tt.refused == workflows.ReviewContradicted, outcome.Says != "")
			require.Equal(t, tt.status, s.refundRow().Status)
			require.Equal(t, tt.events, s.inbox.events(books))
			require.Error(t, s.db.ClaimRefund(t.Context(), refundID, 2, run), "a run that comes back sends nothing")
			if tt.refused != "" {
				return
			}
			r := s.reviewed()
			require.Equal(t, refundID, r.RefundID)
			require.Equal(t, payment.DecidedByPerson, r.Decision.Source)
			require.Equal(t, "till", r.Decision.By)
			require.NotEmpty(t, r.Evidence)
			// The next refund is free, and what the old run still writes is not heard.
			_, err := s.db.RecordRefund(t.Context(), ledger.RefundChange{Record: ledger.RefundRecord{
				Revision: 7, Refund: payment.Refund{ID: refundID, PaymentID: paymentID, Amount: given, Status: payment.RefundPending, NeedsReview: true},
			}})
			require.NoError(t, err)
			require.Equal(t, tt.status, s.refundRow().Status)
			s.reserve(otherID, "other", money.FromCents(1_00))
		})
	}
}

// booked puts a refund made elsewhere into the books.
func booked(s *fixture, amount money.Amount) {
	s.t.Helper()
	at := start.Add(-time.Minute)
	_, err := s.db.RecordRefund(s.t.Context(), ledger.RefundChange{Record: ledger.RefundRecord{Revision: 1, Refund: payment.Refund{
		ID: ledger.DeriveExternalRefundID(paymentID, "x"), PaymentID: paymentID, Amount: amount, Status: payment.RefundCompleted,
		Source: payment.SourceExternal, CreatedAt: at, CompletedAt: &at,
	}}})
	require.NoError(s.t, err)
}

// TestSettleRefundInReview says that what its workflow had seen is kept.
func TestSettleRefundInReview(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.paid()
	s.reserve(refundID, "fingerprint", given)
	row := s.refundRow()
	row.NeedsReview = true
	_, err := s.db.RecordRefund(t.Context(), ledger.RefundChange{
		Record: ledger.RefundRecord{Revision: 2, Refund: row},
		Review: &payment.Review{
			ID: ledger.DeriveReviewID(refundID, 1), PaymentID: paymentID, RefundID: refundID, Cause: payment.CauseRefundUnknown,
			Evidence: []payment.Evidence{{At: start, What: "the answer was lost"}}, OpenedAt: start,
		},
	})
	require.NoError(t, err)
	require.Empty(t, s.settlement(payment.VerdictNotExecuted).Refused)
	require.False(t, s.refundRow().NeedsReview)
	r := s.reviewed()
	require.Equal(t, "the answer was lost", r.Evidence[0].What)
	require.Greater(t, len(r.Evidence), 1)
	require.Equal(t, payment.VerdictNotExecuted, r.Decision.Verdict)
}
