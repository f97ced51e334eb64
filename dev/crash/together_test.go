package crash

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

// raceEvent is one thing that may happen to a payment while the worker is down.
type raceEvent struct {
	name string
	run  func(ctx context.Context, m *testcluster.Merchant, p payment.Payment, later *errgroup.Group) error
}

// postWebhook posts a webhook about a payment. Anybody can post one.
func postWebhook(kind, status string) func(context.Context, *testcluster.Merchant, payment.Payment, *errgroup.Group) error {
	return func(ctx context.Context, m *testcluster.Merchant, p payment.Payment, _ *errgroup.Group) error {
		return m.Post(ctx, testcluster.M{
			"transactionType": kind, "status": status, "ecommerceId": p.EcommerceID, "referenceNumber": "early-" + p.ID,
			"date": "2026-01-02 03:04:05", "total": p.Total.String(), "metadata2": p.ID,
		})
	}
}

func customer(decision string) func(context.Context, *testcluster.Merchant, payment.Payment, *errgroup.Group) error {
	return func(ctx context.Context, m *testcluster.Merchant, p payment.Payment, _ *errgroup.Group) error {
		return m.System.Phone(ctx, decision, p.EcommerceID)
	}
}

const (
	confirmed           = "confirmed"
	cancelledByCustomer = "cancelled by the customer"
	cancelledByMerchant = "cancelled by the merchant"
	cancelledInUI       = "cancelled in the UI"
)

// When the worker comes back, and the events happen, relative to the deadline.
const (
	backBefore = "back before the deadline"
	backAfter  = "back after the deadline"
	allAfter   = "all after the deadline"
)

func events() []raceEvent {
	return []raceEvent{
		{confirmed, customer("confirm")},
		{cancelledByCustomer, customer("cancel")},
		{cancelledByMerchant, func(ctx context.Context, m *testcluster.Merchant, p payment.Payment, later *errgroup.Group) error {
			later.Go(func() error { // answered when a worker is back
				_, _, err := m.Ask(ctx, http.MethodPost, "/v1/payments/"+p.ID+"/cancel", "", nil)
				return err
			})
			return nil
		}},
		{cancelledInUI, func(ctx context.Context, m *testcluster.Merchant, p payment.Payment, _ *errgroup.Group) error {
			return m.System.CancelWorkflow(ctx, p.ID)
		}},
		{"completed event", postWebhook("ECOMMERCE", "COMPLETED")},
		{"cancelled event", postWebhook("ECOMMERCE", "CANCEL")},
		{"expired event", postWebhook("ECOMMERCE", "EXPIRED")},
	}
}

// permutations returns every order of every n of the events.
func permutations(all []raceEvent, n int) [][]raceEvent {
	if n == 0 {
		return [][]raceEvent{nil}
	}
	var found [][]raceEvent
	for i, first := range all {
		for _, tail := range permutations(slices.Delete(slices.Clone(all), i, i+1), n-1) {
			found = append(found, append([]raceEvent{first}, tail...))
		}
	}
	return found
}

// TestEventsRaceWhileWorkerIsDown stops the worker while events happen, so that
// the workflow sees all of them at once, with its deadline before, between or
// after them. Each order of events has a payment of its own.
func TestEventsRaceWhileWorkerIsDown(t *testing.T) {
	t.Parallel()
	all := permutations(events(), 2)
	if *long {
		all = append(all, permutations(events(), 3)...)
	}
	for _, when := range []string{backBefore, backAfter, allAfter} {
		t.Run(when, func(t *testing.T) {
			if !*long { // hundreds of payments keep a machine busy enough
				t.Parallel()
			}
			runRaces(t, all, when)
		})
	}
}

func runRaces(t *testing.T, all [][]raceEvent, when string) {
	unhurried := []string{"COBRO_CALL_TIMEOUT=10s", "COBRO_TIMING_STALE=2m"}
	s := start(t, map[testcluster.Part][]string{testcluster.API: unhurried, testcluster.Worker: unhurried})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()

	life := 600 // seconds
	if when != backBefore {
		life = 10 + len(all)/4 // all are opened before the first one expires
	}
	opened := make([]payment.Payment, len(all))
	each := func(do func(i int) error) {
		t.Helper()
		var group errgroup.Group
		group.SetLimit(8)
		for i := range all {
			group.Go(func() error { return do(i) })
		}
		require.NoError(t, group.Wait())
	}
	each(func(i int) (err error) {
		opened[i], err = m.Sell(ctx, fmt.Sprintf("race-%d", i), testcluster.M{
			"phone_number": fmt.Sprintf("787558%04d", i), "expires_in": life,
		})
		return err
	})
	require.NoError(t, s.Stop(testcluster.Worker))
	last := slices.MaxFunc(opened, func(a, b payment.Payment) int { return a.ExpiresAt.Compare(b.ExpiresAt) }).ExpiresAt
	pass := func() { require.NoError(t, testcluster.Pause(ctx, time.Until(last))) }
	if when == allAfter {
		pass()
	}
	var later errgroup.Group
	each(func(i int) error {
		for _, one := range all[i] {
			if err := one.run(ctx, m, opened[i], &later); err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
		}
		return nil
	})
	if when == backAfter {
		pass()
	}
	require.NoError(t, s.StartPart(ctx, testcluster.Worker))
	require.NoError(t, later.Wait())
	if when == backBefore {
		each(func(i int) error { // a customer who has not decided by now cancels
			return cancelUnlessConfirmed(ctx, m, all[i], opened[i])
		})
	}
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	require.Equal(t, len(all), counts.Payments)
	t.Logf("%+v", counts)
	if when != backBefore {
		return
	}
	for i, order := range all {
		p, err := m.Show(ctx, opened[i].ID)
		require.NoError(t, err)
		if want, open := outcome(order); !open {
			require.Equal(t, want, p.Status, "%s", order)
		}
	}
}

// outcome returns how a payment must end if all these events happened before its
// deadline, and true if either end is right: a cancel over HTTP reaches the
// workflow whenever it can.
func outcome(order []raceEvent) (payment.Status, bool) {
	has := func(name string) bool {
		return slices.ContainsFunc(order, func(e raceEvent) bool { return e.name == name })
	}
	switch {
	case has(cancelledInUI): // the cancel was in the history before the worker came back
		return payment.StatusCancelled, false
	case has(cancelledByMerchant):
		return "", true
	case has(cancelledByCustomer): // the gateway cancels a confirmed ticket, too
		return payment.StatusCancelled, false
	case has(confirmed):
		return payment.StatusCompleted, false
	default: // the customer cancels in the end
		return payment.StatusCancelled, false
	}
}

// cancelUnlessConfirmed cancels a payment that the customer did not confirm.
func cancelUnlessConfirmed(ctx context.Context, m *testcluster.Merchant, order []raceEvent, p payment.Payment) error {
	for _, one := range order {
		if one.name == confirmed {
			return nil
		}
	}
	return m.System.Phone(ctx, "cancel", p.EcommerceID)
}

// String is the event's name.
func (e raceEvent) String() string { return e.name }
