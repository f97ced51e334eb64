// Package serve composes the API's process: the store, Temporal, the HTTP
// listeners and the webhook relay. The programs cobro and dev share it.
package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

const (
	// defaultStartTimeout covers databases and clusters that are started with us.
	defaultStartTimeout = 30 * time.Second
	defaultStopTimeout  = 15 * time.Second
)

// DefaultMerchant is the merchant id of an installation that names none.
const DefaultMerchant = "default"

// Config says what an API process runs on.
type Config struct {
	// Required fields

	// API opens the public listener. It is called once requests can be answered:
	// before that a load balancer must find nobody there.
	API func(context.Context) (net.Listener, error)
	// Operations is an open listener. It is served from the beginning, so that a
	// process that waits for its database shows that it lives. Run closes it,
	// whatever it returns.
	Operations net.Listener
	// Store is the DSN of the database, migrated before.
	Store string
	// KeyFile is the path of the key ring.
	KeyFile string
	// APIKey is the merchant's bearer key.
	APIKey private.Token
	// WebhookSecret ends the path that ATH Móvil posts to.
	WebhookSecret private.Token

	// Optional fields

	// Temporal is where workflows run; its Sealer is set by Run.
	Temporal engine.Options
	// MerchantID takes part in every derived payment id and can never change.
	// Empty means DefaultMerchant.
	MerchantID string
	// MinExpiresIn, Timing and Wait are the API's; see api.Config.
	MinExpiresIn time.Duration
	Timing       workflows.Timing
	Wait         time.Duration
	// CodecOrigins are the pages that may decrypt payloads through /codec/: the
	// addresses of the Temporal UI. Empty means that /codec/ is not served.
	CodecOrigins []string
	// CodecToken must be presented to /codec/; see engine.CodecAccess. The zero
	// token lets everybody in who reaches the operations address.
	CodecToken private.Token
	// StopTimeout is how long Run goes on after the context ends, Drain included.
	// Requests that take longer are cut. Zero means 15 seconds.
	StopTimeout time.Duration
	// Drain is called when the context has ended, while requests are still taken
	// and /readyz says that we stop. It returns when load balancers have seen
	// that, or when its context ends, which is that of StopTimeout. Nil means that
	// there are none.
	Drain func(context.Context)
	// StartTimeout is how long Run waits for the database, and then for Temporal.
	// Zero means 30 seconds.
	StartTimeout time.Duration
	// Tracing says whether and where spans go; see tracing.LoadOptions.
	Tracing tracing.Options
	// Metrics are those of a worker in the same process, as in dev. Nil means the
	// API's own.
	Metrics *metrics.Metrics
	// Logger is nil for slog.Default().
	Logger *slog.Logger
	// Started is called with the public address once requests are answered; nil
	// means nobody asks.
	Started func(api net.Addr)
}

// Run answers until ctx ends or something breaks. Then it finishes the requests
// under way. It returns nil after ctx has ended: what that cut short is in the
// log.
func Run(ctx context.Context, cfg Config) error {
	cfg.setDefaults()
	err := cfg.run(ctx)
	if err != nil && ctx.Err() != nil {
		cfg.Logger.Info("cut short by the stop", "error", err)
		return nil //nolint:nilerr // it was asked to end, and it has
	}
	return err
}

func (cfg *Config) setDefaults() {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New(metrics.ProgramAPI)
	}
	cfg.Tracing.Service = cmp.Or(cfg.Tracing.Service, "cobro-api")
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, defaultStartTimeout)
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, defaultStopTimeout)
	if cfg.Drain == nil {
		cfg.Drain = func(context.Context) {}
	}
	if cfg.Started == nil {
		cfg.Started = func(net.Addr) {}
	}
}

func (cfg *Config) run(ctx context.Context) error {
	// Requests outlive ctx by the stop timeout.
	requests, stopRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRequests()
	front := operations.NewFront(operations.Config{
		Metrics: cfg.Metrics.Handler(cfg.Logger), Stopping: ctx.Done(), Logger: cfg.Logger,
	}, "store")
	watched := start(requests, front, cfg.Operations, cfg.Logger)
	defer watched.stop()

	traces, err := tracing.Open(ctx, cfg.Tracing, cfg.Logger)
	if err != nil {
		return err
	}
	defer func() {
		if err := traces.Close(ctx); err != nil {
			cfg.Logger.Warn("last spans lost", "error", err)
		}
	}()
	cfg.Logger = traces.Logger(cfg.Logger)
	ring, err := seal.Load(cfg.KeyFile)
	if err != nil {
		return err
	}
	ring.Tell(cfg.Logger)
	db, err := store.Await(ctx, store.Config{DSN: cfg.Store, Sealer: ring, Logger: cfg.Logger, Observer: cfg.Metrics}, cfg.StartTimeout)
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			cfg.Logger.Error("store not closed", "error", err)
		}
	}()
	merchant := cmp.Or(cfg.MerchantID, DefaultMerchant)
	if err := db.ClaimMerchant(ctx, merchant); err != nil {
		return err
	}
	front.Await("temporal")
	options := cfg.Temporal
	options.Sealer, options.Logger = ring, engine.Logger(cfg.Logger, ledger.IsID)
	options.Wait = cmp.Or(options.Wait, cfg.StartTimeout)
	options.Metrics = cfg.Metrics.Temporal()
	if options.Interceptors, err = traces.Interceptors(); err != nil {
		return err
	}
	temporal, err := engine.Dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	front.Await("search_attributes")
	if err := engine.EnsureSearchAttributes(ctx, temporal, cfg.namespace()); err != nil {
		return err
	}

	cfg.Metrics.WatchStore(ctx, db, cfg.Logger, nil)
	defer watched.stop() // before the store: the last look must not find it closed
	watch := newWatcher(cfg.Metrics, traces)
	flows := api.NewFlows(temporal, engine.WithSignalRequestID)
	events, err := relay.New(relay.Config{Store: db, Flows: flows, Timing: cfg.Timing, Watch: watch, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	config := cfg.api(ring, db, temporal, merchant)
	config.Flows, config.Relay = flows, events
	config.Metrics, config.Watch = cfg.Metrics.Handler(cfg.Logger), watch
	server, err := api.New(config)
	if err != nil {
		return err
	}
	listener, err := cfg.API(ctx)
	if err != nil {
		return err
	}
	public := start(requests, server.Handler(), listener, cfg.Logger)
	defer public.stop()
	front.Open(server.Operations())
	cfg.Started(listener.Addr())
	return cfg.serve(ctx, server, events, watch, public, watched)
}

// api returns the configuration of the API itself.
func (cfg *Config) api(ring *seal.Ring, db *store.Store, temporal client.Client, merchant string) api.Config {
	config := api.Config{
		Store:         db,
		Keys:          []api.APIKey{{Name: "default", Digest: api.DigestAPIKey(cfg.APIKey)}},
		WebhookSecret: cfg.WebhookSecret,
		MerchantID:    merchant,
		Fingerprint:   ring.Digest,
		MinExpiresIn:  cfg.MinExpiresIn,
		Timing:        cfg.Timing,
		Wait:          cfg.Wait,
		Ready:         cfg.ready(db, temporal),
		Logger:        cfg.Logger,
	}
	if len(cfg.CodecOrigins) > 0 {
		config.Codec = engine.CodecHandler(ring, engine.CodecAccess{Origins: cfg.CodecOrigins, Token: cfg.CodecToken})
	}
	return config
}

// serve runs the relay beside both servers until ctx ends or one of the three
// breaks. The relay ends with ctx: what it did not hand over is in the store, and
// another process or the next start takes it up.
func (cfg *Config) serve(
	ctx context.Context, server *api.Server, events *relay.Relay, watch *watcher, public, watched *running,
) error {
	group, ended := errgroup.WithContext(ctx)
	for _, one := range []*running{public, watched} {
		group.Go(func() error {
			select {
			case <-one.ended:
				return one.err
			case <-ended.Done():
				return nil
			}
		})
	}
	group.Go(func() error { return events.Run(ended) })
	group.Go(func() error {
		<-ended.Done()
		server.Drain()
		cfg.finish(ctx, public, watch)
		return nil
	})
	return group.Wait()
}

// finish takes requests for as long as they may come, lets those under way end,
// and cuts those that take too long. Health checks are answered all the while.
func (cfg *Config) finish(ctx context.Context, public *running, watch *watcher) {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.StopTimeout)
	defer cancel()
	if ctx.Err() != nil { // nothing broke
		cfg.Drain(limit)
	}
	if err := public.Shutdown(limit); err != nil {
		requests, routes := watch.underWay()
		cfg.Logger.Error("requests cut: raise COBRO_STOP_TIMEOUT, and the platform's limit above it",
			"requests", requests, "routes", strings.Join(routes, ", "), "error", err)
	}
}

// Timeouts of the HTTP servers. Writing has none: a long poll may last a
// minute, and each handler bounds itself.
const (
	readTimeout = 15 * time.Second
	idleTimeout = 2 * time.Minute
)

func newServer(ctx context.Context, handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ErrorLog: telemetry.StandardLog(logger), ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
}

// running is a server whose goroutine is waited for.
type running struct {
	*http.Server
	ended chan struct{}
	err   error // once it has ended
}

// start serves until stop.
func start(ctx context.Context, handler http.Handler, listener net.Listener, logger *slog.Logger) *running {
	r := &running{Server: newServer(ctx, handler, logger), ended: make(chan struct{})}
	go func() { // stop waits for it
		defer close(r.ended)
		if err := r.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.err = fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	}()
	return r
}

// stop closes the listener and every connection. A second call does nothing.
func (r *running) stop() {
	_ = r.Close() // nobody is left to be told
	<-r.ended
}

// Listen opens a listener. A port that is taken is an error that names the
// setting which changes it.
func Listen(ctx context.Context, address, setting string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w (%s changes the address; port 0 takes a free one)", err, setting)
	}
	return listener, nil
}

// CheckFree reports, before anything is waited for, whether a listener could be
// opened, as [Listen] would.
func CheckFree(ctx context.Context, address, setting string) error {
	listener, err := Listen(ctx, address, setting)
	if err != nil {
		return err
	}
	return listener.Close()
}
