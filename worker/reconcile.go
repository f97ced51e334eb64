package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Compare compares the days from one to another, both included and at their
// first moments in Puerto Rico, with the gateway's report, in this process. It
// returns what each came to, and all differences, and writes nothing.
func Compare(ctx context.Context, cfg Config, from, to time.Time) ([]payment.Reconciliation, []payment.Mismatch, error) {
	cfg.Payments = true
	cfg.setDefaults()
	if err := cfg.validate(0); err != nil {
		return nil, nil, err
	}
	db, _, err := cfg.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = db.Close() }() // it was only read
	gateway, err := cfg.gateway()
	if err != nil {
		return nil, nil, err
	}
	r := activities.Reconcile{Client: gateway, Store: db, Now: cfg.Now}
	var days []payment.Reconciliation
	var all []payment.Mismatch
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		name, began := day.Format(time.DateOnly), cfg.Now().UTC()
		compared, err := r.CompareSpan(ctx, activities.CompareSpanInput{From: day, To: day.AddDate(0, 0, 1), DryRun: true})
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
	cfg.setDefaults()
	db, ring, err := cfg.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = db.Close() }() // it was only read
	temporal, err := temporalclient.Dial(ctx, cfg.temporalOptions(ring))
	if err != nil {
		return nil, nil, err
	}
	defer temporal.Close()
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

// open opens the key ring and the store.
func (c *Config) open(ctx context.Context) (*store.Store, *seal.Ring, error) {
	if c.Store == "" || c.KeyFile == "" {
		return nil, nil, errors.New("no database or key ring: set COBRO_STORE and COBRO_KEY_FILE, or start dev in this folder")
	}
	ring, err := seal.Load(c.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	ring.Tell(c.Logger)
	db, err := store.Await(ctx, store.Config{
		DSN: c.Store, Sealer: ring, Now: c.Now, Logger: c.Logger, Observer: c.Metrics,
	}, c.StartTimeout)
	return db, ring, err
}

// gateway returns a client of ATH Móvil.
func (c *Config) gateway() (*athmovil.Client, error) {
	return athmovil.New(athmovil.Config{
		PublicToken: c.PublicToken, PrivateToken: c.PrivateToken, BaseURL: c.GatewayURL, ReportBaseURL: c.GatewayReportURL,
		Timeout: c.CallTimeout, CallsPerSecond: c.CallsPerSecond, Now: c.Now, Observe: c.observeGateway,
	})
}
