package worker

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/workflows"
)

const (
	defaultReconcileAt = "02:00"
	reconcileOff       = "off"
)

// reconcileTime reads Config.ReconcileAt; off is true where it never happens.
func reconcileTime(text string) (at time.Time, off bool, err error) {
	text = cmp.Or(text, defaultReconcileAt)
	if text == reconcileOff {
		return time.Time{}, true, nil
	}
	at, err = time.Parse("15:04", text)
	return at, false, err
}

// scheduleReconcile makes the schedule, or brings it to the time that is set.
// Where that is off, an existing one is paused.
func (c *Config) scheduleReconcile(ctx context.Context, f *flows.Flows) error {
	at, off, err := reconcileTime(c.ReconcileAt)
	if err != nil {
		return err
	}
	if off {
		return f.PauseReconcile(ctx)
	}
	return f.ReconcileDaily(ctx, at, workflows.ReconcileDayInput{Timing: workflows.Timing{Call: c.CallTimeout}})
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
