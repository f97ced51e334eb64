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

	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/payment"
)

// happening is one thing that may happen to a payment while nobody works.
type happening struct {
	name   string
	happen func(ctx context.Context, m *rig.Merchant, p payment.Payment, later *errgroup.Group) error
}

// claims is a webhook that says something of a payment. Anybody can post it.
func claims(kind, status string) func(context.Context, *rig.Merchant, payment.Payment, *errgroup.Group) error {
	return func(ctx context.Context, m *rig.Merchant, p payment.Payment, _ *errgroup.Group) error {
		return m.Post(ctx, rig.M{
			"transactionType": kind, "status": status, "ecommerceId": p.EcommerceID, "referenceNumber": "early-" + p.ID,
			"date": "2026-01-02 03:04:05", "total": p.Total.String(), "metadata2": p.ID,
		})
	}
}

func phones(decision string) func(context.Context, *rig.Merchant, payment.Payment, *errgroup.Group) error {
	return func(ctx context.Context, m *rig.Merchant, p payment.Payment, _ *errgroup.Group) error {
		return m.System.Phone(ctx, decision, p.EcommerceID)
	}
}

const (
	confirms      = "confirmed"
	changesMind   = "cancelled by the customer"
	withdraws     = "cancelled by the merchant"
	cancelledInUI = "cancelled in the UI"
)

// When the worker is stopped and comes back, as the deadline sees it.
const (
	backBefore = "back before the deadline"
	backAfter  = "back after the deadline"
	allAfter   = "all after the deadline"
)

func happenings() []happening {
	return []happening{
		{confirms, phones("confirm")},
		{changesMind, phones("cancel")},
		{withdraws, func(ctx context.Context, m *rig.Merchant, p payment.Payment, later *errgroup.Group) error {
			later.Go(func() error { // answered when somebody works again
				_, _, err := m.Ask(ctx, http.MethodPost, "/v1/payments/"+p.ID+"/cancel", "", nil)
				return err
			})
			return nil
		}},
		{cancelledInUI, func(ctx context.Context, m *rig.Merchant, p payment.Payment, _ *errgroup.Group) error {
			return m.System.CancelWorkflow(ctx, p.ID)
		}},
		{"completed event", claims("ECOMMERCE", "COMPLETED")},
		{"cancelled event", claims("ECOMMERCE", "CANCEL")},
		{"expired event", claims("ECOMMERCE", "EXPIRED")},
	}
}

// orders returns every order of every n of the happenings.
func orders(all []happening, n int) [][]happening {
	if n == 0 {
		return [][]happening{nil}
	}
	var found [][]happening
	for i, first := range all {
		for _, tail := range orders(slices.Delete(slices.Clone(all), i, i+1), n-1) {
			found = append(found, append([]happening{first}, tail...))
		}
	}
	return found
}

// TestTogether lets things happen while the worker is stopped, so that the
// workflow hears of all of them at once, with its deadline before, between or
// behind them. Each order has a payment of its own.
func TestTogether(t *testing.T) {
	t.Parallel()
	all := orders(happenings(), 2)
	if *long {
		all = append(all, orders(happenings(), 3)...)
	}
	for _, when := range []string{backBefore, backAfter, allAfter} {
		t.Run(when, func(t *testing.T) {
			if !*long { // hundreds of payments keep a machine busy enough
				t.Parallel()
			}
			together(t, all, when)
		})
	}
}

func together(t *testing.T, all [][]happening, when string) {
	unhurried := []string{"COBRO_CALL_TIMEOUT=10s", "COBRO_TIMING_STALE=2m"}
	s := start(t, map[rig.Part][]string{rig.API: unhurried, rig.Worker: unhurried})
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()
	m := rig.NewMerchant(s)

	life := 600 // seconds
	if when != backBefore {
		life = 10 + len(all)/4 // they are opened before the first one is over
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
		opened[i], err = m.Sell(ctx, fmt.Sprintf("together-%d", i), rig.M{
			"phone_number": fmt.Sprintf("787558%04d", i), "expires_in": life,
		})
		return err
	})
	require.NoError(t, s.Stop(rig.Worker))
	last := slices.MaxFunc(opened, func(a, b payment.Payment) int { return a.ExpiresAt.Compare(b.ExpiresAt) }).ExpiresAt
	pass := func() {
		timer := time.NewTimer(time.Until(last))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if when == allAfter {
		pass()
	}
	var later errgroup.Group
	each(func(i int) error {
		for _, one := range all[i] {
			if err := one.happen(ctx, m, opened[i], &later); err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
		}
		return nil
	})
	if when == backAfter {
		pass()
	}
	require.NoError(t, s.StartPart(ctx, rig.Worker))
	require.NoError(t, later.Wait())
	if when == backBefore {
		each(func(i int) error { // who has not decided by now never will
			return letGo(ctx, m, all[i], opened[i])
		})
	}
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	require.Equal(t, len(all), verdict.Payments)
	t.Logf("%+v", verdict)
	if when != backBefore {
		return
	}
	for i, order := range all {
		p, err := m.Show(ctx, opened[i].ID)
		require.NoError(t, err)
		if want, open := decided(order); !open {
			require.Equal(t, want, p.Status, "%s", order)
		}
	}
}

// decided returns how a payment of which all this happened before its deadline
// must have ended, and true where that is open: a cancel over HTTP reaches the
// workflow when it can.
func decided(order []happening) (payment.Status, bool) {
	happened := func(name string) bool {
		return slices.ContainsFunc(order, func(h happening) bool { return h.name == name })
	}
	switch {
	case happened(cancelledInUI): // the merchant's word was in the history before anybody looked
		return payment.StatusCancelled, false
	case happened(withdraws):
		return "", true
	case happened(changesMind): // the gateway lets go of a confirmed ticket, too
		return payment.StatusCancelled, false
	case happened(confirms):
		return payment.StatusCompleted, false
	default: // nobody, so that the customer let go in the end
		return payment.StatusCancelled, false
	}
}

// letGo has the customer cancel a payment that he did not confirm.
func letGo(ctx context.Context, m *rig.Merchant, order []happening, p payment.Payment) error {
	for _, one := range order {
		if one.name == confirms {
			return nil
		}
	}
	return m.System.Phone(ctx, "cancel", p.EcommerceID)
}

// String is the happening's name.
func (h happening) String() string { return h.name }
