package workflows_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// TestAnyStory lets chance write the stories. Whatever happens, the customer is
// debited once where the payment is completed and never otherwise, the payment
// ends as the gateway's ticket did, and everybody is told once. A story that
// fails is told again by its number.
func TestAnyStory(t *testing.T) {
	t.Parallel()
	const stories = 60
	for seed := range uint64(stories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			chance{rand.New(rand.NewPCG(seed, 0)), s}.write()
			s.process()
			s.checkAlways()
			s.checkTruth()
			for id, answered := range s.answers {
				require.NoError(t, answered.err, id)
			}
		})
	}
}

// checkTruth says that a terminal status rests on the gateway's own answer.
func (s *scene) checkTruth() {
	t := s.t
	t.Helper()
	p := s.record().Payment
	switch ticket := s.gateway.ticket.Status; p.Status {
	case payment.StatusCompleted:
		require.Equal(t, athmovil.StatusCompleted, ticket)
	case payment.StatusCancelled, payment.StatusExpired:
		if p.EcommerceID != "" { // a ticket whose answer was lost is nobody's, and is left to its time
			require.Equal(t, athmovil.StatusCancel, ticket)
		}
	case payment.StatusFailed:
		require.NotEqual(t, athmovil.StatusCompleted, ticket)
		require.NotNil(t, p.Failure)
	case payment.StatusPending, payment.StatusOpen, payment.StatusConfirmed:
		require.Failf(t, "not terminal", "%s", p.Status)
	default:
		require.Failf(t, "no such status", "%s", p.Status)
	}
}

// chance writes a story.
type chance struct {
	*rand.Rand
	s *scene
}

// oneIn is true once in n times.
func (c chance) oneIn(n int) bool { return c.IntN(n) == 0 }

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
	for name, kinds := range map[string][]func() error{
		activities.CreateTicketName: {unavailable, unknown, workerDied},
		activities.AuthorizeName: {unavailable, unknown, workerDied, func() error { return lookFirst(athmovil.CodeNotConfirmed) }, func() error {
			return declined("BTRA_0044")
		}},
		activities.CancelTicketName: {unavailable, unknown, workerDied, func() error { return declined(athmovil.CodeWrongStatus) }},
	} {
		for c.oneIn(2) {
			err := kinds[c.IntN(len(kinds))]()
			failure := activities.FailureOf(err)
			s.gateway.script(name, answer{
				after: time.Duration(c.IntN(35_000)) * time.Millisecond, err: err,
				// What surely did not happen did not happen.
				executes: !failure.Definite() && failure.Kind != athmovil.KindUnavailable && c.oneIn(2),
			})
		}
	}
	s.at(0, func() { s.ask(workflows.UpdateAwaitTicket, "ticket") })
	if !c.oneIn(5) {
		s.at(c.moment(), func() { s.gateway.customer(athmovil.StatusConfirm) })
	}
	for _, act := range []func(){
		func() { s.gateway.customer(athmovil.StatusCancel) },
		s.askCancel,
		s.env.CancelWorkflow,
		func() { s.event(genuine()) },
		func() { s.event(workflows.GatewayEvent{Digest: "hint", Kind: "ecommerce_expired"}) },
	} {
		for c.oneIn(3) {
			s.at(c.moment(), act)
		}
	}
	for _, absence := range [][2]func(){{s.storeLeaves, s.storeReturns}, {s.gateway.leave, s.gateway.back}} {
		if c.oneIn(2) {
			from := c.moment()
			s.at(from, absence[0])
			s.at(from+time.Duration(c.IntN(3600))*time.Second, absence[1])
		}
	}
	s.at(10*time.Minute+time.Duration(c.IntN(30))*time.Second, func() { s.gateway.customer(athmovil.StatusCancel) }) // its time is over
}

// customer decides a ticket as the app would: never one that is over.
func (g *fakeGateway) customer(decides athmovil.TicketStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.ticket.Status {
	case athmovil.StatusOpen:
		g.change(decides)
	case athmovil.StatusConfirm:
		if decides == athmovil.StatusCancel {
			g.change(decides)
		}
	case athmovil.StatusCompleted, athmovil.StatusCancel, athmovil.StatusExpired: // it is over
	default: // there is none
	}
}
