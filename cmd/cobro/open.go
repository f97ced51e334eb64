package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/serve"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
	"github.com/cobropay/cobro/workflows"
)

// opening is what a command needs besides the store.
type opening struct{ temporal, gateway bool }

// onlyReads is the Temporal of a command that only reads: nothing asks for it.
type onlyReads struct{ app.Flows }

// withApp opens the store, and what else a command needs, and closes them after
// the command has used them.
func (p *program) withApp(needs opening, use func(*app.App) error) (err error) {
	cfg, err := worker.ConfigFromEnv(p.settings.getenv)
	if err != nil {
		return err
	}
	if cfg.Store == "" || cfg.KeyFile == "" {
		return errors.New("no database or key ring: set COBRO_STORE and COBRO_KEY_FILE, or start dev in this folder")
	}
	if needs.gateway && cfg.PublicToken == "" {
		return errors.New("no public token: set COBRO_ATHM_PUBLIC_TOKEN")
	}
	if needs.gateway && cfg.PrivateToken.IsZero() {
		return errors.New("no private token: set COBRO_ATHM_PRIVATE_TOKEN")
	}
	ring, err := seal.Load(cfg.KeyFile)
	if err != nil {
		return err
	}
	ring.Tell(p.logger)
	wait := cmp.Or(cfg.StartTimeout, 30*time.Second)
	db, err := store.Await(p.ctx, store.Config{DSN: cfg.Store, Sealer: ring, Logger: p.logger}, wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	config := app.Config{
		Store: db, Flows: onlyReads{}, MerchantID: cmp.Or(p.getenv("COBRO_MERCHANT_ID"), serve.DefaultMerchant), Fingerprint: ring.Digest,
	}
	if needs.temporal {
		options, err := engine.LoadOptions(p.getenv)
		timing, timingErr := workflows.TimingFromEnv(p.getenv)
		if err := errors.Join(err, timingErr); err != nil {
			return err
		}
		options.Address, options.Namespace = cfg.TemporalAddress, cfg.TemporalNamespace
		options.Sealer, options.Logger, options.Wait = ring, engine.Logger(p.logger, ledger.IsID), wait
		temporal, err := engine.Dial(p.ctx, options)
		if err != nil {
			return err
		}
		defer temporal.Close()
		config.Flows, config.Timing = flows.New(temporal), timing
	}
	if needs.gateway {
		gateway, err := athmovil.New(athmovil.Config{
			PublicToken: cfg.PublicToken, PrivateToken: cfg.PrivateToken, BaseURL: cfg.GatewayURL, ReportBaseURL: cfg.GatewayReportURL,
			Timeout: cfg.CallTimeout, CallsPerSecond: cfg.CallsPerSecond,
		})
		if err != nil {
			return err
		}
		config.Comparer = comparer{activities.Reconcile{Client: gateway, Store: db}}
	}
	a, err := app.New(config)
	if err != nil {
		return err
	}
	return use(a)
}

// comparer compares days in this process.
type comparer struct{ reconcile activities.Reconcile }

// CompareDay implements [app.Comparer].
func (c comparer) CompareDay(ctx context.Context, day time.Time) (payment.Reconciliation, []payment.Mismatch, error) {
	began := time.Now().UTC()
	compared, err := c.reconcile.CompareSpan(ctx, activities.CompareSpanInput{From: day, To: day.AddDate(0, 0, 1), DryRun: true})
	return payment.Reconciliation{
		Day: day.Format(time.DateOnly), StartedAt: began, EndedAt: time.Now().UTC(), Rows: compared.Rows, Matched: compared.Matched,
		Quarantined: compared.Quarantined, Mismatches: len(compared.Mismatches) + compared.Omitted,
	}, compared.Mismatches, err
}
