package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/workflows"
)

// happening is one thing that may happen around the deadline.
type happening struct {
	name string
	// alone lets it happen in a workflow task of its own; together in the next
	// one, with whatever follows. Nil means that it reaches the workflow as an
	// answer or an update, which always has a task.
	alone, together func(*fixture)
}

// skipping lets a webhook arrive without waking the workflow.
func skipping(e func() workflows.GatewayEvent) func(*fixture) {
	return func(s *fixture) { s.env.SignalWorkflowSkippingWorkflowTask(workflows.SignalGatewayEvent, e()) }
}

func arriving(e func() workflows.GatewayEvent) func(*fixture) {
	return func(s *fixture) { s.event(e()) }
}

// happenings are what merchants, customers, strangers and operators do.
func happenings() []happening {
	forged := func() workflows.GatewayEvent {
		e := genuine()
		e.Digest, e.ReferenceNumber = "forged", "forged"
		return e
	}
	expired := func() workflows.GatewayEvent {
		return workflows.GatewayEvent{Digest: "expired", Kind: string(ledger.KindPaymentExpired), PaymentID: paymentID}
	}
	return []happening{
		{name: "confirmed", alone: func(s *fixture) { s.gateway.customer(activity.TicketConfirmed) }},
		{name: "cancelled by the customer", alone: func(s *fixture) { s.gateway.customer(activity.TicketOver) }},
		{name: "cancelled by the merchant", alone: (*fixture).askCancel},
		{name: "cancelled in the UI", alone: func(s *fixture) { s.env.CancelWorkflow() }},
		{name: "completed event", alone: arriving(genuine), together: skipping(genuine)},
		{name: "forged event", alone: arriving(forged), together: skipping(forged)},
		{name: "expired event", alone: arriving(expired), together: skipping(expired)},
	}
}

// orders returns every order of every n of the happenings.
func orders(all []happening, n int) [][]happening {
	if n == 0 {
		return [][]happening{nil}
	}
	var found [][]happening
	for i, first := range all {
		rest := append(append([]happening(nil), all[:i]...), all[i+1:]...)
		for _, tail := range orders(rest, n-1) {
			found = append(found, append([]happening{first}, tail...))
		}
	}
	return found
}

// TestInterleavings lets every pair and every triple of things happen, in every
// order, in one workflow task and in tasks of their own, just before, at and just
// after the deadline.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	deadline := 10 * time.Minute
	delivered := 0
	lengths, want := []int{2, 3}, (7*6+7*6*5)*3*2
	if testing.Short() { // as under the race detector, where a database takes ten times as long
		lengths, want = []int{2}, 7*6*3*2
	}
	for _, n := range lengths {
		for _, order := range orders(happenings(), n) {
			names := make([]string, n)
			for i, one := range order {
				names[i] = one.name
			}
			for _, at := range []time.Duration{deadline - time.Second, deadline, deadline + time.Second} {
				for _, together := range []bool{true, false} {
					delivered++
					t.Run(fmt.Sprintf("%s at %s, together %t", strings.Join(names, ", "), at, together), func(t *testing.T) {
						t.Parallel()
						interleave(t, order, at, together)
					})
				}
			}
		}
	}
	require.Equal(t, want, delivered)
}

func interleave(t *testing.T, order []happening, at time.Duration, together bool) {
	s := newFixture(t)
	s.gateway.poll = 50 * time.Millisecond
	happen := func(i int) {
		one := order[i]
		if together && one.together != nil && i < len(order)-1 {
			one.together(s)
			return
		}
		one.alone(s)
	}
	if together {
		s.at(at, func() {
			for i := range order {
				happen(i)
			}
		})
	} else {
		for i := range order {
			s.at(at+time.Duration(i)*time.Millisecond, func() { happen(i) })
		}
	}
	// The gateway's own timer: nothing stays confirmed forever.
	s.at(11*time.Minute, func() { s.gateway.customer(activity.TicketOver) })
	s.process()
	s.checkAlways()
	s.checkTruth()
	for id, answered := range s.answers {
		require.NoError(t, answered.err, id)
	}
}
