package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/internal/tracing"
)

// startTracing begins to trace where the environment asks for it. The caller
// calls stop after everything that makes spans.
func (c *Config) startTracing(ctx context.Context) (stop func(), err error) {
	options := c.tracing
	options.Service = cmp.Or(options.Service, "cobro-worker")
	if c.traces, err = tracing.Open(ctx, options, c.Logger); err != nil {
		return nil, err
	}
	plain := c.Logger
	stop = func() {
		if err := c.traces.Close(ctx); err != nil {
			plain.Warn("last spans lost", "error", err)
		}
	}
	if c.interceptors, err = c.traces.Interceptors(); err != nil {
		stop()
		return nil, err
	}
	c.Logger = c.traces.Logger(c.Logger)
	return stop, nil
}

// observeGateway measures and traces a call to ATH Móvil.
func (c *Config) observeGateway(ctx context.Context, call athmovil.Call) {
	c.Metrics.GatewayCalled(call)
	c.traces.GatewayCalled(ctx, call, c.Now())
}

// operationsTimeout bounds one request to the operations address.
const operationsTimeout = 15 * time.Second

// serveOperations serves health and metrics where Config.OpsListen says, until
// stop, which waits for it and may be called twice. The process answers there
// while it waits for its database and for Temporal.
func (c *Config) serveOperations(ctx context.Context) (front *operations.StartupHandler, stop func(), err error) {
	front = operations.NewStartupHandler(operations.Config{
		Metrics: c.Metrics.Handler(c.Logger), Stopping: ctx.Done(), Logger: c.Logger,
	}, "store")
	if c.OpsListen == "" {
		return front, func() {}, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", c.OpsListen)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (COBRO_OPS_LISTEN changes the address; port 0 takes a free one)", err)
	}
	server := &http.Server{
		Handler:     front,
		ErrorLog:    telemetry.StandardLog(c.Logger),
		ReadTimeout: operationsTimeout, ReadHeaderTimeout: operationsTimeout, WriteTimeout: operationsTimeout,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }() // received by stop
	c.Logger.Info("worker's operations", "ops", "http://"+listener.Addr().String())
	return front, sync.OnceFunc(func() {
		_ = server.Close() // nothing is lost with a scrape
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			c.Logger.Error("worker's operations not served", "error", err)
		}
	}), nil
}

// operations answers for a process that has started.
func (r *runner) operations(ctx context.Context) http.Handler {
	return operations.Handler(operations.Config{
		Ready: r.readyChecks(), Stopping: ctx.Done(), Metrics: r.cfg.Metrics.Handler(r.cfg.Logger), Logger: r.cfg.Logger,
	})
}
