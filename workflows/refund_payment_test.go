package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// The refund of every refund fixture, of the payment that paid completes.
var (
	refundID = ledger.DeriveRefundID(paymentID, "key-2")
	otherID  = ledger.DeriveRefundID(paymentID, "another")
	given    = money.FromCents(10_00)
)

// paid puts the completed payment into the store that refunds are made of.
func (s *fixture) paid() {
	s.t.Helper()
	s.paidBy(payment.Customer{Name: customerName, PhoneNumber: customerPhone, Email: customerEmail})
}

func (s *fixture) paidBy(payer payment.Customer) {
	s.t.Helper()
	at, net := start.Add(-time.Hour), total.Sub(fee)
	captured, charged := total, fee
	p := payment.Payment{
		ID: paymentID, Status: payment.StatusCompleted,
		Request:     payment.Request{Reference: order, Total: total, PhoneNumber: customerPhone, ExpiresIn: 10 * time.Minute},
		EcommerceID: ticketID, ReferenceNumber: reference, DailyTransactionID: dailyID, Captured: &captured, Fee: &charged, NetAmount: &net,
		Customer: payer, CreatedAt: at, UpdatedAt: at, ExpiresAt: at.Add(10 * time.Minute), CompletedAt: &at,
	}
	for _, event := range []payment.Event{payment.EventCreated, payment.EventCompleted} {
		_, err := s.db.RecordPayment(s.t.Context(), ledger.Change{
			Record: ledger.Record{Payment: p, Revision: 4}, Announce: event, Workflow: paymentID,
		})
		require.NoError(s.t, err)
	}
	s.gateway.ticket.Status = activity.TicketCompleted
	s.gateway.ticket.ReferenceNumber = reference
}

// reserve makes a refund of the store's own, as another workflow run would.
func (s *fixture) reserve(id, fingerprint string, amount money.Amount) {
	s.t.Helper()
	_, err := s.db.ReserveRefund(s.t.Context(), ledger.Reservation{
		RefundID: id, PaymentID: paymentID, Amount: &amount, Fingerprint: fingerprint, At: start,
	})
	require.NoError(s.t, err)
}

// settle ends a refund that reserve made.
func (s *fixture) settle(id string, amount money.Amount) {
	s.t.Helper()
	at := start.Add(time.Second)
	_, err := s.db.RecordRefund(s.t.Context(), ledger.RefundChange{Record: ledger.RefundRecord{Revision: 2, Refund: payment.Refund{
		ID: id, PaymentID: paymentID, Amount: amount, Status: payment.RefundCompleted, Source: payment.SourceAPI, CreatedAt: start, CompletedAt: &at,
	}}})
	require.NoError(s.t, err)
}

// refund runs RefundPayment to its end.
func (s *fixture) refund(changes ...func(*workflows.RefundPaymentInput)) workflows.RefundOutcome {
	s.t.Helper()
	amount := given
	in := workflows.RefundPaymentInput{
		RefundID: refundID, PaymentID: paymentID, Amount: &amount, Message: "sorry, " + customerName, Fingerprint: "fingerprint",
		CreatedAt: start,
	}
	for _, change := range changes {
		change(&in)
	}
	s.execute(workflows.RefundWorkflowID(refundID), workflows.RefundPaymentName, in)
	require.NoError(s.t, s.env.GetWorkflowError())
	var outcome workflows.RefundOutcome
	require.NoError(s.t, s.env.GetWorkflowResult(&outcome))
	require.NotEqual(s.t, outcome.Refund == nil, outcome.Refusal == nil, "exactly one is set")
	return outcome
}

// refundRow reads the refund as it is stored.
func (s *fixture) refundRow() payment.Refund {
	s.t.Helper()
	r, err := s.db.Refund(s.t.Context(), refundID)
	require.NoError(s.t, err)
	return r.Refund
}

// TestDeliveriesBeforeARefundEnds: what a receiver came to is seen while the
// refund itself is still watched.
func TestDeliveriesBeforeARefundEnds(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.paid()
	s.gateway.refunded(money.FromCents(5_00)) // elsewhere, so that it is booked and told first
	s.gateway.script(activity.Refund.Name(), answer{err: unknown(), executes: true})
	s.at(time.Minute, func() {
		require.Equal(t, payment.RefundPending, s.refundRow().Status)
		require.Equal(t, payment.DeliveryDelivered, s.delivery(payment.EventRefundCompleted, books).Status)
	})
	require.Equal(t, payment.RefundCompleted, s.refund().Refund.Status)
}

func TestRefund(t *testing.T) {
	t.Parallel()
	refund := activity.Refund.Name()
	type expectation struct {
		status   payment.RefundStatus
		failure  string
		events   string
		sent     int          // calls of Refund
		credited money.Amount // at the gateway, all in all
	}
	done := expectation{status: payment.RefundCompleted, events: "refund_completed", sent: 1, credited: given}
	reviewed := done
	reviewed.events = "payment_needs_review refund_completed"
	inReview := func(s *fixture, at time.Duration) {
		s.at(at, func() {
			r := s.refundRow()
			require.True(s.t, r.NeedsReview)
			require.Equal(s.t, payment.RefundPending, r.Status)
			waiting := answerOf[workflows.RefundOutcome](s, "refund")
			require.True(s.t, waiting.Refund.NeedsReview, "the caller that waits learns of the review")
			require.Equal(s.t, payment.DeliveryDelivered, s.delivery(payment.EventNeedsReview, books).Status, "as soon as it is known")
		})
	}

	for _, tt := range []struct {
		name   string
		input  func(*workflows.RefundPaymentInput)
		script func(*fixture)
		want   expectation
		also   func(*fixture)
	}{
		{
			name: "completed", want: done,
			also: func(s *fixture) {
				require.Equal(s.t, refundReference, s.refundRow().ReferenceNumber)
				require.Equal(s.t, []string{activity.FindTicket.Name(), refund}, s.gateway.order(activity.FindTicket.Name()))
			},
		},
		{
			name:  "all that is left",
			input: func(in *workflows.RefundPaymentInput) { in.Amount = nil },
			want:  expectation{status: payment.RefundCompleted, events: "refund_completed", sent: 1, credited: total},
		},
		{
			name:   "declined",
			script: func(s *fixture) { s.gateway.script(refund, answer{err: declined("BTRA_0053")}) },
			want:   expectation{status: payment.RefundFailed, failure: "BTRA_0053", events: "refund_failed", sent: 1},
		},
		{
			name: "declined, and credited all the same",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: declined("BTRA_0053"), executes: true})
			},
			want: done,
		},
		{
			name: "declined, while something else was refunded elsewhere",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{after: 10 * time.Second, err: declined("BTRA_0053")})
				s.at(5*time.Second, func() { s.gateway.refunded(money.FromCents(9_99)) })
			},
			want: expectation{status: payment.RefundFailed, failure: "BTRA_0053", events: "refund_failed", sent: 1, credited: money.FromCents(9_99)},
		},
		{
			name:   "the look before tells of another sale, so nothing is sent",
			script: func(s *fixture) { s.gateway.ticket.Total = money.FromCents(94) },
			want:   expectation{status: payment.RefundFailed, failure: payment.FailureAnswerDiffers, events: "refund_failed"},
		},
		{
			name: "the look afterwards tells of another sale, so it proves nothing",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: unknown(), executes: true})
				s.at(time.Minute, func() { s.gateway.says(func(t *activity.Ticket) { t.ReferenceNumber = "another" }) })
				inReview(s, 3*time.Minute)
				s.at(5*time.Hour, func() { s.gateway.says(func(t *activity.Ticket) { t.ReferenceNumber = reference }) })
			},
			want: reviewed,
		},
		{
			name: "unavailable three times",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: unavailable()}, answer{err: unavailable()}, answer{err: unavailable()})
			},
			want: expectation{status: payment.RefundFailed, failure: payment.FailureGatewayUnavailable, events: "refund_failed", sent: 3},
		},
		{
			name:   "unavailable, then done",
			script: func(s *fixture) { s.gateway.script(refund, answer{err: unavailable()}) },
			want:   expectation{status: payment.RefundCompleted, events: "refund_completed", sent: 2, credited: given},
		},
		{
			name: "unavailable, then lost: never a third time",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: unavailable()}, answer{err: unknown(), executes: true})
			},
			want: expectation{status: payment.RefundCompleted, events: "refund_completed", sent: 2, credited: given},
		},
		{
			name:   "the answer is lost, and the total rose by exactly the amount",
			script: func(s *fixture) { s.gateway.script(refund, answer{err: unknown(), executes: true}) },
			want:   done,
			also: func(s *fixture) {
				looks := s.gateway.times(activity.FindTicket.Name())
				require.Len(s.t, looks, 2)
				require.GreaterOrEqual(s.t, looks[1].Sub(s.gateway.times(refund)[0]), 2*time.Minute, "it settles first")
			},
		},
		{
			name: "the total counts from before, not from zero",
			script: func(s *fixture) {
				s.reserve(otherID, "other", money.FromCents(5_00))
				s.settle(otherID, money.FromCents(5_00))
				s.gateway.refunded(money.FromCents(5_00))
				s.gateway.script(refund, answer{err: unknown(), executes: true})
			},
			want: expectation{status: payment.RefundCompleted, events: "refund_completed", sent: 1, credited: money.FromCents(15_00)},
		},
		{
			name: "the worker dies after it sent",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: workerDied(), executes: true, after: 35 * time.Second})
			},
			want: done,
		},
		{
			name: "refused in a way that leads to a look",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: lookFirst(athmovil.CodeWrongStatus), executes: true})
			},
			want: done,
		},
		{
			name: "the answer is lost, and nothing changed until a person has seen to it",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: unknown()})
				inReview(s, 3*time.Minute)
				s.at(5*time.Hour, func() { s.gateway.refunded(given) })
			},
			want: reviewed,
			also: func(s *fixture) {
				looks := s.gateway.times(activity.FindTicket.Name())
				require.Len(s.t, looks, 7)
				require.Equal(s.t, time.Hour, looks[6].Sub(looks[5]).Round(time.Minute))
			},
		},
		{
			name: "the answer is lost, and the total rose by something else",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: unknown()})
				s.at(time.Minute, func() { s.gateway.refunded(money.FromCents(9_99)) })
				inReview(s, 3*time.Minute)
				s.at(5*time.Hour, func() { s.gateway.refunded(given) })
			},
			want: reviewed,
		},
		{
			name: "the gateway is away after it was sent",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{err: unknown(), executes: true})
				s.at(300*time.Millisecond, s.gateway.leave)
				s.at(3*time.Hour, s.gateway.back)
			},
			want: done,
		},
		{
			name: "the workflow is canceled, and does not hear it",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{after: 10 * time.Second})
				s.at(5*time.Second, s.env.CancelWorkflow)
			},
			want: done,
		},
		{
			name: "the store is away after the reservation",
			script: func(s *fixture) {
				s.gateway.script(refund, answer{after: 10 * time.Second})
				s.at(5*time.Second, s.storeLeaves)
				s.at(time.Hour, func() {
					require.Equal(s.t, 1, s.gateway.count(refund))
					require.Equal(s.t, payment.RefundPending, s.refundRow().Status)
					s.storeReturns()
				})
			},
			want: done,
		},
		{
			name: "a receiver that fails delays nobody",
			script: func(s *fixture) {
				s.receivers.On(payment.EventRefundCompleted, "printer", s.inbox.receiver("printer", failures(3)...))
				s.at(2*time.Second, func() {
					require.Equal(s.t, payment.DeliveryDelivered, s.delivery(payment.EventRefundCompleted, books).Status)
					require.Equal(s.t, payment.RefundCompleted, answerOf[workflows.RefundOutcome](s, "refund").Refund.Status)
				})
			},
			want: done,
			also: func(s *fixture) { require.Len(s.t, s.inbox.received("printer"), 4) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.paid()
			s.at(0, func() { s.ask(workflows.UpdateAwaitRefund, "refund") })
			if tt.script != nil {
				tt.script(s)
			}
			if tt.input == nil {
				tt.input = func(*workflows.RefundPaymentInput) {}
			}
			outcome := s.refund(tt.input)
			require.NotNil(t, outcome.Refund)

			r := s.refundRow()
			require.Equal(t, tt.want.status, r.Status)
			require.False(t, r.NeedsReview)
			require.NotNil(t, r.CompletedAt)
			code := ""
			if r.Failure != nil {
				code = r.Failure.Code
			}
			require.Equal(t, tt.want.failure, code)
			require.JSONEq(t, asJSON(t, r), asJSON(t, outcome.Refund))
			require.Equal(t, tt.want.sent, s.gateway.count(refund), "refunds that were sent")
			require.Equal(t, tt.want.credited, s.gateway.ticket.TotalRefunded)
			require.Equal(t, tt.want.events, s.inbox.events(books))
			s.checkRefund(r)
			answered := answerOf[workflows.RefundOutcome](s, "refund")
			require.NotNil(t, answered.Refund)
			if tt.also != nil {
				tt.also(s)
			}
		})
	}
}

// checkRefund checks what holds at the end of every refund that was reserved.
func (s *fixture) checkRefund(r payment.Refund) {
	t := s.t
	t.Helper()
	p := s.record().Payment
	if r.Status == payment.RefundCompleted {
		require.Equal(t, s.gateway.ticket.TotalRefunded, p.RefundedAmount, "our books are the gateway's")
	} else {
		require.True(t, p.RefundedAmount.IsZero())
	}
	for i, n := range s.inbox.received(books) {
		require.Equal(t, 3+i, n.Sequence, "the payment's two events came before")
		require.Equal(t, ledger.NotificationID(refundID, n.Event, n.Sequence, host, books), n.ID)
		require.Equal(t, refundID, n.Refund.ID)
		require.Equal(t, paymentID, n.Payment.ID, "the payment travels along")
		if n.Event == payment.EventRefundCompleted {
			require.Equal(t, p.RefundedAmount, n.Payment.RefundedAmount, "as it is after the refund")
		}
	}
	deliveries, err := s.db.Deliveries(t.Context(), paymentID)
	require.NoError(t, err)
	for _, d := range deliveries {
		require.Equal(t, payment.DeliveryDelivered, d.Status)
		require.Equal(t, refundID, d.RefundID)
	}
	last := s.upserts[len(s.upserts)-1]
	review, ok := last.GetBool(workflows.SearchNeedsReview)
	require.True(t, ok)
	require.False(t, review)
	require.Len(t, s.upserts, 1+strings.Count(s.inbox.events(books), string(payment.EventNeedsReview)))
	s.checkNothingPrivate()
}

// A refund was reserved before its workflow was started, unless the store was
// restored in between. What cannot be reserved again is not sent.
func TestRefundRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		input  func(*workflows.RefundPaymentInput)
		script func(*fixture)
		want   payment.RefundRefusal
	}{
		{
			name: "more than what was paid",
			input: func(in *workflows.RefundPaymentInput) {
				amount := total.Add(money.FromCents(1))
				in.Amount = &amount
			},
			want: payment.RefundRefusal{Code: payment.RefusedExceeds, Left: total},
		},
		{
			name: "more than what is left",
			script: func(s *fixture) {
				s.reserve(otherID, "other", money.FromCents(20_00))
				s.settle(otherID, money.FromCents(20_00))
			},
			want: payment.RefundRefusal{Code: payment.RefusedExceeds, Left: money.FromCents(5_00)},
		},
		{
			name:   "another one is in the way",
			script: func(s *fixture) { s.reserve(otherID, "other", money.FromCents(5_00)) },
			want:   payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: otherID},
		},
		{
			name:   "the key belongs to another request",
			script: func(s *fixture) { s.reserve(refundID, "another-fingerprint", given) },
			want:   payment.RefundRefusal{Code: payment.RefusedKeyReused},
		},
		{
			name:  "no such payment",
			input: func(in *workflows.RefundPaymentInput) { in.PaymentID = ledger.DeriveID("default", "none") },
			want:  payment.RefundRefusal{Code: payment.RefusedNoPayment},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.paid()
			s.at(0, func() { s.ask(workflows.UpdateAwaitRefund, "refund") })
			if tt.script != nil {
				tt.script(s)
			}
			if tt.input == nil {
				tt.input = func(*workflows.RefundPaymentInput) {}
			}
			outcome := s.refund(tt.input)
			require.Equal(t, &tt.want, outcome.Refusal)
			require.Equal(t, outcome, answerOf[workflows.RefundOutcome](s, "refund"))
			require.Empty(t, s.gateway.calls, "no reservation, no call")
			require.Empty(t, s.inbox.events(books))
			s.checkNothingPrivate()
		})
	}
}

// TestRefundTakenOver says what a second run of a refund's workflow does, as
// after a reset: it goes on, and what is done is not done again.
func TestRefundTakenOver(t *testing.T) {
	t.Parallel()
	t.Run("where nothing was sent yet", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.reserve(refundID, "fingerprint", given)
		require.Equal(t, payment.RefundCompleted, s.refund().Refund.Status)
		require.Equal(t, 1, s.gateway.count(activity.Refund.Name()))
	})
	t.Run("where it was settled", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.paid()
		s.reserve(refundID, "fingerprint", given)
		s.settle(refundID, given)
		require.Equal(t, payment.RefundCompleted, s.refund().Refund.Status)
		require.Empty(t, s.gateway.calls)
		require.Empty(t, s.inbox.events(books), "the first run tells of it")
	})
}

func TestRefundPaymentNeedsItsID(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.execute("refund/another", workflows.RefundPaymentName, workflows.RefundPaymentInput{RefundID: refundID, PaymentID: paymentID})
	var refused *temporal.ApplicationError
	require.ErrorAs(t, s.env.GetWorkflowError(), &refused)
	require.True(t, refused.NonRetryable())
	require.Empty(t, s.gateway.calls)
}
