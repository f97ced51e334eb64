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

// person asks to end the review, under the name of an API key.
func (s *fixture) person(id string, verdict payment.Verdict) {
	s.ask(workflows.UpdateReview, id, workflows.ReviewRequest{Verdict: verdict, Reason: "asked " + customerName, By: "till"})
}

// outcomes says what came of what people said.
func (s *fixture) outcome(id string, refused workflows.ReviewRefusal) {
	s.t.Helper()
	require.Equal(s.t, refused, answerOf[workflows.ReviewOutcome](s, id).Refused)
}

// lookLost makes the next look fail, as a person's look at a gateway that is
// away does.
func (s *fixture) lookLost() {
	s.gateway.mu.Lock()
	defer s.gateway.mu.Unlock()
	s.gateway.script(activity.FindTicket.Name(), answer{after: time.Second, err: unavailable()})
}

// reviewed is the payment's or the refund's one review, as the store has it.
func (s *fixture) reviewed() payment.Review {
	s.t.Helper()
	reviews, _, err := s.db.Reviews(s.t.Context(), ledger.ReviewFilter{PaymentID: paymentID})
	require.NoError(s.t, err)
	require.Len(s.t, reviews, 1)
	return reviews[0]
}

func TestReviewOfAPayment(t *testing.T) {
	t.Parallel()
	// The gateway leaves before the deadline and is back three hours later.
	away := func(then func(s *fixture)) func(*fixture) {
		return func(s *fixture) {
			s.at(9*time.Minute, s.gateway.leave)
			s.at(3*time.Hour, s.gateway.back)
			then(s)
		}
	}
	byPerson := func(verdict payment.Verdict) func(s *fixture) {
		return func(s *fixture) {
			r := s.reviewed()
			require.Equal(s.t, payment.CauseUndecided, r.Cause)
			require.NotNil(s.t, r.Decision)
			require.Equal(s.t, payment.DecidedByPerson, r.Decision.Source)
			require.Equal(s.t, verdict, r.Decision.Verdict)
			require.Equal(s.t, "till", r.Decision.By)
			require.Contains(s.t, string(r.Decision.Reason), customerName)
		}
	}
	byGateway := func(s *fixture) {
		r := s.reviewed()
		require.NotEmpty(s.t, r.Evidence)
		require.Equal(s.t, payment.DecidedByGateway, r.Decision.Source)
		received := s.inbox.received(books)
		require.Equal(s.t, r.ID, received[1].Review.ID, "the notification has the evidence")
	}
	const over = "payment_created payment_needs_review payment_failed"
	run(t, []paymentCase{
		{
			name: "not executed, while the gateway is away",
			script: away(func(s *fixture) {
				s.at(time.Hour, func() { s.lookLost(); s.person("word", payment.VerdictNotExecuted) })
				s.at(time.Hour+5*time.Second, func() { s.outcome("word", "") })
			}),
			path: "pending open failed", failure: payment.FailureReviewed, events: over,
			also: byPerson(payment.VerdictNotExecuted),
		},
		{
			name: "not executed, and the ticket is still open: it is canceled first",
			script: func(s *fixture) {
				s.gateway.script(activity.CancelTicket.Name(), answer{err: unavailable()})
				s.at(time.Minute, func() { s.gateway.becomes("PAUSED") })
				s.at(time.Hour, func() { s.gateway.becomes(activity.TicketOpen); s.person("word", payment.VerdictNotExecuted) })
				s.at(time.Hour+5*time.Second, func() { s.outcome("word", "") })
			},
			path: "pending open failed", failure: payment.FailureReviewed, events: over, cancels: 1,
			also: byPerson(payment.VerdictNotExecuted),
		},
		{
			name: "not executed, which the gateway contradicts: the customer was debited",
			script: func(s *fixture) {
				s.at(time.Minute, func() { s.gateway.becomes("PAUSED") })
				s.at(90*time.Minute, func() {
					s.gateway.mu.Lock()
					s.gateway.debits++
					s.gateway.change(activity.TicketCompleted)
					s.gateway.mu.Unlock()
					s.person("word", payment.VerdictNotExecuted)
				})
			},
			path: completed, events: "payment_created payment_needs_review payment_completed", anonymous: true,
			also: func(s *fixture) {
				s.outcome("word", workflows.ReviewContradicted)
				require.Equal(s.t, "COMPLETED", answerOf[workflows.ReviewOutcome](s, "word").Says)
				byGateway(s)
			},
		},
		{
			name: "completed, which the gateway contradicts: nothing ends",
			script: func(s *fixture) {
				s.at(time.Minute, func() { s.gateway.becomes("PAUSED") })
				s.at(time.Hour, func() { s.gateway.becomes(activity.TicketExpired); s.person("word", payment.VerdictCompleted) })
				s.at(time.Hour+5*time.Second, func() { s.outcome("word", workflows.ReviewContradicted) })
			},
			path: "pending open expired", events: "payment_created payment_needs_review payment_expired",
			also: byGateway,
		},
		{
			name: "without a review there is nothing to decide",
			script: func(s *fixture) {
				s.at(time.Minute, func() { s.person("early", payment.VerdictNotExecuted) })
				s.at(2*time.Minute, s.confirms)
				s.at(2*time.Minute+5*time.Second, func() { s.person("late", payment.VerdictNotExecuted) })
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
			also: func(s *fixture) {
				s.outcome("early", workflows.ReviewNotOpen)
				s.outcome("late", workflows.ReviewNotOpen)
			},
		},
		{
			name: "the gateway answers before anybody",
			script: away(func(s *fixture) {
				s.at(10*time.Minute, s.cancels)
			}),
			path: "pending open expired", events: "payment_created payment_needs_review payment_expired",
			also: byGateway,
		},
	})
}

// TestReviewCompletedByAPerson is a test of its own: only the person
// knows of the debit.
func TestReviewCompletedByAPerson(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.gateway.script(activity.Authorize.Name(), answer{err: unknown()})
	s.at(20*time.Second, s.confirms)
	s.at(20*time.Second+s.gateway.poll+time.Millisecond, s.gateway.leave)
	s.at(time.Hour, func() { s.lookLost(); s.person("word", payment.VerdictCompleted) })
	s.process()
	p := s.record().Payment
	require.Equal(t, payment.StatusCompleted, p.Status)
	require.Empty(t, p.ReferenceNumber)
	require.Nil(t, p.Fee)
	require.NotNil(t, p.CompletedAt)
	require.Equal(t, "payment_created payment_needs_review payment_completed", s.inbox.events(books))
	s.outcome("word", "")
	r := s.reviewed()
	require.Equal(t, payment.DecidedByPerson, r.Decision.Source)
	require.Equal(t, "Authorize, try 1: unknown", r.Evidence[0].What)
	s.checkNothingPrivate()
}

func TestReviewOfARefund(t *testing.T) {
	t.Parallel()
	const inReview = 3 * time.Minute
	lost := func(s *fixture) { s.gateway.script(activity.Refund.Name(), answer{err: unknown()}) }
	report := func(s *fixture, at time.Duration, listed bool) {
		s.at(at, func() {
			s.env.SignalWorkflow(workflows.SignalReportAnswered, workflows.ReportAnswered{Until: s.env.Now(), Listed: listed})
		})
	}
	for _, tt := range []struct {
		name   string
		script func(*fixture)

		status   payment.RefundStatus
		failure  string
		refused  workflows.ReviewRefusal
		decided  payment.DecisionSource
		credited money.Amount
	}{
		{
			name: "not executed",
			script: func(s *fixture) {
				lost(s)
				s.at(inReview, func() { s.person("word", payment.VerdictNotExecuted) })
			},
			status: payment.RefundFailed, failure: payment.FailureReviewed, decided: payment.DecidedByPerson,
		},
		{
			name: "completed, which the gateway's total contradicts",
			script: func(s *fixture) {
				lost(s)
				s.at(inReview, func() { s.person("word", payment.VerdictCompleted) })
				s.at(2*time.Hour, func() { s.gateway.refunded(given) })
			},
			status: payment.RefundCompleted, refused: workflows.ReviewContradicted, decided: payment.DecidedByGateway, credited: given,
		},
		{
			name: "not executed, which the gateway's total contradicts",
			script: func(s *fixture) {
				lost(s)
				s.at(inReview, func() { s.gateway.refunded(given); s.person("word", payment.VerdictNotExecuted) })
			},
			status: payment.RefundCompleted, refused: workflows.ReviewContradicted, decided: payment.DecidedByGateway, credited: given,
		},
		{
			name: "completed, where another refund may have moved the total",
			script: func(s *fixture) {
				lost(s)
				s.at(time.Minute, func() {
					s.gateway.refunded(given)
					s.event(workflows.GatewayEvent{Digest: "other", Kind: string(ledger.KindRefund)})
				})
				s.at(inReview+time.Hour, func() { s.person("word", payment.VerdictCompleted) })
			},
			status: payment.RefundCompleted, decided: payment.DecidedByPerson, credited: given,
		},
		{
			name: "a report that covers it does not list it",
			script: func(s *fixture) {
				lost(s)
				report(s, time.Minute, false) // before the review: too early to count
				report(s, inReview+time.Hour, true)
				report(s, inReview+2*time.Hour, false)
				s.at(inReview+time.Hour+time.Minute, func() { require.Equal(s.t, payment.RefundPending, s.refundRow().Status) })
			},
			status: payment.RefundFailed, failure: payment.FailureNotExecuted, decided: payment.DecidedByGateway,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.paid()
			tt.script(s)
			s.refund()
			row := s.refundRow()
			require.Equal(t, tt.status, row.Status)
			require.False(t, row.NeedsReview)
			code := ""
			if row.Failure != nil {
				code = row.Failure.Code
			}
			require.Equal(t, tt.failure, code)
			require.Equal(t, 1, s.gateway.count(activity.Refund.Name()))
			require.Equal(t, tt.credited, s.gateway.ticket.TotalRefunded)
			if _, asked := s.answers["word"]; asked {
				s.outcome("word", tt.refused)
			}
			r := s.reviewed()
			require.Equal(t, payment.CauseRefundUnknown, r.Cause)
			require.Equal(t, refundID, r.RefundID)
			require.Equal(t, tt.decided, r.Decision.Source)
			s.checkNothingPrivate()
		})
	}
}

// TestRefundExplainsFirst says that what was refunded elsewhere is booked before
// our own refund is sent.
func TestRefundExplainsFirst(t *testing.T) {
	t.Parallel()
	external := func(s *fixture) []payment.Refund {
		refunds, err := s.db.Refunds(s.t.Context(), paymentID)
		require.NoError(s.t, err)
		var found []payment.Refund
		for _, r := range refunds {
			if r.Source != payment.SourceAPI {
				found = append(found, r)
			}
		}
		return found
	}

	t.Run("and ours is completed although its answer is lost", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.gateway.refunded(money.FromCents(5_00))
		s.gateway.script(activity.Refund.Name(), answer{err: unknown(), executes: true})
		s.refund()
		require.Equal(t, payment.RefundCompleted, s.refundRow().Status)
		found := external(s)
		require.Len(t, found, 1)
		require.Equal(t, payment.SourceUnexplained, found[0].Source)
		require.Equal(t, money.FromCents(5_00), found[0].Amount)
		require.Equal(t, "refund_completed refund_completed", s.inbox.events(books))
		require.Equal(t, money.FromCents(15_00), s.record().Payment.RefundedAmount)
	})
	t.Run("and ours is not sent where too little is left", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.gateway.refunded(money.FromCents(20_00))
		outcome := s.refund()
		require.Equal(t, payment.FailureExceedsBalance, outcome.Refund.Failure.Code)
		require.Zero(t, s.gateway.count(activity.Refund.Name()))
		require.Len(t, external(s), 1)
		require.Equal(t, "refund_completed refund_failed", s.inbox.events(books))
	})
	t.Run("and a total below the books is recorded", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.reserve(otherID, "other", money.FromCents(5_00))
		s.settle(otherID, money.FromCents(5_00))
		s.refund()
		require.Equal(t, payment.RefundCompleted, s.refundRow().Status)
		require.Empty(t, external(s))
		require.Contains(t, s.inbox.events(books), string(payment.EventReconciliationMismatch))
	})
}
