package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

const (
	eventsReviewed  = "payment_created payment_needs_review payment_completed"
	anotherTicket   = "1ab257f5-3837-11ed-855f-9b4af5a393ce"
	anotherDebit    = "215070443-402894c185ab1be40185acfe61c2ffff"
	evidenceOfTotal = "asked for $25.00; ATH Móvil says that the ticket is completed, but the total is $0.94"
)

// alreadySold records another payment with the reference number of the fixture's
// debit.
func (s *fixture) alreadySold() string {
	s.t.Helper()
	at, captured := start.Add(-time.Hour), total
	other := payment.Payment{
		ID: ledger.DeriveID("default", "another"), Status: payment.StatusCompleted, Request: payment.Request{Total: total, ExpiresIn: time.Minute},
		ReferenceNumber: reference, Captured: &captured, CreatedAt: at, UpdatedAt: at, ExpiresAt: at.Add(time.Minute), CompletedAt: &at,
	}
	_, err := s.db.RecordPayment(s.t.Context(), ledger.Change{Record: ledger.Record{Payment: other, Revision: 1}})
	require.NoError(s.t, err)
	return other.ID
}

// evidence is what the payment's review shows.
func (s *fixture) evidence() []string {
	s.t.Helper()
	var seen []string
	for _, e := range s.reviewed().Evidence {
		seen = append(seen, e.What)
	}
	return seen
}

// TestAnswersThatDiffer says that an answer about the debit never completes a
// payment silently where it is of another ticket, total or reference number.
func TestAnswersThatDiffer(t *testing.T) {
	t.Parallel()
	authorize := activity.Authorize.Name()
	tip := func(t *activity.Ticket) { t.Total = money.FromCents(94) }
	for _, tt := range []struct {
		name   string
		script func(*fixture)
		person payment.Verdict // said after an hour; empty: nobody does

		status   payment.Status
		refused  workflows.ReviewRefusal
		captured string
		number   string
		decided  payment.DecisionSource
		evidence string
	}{
		{
			name: "another total, by Authorize's answer and by every look",
			script: func(s *fixture) {
				s.gateway.says(tip)
			},
			person: payment.VerdictCompleted,
			status: payment.StatusCompleted, captured: "0.94", number: reference, decided: payment.DecidedByPerson, evidence: evidenceOfTotal,
		},
		{
			name: "a tip: more than what was asked",
			script: func(s *fixture) {
				s.gateway.says(func(t *activity.Ticket) { t.Total = money.FromCents(30_00) })
			},
			person: payment.VerdictCompleted,
			status: payment.StatusCompleted, captured: "30.00", number: reference, decided: payment.DecidedByPerson,
			evidence: "asked for $25.00; ATH Móvil says that the ticket is completed, but the total is $30.00",
		},
		{
			name: "another total, and the gateway is away when the person decides",
			script: func(s *fixture) {
				s.gateway.says(tip)
				s.at(59*time.Minute, s.gateway.leave)
				s.at(59*time.Minute, s.lookLost)
				s.at(3*time.Hour, s.gateway.back)
			},
			person: payment.VerdictCompleted,
			status: payment.StatusCompleted, captured: "0.94", number: reference, decided: payment.DecidedByPerson, evidence: evidenceOfTotal,
		},
		{
			name: "another total, and a person denies the debit that the gateway confirms",
			script: func(s *fixture) {
				s.gateway.says(tip)
				s.at(3*time.Hour, func() { s.person("later", payment.VerdictCompleted) })
			},
			person: payment.VerdictNotExecuted, refused: workflows.ReviewContradicted,
			status: payment.StatusCompleted, captured: "0.94", number: reference, decided: payment.DecidedByPerson, evidence: evidenceOfTotal,
		},
		{
			name:   "another total in Authorize's answer alone: the looks agree",
			script: func(s *fixture) { s.gateway.script(authorize, answer{says: tip}) },
			status: payment.StatusCompleted, captured: "25.00", number: reference, decided: payment.DecidedByGateway, evidence: evidenceOfTotal,
		},
		{
			name: "another ticket in Authorize's answer: the looks agree",
			script: func(s *fixture) {
				s.gateway.script(authorize, answer{says: func(t *activity.Ticket) { t.EcommerceID = anotherTicket }})
			},
			status: payment.StatusCompleted, captured: "25.00", number: reference, decided: payment.DecidedByGateway,
			evidence: "asked for $25.00; ATH Móvil says that the ticket is completed, but the ticket is " + anotherTicket + ", not " + ticketID,
		},
		{
			name:   "the reference number of another payment",
			script: func(s *fixture) { s.alreadySold() },
			person: payment.VerdictCompleted,
			status: payment.StatusCompleted, captured: "25.00", number: "", decided: payment.DecidedByPerson,
			evidence: "asked for $25.00; ATH Móvil says that the ticket is completed, but the reference number " + reference +
				" is that of " + ledger.DeriveID("default", "another"),
		},
		{
			name: "the reference number of another payment, until the gateway corrects it",
			script: func(s *fixture) {
				s.alreadySold()
				s.at(90*time.Minute, func() { s.gateway.says(func(t *activity.Ticket) { t.ReferenceNumber = anotherDebit }) })
			},
			status: payment.StatusCompleted, captured: "25.00", number: anotherDebit, decided: payment.DecidedByGateway,
		},
		{
			name: "no reference number",
			script: func(s *fixture) {
				s.gateway.script(authorize, answer{says: func(t *activity.Ticket) { t.ReferenceNumber = "" }})
			},
			status: payment.StatusCompleted, captured: "25.00", number: reference, decided: payment.DecidedByGateway,
			evidence: "asked for $25.00; ATH Móvil says that the ticket is completed, but there is no reference number",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			tt.script(s)
			s.at(20*time.Second, s.confirms)
			said := genuine()
			amount := money.MustParse(tt.captured)
			said.ReferenceNumber, said.Total = tt.number, &amount
			s.at(25*time.Second, func() { s.event(said) })
			s.at(30*time.Second, func() {
				p := s.record().Payment
				require.True(t, p.NeedsReview)
				require.Equal(t, payment.StatusConfirmed, p.Status)
				require.Nil(t, p.Captured)
				require.Equal(t, payment.CauseAnswerDiffers, s.reviewed().Cause)
				require.Equal(t, payment.DeliveryDelivered, s.delivery(payment.EventNeedsReview, books).Status)
			})
			s.at(40*time.Second, s.askCancel) // which only learns what comes of it
			if tt.person != "" {
				s.at(time.Hour, func() { s.person("word", tt.person) })
			}
			s.process()

			p := s.record().Payment
			require.Equal(t, tt.status, p.Status)
			require.Equal(t, tt.captured, p.Captured.String())
			require.Equal(t, tt.captured, p.Left().String())
			require.Equal(t, tt.number, p.ReferenceNumber)
			require.Equal(t, customerName, string(p.Customer.Name), "whom the event names that agrees with what was decided")
			require.Equal(t, completed, s.path())
			require.Equal(t, 1, s.gateway.count(authorize), "never sent again")
			require.Zero(t, s.gateway.count(activity.CancelTicket.Name()))
			require.Equal(t, eventsReviewed, s.inbox.events(books))
			require.Equal(t, tt.decided, s.reviewed().Decision.Source)
			if tt.evidence != "" {
				require.Contains(t, s.evidence(), tt.evidence)
			}
			if tt.person != "" {
				s.outcome("word", tt.refused)
			}
			require.Equal(t, payment.StatusCompleted, answerOf[workflows.CancelOutcome](s, "cancel").Payment.Status)
			s.checkNothingPrivate()
		})
	}
}

// TestFeesThatAreNotTold says that a fee which the gateway does not tell is no
// fee of zero.
func TestFeesThatAreNotTold(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.gateway.script(activity.Authorize.Name(), answer{says: func(t *activity.Ticket) { t.Fee, t.NetAmount = nil, nil }})
	s.at(20*time.Second, s.confirms)
	s.process()
	p := s.record().Payment
	require.Equal(t, payment.StatusCompleted, p.Status)
	require.Nil(t, p.Fee)
	require.Nil(t, p.NetAmount)
	require.Equal(t, total, *p.Captured)
}

// TestEveryAnswer says what comes of each answer to a call about money, executed
// or not: what was done is found, what was not is told as such, and nothing is
// sent twice.
func TestEveryAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		code string // of a payment or refund that was refused; empty: nobody knows
	}{
		{"declined", declined("BTRA_0044"), "BTRA_0044"},
		{"failed with a status error", declined("BTRA_0005"), "BTRA_0005"},
		{"invalid", gatewayError(activity.KindInvalid, "BTRA_0006", false), "BTRA_0006"},
		{"the token has expired", gatewayError(activity.KindAuthentication, athmovil.CodeTokenExpired, false), athmovil.CodeTokenExpired},
		{"may follow a success", lookFirst(athmovil.CodeWrongStatus), ""},
		{"a code that says nothing", gatewayError(activity.KindUnknown, "BTRA_9998", true), ""},
		{"no answer", unknown(), ""},
		{"the worker died", workerDied(), ""},
	} {
		for _, executed := range []bool{false, true} {
			t.Run(fmt.Sprintf("authorize/%s/%t", tt.name, executed), func(t *testing.T) {
				t.Parallel()
				s := newFixture(t)
				s.gateway.script(activity.Authorize.Name(), answer{err: tt.err, executes: executed})
				s.at(20*time.Second, s.confirms)
				s.process()
				p := s.record().Payment
				s.checkAlways()
				s.checkTruth()
				if tt.code == "" || executed {
					require.Equal(t, payment.StatusCompleted, p.Status)
					return
				}
				require.Equal(t, payment.StatusFailed, p.Status)
				require.Equal(t, tt.code, p.Failure.Code)
				require.Equal(t, activity.TicketOver, s.gateway.ticket.Status, "nobody can authorize it any more")
			})
			t.Run(fmt.Sprintf("refund/%s/%t", tt.name, executed), func(t *testing.T) {
				t.Parallel()
				s := newFixture(t)
				s.paid()
				s.gateway.script(activity.Refund.Name(), answer{err: tt.err, executes: executed})
				s.at(5*time.Minute, func() {
					require.Equal(t, !executed && tt.code == "", s.refundRow().NeedsReview)
					if s.refundRow().NeedsReview {
						s.person("word", payment.VerdictNotExecuted)
					}
				})
				s.refund()
				r := s.refundRow()
				require.Equal(t, executed, r.Status == payment.RefundCompleted)
				require.Equal(t, 1, s.gateway.count(activity.Refund.Name()), "never sent again")
				require.Equal(t, s.gateway.ticket.TotalRefunded, s.record().Payment.RefundedAmount)
				if !executed && tt.code != "" {
					require.Equal(t, tt.code, r.Failure.Code)
				}
			})
		}
	}
}
