package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Compare compares the days from one to another, both included and at their
// first moments in Puerto Rico, with the gateway's report, in this process. It
// returns what each came to, and all differences, and writes nothing.
func Compare(ctx context.Context, cfg Config, from, to time.Time) ([]payment.Reconciliation, []payment.Mismatch, error) {
	cfg.Payments = true
	run := cfg.runner()
	if err := run.Validate(0); err != nil {
		return nil, nil, err
	}
	p, err := cfg.open(ctx, true)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = p.Close() }() // it was only read
	gateway, err := run.Gateway(p)
	if err != nil {
		return nil, nil, err
	}
	r := activities.Reconcile{Client: gateway, Store: p.Store, Now: cfg.Now}
	var days []payment.Reconciliation
	var all []payment.Mismatch
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		name, began := day.Format(time.DateOnly), cfg.Now().UTC()
		compared, err := r.CompareSpan(ctx, activity.CompareSpanInput{From: day, To: day.AddDate(0, 0, 1), DryRun: true})
		if err != nil {
			return days, all, fmt.Errorf("compare %s: %w", name, err)
		}
		days = append(days, payment.Reconciliation{
			Day: name, StartedAt: began, EndedAt: cfg.Now().UTC(), Rows: compared.Rows, Matched: compared.Matched,
			Quarantined: compared.Quarantined, Mismatches: len(compared.Mismatches) + compared.Omitted,
		})
		all = append(all, compared.Mismatches...)
	}
	return days, all, nil
}

// ReconcileDays runs ReconcileDay for the days from one to another, both
// included, one after another, or joins the runs that are under way. It returns
// what each came to, and the differences that these runs found first.
func ReconcileDays(ctx context.Context, cfg Config, from, to time.Time) ([]payment.Reconciliation, []payment.Mismatch, error) {
	p, err := cfg.open(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = p.Close() }() // it was only read
	db, temporal := p.Store, p.Temporal
	began := cfg.Now().UTC()
	var runs []payment.Reconciliation
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		name := day.Format(time.DateOnly)
		run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: workflows.ReconcileWorkflowID(name), TaskQueue: workflows.TaskQueue, StaticSummary: "reconciles " + name,
			WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, workflows.ReconcileDayName, cfg.reconcileInput(name))
		var result workflows.ReconcileDayResult
		if err == nil {
			err = run.Get(ctx, &result)
		}
		if err != nil {
			return runs, nil, fmt.Errorf("reconcile %s: %w", name, err)
		}
		runs = append(runs, result.Reconciliation)
	}
	found, err := db.Mismatches(ctx, ledger.MismatchFilter{FoundFrom: began.Add(-time.Hour)})
	return runs, slices.DeleteFunc(found, func(m payment.Mismatch) bool {
		return !slices.ContainsFunc(runs, func(r payment.Reconciliation) bool { return r.RunID == m.FoundBy })
	}), err
}

// reconcileInput is the input of ReconcileDay for a day, or for the day before
// the one on which it is due.
func (c *Config) reconcileInput(day string) workflows.ReconcileDayInput {
	return workflows.ReconcileDayInput{Day: day, Timing: workflows.Timing{Call: c.CallTimeout}}
}
