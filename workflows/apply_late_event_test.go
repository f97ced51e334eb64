package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

const eventID = "whe_01hzy3v9m8s7k6j5h4g3f2e1d0"

// refundEvent is ATH Móvil's event of a refund: it names no ticket
// (docs/athmovil.md §4.2).
func refundEvent(cents int64) workflows.GatewayEvent {
	amount := money.FromCents(cents)
	return workflows.GatewayEvent{
		Digest: "late-digest", Kind: string(ledger.KindRefund), ReferenceNumber: refundReference,
		Total: &amount, PhoneNumber: customerPhone, Message: "sorry, " + customerName,
	}
}

// late stores an event and runs ApplyLateEvent to its end.
func (s *fixture) late(event workflows.GatewayEvent, matched string) workflows.ApplyLateEventResult {
	s.t.Helper()
	_, err := s.db.AddGatewayEvent(s.t.Context(), ledger.GatewayEvent{
		ID: eventID, Digest: event.Digest, Kind: event.Kind, Body: "{}", Verdict: ledger.EventPending, ReceivedAt: start,
	})
	require.NoError(s.t, err)
	require.NoError(s.t, s.db.SettleGatewayEvent(s.t.Context(), eventID, ledger.EventLate, matched, "handed over"))
	s.execute(workflows.LateEventWorkflowID(event.Digest), workflows.ApplyLateEventName, workflows.ApplyLateEventInput{
		EventID: eventID, Event: event, PaymentID: matched, ReceivedAt: start,
	})
	require.NoError(s.t, s.env.GetWorkflowError())
	var result workflows.ApplyLateEventResult
	require.NoError(s.t, s.env.GetWorkflowResult(&result))
	events, _, err := s.db.GatewayEvents(s.t.Context(), ledger.GatewayEventFilter{Verdict: ledger.EventVerdict(result.Verdict), Limit: 10})
	require.NoError(s.t, err)
	require.Len(s.t, events, 1, "the event has the verdict")
	require.Equal(s.t, result.Effect, events[0].Effect)
	if result.PaymentID != "" {
		require.Equal(s.t, result.PaymentID, events[0].MatchedID)
	}
	s.checkNothingPrivate()
	return result
}

// refundFails makes a refund of ours that we hold for failed.
func (s *fixture) refundFails(id string, amount money.Amount) {
	s.t.Helper()
	s.reserve(id, "other", amount)
	at := start.Add(time.Second)
	_, err := s.db.RecordRefund(s.t.Context(), ledger.RefundChange{Record: ledger.RefundRecord{Revision: 2, Refund: payment.Refund{
		ID: id, PaymentID: paymentID, Amount: amount, Status: payment.RefundFailed, Source: payment.SourceAPI, CreatedAt: start, CompletedAt: &at,
		Failure: &payment.Failure{Code: "BTRA_0053", Message: "no such reference number"},
	}}})
	require.NoError(s.t, err)
}

// unfilled is the completed payment of paid without its payer.
func (s *fixture) unfilled() {
	s.t.Helper()
	s.paidBy(payment.Customer{})
}

func TestApplyLateEvent(t *testing.T) {
	t.Parallel()
	const (
		booked   = "refund_completed"
		recorded = "reconciliation_mismatch"
	)
	event := func(kind ledger.EventKind) workflows.GatewayEvent {
		e := genuine()
		e.Digest, e.Kind = "late-digest", string(kind)
		return e
	}
	own := func(cents int64) workflows.GatewayEvent {
		e := refundEvent(cents)
		e.Message = private.Text("sorry #" + ledger.ShortRefundID(otherID))
		return e
	}
	for _, tt := range []struct {
		name    string
		script  func(*fixture)
		event   workflows.GatewayEvent
		matched string

		verdict  ledger.EventVerdict
		about    string // the payment that the verdict names
		events   string
		refunded int64 // what the books say in the end
		also     func(*fixture)
	}{
		{
			name:   "a refund made elsewhere",
			script: func(s *fixture) { s.paid(); s.gateway.refunded(money.FromCents(5_00)) },
			event:  refundEvent(5_00), verdict: ledger.EventApplied, about: paymentID, events: booked, refunded: 5_00,
			also: func(s *fixture) {
				refunds, err := s.db.Refunds(s.t.Context(), paymentID)
				require.NoError(s.t, err)
				require.Equal(s.t, payment.SourceExternal, refunds[0].Source)
				require.Equal(s.t, refundReference, refunds[0].ReferenceNumber)
				require.Equal(s.t, payment.RefundCompleted, refunds[0].Status)
			},
		},
		{
			name:   "one of two equal ones: the other has its own event",
			script: func(s *fixture) { s.paid(); s.gateway.refunded(money.FromCents(10_00)) },
			event:  refundEvent(5_00), verdict: ledger.EventApplied, about: paymentID, events: booked, refunded: 5_00,
		},
		{
			name: "the gateway's total lags behind its event",
			script: func(s *fixture) {
				s.paid()
				s.at(time.Minute, func() { s.gateway.refunded(money.FromCents(5_00)) })
			},
			event: refundEvent(5_00), verdict: ledger.EventApplied, about: paymentID, events: booked, refunded: 5_00,
		},
		{
			name: "an echo of our own refund, by its short id",
			script: func(s *fixture) {
				s.paid()
				s.reserve(otherID, "other", money.FromCents(5_00))
				s.settle(otherID, money.FromCents(5_00))
				s.gateway.refunded(money.FromCents(5_00))
			},
			event: own(5_00), matched: paymentID, verdict: ledger.EventKnown, about: paymentID, refunded: 5_00,
		},
		{
			name: "an echo of our own refund that is not settled yet: it waits, and is no sign of another",
			script: func(s *fixture) {
				s.paid()
				s.reserve(otherID, "other", money.FromCents(5_00))
				s.gateway.refunded(money.FromCents(5_00))
				s.at(time.Hour, func() { s.settle(otherID, money.FromCents(5_00)) })
			},
			event: own(5_00), matched: paymentID, verdict: ledger.EventKnown, about: paymentID, refunded: 5_00,
		},
		{
			name: "an echo of our own refund that we hold for failed, and that was executed",
			script: func(s *fixture) {
				s.paid()
				s.refundFails(otherID, money.FromCents(5_00))
				s.gateway.refunded(money.FromCents(5_00))
			},
			event: own(5_00), matched: paymentID, verdict: ledger.EventApplied, about: paymentID, events: booked, refunded: 5_00,
			also: func(s *fixture) {
				r, err := s.db.Refund(s.t.Context(), ledger.DeriveEchoedRefundID(otherID))
				require.NoError(s.t, err)
				require.Equal(s.t, payment.SourceExternal, r.Refund.Source)
				require.Equal(s.t, money.FromCents(20_00), s.record().Payment.Left(), "a retry cannot refund it again")
			},
		},
		{
			name: "a second echo of it, in another dialect",
			script: func(s *fixture) {
				s.paid()
				s.refundFails(otherID, money.FromCents(5_00))
				s.gateway.refunded(money.FromCents(5_00))
				_, _, err := s.db.BookExternalRefund(s.t.Context(), ledger.ExternalRefund{
					RefundID: ledger.DeriveEchoedRefundID(otherID), PaymentID: paymentID, Amount: money.FromCents(5_00),
					Total: money.FromCents(5_00), Source: payment.SourceExternal, At: start, BookedAt: start,
				})
				require.NoError(s.t, err)
			},
			event: own(5_00), matched: paymentID, verdict: ledger.EventKnown, about: paymentID, refunded: 5_00,
		},
		{
			name: "an echo of our own refund that failed, and that the total does not show",
			script: func(s *fixture) {
				s.paid()
				s.refundFails(otherID, money.FromCents(5_00))
			},
			event: own(5_00), matched: paymentID, verdict: ledger.EventRefuted, about: paymentID, events: recorded,
		},
		{
			name:   "of a named payment, and the books explain the total",
			script: func(s *fixture) { s.paid() },
			event: func() workflows.GatewayEvent {
				e := refundEvent(5_00)
				e.ReferenceNumber = reference // the payment's own
				return e
			}(),
			verdict: ledger.EventKnown, about: paymentID,
		},
		{
			name:   "forged: nothing was refunded",
			script: func(s *fixture) { s.paid() },
			event:  refundEvent(5_00), verdict: ledger.EventUnmatched, events: recorded,
		},
		{
			name:   "more than what the total rose by",
			script: func(s *fixture) { s.paid(); s.gateway.refunded(money.FromCents(4_99)) },
			event:  refundEvent(5_00), verdict: ledger.EventUnmatched, events: recorded,
		},
		{
			name: "the gateway tells of another sale, which proves nothing",
			script: func(s *fixture) {
				s.paid()
				s.gateway.refunded(money.FromCents(5_00))
				s.gateway.says(func(t *activity.Ticket) { t.ReferenceNumber = anotherDebit })
			},
			event: refundEvent(5_00), verdict: ledger.EventUnmatched, events: recorded,
			also: func(s *fixture) { require.Zero(s.t, s.record().Payment.RefundedAmount) },
		},
		{
			name:   "of nobody we know",
			script: func(*fixture) {},
			event:  refundEvent(5_00), verdict: ledger.EventUnmatched,
			also: func(s *fixture) { require.Equal(s.t, recorded, s.inbox.events(books)) },
		},
		{
			name: "while a refund of ours is unsettled: it waits, and is a sign",
			script: func(s *fixture) {
				s.paid()
				s.reserve(otherID, "other", money.FromCents(5_00))
				s.gateway.refunded(money.FromCents(10_00))
				signalled := 0
				s.mocks = append(s.mocks, func() {
					s.env.OnSignalExternalWorkflow(mock.Anything, workflows.RefundWorkflowID(otherID), "", workflows.SignalGatewayEvent, mock.Anything).
						Return(func(string, string, string, string, any) error { signalled++; return nil })
				})
				s.at(time.Hour, func() {
					require.Equal(s.t, money.Amount{}, s.record().Payment.RefundedAmount)
					s.settle(otherID, money.FromCents(5_00))
					require.Equal(s.t, 1, signalled, "signaled once, however often it is looked at")
				})
			},
			event: refundEvent(5_00), verdict: ledger.EventApplied, about: paymentID, events: booked, refunded: 10_00,
		},
		{
			name: "the gateway is away for two days",
			script: func(s *fixture) {
				s.paid()
				s.gateway.refunded(money.FromCents(5_00))
				s.gateway.leave()
				s.at(48*time.Hour, s.gateway.back)
			},
			event: refundEvent(5_00), verdict: ledger.EventApplied, about: paymentID, events: booked, refunded: 5_00,
		},
		{
			name:   "a completed event tells who paid",
			script: func(s *fixture) { s.unfilled() },
			event:  event(ledger.KindPaymentCompleted), matched: paymentID, verdict: ledger.EventApplied, about: paymentID,
			also: func(s *fixture) {
				require.Equal(s.t, payment.Customer{Name: customerName, PhoneNumber: customerPhone, Email: customerEmail}, s.record().Payment.Customer)
			},
		},
		{
			name:   "a completed event tells nothing new",
			script: func(s *fixture) { s.paid() },
			event:  event(ledger.KindPaymentCompleted), matched: paymentID, verdict: ledger.EventKnown, about: paymentID,
		},
		{
			name:   "a completed event of another amount",
			script: func(s *fixture) { s.unfilled() },
			event: func() workflows.GatewayEvent {
				e := event(ledger.KindPaymentCompleted)
				amount := money.FromCents(1_00)
				e.Total = &amount
				return e
			}(),
			matched: paymentID, verdict: ledger.EventRefuted, about: paymentID, events: recorded,
			also: func(s *fixture) { require.True(s.t, s.record().Payment.Customer.IsZero()) },
		},
		{
			name:   "a cancelled event of a completed payment",
			script: func(s *fixture) { s.paid() },
			event:  event(ledger.KindPaymentCancelled), matched: paymentID, verdict: ledger.EventRefuted, about: paymentID, events: recorded,
		},
		{
			name:   "a cancelled event that the gateway confirms, of a completed payment",
			script: func(s *fixture) { s.paid(); s.gateway.ticket.Status = activity.TicketOver },
			event:  event(ledger.KindPaymentCancelled), matched: paymentID, verdict: ledger.EventApplied, about: paymentID, events: recorded,
			also: func(s *fixture) { require.Equal(s.t, payment.StatusCompleted, s.record().Payment.Status) },
		},
		{
			name:   "an expired event, which names no ticket, of a completed payment: one whose answer was lost",
			script: func(s *fixture) { s.paid() },
			event: func() workflows.GatewayEvent {
				e := event(ledger.KindPaymentExpired)
				e.EcommerceID, e.ReferenceNumber, e.PaymentID = "", "", paymentID
				return e
			}(),
			matched: paymentID, verdict: ledger.EventKnown, about: paymentID,
		},
		{
			name:   "a cancelled event of another ticket of a completed payment",
			script: func(s *fixture) { s.paid() },
			event: func() workflows.GatewayEvent {
				e := event(ledger.KindPaymentCancelled)
				e.EcommerceID, e.PaymentID = "1ab257f5-3837-11ed-855f-9b4af5a393ce", paymentID
				return e
			}(),
			matched: paymentID, verdict: ledger.EventKnown, about: paymentID,
		},
		{
			name: "a completed event that the gateway confirms, of a payment that a person completed",
			script: func(s *fixture) {
				s.unfilled()
				record := s.record()
				record.Payment.ReferenceNumber, record.Revision = "", record.Revision+1
				_, err := s.db.RecordPayment(s.t.Context(), ledger.Change{Record: record})
				require.NoError(s.t, err)
			},
			event: event(ledger.KindPaymentCompleted), matched: paymentID, verdict: ledger.EventApplied, about: paymentID,
			also: func(s *fixture) { require.Equal(s.t, customerName, string(s.record().Payment.Customer.Name)) },
		},
		{
			name: "a completed event that the gateway confirms, of a payment that we hold for failed",
			script: func(s *fixture) {
				s.unfilled()
				record := s.record()
				record.Payment.Status, record.Revision = payment.StatusFailed, record.Revision+1
				_, err := s.db.RecordPayment(s.t.Context(), ledger.Change{Record: record})
				require.NoError(s.t, err)
			},
			event: event(ledger.KindPaymentCompleted), matched: paymentID, verdict: ledger.EventApplied, about: paymentID, events: recorded,
			also: func(s *fixture) {
				require.Equal(s.t, payment.MismatchStatus, s.inbox.received(books)[0].Mismatch.Kind, "the event contradicts nobody")
			},
		},
		{
			name:  "of a payment that nobody knows",
			event: event(ledger.KindPaymentExpired), matched: paymentID, verdict: ledger.EventUnmatched, script: func(*fixture) {},
		},
		{
			name:  "a donation",
			event: event("donation"), verdict: ledger.EventIgnored, script: func(*fixture) {},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			tt.script(s)
			result := s.late(tt.event, tt.matched)
			require.Equal(t, string(tt.verdict), result.Verdict, result.Effect)
			require.Equal(t, tt.about, result.PaymentID)
			if tt.about != "" {
				require.Equal(t, tt.events, s.inbox.events(books))
				require.Equal(t, money.FromCents(tt.refunded), s.record().Payment.RefundedAmount)
			}
			if tt.also != nil {
				tt.also(s)
			}
		})
	}
}

func TestApplyLateEventNeedsItsID(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.execute("late/another", workflows.ApplyLateEventName, workflows.ApplyLateEventInput{Event: refundEvent(1_00)})
	var refused *temporal.ApplicationError
	require.ErrorAs(t, s.env.GetWorkflowError(), &refused)
	require.True(t, refused.NonRetryable())
	require.Empty(t, s.gateway.calls)
}
