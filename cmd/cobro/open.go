package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/reconcile"
	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/catalog"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/runner"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/payment"
)

// opening is whose settings a command reads, and what it needs besides the store.
type opening struct {
	of                settings.Program
	temporal, gateway bool
}

// onlyReads is the Temporal of a command that only reads: nothing asks for it.
type onlyReads struct{ app.Flows }

// open opens the store, and what else a command needs. The caller closes it.
func (p *program) open(needs opening) (*process.Process, runner.Config, error) {
	cfg, err := runner.ConfigFor(needs.of, p.settings.getenv)
	if err != nil {
		return nil, cfg, err
	}
	cfg.Logger, cfg.StoreOnly = p.logger, !needs.temporal
	opener, err := process.Open(p.ctx, cfg.Config)
	return opener, cfg, err
}

// withApp lets a command use what it needs, and closes it then.
func (p *program) withApp(needs opening, use func(*app.App) error) (err error) {
	opener, cfg, err := p.open(needs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opener.Close()) }()
	if needs.gateway && cfg.Gateway.PublicToken == "" {
		return errors.New("no public token: set COBRO_ATHM_PUBLIC_TOKEN")
	}
	if needs.gateway && cfg.Gateway.PrivateToken.IsZero() {
		return errors.New("no private token: set COBRO_ATHM_PRIVATE_TOKEN")
	}
	if needs.gateway {
		if err := cfg.CheckGateway(); err != nil {
			return err
		}
	}
	read, _ := settings.Read(needs.of, p.settings.getenv) // open has found no problem
	config := app.Config{
		Store: opener.Store, Flows: onlyReads{}, Fingerprint: opener.Ring.Digest, Timing: read.Timing,
		MerchantID: settings.DefaultMerchantID, // of ids that no command makes
	}
	if needs.temporal {
		config.Flows = flows.New(opener.Temporal)
	}
	if needs.gateway {
		gateway, err := cfg.Client(opener)
		if err != nil {
			return err
		}
		config.Comparer = comparer{reconcile.Reconcile{Client: gateway, Store: opener.Store}}
	}
	a, err := app.New(config)
	if err != nil {
		return err
	}
	return inWords(use(a))
}

// inWords says which rules the input breaks, as the API does.
func inWords(err error) error {
	refused, ok := errors.AsType[*app.Error](err)
	if !ok || len(refused.Fields) == 0 {
		return err
	}
	var broken []string
	for _, field := range refused.Fields {
		broken = append(broken, field.Field+" "+catalog.English(field.Rule))
	}
	return fmt.Errorf("%s: %s", refused.Kind, strings.Join(broken, "; "))
}

// comparer compares days in this process.
type comparer struct{ reconcile reconcile.Reconcile }

// CompareDay implements [app.Comparer].
func (c comparer) CompareDay(ctx context.Context, day time.Time) (payment.Reconciliation, []payment.Mismatch, error) {
	began := time.Now().UTC()
	compared, err := c.reconcile.CompareSpan(ctx, activity.CompareSpanInput{From: day, To: day.AddDate(0, 0, 1), DryRun: true})
	return payment.Reconciliation{
		Day: day.Format(time.DateOnly), StartedAt: began, EndedAt: time.Now().UTC(), Rows: compared.Rows, Matched: compared.Matched,
		Quarantined: compared.Quarantined, Mismatches: len(compared.Mismatches) + compared.Omitted,
	}, compared.Mismatches, err
}
