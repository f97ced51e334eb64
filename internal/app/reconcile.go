package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Comparer compares the 24 hours from day on with the gateway's report, and writes
// nothing.
type Comparer interface {
	CompareDay(ctx context.Context, day time.Time) (payment.Reconciliation, []payment.Mismatch, error)
}

// Days are those from one to another, both included and at their first moments in
// Puerto Rico.
type Days struct{ From, To time.Time }

// Reconciled is what reconciling days came to.
type Reconciled struct {
	Days       []payment.Reconciliation
	Mismatches []payment.Mismatch
}

// Reconcile reconciles days with the gateway's report, one after another, or joins
// the runs that are under way. It returns what each came to, and the differences
// that these runs found first.
func (a *App) Reconcile(ctx context.Context, days Days) (Reconciled, error) {
	began := a.cfg.Now().UTC()
	var out Reconciled
	for day := days.From; !day.After(days.To); day = day.AddDate(0, 0, 1) {
		name := day.Format(time.DateOnly)
		result, err := a.flows.ReconcileDay(ctx, workflows.ReconcileDayInput{Day: name, Timing: workflows.Timing{Call: a.cfg.Timing.Call}})
		if err != nil {
			return out, fmt.Errorf("reconcile %s: %w", name, fromFlows(err))
		}
		out.Days = append(out.Days, result.Reconciliation)
	}
	found, err := a.store.Mismatches(ctx, ledger.MismatchFilter{FoundFrom: began.Add(-time.Hour)})
	out.Mismatches = slices.DeleteFunc(found, func(m payment.Mismatch) bool {
		return !slices.ContainsFunc(out.Days, func(r payment.Reconciliation) bool { return r.RunID == m.FoundBy })
	})
	return out, fromStore(err)
}

// CompareDays compares days with the gateway's report in this process, and writes
// nothing. It returns what each came to, and all differences.
func (a *App) CompareDays(ctx context.Context, days Days) (Reconciled, error) {
	var out Reconciled
	if a.cfg.Comparer == nil {
		return out, errors.New("app: Config.Comparer is not set")
	}
	for day := days.From; !day.After(days.To); day = day.AddDate(0, 0, 1) {
		compared, found, err := a.cfg.Comparer.CompareDay(ctx, day)
		if err != nil {
			return out, fmt.Errorf("compare %s: %w", day.Format(time.DateOnly), err)
		}
		out.Days, out.Mismatches = append(out.Days, compared), append(out.Mismatches, found...)
	}
	return out, nil
}

// Reconciliations returns the latest runs, newest first.
func (a *App) Reconciliations(ctx context.Context, limit int) ([]payment.Reconciliation, error) {
	runs, err := a.store.Reconciliations(ctx, limit)
	return runs, fromStore(err)
}

// Mismatches returns differences from the gateway's books, newest first.
func (a *App) Mismatches(ctx context.Context, filter ledger.MismatchFilter) ([]payment.Mismatch, error) {
	found, err := a.store.Mismatches(ctx, filter)
	return found, fromStore(err)
}
