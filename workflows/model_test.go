package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// checkInParallel runs a property in several goroutines at once: rapid alone uses one.
// -rapid.checks is the number of lives that each draws. rapid shortens a life that
// fails, and names a file that repeats it.
func checkInParallel(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	const runs = 2
	for i := range runs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, property)
		})
	}
}

// TestAnyPayment draws lives of payments at random. Whatever happens, the customer
// is debited once where the payment is completed and never otherwise, the
// payment ends as the gateway's ticket did, and every receiver is notified once.
func TestAnyPayment(t *testing.T) {
	t.Parallel()
	checkInParallel(t, func(rt *rapid.T) {
		s := newFixture(rt)
		chance{rt, s}.write()
		s.process()
		s.checkAlways()
		s.checkTruth()
		for id, answered := range s.answers {
			require.NoError(rt, answered.err, id)
		}
	})
}

// TestAnyRefund does so for refunds: the customer is credited once where the
// refund is completed and never otherwise, whatever else was refunded meanwhile,
// and the books never exceed the gateway's.
func TestAnyRefund(t *testing.T) {
	t.Parallel()
	checkInParallel(t, func(rt *rapid.T) {
		s := newFixture(rt)
		s.paid()
		chance{rt, s}.writeRefund()
		outcome := s.refund()
		require.NotNil(rt, outcome.Refund)
		row := s.refundRow()
		require.Equal(rt, row.Status, outcome.Refund.Status)
		require.False(rt, row.NeedsReview)
		require.LessOrEqual(rt, s.gateway.credits, 1)
		require.Equal(rt, s.gateway.credits == 1, row.Status == payment.RefundCompleted, "%s, credited %d times", row.Status, s.gateway.credits)
		require.Equal(rt, row.Status == payment.RefundFailed, row.Failure != nil)
		booked := s.record().Payment.RefundedAmount
		require.LessOrEqual(rt, booked.Cmp(s.gateway.ticket.TotalRefunded), 0, "booked %s of %s", booked, s.gateway.ticket.TotalRefunded)
		require.LessOrEqual(rt, booked.Cmp(total), 0)

		ends := map[payment.Event]int{}
		for _, n := range s.inbox.received(books) {
			if n.Refund != nil && n.Refund.ID == refundID {
				ends[n.Event]++
			}
		}
		require.Equal(rt, 1, ends[payment.EventRefundCompleted]+ends[payment.EventRefundFailed], "%v", ends)
		require.LessOrEqual(rt, ends[payment.EventNeedsReview], 1)
		deliveries, err := s.db.Deliveries(rt.Context(), paymentID)
		require.NoError(rt, err)
		for _, d := range deliveries {
			require.Equal(rt, payment.DeliveryDelivered, d.Status, "%s", d.Event)
		}
		for id, answered := range s.answers {
			require.NoError(rt, answered.err, id)
		}
		s.checkNothingPrivate()
	})
}

// checkTruth says that a terminal status rests on the gateway's own answer.
func (s *fixture) checkTruth() {
	t := s.t
	t.Helper()
	p := s.record().Payment
	switch ticket := s.gateway.ticket.Status; p.Status {
	case payment.StatusCompleted:
		require.Equal(t, activity.TicketCompleted, ticket)
		if !p.Customer.IsZero() {
			require.Equal(t, genuine().Name, p.Customer.Name, "the payer is whom the gateway's own answer vouches for")
		}
	case payment.StatusCancelled, payment.StatusExpired:
		if p.EcommerceID != "" { // a ticket whose answer was lost is nobody's, and is left to its time
			require.Equal(t, activity.TicketOver, ticket)
		}
	case payment.StatusFailed:
		require.NotEqual(t, activity.TicketCompleted, ticket)
		require.NotNil(t, p.Failure)
	case payment.StatusPending, payment.StatusOpen, payment.StatusConfirmed:
		require.Failf(t, "not terminal", "%s", p.Status)
	default:
		require.Failf(t, "no such status", "%s", p.Status)
	}
}

// chance draws what happens to a payment.
type chance struct {
	*rapid.T
	s *fixture
}

// IntN is any number from 0 to n-1; smaller ones make shorter lives.
func (c chance) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(c.T, "n") }

// oneIn is true once in n times.
func (c chance) oneIn(n int) bool { return c.IntN(n) == n-1 }

// moment is any time of a payment's life, with those around its deadline more
// often than others.
func (c chance) moment() time.Duration {
	if c.oneIn(3) {
		return 10*time.Minute + time.Duration(c.IntN(20_000)-10_000)*time.Millisecond
	}
	return time.Duration(c.IntN(600_000)) * time.Millisecond
}

func (c chance) write() {
	s := c.s
	s.gateway.poll = time.Duration(1+c.IntN(20)) * time.Second
	for _, call := range []struct {
		name  string
		kinds []func() error
	}{
		{activity.CreateTicket.Name(), []func() error{unavailable, unknown, workerDied}},
		{activity.Authorize.Name(), []func() error{
			unavailable, unknown, workerDied, func() error { return lookFirst(athmovil.CodeNotConfirmed) }, func() error { return declined("BTRA_0044") },
		}},
		{activity.CancelTicket.Name(), []func() error{unavailable, unknown, workerDied, func() error { return declined(athmovil.CodeWrongStatus) }}},
	} {
		name, kinds := call.name, call.kinds
		for i := 0; i < 6 && c.oneIn(2); i++ {
			err := kinds[c.IntN(len(kinds))]()
			s.gateway.script(name, answer{
				after: time.Duration(c.IntN(35_000)) * time.Millisecond, err: err,
				// What was not sent did not happen; a refusal may not be true.
				executes: activity.FailureOf(err).Kind != activity.KindUnavailable && c.oneIn(2),
			})
		}
	}
	s.at(0, func() { s.ask(workflows.UpdateAwaitTicket, "ticket") })
	if !c.oneIn(5) {
		s.at(c.moment(), func() { s.gateway.customer(activity.TicketConfirmed) })
	}
	for _, act := range []func(){
		func() { s.gateway.customer(activity.TicketOver) },
		s.askCancel,
		s.env.CancelWorkflow,
		func() { s.event(genuine()) },
		func() { s.event(workflows.GatewayEvent{Digest: "hint", Kind: string(ledger.KindPaymentExpired)}) },
		func() { // without a ticket, as the old dialect has it
			s.event(workflows.GatewayEvent{Digest: "old", Kind: string(ledger.KindPaymentCancelled), PaymentID: paymentID})
		},
		func() {
			forged := genuine()
			forged.Digest, forged.ReferenceNumber, forged.Name = "forged", "forged", "Mallory"
			s.event(forged)
		},
		func() { // of another payment, long ago
			stale := genuine()
			stale.Digest, stale.EcommerceID, stale.PaymentID = "stale", "another", ""
			s.event(stale)
		},
	} {
		for i := 0; i < 6 && c.oneIn(3); i++ {
			s.at(c.moment(), act)
		}
	}
	for _, absence := range [][2]func(){{s.storeLeaves, s.storeReturns}, {s.gateway.leave, s.gateway.back}} {
		if c.oneIn(2) {
			from := c.moment()
			s.at(from, absence[0])
			s.at(from+time.Millisecond+time.Duration(c.IntN(3600))*time.Second, absence[1]) // never before it left
		}
	}
	s.at(10*time.Minute+time.Duration(c.IntN(30))*time.Second, func() { s.gateway.customer(activity.TicketOver) }) // its time is over
}

// writeRefund draws what happens to a refund. Other refunds of the payment never
// add up to ours, and a person always tells the truth: what cannot be told apart
// would be guessed.
func (c chance) writeRefund() {
	s := c.s
	kinds := []func() error{
		unavailable, unknown, workerDied, func() error { return lookFirst(athmovil.CodeWrongStatus) }, func() error { return declined("BTRA_0053") },
	}
	for i := 0; i < 4 && c.oneIn(2); i++ {
		err := kinds[c.IntN(len(kinds))]()
		s.gateway.script(activity.Refund.Name(), answer{
			after: time.Duration(c.IntN(35_000)) * time.Millisecond, err: err,
			executes: activity.FailureOf(err).Kind != activity.KindUnavailable && c.oneIn(2),
		})
	}
	moment := func() time.Duration { return time.Duration(c.IntN(600_000)) * time.Millisecond }
	s.at(0, func() { s.ask(workflows.UpdateAwaitRefund, "refund") })
	elsewhere := money.FromCents(3_33)
	for i := 0; i < 3 && c.oneIn(3); i++ {
		announced := c.oneIn(2)
		s.at(moment(), func() {
			s.gateway.refunded(s.gateway.totalRefunded().Add(elsewhere))
			if announced {
				s.event(workflows.GatewayEvent{Digest: fmt.Sprint("elsewhere ", i), Kind: string(ledger.KindRefund), Total: &elsewhere})
			}
		})
	}
	for _, absence := range [][2]func(){{s.storeLeaves, s.storeReturns}, {s.gateway.leave, s.gateway.back}} {
		if c.oneIn(3) {
			from := moment()
			s.at(from, absence[0])
			s.at(from+time.Millisecond+time.Duration(c.IntN(3600))*time.Second, absence[1]) // never before it left
		}
	}
	if c.oneIn(4) {
		s.at(moment(), s.env.CancelWorkflow)
	}
	for i := 0; i < 2 && c.oneIn(3); i++ {
		// A report of yesterday, or one that lists what was executed.
		s.at(moment()+time.Hour, func() {
			s.env.SignalWorkflow(workflows.SignalReportAnswered, workflows.ReportAnswered{Until: s.env.Now(), Listed: s.gateway.credited()})
		})
	}
	for hour := range 3 { // sooner or later somebody looks into it
		s.at(3*time.Hour+time.Duration(hour)*time.Hour, func() {
			verdict := payment.VerdictNotExecuted
			if s.gateway.credited() {
				verdict = payment.VerdictCompleted
			}
			s.person(fmt.Sprint("word ", hour), verdict)
		})
	}
}

func (g *fakeGateway) totalRefunded() money.Amount {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ticket.TotalRefunded
}

func (g *fakeGateway) credited() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.credits > 0
}

// customer decides a ticket as the app would: never one that is over.
func (g *fakeGateway) customer(decides activity.TicketStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.ticket.Status {
	case activity.TicketOpen:
		g.change(decides)
	case activity.TicketConfirmed:
		if decides == activity.TicketOver {
			g.change(decides)
		}
	case activity.TicketCompleted, activity.TicketOver, activity.TicketExpired: // it is over
	default: // there is none
	}
}
