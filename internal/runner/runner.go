// Package runner runs the Temporal workers of one process: the payment workflows
// with the calls to ATH Móvil, a merchant's own receivers, or both. Package worker
// is its public face.
//
// [Run] announces the receivers in the store, registers everything (register.go)
// and starts one worker for each task queue. When its context ends it stops all
// workers at once, and gives them [Config].StopTimeout together.
package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	sdk "go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/activity/reconcile"
	"github.com/cobropay/cobro/internal/activity/records"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/poller"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/workflows"
)

// Run works until ctx ends or something breaks. Then it finishes the work in
// progress within [Config].StopTimeout. It returns nil once ctx has ended: an
// error that the stop itself has caused is only logged. notifications may be nil.
func Run(ctx context.Context, cfg Config, notifications *activities.Notifications) error {
	if notifications == nil {
		notifications = activities.NewNotifications()
	}
	cfg.setDefaults()
	if err := errors.Join(cfg.validate(len(notifications.All())), notifications.Err()); err != nil {
		return err
	}
	return process.Run(ctx, cfg.Config, func(ctx context.Context, p *process.Process) error {
		cfg.Logger = p.Logger // with the trace in each line
		return cfg.run(ctx, p, notifications)
	})
}

func (c *Config) run(ctx context.Context, p *process.Process, notifications *activities.Notifications) error {
	background, cancelBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelBackground()
	r := runner{cfg: *c, process: p, failed: make(chan error, 1), background: background}
	if c.Payments {
		if err := r.addPayments(ctx); err != nil {
			return err
		}
		builtIn, err := r.addReceivers(ctx, ledger.BuiltInHost, activities.Log(c.Logger))
		if err != nil {
			return err
		}
		stop, err := r.addEndpoints(ctx, builtIn)
		if err != nil {
			return err
		}
		defer stop()
	}
	if len(notifications.All()) > 0 {
		if _, err := r.addReceivers(ctx, c.Host, notifications); err != nil {
			return err
		}
	}
	p.Ready(operations.Handler(operations.Config{
		Ready: r.readyChecks(), Stopping: ctx.Done(), Metrics: c.Metrics.Handler(c.Logger), Logger: c.Logger,
	}))
	return r.run(ctx)
}

// runner starts and stops the workers of one process.
type runner struct {
	cfg     Config
	process *process.Process
	workers []sdk.Worker
	queues  []string       // of the workers
	poller  *poller.Poller // nil without payments
	failed  chan error

	background context.Context // of activities; it ends when nothing waits for them any longer
}

// readyChecks adds to what every process needs that its own queues are polled.
func (r *runner) readyChecks() []operations.Check {
	return append(r.process.ReadyChecks(), operations.Check{Name: "workers", Check: func(ctx context.Context) error {
		return temporalclient.Polled(ctx, r.process.Temporal, r.queues...)
	}})
}

// addPayments adds the workflows, the gateway's activities, and the poller that
// looks at their tickets.
func (r *runner) addPayments(ctx context.Context) error {
	gatewayClient, err := r.cfg.Client(r.process)
	if err != nil {
		return err
	}
	store, reach := r.process.Store, flows.New(r.process.Temporal)
	calls := &gateway.Gateway{Client: gatewayClient, Locks: store, Now: r.cfg.Now}
	r.poller, err = poller.New(poller.Config{
		Store: store, Gateway: calls, Flows: reach, First: r.cfg.PollFirst, Most: r.cfg.PollMost,
		Observer: r.process.Metrics, Now: r.cfg.Now, Logger: r.cfg.Logger,
	})
	if err != nil {
		return err
	}
	payments := r.add(workflows.TaskQueue, sdk.Options{})
	RegisterPayments(payments, calls, &records.Records{Store: store, Tickets: r.poller},
		&reconcile.Reconcile{Client: gatewayClient, Store: store, Now: r.cfg.Now})
	if err := r.cfg.scheduleReconcile(ctx, reach); err != nil {
		return err
	}
	if err := reach.Sweep(ctx, workflows.SweepInput{Timing: workflows.Timing{Call: r.cfg.Gateway.Timeout}}); err != nil {
		return fmt.Errorf("schedule the sweep: %w", err)
	}
	return nil
}

// addReceivers announces a host's receivers and adds the worker that runs them.
func (r *runner) addReceivers(ctx context.Context, host string, n *activities.Notifications) (sdk.Worker, error) {
	if err := r.process.Insist(ctx, func(ctx context.Context) error {
		return r.process.Store.AnnounceReceivers(ctx, host, notify.Announced(host, n.All()))
	}); err != nil {
		return nil, fmt.Errorf("announce the receivers of %s: %w", host, err)
	}
	w := r.add(workflows.NotifyQueue(host), sdk.Options{DisableWorkflowWorker: true})
	notify.Register(w, n.All(), r.process.Store, r.cfg.Now)
	return w, nil
}

func (r *runner) add(queue string, options sdk.Options) sdk.Worker {
	options.DisableRegistrationAliasing = true
	options.WorkerStopTimeout = r.cfg.StopTimeout
	options.BackgroundActivityContext = r.background
	options.OnFatalError = func(err error) {
		select {
		case r.failed <- fmt.Errorf("worker of queue %s: %w", queue, err):
		default: // one reason to stop is enough
		}
	}
	w := sdk.New(r.process.Temporal, queue, options)
	r.workers, r.queues = append(r.workers, w), append(r.queues, queue)
	return w
}

// run starts every worker and the poller, waits, and stops them together. The
// operations address is answered as long as they are: the process closes it after
// them.
func (r *runner) run(ctx context.Context) error {
	for i, w := range r.workers {
		if err := w.Start(); err != nil {
			r.stop(stopsOf(r.workers[:i]))
			return err
		}
	}
	stops := stopsOf(r.workers)
	if r.poller != nil {
		stops = append(stops, r.poll(ctx))
	}
	r.cfg.Started()
	defer r.stop(stops)
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.failed:
		return err
	}
}

// poll starts the poller and returns what stops it.
func (r *runner) poll(ctx context.Context) (stop func()) {
	polling, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // waited for by stop
		defer close(done)
		r.poller.Run(polling)
	}()
	return func() {
		cancel()
		<-done
	}
}

func stopsOf(workers []sdk.Worker) []func() {
	var stops []func()
	for _, w := range workers {
		stops = append(stops, w.Stop)
	}
	return stops
}

// stop stops the workers and the poller at once rather than one after another, and
// waits for all of them together no longer than Config.StopTimeout. One worker
// alone could take three times as long: the SDK gives its workflow tasks, local
// activities and activities the whole time in turn.
func (r *runner) stop(stops []func()) {
	limit := time.NewTimer(r.cfg.StopTimeout)
	defer limit.Stop()
	done := make(chan struct{}, len(stops))
	for _, stop := range stops {
		go func() { // waited for below, or left behind with what it waits for
			stop()
			done <- struct{}{}
		}()
	}
	for range stops {
		select {
		case <-done:
		case <-limit.C:
			r.cfg.Logger.Error("work cut: raise COBRO_STOP_TIMEOUT, and the platform's limit above it")
			return
		}
	}
}

// reconcileTime reads Config.ReconcileAt; off is true where it never happens.
func reconcileTime(text string) (at time.Time, off bool, err error) {
	if text == "off" {
		return time.Time{}, true, nil
	}
	at, err = time.Parse("15:04", cmp.Or(text, settings.DefaultReconcileAt))
	return at, false, err
}

// scheduleReconcile creates the schedule, or moves it to the time that is set.
// Where that is off, an existing one is paused.
func (c *Config) scheduleReconcile(ctx context.Context, f *flows.Flows) error {
	at, off, err := reconcileTime(c.ReconcileAt)
	if err != nil {
		return err
	}
	if off {
		return f.PauseReconcile(ctx)
	}
	return f.ReconcileDaily(ctx, at, workflows.ReconcileDayInput{Timing: workflows.Timing{Call: c.Gateway.Timeout}})
}
