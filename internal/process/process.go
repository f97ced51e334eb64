// Package process opens what a program of Cobro works with, and closes it again:
// tracing, the operations listener, the key ring, the store and the Temporal
// client. The API, the worker and the commands open it the same way.
//
// [Run] is for programs that work until they are stopped. [Open] and
// [Process.Close] are for commands, which do one thing and end.
//
// # The order
//
// Open starts the operations listener first, so that a process answers /healthz
// from its first moment and /readyz names what it waits for: "store", then
// "temporal", then "search_attributes". A process that waits opens no other
// listener. [Process.Ready] ends that, once the program can do its work.
//
// Close goes the other way, with one exception. It stops the operations listener
// first, because /metrics asks the store, and the last scrape must not find it
// closed. Then it closes the Temporal client and the store. Tracing comes last,
// after everything that makes spans.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/internal/tracing"
)

// operationsTimeout bounds an answer at the operations address. /codec/ may send
// megabytes over a slow line.
const operationsTimeout = time.Minute

// Config says what a process opens.
type Config struct {
	// Required fields

	// Store is the DSN of the database, which must be migrated. Required.
	Store string
	// KeyFile is the path of the key ring. Required.
	KeyFile string

	// Optional fields

	// StoreOnly leaves Temporal out, for commands that do not need it.
	StoreOnly bool
	// Payments is set where the process starts or runs payments. It creates the
	// search attributes that their workflows set, and shows the store's backlog in
	// the metrics. A program with a merchant's own receivers does neither.
	Payments bool
	// MerchantID is claimed in the store, which belongs to one merchant. Empty
	// means that the process claims nothing.
	MerchantID string
	// Operations opens the listener for health checks and metrics. [Open] calls it
	// before anything else, so that a process that waits for its database shows
	// that it is alive. [Process.Close] closes it. Nil means that nothing is served.
	Operations func(context.Context) (net.Listener, error)
	// Temporal says where workflows run. Open sets its Sealer, Logger, Metrics and
	// Interceptors. A Wait of zero means StartTimeout.
	Temporal temporalclient.Options
	// StartTimeout is how long to wait for the database, and then for Temporal.
	// Zero means 30 seconds.
	StartTimeout time.Duration
	// Tracing says whether spans are exported, and where to. The zero value makes
	// no spans.
	Tracing tracing.Options
	// Metrics are those of the process. Nil means new ones.
	Metrics *metrics.Metrics
	// Logger is nil for [slog.Default].
	Logger *slog.Logger
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
}

// Process is what a program works with. [Process.Close] closes it.
type Process struct {
	// Logger adds the trace of its context to each line.
	Logger *slog.Logger
	// Traces is nil where nothing is traced; the methods of a nil Tracing do
	// nothing.
	Traces  *tracing.Tracing
	Metrics *metrics.Metrics
	Ring    *seal.Ring
	Store   *store.Store
	// Temporal is nil with [Config.StoreOnly].
	Temporal client.Client

	cfg         Config
	front       *operations.StartupHandler
	operations  *Server // nil where nothing is served
	stopTracing func()
}

// Run opens a process, lets do work with it until ctx ends or something breaks,
// and closes it. It returns nil once ctx has ended: an error that the stop itself
// has caused is only logged.
func Run(ctx context.Context, cfg Config, do func(context.Context, *Process) error) error {
	cfg.setDefaults()
	err := run(ctx, cfg, do)
	if err != nil && ctx.Err() != nil {
		cfg.Logger.Info("cut short by the stop", "error", err)
		return nil //nolint:nilerr // it was asked to stop, and it has stopped
	}
	return err
}

func run(ctx context.Context, cfg Config, do func(context.Context, *Process) error) error {
	p, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err := p.Close(); err != nil {
			p.Logger.Error("store not closed", "error", err)
		}
	}()
	return do(ctx, p)
}

// Open opens everything in order, and waits for the database and for Temporal.
// After an error nothing stays open. The caller calls [Process.Close].
func Open(ctx context.Context, cfg Config) (_ *Process, err error) {
	cfg.setDefaults()
	p := &Process{cfg: cfg, Logger: cfg.Logger, Metrics: cfg.Metrics, stopTracing: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	for _, step := range []func(context.Context) error{p.serveOperations, p.startTracing, p.openStore, p.dialTemporal, p.preparePayments} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (c *Config) setDefaults() {
	c.StartTimeout = cmp.Or(c.StartTimeout, temporalclient.DefaultWait)
	c.Temporal.Namespace = cmp.Or(c.Temporal.Namespace, temporalclient.DefaultNamespace)
	c.Temporal.Wait = cmp.Or(c.Temporal.Wait, c.StartTimeout)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Metrics == nil {
		c.Metrics = metrics.New()
	}
}

func (p *Process) serveOperations(ctx context.Context) error {
	p.front = operations.NewStartupHandler(operations.Config{
		Metrics: p.Metrics.Handler(p.Logger), Stopping: ctx.Done(), Logger: p.Logger,
	}, "store")
	if p.cfg.Operations == nil {
		return nil
	}
	listener, err := p.cfg.Operations(ctx)
	if err != nil {
		return err
	}
	p.operations = Serve(ctx, listener, p.front, operationsTimeout, p.Logger)
	return nil
}

func (p *Process) startTracing(ctx context.Context) (err error) {
	if p.Traces, err = tracing.Open(ctx, p.cfg.Tracing, p.Logger); err != nil {
		return err
	}
	p.stopTracing = func() {
		if err := p.Traces.Close(ctx); err != nil {
			p.cfg.Logger.Warn("last spans lost", "error", err)
		}
	}
	p.Logger = p.Traces.Logger(p.Logger)
	p.cfg.Temporal.Interceptors, err = p.Traces.Interceptors()
	return err
}

func (p *Process) openStore(ctx context.Context) (err error) {
	if p.cfg.Store == "" || p.cfg.KeyFile == "" {
		return errors.New("no database or key ring: set COBRO_STORE and COBRO_KEY_FILE, start dev in this folder, or name the folder of a dev in COBRO_DATA")
	}
	if p.Ring, err = seal.Load(p.cfg.KeyFile); err != nil {
		return err
	}
	p.Ring.SetLogger(p.Logger)
	if p.Store, err = store.Await(ctx, store.Config{
		DSN: p.cfg.Store, Sealer: p.Ring, Now: p.cfg.Now, Logger: p.Logger, Observer: p.Metrics,
	}, p.cfg.StartTimeout); err != nil {
		return err
	}
	if p.cfg.MerchantID == "" {
		return nil
	}
	return p.Insist(ctx, func(ctx context.Context) error { return p.Store.ClaimMerchant(ctx, p.cfg.MerchantID) })
}

// Insist writes to the store what the program cannot start without. Where the store
// does not answer in time, such as while an import locks it, it writes again until
// [Config].StartTimeout has passed.
func (p *Process) Insist(ctx context.Context, write func(context.Context) error) error {
	waiting, cancel := context.WithTimeout(ctx, p.cfg.StartTimeout)
	defer cancel()
	for {
		err := write(waiting)
		switch {
		case err == nil || ctx.Err() != nil:
			return err
		case waiting.Err() != nil:
			return fmt.Errorf("%w (COBRO_START_TIMEOUT changes how long a start waits)", err)
		case !errors.Is(err, store.ErrTimeout):
			return err
		}
		p.Logger.InfoContext(ctx, "waiting for the database", "error", err)
	}
}

func (p *Process) dialTemporal(ctx context.Context) (err error) {
	if p.cfg.StoreOnly {
		return nil
	}
	p.front.WaitFor("temporal")
	options := p.cfg.Temporal
	options.Sealer, options.Logger = p.Ring, temporalclient.Logger(p.Logger, ledger.IsID)
	options.Metrics = p.Metrics.Temporal()
	p.Temporal, err = temporalclient.Dial(ctx, options)
	return err
}

func (p *Process) preparePayments(ctx context.Context) error {
	if !p.cfg.Payments {
		return nil
	}
	p.front.WaitFor("search_attributes")
	if err := temporalclient.EnsureSearchAttributes(ctx, p.Temporal, p.cfg.Temporal.Namespace); err != nil {
		return err
	}
	p.Metrics.WatchStore(ctx, p.Store, p.Logger, p.cfg.Now)
	return nil
}

// ReadyChecks returns what every process needs for its work: the store with its
// schema, Temporal, and with [Config.Payments] the search attributes.
func (p *Process) ReadyChecks() []operations.Check {
	checks := []operations.Check{
		{Name: "store", Check: p.Store.Ping},
		{Name: "schema", Check: p.Store.CheckSchema},
		{Name: "temporal", Check: func(ctx context.Context) error {
			_, err := p.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		}},
	}
	if p.cfg.Payments {
		checks = append(checks, operations.Check{
			Name: "search_attributes", Check: temporalclient.SearchAttributesSeen(p.Temporal, p.cfg.Temporal.Namespace),
		})
	}
	return checks
}

// Ready says that the program can do its work now: from here on handler answers
// at the operations address.
func (p *Process) Ready(handler http.Handler) { p.front.SetHandler(handler) }

// Failed returns a channel that receives why the operations listener broke. It
// never does after [Process.Close]. Nil where nothing is served.
func (p *Process) Failed() <-chan error {
	if p.operations == nil {
		return nil
	}
	return p.operations.Failed()
}

// Close closes everything that is open, and returns the error of the store. Call
// it once.
func (p *Process) Close() error {
	if p.operations != nil {
		p.operations.Stop()
	}
	if p.Temporal != nil {
		p.Temporal.Close()
	}
	var err error
	if p.Store != nil {
		err = p.Store.Close()
	}
	p.stopTracing()
	return err
}
