package runner

import (
	"context"
	"fmt"
	"time"

	sdkactivity "go.temporal.io/sdk/activity"
	sdk "go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/internal/outbound"
)

// endpointsEvery is how often the endpoints file is read again.
const endpointsEvery = 3 * time.Second

// checkEndpoints reports what is wrong with the endpoints file before anything
// else is opened.
func (c *Config) checkEndpoints() error {
	if c.Endpoints == "" {
		return nil
	}
	_, err := outbound.Load(c.Endpoints, c.getenv)
	return err
}

// addEndpoints lets the worker of the built-in receivers tell the endpoints of
// Config.Endpoints too, announces them, and keeps up with the file. Without a
// file it is registered all the same: a delivery that comes from a time with
// one is then told what is missing. The caller calls stop in the end.
func (r *runner) addEndpoints(ctx context.Context, w sdk.Worker) (stop func(), err error) {
	sender := outbound.NewSender(outbound.Options{Now: r.cfg.Now, Wrap: r.process.Traces.Transport})
	defer func() {
		if err != nil {
			sender.Close()
		}
	}()
	endpoints := &notify.Endpoints{Sender: sender, Attempts: r.process.Store, Now: r.cfg.Now}
	w.RegisterDynamicActivity(endpoints.Deliver, sdkactivity.DynamicRegisterOptions{})
	if r.cfg.Endpoints == "" {
		return sender.Close, nil
	}
	endpoints.File, err = outbound.Open(r.cfg.Endpoints, r.cfg.getenv, r.cfg.Logger)
	if err != nil {
		return nil, err
	}
	if err := r.process.Insist(ctx, func(ctx context.Context) error {
		return r.announceEndpoints(ctx, endpoints.File.Endpoints())
	}); err != nil {
		return nil, err
	}

	watched, cancel := context.WithCancel(ctx)
	ticker, done := time.NewTicker(endpointsEvery), make(chan struct{})
	go func() { // waited for by stop
		defer close(done)
		endpoints.File.Watch(watched, ticker.C, r.announceEndpoints)
	}()
	return func() {
		ticker.Stop()
		cancel()
		<-done
		sender.Close()
	}, nil
}

// announceEndpoints tells the store of endpoints, and the log of those that it
// still has and the file no longer does: events go on being sent to them.
func (r *runner) announceEndpoints(ctx context.Context, endpoints []outbound.Endpoint) error {
	announced := notify.EndpointReceivers(ledger.BuiltInHost, endpoints)
	if err := r.process.Store.AnnounceReceivers(ctx, ledger.BuiltInHost, announced); err != nil {
		return fmt.Errorf("announce the endpoints: %w", err)
	}
	known, err := r.process.Store.Receivers(ctx)
	if err != nil {
		return err
	}
	for _, left := range notify.LeftOver(ledger.BuiltInHost, known, announced) {
		r.cfg.Logger.WarnContext(ctx, `a receiver is announced and no longer in the endpoints file; "cobro receiver remove" removes it`,
			"event", left.Event, "receiver", left.Name)
	}
	return nil
}
