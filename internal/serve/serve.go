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
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// defaultStartTimeout covers databases and clusters that are started with us.
const defaultStartTimeout = 30 * time.Second

// DefaultMerchant is the merchant id of an installation that names none.
const DefaultMerchant = "default"

// Config says what an API process runs on.
type Config struct {
	// Required fields

	// API and Operations are open listeners; Run closes them.
	API, Operations net.Listener
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
	// StopTimeout is how long requests under way may take after the context
	// ends. Zero means 15 seconds.
	StopTimeout time.Duration
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
	// Started is called once requests are answered; nil means nobody asks.
	Started func()
}

// Run answers until ctx ends or something breaks. Then it finishes the requests
// under way. It returns nil after ctx has ended.
func Run(ctx context.Context, cfg Config) error {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New(metrics.ProgramAPI)
	}
	cfg.Tracing.Service = cmp.Or(cfg.Tracing.Service, "cobro-api")
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
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, defaultStartTimeout)
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
	options := cfg.Temporal
	options.Sealer, options.Logger = ring, engine.Logger(cfg.Logger, payment.IsID)
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
	if err := engine.EnsureSearchAttributes(ctx, temporal, cfg.namespace()); err != nil {
		return err
	}

	cfg.Metrics.WatchStore(ctx, db, cfg.Logger, nil)
	config := cfg.api(ring, db, temporal, merchant)
	config.Metrics, config.Watch = cfg.Metrics.Handler(cfg.Logger), watcher{metrics: cfg.Metrics, tracing: traces}
	server, err := api.New(config)
	if err != nil {
		return err
	}
	return cfg.serve(ctx, server)
}

// api returns the configuration of the API itself.
func (cfg *Config) api(ring *seal.Ring, db *store.Store, temporal client.Client, merchant string) api.Config {
	config := api.Config{
		Store:         db,
		Flows:         api.NewFlows(temporal, engine.WithSignalRequestID),
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

// serve runs both listeners and the relay.
func (cfg *Config) serve(ctx context.Context, server *api.Server) error {
	// Requests outlive ctx by the stop timeout. The relay ends with ctx: what it
	// did not hand over is in the store, and the next start takes it up.
	requests, stopRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRequests()
	public := newServer(requests, server.Handler(), cfg.Logger)
	operations := newServer(requests, server.Operations(), cfg.Logger)

	group, ended := errgroup.WithContext(ctx)
	group.Go(func() error { return listen(public, cfg.API) })
	group.Go(func() error { return listen(operations, cfg.Operations) })
	group.Go(func() error { return server.Run(ended) })
	group.Go(func() error {
		<-ended.Done()
		limit, cancel := context.WithTimeout(requests, cmp.Or(cfg.StopTimeout, 15*time.Second))
		defer cancel()
		// Health checks are answered to the end, and say that we stop.
		return errors.Join(public.Shutdown(limit), operations.Shutdown(limit))
	})
	if cfg.Started != nil {
		cfg.Started()
	}
	return group.Wait()
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

func listen(server *http.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", listener.Addr(), err)
	}
	return nil
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
