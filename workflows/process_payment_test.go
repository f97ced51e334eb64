package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func TestHappyPath(t *testing.T) {
	t.Parallel()
	run(t, []paymentCase{
		{
			name: "the webhook comes after the debit",
			script: func(s *fixture) {
				s.at(0, func() { s.ask(workflows.UpdateAwaitTicket, "ticket") })
				s.at(20*time.Second, s.confirms)
				s.at(25*time.Second, func() { s.event(genuine()) })
			},
			path: completed, events: eventsCompleted, authorizes: 1,
			also: func(s *fixture) {
				require.Equal(s.t, payment.StatusOpen, answerOf[workflows.TicketOutcome](s, "ticket").Payment.Status)
				require.Equal(s.t, start.Add(200*time.Millisecond), s.answers["ticket"].at)
				p := s.record().Payment
				require.Equal(s.t, start.Add(21200*time.Millisecond), *p.CompletedAt)
				require.JSONEq(s.t, asJSON(s.t, p), asJSON(s.t, s.inbox.received(books)[1].Payment))
				require.Equal(s.t, start.Add(25*time.Second), s.inbox.received(books)[1].OccurredAt)
			},
		},
		{
			name: "an answer is as precise as what is stored",
			script: func(s *fixture) {
				s.env.SetStartTime(start.Add(789 * time.Nanosecond))
				s.at(20*time.Second, s.confirms)
				s.at(22*time.Second, s.askCancel)
				s.at(24*time.Second, func() {
					answered := answerOf[workflows.CancelOutcome](s, "cancel").Payment
					require.Equal(s.t, payment.StatusCompleted, answered.Status)
					require.JSONEq(s.t, asJSON(s.t, s.record().Payment), asJSON(s.t, *answered))
				})
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "the webhook overtakes the debit's answer",
			script: func(s *fixture) {
				s.gateway.script(activity.Authorize.Name(), answer{after: 4 * time.Second})
				s.at(20*time.Second, s.confirms)
				s.at(22*time.Second, func() { s.event(genuine()) })
			},
			path: completed, events: eventsCompleted, authorizes: 1,
			also: func(s *fixture) {
				require.Equal(s.t, start.Add(25*time.Second), s.inbox.received(books)[1].OccurredAt)
			},
		},
		{
			name:   "no webhook comes, so receivers are notified without a payer after 10 s",
			script: func(s *fixture) { s.at(20*time.Second, s.confirms) },
			path:   completed, events: eventsCompleted, authorizes: 1, anonymous: true,
			also: func(s *fixture) {
				n := s.inbox.received(books)[1]
				require.True(s.t, n.Payment.Customer.IsZero())
				require.Equal(s.t, n.Payment.CompletedAt.Add(10*time.Second), n.OccurredAt)
			},
		},
		{
			name: "a webhook after the notification still reaches the store, at once",
			script: func(s *fixture) {
				// A receiver that fails keeps the workflow open.
				s.receivers.On(payment.EventCompleted, "slow", s.inbox.receiver("slow", failures(6)...))
				s.at(20*time.Second, s.confirms)
				s.at(33*time.Second, func() { s.event(genuine()) })
				s.at(34*time.Second, func() {
					require.Equal(s.t, customerEmail, string(s.record().Payment.Customer.Email))
				})
			},
			path: completed, events: eventsCompleted, authorizes: 1,
			also: func(s *fixture) {
				require.True(s.t, s.inbox.received(books)[1].Payment.Customer.IsZero())
			},
		},
		{
			name: "the same webhook many times changes nothing",
			script: func(s *fixture) {
				s.gateway.poll = 10 * time.Second
				for i := range 50 {
					s.at(5*time.Second+time.Duration(i)*time.Millisecond, func() { s.event(genuine()) })
				}
				s.at(20*time.Second, s.confirms)
				for range 50 {
					s.at(20*time.Second, func() { s.event(genuine()) })
				}
			},
			path: completed, events: eventsCompleted, authorizes: 1,
			also: func(s *fixture) {
				require.LessOrEqual(s.t, s.gateway.count(activity.FindTicket.Name()), 5, "hints are coalesced")
			},
		},
		{
			name: "a hint is quicker than the poll",
			script: func(s *fixture) {
				s.gateway.poll = time.Minute
				s.at(20*time.Second, s.confirms)
				s.at(20*time.Second, func() { s.event(workflows.GatewayEvent{Digest: "hint", Kind: "ecommerce_cancelled"}) })
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
			also: func(s *fixture) {
				require.Equal(s.t, start.Add(20200*time.Millisecond), s.gateway.times(activity.Authorize.Name())[0])
			},
		},
		{
			name: "what the poller saw is looked at, and not taken for it",
			script: func(s *fixture) {
				s.at(30*time.Second, func() { s.env.SignalWorkflow(workflows.SignalTicketSeen, nil) })
				s.at(40*time.Second, s.confirms)
				s.at(50*time.Second, func() { s.event(genuine()) })
			},
			path: completed, events: eventsCompleted, authorizes: 1,
			also: func(s *fixture) {
				require.Equal(s.t, []time.Time{start.Add(30 * time.Second), start.Add(40800 * time.Millisecond)}, s.gateway.times(activity.FindTicket.Name()))
			},
		},
		{
			name: "a look that lags behind the poller's is repeated",
			script: func(s *fixture) {
				s.at(30*time.Second, func() {
					s.gateway.told[activity.TicketConfirmed] = true // and so is never told again
					s.env.SignalWorkflow(workflows.SignalTicketSeen, nil)
				})
				s.at(31*time.Second, s.confirms)
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
			also: func(s *fixture) {
				require.Equal(s.t, start.Add(60400*time.Millisecond), s.gateway.times(activity.Authorize.Name())[0])
			},
		},
		{
			name: "the worker dies while the store is away: another poller is found within a minute",
			script: func(s *fixture) {
				s.at(100*time.Millisecond, func() { s.records.away.Store(true) })
				s.at(10*time.Second, func() { s.gateway.Forget(paymentID) }) // what a worker remembers is gone
				s.at(20*time.Second, s.confirms)
				s.at(15*time.Minute, func() { s.records.away.Store(false) })
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
			also: func(s *fixture) {
				require.LessOrEqual(s.t, s.gateway.times(activity.Authorize.Name())[0].Sub(start), 62*time.Second)
			},
		},
		{
			name: "a ticket comes before a poller every minute",
			path: "pending open expired", events: "payment_created payment_expired", cancels: 1,
			also: func(s *fixture) { require.Equal(s.t, 10, s.gateway.watched, "with its row, and nine times more") },
		},
		{
			name: "somebody else debited",
			script: func(s *fixture) {
				s.gateway.debits = 1
				s.at(20*time.Second, func() { s.gateway.becomes(activity.TicketCompleted) })
				s.at(22*time.Second, func() { s.event(genuine()) })
			},
			path: completed, events: eventsCompleted,
		},
	})
}

func TestPayerDetails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		forge func(*workflows.GatewayEvent)
		taken bool
	}{
		{"genuine", func(*workflows.GatewayEvent) {}, true},
		{"named by the payment's id", func(e *workflows.GatewayEvent) { e.EcommerceID, e.PaymentID = "", paymentID }, true},
		{"another ticket", func(e *workflows.GatewayEvent) { e.EcommerceID = "1ab257f5-3837-11ed-855f-9b4af5a393ce" }, false},
		{"another ticket with the payment's id", func(e *workflows.GatewayEvent) {
			e.EcommerceID, e.PaymentID = "1ab257f5-3837-11ed-855f-9b4af5a393ce", paymentID
		}, false},
		{"no name at all", func(e *workflows.GatewayEvent) { e.EcommerceID = "" }, false},
		{"another reference", func(e *workflows.GatewayEvent) { e.ReferenceNumber = "215070443-0" }, false},
		{"no reference", func(e *workflows.GatewayEvent) { e.ReferenceNumber = "" }, false},
		{"another total", func(e *workflows.GatewayEvent) { *e.Total = money.FromCents(1) }, false},
		{"no total", func(e *workflows.GatewayEvent) { e.Total = nil }, false},
		{"another kind", func(e *workflows.GatewayEvent) { e.Kind = "ecommerce_cancelled" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			forged := genuine()
			tt.forge(&forged)
			s.at(5*time.Second, func() {
				s.event(forged)
				s.at(time.Second, func() {
					require.True(t, s.record().Payment.Customer.IsZero(), "an open ticket has no payer")
				})
			})
			s.at(20*time.Second, s.confirms)
			s.process()
			require.Equal(t, tt.taken, !s.record().Payment.Customer.IsZero())
			s.checkAlways()

			// Whatever was forged, the genuine event is still heard.
			s = newFixture(t)
			s.at(5*time.Second, func() { s.event(forged) })
			s.at(20*time.Second, s.confirms)
			s.at(23*time.Second, func() { s.event(genuine()) })
			s.process()
			require.Equal(t, customerName, string(s.record().Payment.Customer.Name))
			s.checkAlways()
		})
	}
}

func TestNobodyConfirms(t *testing.T) {
	t.Parallel()
	seenAt := func(before time.Duration) func(*fixture) {
		return func(s *fixture) { s.at(10*time.Minute-before-s.gateway.poll, s.cancels) }
	}
	run(t, []paymentCase{
		{
			name:   "the customer cancels",
			script: func(s *fixture) { s.at(time.Minute, s.cancels) },
			path:   "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed,
		},
		{
			name:   "over just before the margin is cancelled",
			script: seenAt(5100 * time.Millisecond),
			path:   "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed,
		},
		{
			name:   "over within the margin is expired",
			script: seenAt(5 * time.Second),
			path:   "pending open expired", events: "payment_created payment_expired",
		},
		{
			name:   "expired by the gateway's own word, long before the deadline",
			script: func(s *fixture) { s.at(time.Minute, func() { s.gateway.becomes(activity.TicketExpired) }) },
			path:   "pending open expired", events: "payment_created payment_expired",
		},
		{
			name: "no worker was there until after the deadline: nobody is waited for",
			script: func(s *fixture) {
				s.gateway.script(activity.CreateTicket.Name(), answer{after: 20 * time.Minute})
			},
			path: "pending open expired", events: "payment_created payment_expired", cancels: 1,
		},
		{
			name: "the deadline finds the ticket open, and cancels it",
			path: "pending open expired", events: "payment_created payment_expired", cancels: 1,
			also: func(s *fixture) {
				require.Equal(s.t, []string{activity.FindTicket.Name(), activity.CancelTicket.Name(), activity.FindTicket.Name()},
					s.gateway.order(activity.FindTicket.Name()))
				require.Equal(s.t, start.Add(10*time.Minute), s.gateway.times(activity.FindTicket.Name())[0])
			},
		},
		{
			name:   "the deadline finds a confirmation",
			script: func(s *fixture) { s.at(10*time.Minute-100*time.Millisecond, s.confirms) },
			path:   completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "a confirmation overtakes the cancellation at the deadline",
			script: func(s *fixture) {
				s.gateway.script(activity.CancelTicket.Name(), answer{err: unavailable()})
				s.at(10*time.Minute+300*time.Millisecond, s.confirms)
			},
			path: completed, events: eventsCompleted, authorizes: 1, cancels: 1, anonymous: true,
		},
		{
			name: "the gateway refuses the cancellation for a while",
			script: func(s *fixture) {
				s.gateway.script(activity.CancelTicket.Name(), answer{err: unavailable()}, answer{err: unknown()}, answer{err: workerDied()})
			},
			path: "pending open expired", events: "payment_created payment_expired", cancels: 4,
		},
		{
			name: "a state that nobody knows decides nothing",
			script: func(s *fixture) {
				s.at(time.Minute, func() { s.gateway.becomes("PAUSED") })
				s.at(10*time.Minute+time.Second, func() { s.gateway.becomes(activity.TicketOpen) })
			},
			path: "pending open expired", events: "payment_created payment_expired", cancels: 1,
		},
	})
}

func TestMerchantCancels(t *testing.T) {
	t.Parallel()
	cancelled := func(s *fixture) {
		require.Equal(s.t, s.record().Payment.Status, answerOf[workflows.CancelOutcome](s, "cancel").Payment.Status)
	}
	run(t, []paymentCase{
		{
			name:   "before the ticket is asked for",
			script: func(s *fixture) { s.at(0, s.askCancel) },
			path:   "pending cancelled", failure: payment.FailureCancelledByMerchant, events: "payment_failed", also: cancelled,
		},
		{
			name: "while the ticket is asked for",
			script: func(s *fixture) {
				s.gateway.script(activity.CreateTicket.Name(), answer{after: 5 * time.Second})
				s.at(2*time.Second, s.askCancel)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 1, also: cancelled,
		},
		{
			name: "between two tries to get a ticket",
			script: func(s *fixture) {
				s.gateway.script(activity.CreateTicket.Name(), answer{err: unavailable()})
				s.at(500*time.Millisecond, s.askCancel)
			},
			path: "pending cancelled", failure: payment.FailureCancelledByMerchant, events: "payment_failed", creates: 1, also: cancelled,
		},
		{
			name:   "while the customer thinks",
			script: func(s *fixture) { s.at(time.Minute, s.askCancel) },
			path:   "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 1, also: cancelled,
		},
		{
			name: "after the customer confirmed, before anybody saw it",
			script: func(s *fixture) {
				s.gateway.poll = 10 * time.Second
				s.at(time.Minute, s.confirms)
				s.at(time.Minute+time.Second, s.askCancel)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 1, also: cancelled,
		},
		{
			name: "after the customer confirmed, and the cancellation is lost at first",
			script: func(s *fixture) {
				s.gateway.poll = 10 * time.Second
				s.gateway.script(activity.CancelTicket.Name(), answer{err: unknown()}, answer{err: unknown(), executes: true})
				s.at(time.Minute, s.confirms)
				s.at(time.Minute+time.Second, s.askCancel)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 2, also: cancelled,
		},
		{
			name: "twice",
			script: func(s *fixture) {
				s.at(time.Minute, s.askCancel)
				s.at(time.Minute, func() { s.ask(workflows.UpdateCancel, "again") })
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 1,
			also: func(s *fixture) {
				cancelled(s)
				require.Equal(s.t, answerOf[workflows.CancelOutcome](s, "cancel"), answerOf[workflows.CancelOutcome](s, "again"))
			},
		},
		{
			name: "while the debit is under way: too late",
			script: func(s *fixture) {
				s.gateway.script(activity.Authorize.Name(), answer{after: 10 * time.Second})
				s.at(time.Minute, s.confirms)
				s.at(65*time.Second, s.askCancel)
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
			also: func(s *fixture) {
				cancelled(s)
				require.Equal(s.t, start.Add(71*time.Second), s.answers["cancel"].at, "answered with the debit's outcome")
			},
		},
		{
			name: "while the debit's outcome is not known: too late",
			script: func(s *fixture) {
				s.gateway.script(activity.Authorize.Name(), answer{err: unknown()})
				s.at(time.Minute, s.confirms)
				s.at(70*time.Second, s.askCancel)
			},
			path: completed, events: eventsCompleted, authorizes: 2, anonymous: true, also: cancelled,
		},
		{
			name: "just after the customer's own cancellation",
			script: func(s *fixture) {
				s.gateway.poll = 10 * time.Second
				s.at(time.Minute, s.cancels)
				s.at(time.Minute+time.Second, s.askCancel)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 1, also: cancelled,
		},
		{
			name: "at the deadline, where it is accepted too late to count",
			script: func(s *fixture) {
				s.at(10*time.Minute-100*time.Millisecond, s.askCancel)
			},
			path: "pending open expired", events: "payment_created payment_expired", cancels: 1, also: cancelled,
		},
		{
			name: "after the end",
			script: func(s *fixture) {
				s.receivers.On(payment.EventFailed, "slow", s.inbox.receiver("slow", failures(5)...))
				s.at(time.Minute, s.cancels)
				s.at(time.Minute+5*time.Second, s.askCancel)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed, also: cancelled,
		},
		{
			name:   "by cancelling the workflow",
			script: func(s *fixture) { s.at(time.Minute, s.env.CancelWorkflow) },
			path:   "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 1,
		},
		{
			name: "by cancelling the workflow, while others wait for their answers",
			script: func(s *fixture) {
				s.gateway.script(activity.CreateTicket.Name(), answer{after: 5 * time.Second})
				s.at(time.Second, func() { s.ask(workflows.UpdateAwaitTicket, "ticket") })
				s.at(2*time.Second, s.env.CancelWorkflow)
				s.at(3*time.Second, s.askCancel)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByMerchant, events: eventsFailed, cancels: 1,
			also: func(s *fixture) {
				cancelled(s)
				require.NotEqual(s.t, payment.StatusPending, answerOf[workflows.TicketOutcome](s, "ticket").Payment.Status)
			},
		},
		{
			name: "by cancelling the workflow while the debit is under way: too late",
			script: func(s *fixture) {
				s.gateway.script(activity.Authorize.Name(), answer{after: 10 * time.Second})
				s.at(time.Minute, s.confirms)
				s.at(65*time.Second, s.env.CancelWorkflow)
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
	})
}

func TestCreate(t *testing.T) {
	t.Parallel()
	const failed = "pending failed"
	create := func(answers ...answer) func(*fixture) {
		return func(s *fixture) {
			s.at(0, func() { s.ask(workflows.UpdateAwaitTicket, "ticket") })
			s.gateway.script(activity.CreateTicket.Name(), answers...)
			s.at(time.Minute, s.cancels) // of a ticket that was made after all
		}
	}
	ended := func(s *fixture) {
		p := s.record().Payment
		answered := answerOf[workflows.TicketOutcome](s, "ticket").Payment
		require.Equal(s.t, p.Status, answered.Status)
		require.Equal(s.t, p.Failure, answered.Failure)
		require.Empty(s.t, p.EcommerceID)
	}
	opened := func(s *fixture) {
		require.Equal(s.t, payment.StatusOpen, answerOf[workflows.TicketOutcome](s, "ticket").Payment.Status)
	}
	const over = "pending open cancelled"
	run(t, []paymentCase{
		{
			name: "declined", script: create(answer{err: declined("BTRA_0009")}),
			path: failed, failure: "BTRA_0009", events: "payment_failed", creates: 1, also: ended,
		},
		{
			name: "refused without a code", script: create(answer{err: gatewayError(activity.KindInvalid, "", false)}),
			path: failed, failure: payment.FailureGatewayRefused, events: "payment_failed", creates: 1, also: ended,
		},
		{
			name: "unavailable three times", script: create(answer{err: unavailable()}, answer{err: unavailable()}, answer{err: unavailable()}),
			path: failed, failure: payment.FailureGatewayUnavailable, events: "payment_failed", creates: 3, also: ended,
		},
		{
			name: "unavailable twice, then a ticket", script: create(answer{err: unavailable()}, answer{err: unavailable()}),
			path: over, failure: payment.FailureCancelledByCustomer, events: eventsFailed, creates: 3, also: opened,
		},
		{
			name: "the answer is lost twice", script: create(answer{err: unknown()}, answer{err: workerDied()}),
			path: failed, failure: payment.FailureGatewayNoAnswer, events: "payment_failed", creates: 2, also: ended,
		},
		{
			name: "the answer is lost once, then a ticket", script: create(answer{err: unknown(), executes: true}),
			path: over, failure: payment.FailureCancelledByCustomer, events: eventsFailed, creates: 2, also: opened,
		},
		{
			name:   "lost and unavailable are counted apart",
			script: create(answer{err: unavailable()}, answer{err: unknown()}, answer{err: unavailable()}, answer{err: unknown()}),
			path:   failed, failure: payment.FailureGatewayNoAnswer, events: "payment_failed", creates: 4, also: ended,
		},
		{
			name: "no worker begins in time", script: create(answer{err: neverStarted()}),
			path: failed, failure: payment.FailureStale, events: "payment_failed", creates: 1, also: ended,
		},
		{
			name:   "the workflow begins too late",
			input:  func(in *workflows.ProcessPaymentInput) { in.CreatedAt = start.Add(-31 * time.Second) },
			script: create(),
			path:   failed, failure: payment.FailureStale, events: "payment_failed", also: ended,
		},
		{
			name: "the store is away, and the customer is asked all the same",
			script: func(s *fixture) {
				create()(s)
				s.storeLeaves()
				s.at(40*time.Second, s.storeReturns)
			},
			path: over, failure: payment.FailureCancelledByCustomer, events: eventsFailed, creates: 1, also: opened,
		},
		{
			// The store was restored, and has the reference's place taken.
			name: "another payment has the reference",
			script: func(s *fixture) {
				create()(s)
				other := ledger.Record{Revision: 1, Payment: payment.Payment{
					ID: ledger.DeriveID("default", "another"), Status: payment.StatusOpen,
					Request:   payment.Request{Reference: order, Total: total, ExpiresIn: time.Minute},
					CreatedAt: start, UpdatedAt: start, ExpiresAt: start.Add(time.Minute),
				}}
				_, err := s.db.RecordPayment(s.t.Context(), ledger.Change{Record: other})
				require.NoError(s.t, err)
				s.at(30*time.Second, func() {
					other.Payment.Status, other.Revision = payment.StatusExpired, 2
					_, err := s.db.RecordPayment(s.t.Context(), ledger.Change{Record: other})
					require.NoError(s.t, err)
				})
			},
			path: over, failure: payment.FailureCancelledByCustomer, events: eventsFailed, creates: 1, also: opened,
		},
	})
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	authorize := activity.Authorize.Name()
	confirmed := func(answers ...answer) func(*fixture) {
		return func(s *fixture) {
			s.gateway.script(authorize, answers...)
			s.at(20*time.Second, s.confirms)
		}
	}
	run(t, []paymentCase{
		{
			name: "declined", script: confirmed(answer{err: declined("BTRA_0044")}),
			path: "pending open confirmed failed", failure: "BTRA_0044", events: eventsFailed, authorizes: 1, cancels: 1,
			also: func(s *fixture) {
				require.Equal(s.t, activity.TicketOver, s.gateway.ticket.Status, "nobody will authorize it")
			},
		},
		{
			name: "declined, and debited all the same", script: confirmed(answer{err: declined("BTRA_0044"), executes: true}),
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "declined, and over by then",
			script: func(s *fixture) {
				confirmed(answer{err: declined("BTRA_0005")})(s)
				s.at(21100*time.Millisecond, s.cancels)
			},
			path: "pending open confirmed failed", failure: "BTRA_0005", events: eventsFailed, authorizes: 1,
		},
		{
			name: "declined, and the ticket cannot be cancelled for a while",
			script: func(s *fixture) {
				confirmed(answer{err: declined("BTRA_0044")})(s)
				s.gateway.script(activity.CancelTicket.Name(), answer{err: unavailable()}, answer{err: unknown()})
			},
			path: "pending open confirmed failed", failure: "BTRA_0044", events: eventsFailed, authorizes: 1, cancels: 3,
		},
		{
			name:   "the ticket's token has expired, and it was debited all the same",
			script: confirmed(answer{err: gatewayError(activity.KindAuthentication, athmovil.CodeTokenExpired, false), executes: true}),
			path:   completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "the answer is lost, and the look finds the debit", script: confirmed(answer{err: unknown(), executes: true}),
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "the worker dies after it sent", script: confirmed(answer{err: workerDied(), executes: true, after: 35 * time.Second}),
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "the debit happens some time after the answer was lost",
			script: func(s *fixture) {
				confirmed(answer{err: unknown()})(s)
				s.at(45*time.Second, func() {
					s.gateway.debits++
					s.gateway.becomes(activity.TicketCompleted)
				})
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "the answer is lost, and the ticket stays confirmed longer than a call lasts", script: confirmed(answer{err: unknown()}),
			path: completed, events: eventsCompleted, authorizes: 2, anonymous: true,
			also: func(s *fixture) {
				tries := s.gateway.times(authorize)
				ended := tries[0].Add(s.gateway.latency)
				require.GreaterOrEqual(s.t, tries[1].Sub(ended), 30*time.Second)
			},
		},
		{
			name: "the request was surely not sent", script: confirmed(answer{err: unavailable()}, answer{err: unavailable()}),
			path: completed, events: eventsCompleted, authorizes: 3, anonymous: true,
			also: func(s *fixture) {
				require.Less(s.t, s.gateway.times(authorize)[2].Sub(start), 30*time.Second, "no reason to wait")
			},
		},
		{
			name: "the answer is lost, and the ticket is cancelled",
			script: func(s *fixture) {
				confirmed(answer{err: unknown()})(s)
				s.at(30*time.Second, s.cancels)
			},
			path: "pending open confirmed cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed, authorizes: 1,
		},
		{
			name: "the answer is lost, and the ticket expires",
			script: func(s *fixture) {
				s.gateway.script(authorize, answer{err: unknown()})
				s.at(9*time.Minute+50*time.Second, s.confirms)
				s.at(10*time.Minute+time.Second, s.cancels)
			},
			path: "pending open confirmed expired", events: "payment_created payment_expired", authorizes: 1,
		},
		{
			name: "not confirmed, it says, and was debited before", script: confirmed(answer{err: lookFirst(athmovil.CodeNotConfirmed), executes: true}),
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "refused for good at the second try", script: confirmed(answer{err: unknown()}, answer{err: declined("BTRA_0045")}),
			path: "pending open confirmed failed", failure: "BTRA_0045", events: eventsFailed, authorizes: 2, cancels: 1,
		},
		{
			name:  "a second try is forbidden, so a person is asked",
			input: func(in *workflows.ProcessPaymentInput) { in.Timing.ForbidSecondAuthorize = true },
			script: func(s *fixture) {
				confirmed(answer{err: unknown()})(s)
				s.at(2*time.Minute, func() {
					p := s.record().Payment
					require.True(s.t, p.NeedsReview)
					require.Equal(s.t, payment.StatusConfirmed, p.Status)
				})
				s.at(10*time.Minute, s.cancels)
			},
			path: "pending open confirmed expired", events: "payment_created payment_needs_review payment_expired", authorizes: 1,
		},
		{
			name: "no worker takes the debit up, so a person is asked",
			script: func(s *fixture) {
				confirmed(answer{after: time.Hour})(s)
				s.at(25*time.Minute+time.Second, func() {
					require.True(s.t, s.record().Payment.NeedsReview)
				})
			},
			path: completed, events: "payment_created payment_needs_review payment_completed", authorizes: 1, anonymous: true,
		},
	})
}

func TestGatewayAway(t *testing.T) {
	t.Parallel()
	inReview := func(s *fixture, at time.Duration) {
		s.at(at, func() {
			p := s.record().Payment
			require.True(s.t, p.NeedsReview)
			require.False(s.t, p.Status.Terminal())
			require.Equal(s.t, payment.DeliveryDelivered, s.delivery(payment.EventNeedsReview, books).Status, "as soon as it is known")
			require.Len(s.t, s.upserts, 1)
		})
	}
	run(t, []paymentCase{
		{
			name: "for less than the grace period",
			script: func(s *fixture) {
				s.at(9*time.Minute, s.gateway.leave)
				s.at(9*time.Minute, s.confirms)
				s.at(20*time.Minute, s.gateway.back)
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
		},
		{
			name: "beyond the grace period, and the ticket died meanwhile",
			script: func(s *fixture) {
				s.at(9*time.Minute, s.gateway.leave)
				s.at(10*time.Minute, s.cancels)
				inReview(s, 25*time.Minute+time.Second)
				s.at(3*time.Hour, s.gateway.back)
			},
			path: "pending open expired", events: "payment_created payment_needs_review payment_expired",
		},
		{
			name: "beyond the grace period, and the customer confirmed",
			script: func(s *fixture) {
				s.at(9*time.Minute, s.gateway.leave)
				s.at(9*time.Minute, s.confirms)
				inReview(s, 25*time.Minute+time.Second)
				s.at(3*time.Hour, s.gateway.back)
			},
			path: completed, events: "payment_created payment_needs_review payment_completed", authorizes: 1, anonymous: true,
		},
		{
			name: "after the debit was sent",
			script: func(s *fixture) {
				s.gateway.script(activity.Authorize.Name(), answer{err: unknown(), executes: true})
				s.at(20*time.Second, s.confirms)
				s.at(20*time.Second+s.gateway.poll+time.Millisecond, s.gateway.leave)
				inReview(s, 25*time.Minute+time.Second)
				s.at(3*time.Hour, s.gateway.back)
			},
			path: completed, events: "payment_created payment_needs_review payment_completed", authorizes: 1, anonymous: true,
		},
		{
			name: "it answers, but never decides; then it looks every hour",
			script: func(s *fixture) {
				s.at(time.Minute, func() { s.gateway.becomes("PAUSED") })
				inReview(s, 25*time.Minute+time.Second)
				s.at(10*time.Hour, func() { s.gateway.becomes(activity.TicketExpired) })
			},
			path: "pending open expired", events: "payment_created payment_needs_review payment_expired",
			also: func(s *fixture) {
				looks := s.gateway.times(activity.FindTicket.Name())
				require.Equal(s.t, time.Hour, looks[len(looks)-1].Sub(looks[len(looks)-2]).Round(time.Minute))
			},
		},
	})
}

func TestSetPhoneNumber(t *testing.T) {
	t.Parallel()
	const another = "7875559876"
	without := func(in *workflows.ProcessPaymentInput) { in.Request.PhoneNumber = "" }
	set := func(s *fixture) func() {
		return func() {
			s.ask(workflows.UpdateSetPhoneNumber, "phone", workflows.SetPhoneNumberRequest{PhoneNumber: another})
		}
	}
	run(t, []paymentCase{
		{
			name: "taken", input: without,
			script: func(s *fixture) {
				s.at(100*time.Millisecond, set(s)) // waits for the ticket
				s.at(20*time.Second, s.cancels)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed,
			also: func(s *fixture) {
				outcome := answerOf[workflows.PhoneNumberOutcome](s, "phone")
				require.Nil(s.t, outcome.Failure)
				require.Equal(s.t, payment.StatusOpen, outcome.Payment.Status)
				require.Equal(s.t, another, s.gateway.phone)
				require.Equal(s.t, another, string(s.record().Payment.PhoneNumber))
			},
		},
		{
			name: "refused, since there is one",
			script: func(s *fixture) {
				s.gateway.phone = customerPhone
				s.at(10*time.Second, set(s))
				s.at(20*time.Second, s.cancels)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed,
			also: func(s *fixture) {
				outcome := answerOf[workflows.PhoneNumberOutcome](s, "phone")
				require.Equal(s.t, payment.StatusOpen, outcome.Payment.Status)
				require.Equal(s.t, athmovil.CodePhoneAssigned, outcome.Failure.Code)
				require.Equal(s.t, customerPhone, string(s.record().Payment.PhoneNumber))
			},
		},
		{
			name: "no answer", input: without,
			script: func(s *fixture) {
				s.gateway.script(activity.SetPhoneNumber.Name(), answer{err: unknown()})
				s.at(10*time.Second, set(s))
				s.at(20*time.Second, s.cancels)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed,
			also: func(s *fixture) {
				require.Equal(s.t, payment.FailureGatewayNoAnswer, answerOf[workflows.PhoneNumberOutcome](s, "phone").Failure.Code)
			},
		},
		{
			name: "after the end", input: without,
			script: func(s *fixture) {
				s.receivers.On(payment.EventFailed, "slow", s.inbox.receiver("slow", failures(5)...))
				s.at(20*time.Second, s.cancels)
				s.at(25*time.Second, set(s))
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed,
			also: func(s *fixture) {
				outcome := answerOf[workflows.PhoneNumberOutcome](s, "phone")
				require.Equal(s.t, payment.StatusCancelled, outcome.Payment.Status)
				require.Equal(s.t, payment.FailureEnded, outcome.Failure.Code)
				require.Zero(s.t, s.gateway.count(activity.SetPhoneNumber.Name()))
			},
		},
	})
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	debited := func(s *fixture, at time.Duration) {
		s.at(at, func() {
			require.Equal(s.t, 1, s.gateway.debits, "a store that is away never costs a sale")
			require.NotEqual(s.t, payment.StatusCompleted, s.record().Payment.Status)
			require.Positive(s.t, s.records.tries.Load())
		})
	}
	atOnce := func(s *fixture) {
		require.Equal(s.t, start.Add(21*time.Second), s.gateway.times(activity.Authorize.Name())[0])
	}
	run(t, []paymentCase{
		{
			name: "from the confirmation on",
			script: func(s *fixture) {
				s.at(20*time.Second, s.confirms)
				s.at(20*time.Second, s.storeLeaves)
				debited(s, 59*time.Minute)
				s.at(24*time.Second, func() { s.event(genuine()) })
				s.at(30*time.Second, s.askCancel)
				s.at(time.Hour, s.storeReturns)
			},
			path: completed, events: eventsCompleted, authorizes: 1,
			also: func(s *fixture) {
				atOnce(s)
				require.Equal(s.t, payment.StatusCompleted, answerOf[workflows.CancelOutcome](s, "cancel").Payment.Status)
				require.False(s.t, s.answers["cancel"].at.Before(start.Add(time.Hour)), "nobody is answered before it is written")
			},
		},
		{
			name: "from the moment on that the ticket is made",
			script: func(s *fixture) {
				s.at(0, func() { s.ask(workflows.UpdateAwaitTicket, "ticket") })
				s.at(150*time.Millisecond, s.storeLeaves)
				s.at(20*time.Second, s.confirms)
				debited(s, 59*time.Minute)
				s.at(time.Hour, s.storeReturns)
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true,
			also: func(s *fixture) {
				atOnce(s)
				require.False(s.t, s.answers["ticket"].at.Before(start.Add(time.Hour)), "the open row precedes the answer")
			},
		},
		{
			name: "while the debit's outcome is not known",
			script: func(s *fixture) {
				s.gateway.script(activity.Authorize.Name(), answer{err: unknown(), executes: true})
				s.at(20*time.Second, s.confirms)
				s.at(20*time.Second, s.storeLeaves)
				debited(s, 59*time.Minute)
				s.at(time.Hour, s.storeReturns)
			},
			path: completed, events: eventsCompleted, authorizes: 1, anonymous: true, also: atOnce,
		},
		{
			name: "at the end",
			script: func(s *fixture) {
				s.at(20*time.Second, s.storeLeaves)
				s.at(20*time.Second, s.cancels)
				s.at(time.Hour, s.storeReturns)
			},
			path: "pending open cancelled", failure: payment.FailureCancelledByCustomer, events: eventsFailed,
		},
	})
}

func TestReceivers(t *testing.T) {
	t.Parallel()

	t.Run("one that fails neither delays nor repeats another", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.receivers.On(payment.EventCompleted, "printer", s.inbox.receiver("printer", failures(3)...))
		s.at(20*time.Second, s.confirms)
		s.at(22*time.Second, func() { s.event(genuine()) })
		s.at(23*time.Second, func() {
			require.Equal(t, eventsCompleted, s.inbox.events(books))
			require.Equal(t, payment.DeliveryDelivered, s.delivery(payment.EventCompleted, books).Status)
			require.Equal(t, payment.DeliveryPending, s.delivery(payment.EventCompleted, "printer").Status)
		})
		s.process()
		s.checkAlways()
		require.Equal(t, eventsCompleted, s.inbox.events(books))
		tries := s.inbox.received("printer")
		require.Len(t, tries, 4)
		for _, n := range tries {
			require.Equal(t, tries[0], n, "every attempt is the same notification")
		}
		require.Equal(t, ledger.NotificationID(paymentID, payment.EventCompleted, 2, host, "printer"), tries[0].ID)
		d := s.delivery(payment.EventCompleted, "printer")
		require.Equal(t, payment.DeliveryDelivered, d.Status)
		require.Equal(t, 4, d.Attempts)
	})

	t.Run("one that gives up", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.receivers.On(payment.EventCompleted, "printer",
			s.inbox.receiver("printer", activities.Permanent(errors.New("no such printer for "+customerPhone))))
		s.at(20*time.Second, s.confirms)
		s.process()
		require.Equal(t, eventsCompleted, s.inbox.events(books))
		require.Len(t, s.inbox.received("printer"), 1)
		d := s.delivery(payment.EventCompleted, "printer")
		require.Equal(t, payment.DeliveryFailed, d.Status)
		require.Contains(t, string(d.LastError), customerPhone, "people see what the receiver said")
	})

	t.Run("bad ones beside a good one", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		add := func(name string, receive activities.ReceiverFunc) {
			s.receivers.Add(activities.Receiver{
				Event: payment.EventCompleted, Name: name, Func: receive,
				Retry: payment.Retry{First: time.Second, Most: time.Minute, For: 5 * time.Minute},
			})
		}
		add("fails-five-times", s.inbox.receiver("fails-five-times", failures(5)...))
		add("fails-for-ever", s.inbox.receiver("fails-for-ever", failures(1000)...))
		// A receiver that hangs is tested on the real server: here timeouts are not tried again.
		add("panics", func(context.Context, payment.Notification) error { panic("out of paper, " + customerName) })
		s.at(20*time.Second, s.confirms)
		s.at(22*time.Second, func() { s.event(genuine()) })
		s.at(23*time.Second, func() {
			require.Equal(t, eventsCompleted, s.inbox.events(books), "at once")
			require.Equal(t, payment.StatusCompleted, s.record().Payment.Status)
		})
		s.process()
		s.checkAlways()
		require.Equal(t, eventsCompleted, s.inbox.events(books), "and once")
		for name, want := range map[string]payment.DeliveryStatus{
			"fails-five-times": payment.DeliveryDelivered, "fails-for-ever": payment.DeliveryFailed,
			"panics": payment.DeliveryFailed,
		} {
			d := s.delivery(payment.EventCompleted, name)
			require.Equal(t, want, d.Status, name)
			attempts, err := s.db.Attempts(t.Context(), d.ID)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(attempts), 6, name)
			require.Len(t, attempts, d.Attempts)
		}
		require.Equal(t, 6, s.delivery(payment.EventCompleted, "fails-five-times").Attempts)
		require.Contains(t, string(s.delivery(payment.EventCompleted, "panics").LastError), "the receiver panicked: out of paper")
	})

	t.Run("one whose own workflow was canceled", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		calls := 0
		s.receivers.On(payment.EventCompleted, "printer", func(context.Context, payment.Notification) error {
			calls++
			return activities.Permanent(fmt.Errorf("print: %w", temporal.NewCanceledError()))
		})
		s.at(20*time.Second, s.confirms)
		s.process()
		require.Equal(t, 1, calls, "its error is no person's order")
		require.Equal(t, payment.DeliveryFailed, s.delivery(payment.EventCompleted, "printer").Status)
	})

	t.Run("one that is removed", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.receivers.On(payment.EventCreated, "printer", s.inbox.receiver("printer", failures(1000)...))
		s.at(10*time.Second, func() {
			s.env.SignalWorkflow(workflows.SignalDeliveries, workflows.DeliveryOrder{
				Drop: []string{ledger.NotificationID(paymentID, payment.EventCreated, 1, host, "printer")},
			})
		})
		s.at(20*time.Second, func() {
			require.Equal(t, payment.DeliveryDropped, s.delivery(payment.EventCreated, "printer").Status, "visibly, long before the end")
		})
		s.at(5*time.Minute, s.confirms)
		s.process()
		s.checkAlways()
		require.Equal(t, eventsCompleted, s.inbox.events(books))
		require.Less(t, len(s.inbox.received("printer")), 6, "the attempts have ended")
	})

	t.Run("one that is wanted now", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.receivers.Add(activities.Receiver{
			Event: payment.EventCreated, Name: "printer", Func: s.inbox.receiver("printer", failures(1)...),
			Retry: payment.Retry{First: time.Hour},
		})
		id := ledger.NotificationID(paymentID, payment.EventCreated, 1, host, "printer")
		s.at(10*time.Second, func() {
			s.ask(workflows.UpdateDeliverNow, "now", workflows.DeliverNowRequest{NotificationID: id})
			s.ask(workflows.UpdateDeliverNow, "unknown", workflows.DeliverNowRequest{NotificationID: "ntf_unknown"})
		})
		s.at(20*time.Second, func() {
			require.Len(t, s.inbox.received("printer"), 2, "not in an hour")
			require.True(t, answerOf[workflows.DeliverNowOutcome](s, "now").Trying)
			s.requireRefused("unknown", workflows.NotInFlight)
			s.ask(workflows.UpdateDeliverNow, "delivered", workflows.DeliverNowRequest{NotificationID: id})
		})
		s.at(25*time.Second, func() { s.requireRefused("delivered", workflows.NotInFlight) })
		s.at(30*time.Second, s.confirms)
		s.process()
		s.checkAlways()
		d := s.delivery(payment.EventCreated, "printer")
		require.Equal(t, payment.DeliveryDelivered, d.Status)
		require.Equal(t, id, d.ID)
		require.Equal(t, 2, d.Attempts)
	})

	t.Run("one that is wanted now too often", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.receivers.Add(activities.Receiver{
			Event: payment.EventCreated, Name: "printer", Func: s.inbox.receiver("printer", failures(1000)...),
			Retry: payment.Retry{First: time.Hour, For: 2 * time.Hour},
		})
		id := ledger.NotificationID(paymentID, payment.EventCreated, 1, host, "printer")
		for i := range 101 {
			s.at(time.Duration(10+i)*time.Second, func() {
				s.ask(workflows.UpdateDeliverNow, fmt.Sprint(i), workflows.DeliverNowRequest{NotificationID: id})
			})
		}
		s.at(5*time.Minute, s.confirms)
		s.process()
		s.checkAlways()
		require.True(t, answerOf[workflows.DeliverNowOutcome](s, "99").Trying)
		s.requireRefused("100", workflows.HurriedEnough)
		require.Equal(t, payment.DeliveryFailed, s.delivery(payment.EventCreated, "printer").Status)
	})

	t.Run("each outcome is seen when it happens", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.receivers.On(payment.EventCreated, "printer", s.inbox.receiver("printer", activities.Permanent(errors.New("no ink"))))
		s.at(10*time.Second, func() {
			require.Equal(t, payment.DeliveryDelivered, s.delivery(payment.EventCreated, books).Status)
			require.Equal(t, payment.DeliveryFailed, s.delivery(payment.EventCreated, "printer").Status)
			require.NotNil(t, s.delivery(payment.EventCreated, books).EndedAt)
		})
		s.at(5*time.Minute, s.confirms)
		s.process()
		s.checkAlways()
	})

	t.Run("the list changes", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		late := activities.NewNotifications()
		for _, event := range payment.Events() {
			late.On(event, "late", s.inbox.receiver("late"))
		}
		notify.Register(s.env, late.All(), s.db, s.env.Now)
		s.at(10*time.Second, func() {
			require.NoError(t, s.db.AnnounceReceivers(t.Context(), "museum", notify.Announced("museum", late.All())))
		})
		s.at(20*time.Second, s.confirms)
		s.process()
		s.checkAlways()
		require.Equal(t, eventsCompleted, s.inbox.events(books))
		require.Equal(t, "payment_completed", s.inbox.events("late"), "only what happens after it is announced")
	})

	t.Run("none at all", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.receivers = activities.NewNotifications()
		s.receivers.On(payment.EventReconciliationMismatch, books, s.inbox.receiver(books))
		s.at(20*time.Second, s.confirms)
		s.process()
		require.Equal(t, completed, s.path())
		require.Empty(t, s.inbox.events(books))
	})
}

func TestProcessPaymentNeedsItsID(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.execute("another-id", workflows.ProcessPaymentName, workflows.ProcessPaymentInput{PaymentID: paymentID, CreatedAt: start})
	var refused *temporal.ApplicationError
	require.ErrorAs(t, s.env.GetWorkflowError(), &refused)
	require.True(t, refused.NonRetryable())
	require.Empty(t, s.gateway.calls)
}
