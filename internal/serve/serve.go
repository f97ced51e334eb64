// Package serve runs the API's process: what package process opens, the public
// listener and the webhook relay. The programs cobro and dev share it.
package serve

import (
	"cmp"
	"context"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// noTimeout lets a long poll last a minute. Each handler of the API bounds itself.
const noTimeout = 0

// Config says what an API process runs on.
type Config struct {
	// Config says what the process opens. Run sets Payments. An empty MerchantID
	// means settings.DefaultMerchantID: the id takes part in every derived payment
	// id and can never change.
	process.Config

	// Required fields

	// API opens the public listener. Run calls it once the process can answer
	// requests: until then a load balancer must find nobody there. Required.
	API func(context.Context) (net.Listener, error)
	// APIKey is the merchant's bearer key. Required.
	APIKey private.Token
	// WebhookSecret ends the path that ATH Móvil posts to. Required.
	WebhookSecret private.Token

	// Optional fields

	// MinExpiresIn, Timing and Wait are the use cases'; see app.Config.
	MinExpiresIn time.Duration
	Timing       workflows.Timing
	Wait         time.Duration
	// CodecOrigins are the pages that may decrypt payloads at /codec/: the
	// addresses of the Temporal UI. Empty means that /codec/ is not served.
	CodecOrigins []string
	// CodecToken must be sent to /codec/; see temporalclient.CodecAccess. With the
	// zero token, everybody who reaches the operations address may decrypt.
	CodecToken private.Token
	// StopTimeout is how long Run goes on after the context ends, Drain included.
	// Requests that take longer are cut. Zero means 15 seconds.
	StopTimeout time.Duration
	// Drain is called when the context has ended, while the API still takes
	// requests and /readyz says that it is stopping. It returns when load balancers
	// have seen that, or when its own context ends after StopTimeout. Nil means
	// that there are no load balancers.
	Drain func(context.Context)
	// Started is called with the public address once requests are answered. Nil
	// means no call.
	Started func(api net.Addr)
}

// Run answers until ctx ends or something breaks. Then it finishes the requests
// in progress. It returns nil once ctx has ended: an error that the stop itself
// has caused is only logged.
func Run(ctx context.Context, cfg Config) error {
	cfg.setDefaults()
	cfg.Payments = true
	return process.Run(ctx, cfg.Config, func(ctx context.Context, p *process.Process) error {
		cfg.Logger = p.Logger // with the trace in each line
		return cfg.run(ctx, p)
	})
}

func (cfg *Config) setDefaults() {
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.New(metrics.ProgramAPI)
	}
	cfg.MerchantID = cmp.Or(cfg.MerchantID, settings.DefaultMerchantID)
	cfg.Tracing.Service = cmp.Or(cfg.Tracing.Service, "cobro-api")
	cfg.StopTimeout = cmp.Or(cfg.StopTimeout, settings.DefaultAPIStopTimeout)
	if cfg.Drain == nil {
		cfg.Drain = func(context.Context) {}
	}
	if cfg.Started == nil {
		cfg.Started = func(net.Addr) {}
	}
}

func (cfg *Config) run(ctx context.Context, p *process.Process) error {
	watch := newWatcher(p.Metrics, p.Traces)
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	reach := flows.New(p.Temporal)
	useCases, err := app.New(app.Config{
		Store: p.Store, Flows: reach, MerchantID: cfg.MerchantID, Fingerprint: p.Ring.Digest, MinExpiresIn: cfg.MinExpiresIn,
		Timing: cfg.Timing, Wait: cfg.Wait, Stopping: stopping.Done(),
	})
	if err != nil {
		return err
	}
	p.Metrics.WatchCreates(func() metrics.Creates { return metrics.Creates(useCases.Creates()) })
	events, err := relay.New(relay.Config{Store: p.Store, Flows: reach, Timing: cfg.Timing, Watch: watch, Logger: p.Logger})
	if err != nil {
		return err
	}
	config := cfg.api(p)
	config.App, config.Relay, config.Watch, config.Stopping = useCases, events, watch, stopping.Done()
	server, err := api.New(config)
	if err != nil {
		return err
	}
	listener, err := cfg.API(ctx)
	if err != nil {
		return err
	}
	public := process.Serve(ctx, listener, server.Handler(), noTimeout, cfg.Logger)
	defer public.Stop()
	p.Ready(server.Operations())
	cfg.Started(listener.Addr())
	return cfg.serve(ctx, stop, p, events, watch, public)
}

// api returns the configuration of the API itself. Without a worker the API still
// takes payments, which wait for one, so that check is advisory.
func (cfg *Config) api(p *process.Process) api.Config {
	config := api.Config{
		Keys:          []api.APIKey{{Name: "default", Digest: api.DigestAPIKey(cfg.APIKey)}},
		WebhookSecret: cfg.WebhookSecret,
		Ready: append(p.ReadyChecks(), api.ReadyCheck{Name: "workers", Advisory: true, Check: func(ctx context.Context) error {
			return temporalclient.Polled(ctx, p.Temporal, workflows.TaskQueue)
		}}),
		Metrics: p.Metrics.Handler(p.Logger),
		Logger:  p.Logger,
	}
	if len(cfg.CodecOrigins) > 0 {
		config.Codec = temporalclient.CodecHandler(p.Ring, temporalclient.CodecAccess{Origins: cfg.CodecOrigins, Token: cfg.CodecToken})
	}
	return config
}

// serve runs the relay beside both servers until ctx ends or one of the three
// breaks. The relay ends with ctx: the events that it did not hand over are in the
// store, and another process or the next start takes them up. From then on no
// request waits.
func (cfg *Config) serve(ctx context.Context, stop func(), p *process.Process, events *relay.Relay, watch *watcher, public *process.Server) error {
	group, ended := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case err := <-public.Failed():
			return err
		case err := <-p.Failed():
			return err
		case <-ended.Done():
			return nil
		}
	})
	group.Go(func() error { return events.Run(ended) })
	group.Go(func() error {
		<-ended.Done()
		stop()
		cfg.finish(ctx, public, watch)
		return nil
	})
	return group.Wait()
}

// finish takes requests for as long as they may come, lets those under way end,
// and cuts those that take too long. Health checks are answered all the while.
func (cfg *Config) finish(ctx context.Context, public *process.Server, watch *watcher) {
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
