package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/workflows"
)

// Run works until ctx ends or something breaks, then finishes what is under way
// within Config.StopTimeout. It returns nil after ctx has ended: what that cut
// short is in the log. notifications may be nil. The standard log, of package
// log, stays as it is: docs/telemetry.md says what net/http may write there.
func Run(ctx context.Context, cfg Config, notifications *activities.Notifications) error {
	if notifications == nil {
		notifications = activities.NewNotifications()
	}
	cfg.setDefaults()
	if err := errors.Join(cfg.validate(len(notifications.Announced(cfg.Host))), notifications.Err()); err != nil {
		return err
	}
	err := cfg.run(ctx, notifications)
	if err != nil && ctx.Err() != nil {
		cfg.Logger.Info("cut short by the stop", "error", err)
		return nil //nolint:nilerr // it was asked to end, and it has
	}
	return err
}

func (c *Config) run(ctx context.Context, notifications *activities.Notifications) error {
	stopTracing, err := c.startTracing(ctx)
	if err != nil {
		return err
	}
	defer stopTracing()
	front, stopOperations, err := c.serveOperations(ctx)
	if err != nil {
		return err
	}
	defer stopOperations()
	db, ring, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil {
			c.Logger.Error("store not closed", "error", err)
		}
	}()
	front.Await("temporal")
	temporal, err := engine.Dial(ctx, c.engineOptions(ring))
	if err != nil {
		return err
	}
	defer temporal.Close()

	background, cancelBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelBackground()
	r := runner{cfg: *c, client: temporal, store: db, failed: make(chan error, 1), background: background}
	if c.Payments {
		front.Await("search_attributes")
		if err := r.addPayments(ctx); err != nil {
			return err
		}
		builtIn, err := r.addReceivers(ctx, builtInHost, activities.Log(c.Logger))
		if err != nil {
			return err
		}
		stop, err := r.addEndpoints(ctx, builtIn)
		if err != nil {
			return err
		}
		defer stop()
	}
	if len(notifications.Announced(c.Host)) > 0 {
		if _, err := r.addReceivers(ctx, c.Host, notifications); err != nil {
			return err
		}
	}
	if c.Payments { // a merchant's own hosts leave the books to Cobro
		c.Metrics.WatchStore(ctx, db, c.Logger, c.Now)
	}
	front.Open(r.operations(ctx))
	defer stopOperations() // before the store: the last look must not find it closed
	return r.run(ctx)
}

func (c *Config) engineOptions(ring *seal.Ring) engine.Options {
	options := c.temporal
	options.Sealer, options.Logger = ring, engine.Logger(c.Logger, ledger.IsID)
	options.Metrics, options.Interceptors = c.Metrics.Temporal(), c.interceptors
	options.Address, options.Namespace = c.TemporalAddress, c.TemporalNamespace
	options.Wait = c.StartTimeout
	return options
}

// runner starts and stops the workers of one process.
type runner struct {
	cfg     Config
	client  client.Client
	store   *store.Store
	workers []sdk.Worker
	queues  []string // of the workers
	failed  chan error

	background context.Context // of activities; ended by run's caller when nobody waits for them any more
}

// addPayments adds the workflows and the gateway's activities. Waiting for
// customers has a queue and slots of its own.
func (r *runner) addPayments(ctx context.Context) error {
	if err := engine.EnsureSearchAttributes(ctx, r.client, r.namespace()); err != nil {
		return err
	}
	gatewayClient, err := r.cfg.gateway()
	if err != nil {
		return err
	}
	gateway := &activities.Gateway{Client: gatewayClient, Claims: r.store, Now: r.cfg.Now}

	payments := r.add(workflows.TaskQueue, sdk.Options{})
	RegisterPayments(payments, gateway, &activities.Records{Store: r.store})
	RegisterReconcile(payments, &activities.Reconcile{Client: gatewayClient, Store: r.store, Now: r.cfg.Now})
	if err := r.cfg.scheduleReconcile(ctx, flows.New(r.client)); err != nil {
		return err
	}
	await := r.add(workflows.AwaitQueue, sdk.Options{
		MaxConcurrentActivityExecutionSize: r.cfg.Waiting, DisableWorkflowWorker: true,
	})
	RegisterAwait(await, gateway)
	return nil
}

// addReceivers announces a host's receivers and adds the worker that runs them.
func (r *runner) addReceivers(ctx context.Context, host string, n *activities.Notifications) (sdk.Worker, error) {
	if err := r.store.AnnounceReceivers(ctx, host, n.Announced(host)); err != nil {
		return nil, fmt.Errorf("announce the receivers of %s: %w", host, err)
	}
	w := r.add(workflows.NotifyQueue(host), sdk.Options{DisableWorkflowWorker: true})
	n.Register(w, r.store, r.cfg.Now)
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
	w := sdk.New(r.client, queue, options)
	r.workers, r.queues = append(r.workers, w), append(r.queues, queue)
	return w
}

// run starts every worker, waits, and stops them in the reverse order.
func (r *runner) run(ctx context.Context) error {
	for i, w := range r.workers {
		if err := w.Start(); err != nil {
			r.stop(r.workers[:i])
			return err
		}
	}
	r.cfg.Started()
	defer r.stop(r.workers)
	select {
	case <-ctx.Done():
		return nil
	case err := <-r.failed:
		return err
	}
}

// stop stops the workers at once rather than one after another, and waits for
// all together no longer than Config.StopTimeout. Each worker by itself could
// take three times as long: the SDK gives its workflow tasks, local activities
// and activities the whole time in turn, so that each may have it.
func (r *runner) stop(workers []sdk.Worker) {
	limit := time.NewTimer(r.cfg.StopTimeout)
	defer limit.Stop()
	done := make(chan struct{}, len(workers))
	for _, w := range workers {
		go func() { // waited for below, or left behind with what it waits for
			w.Stop()
			done <- struct{}{}
		}()
	}
	for range workers {
		select {
		case <-done:
		case <-limit.C:
			r.cfg.Logger.Error("work cut: raise COBRO_STOP_TIMEOUT, and the platform's limit above it")
			return
		}
	}
}

func (r *runner) namespace() string {
	if r.cfg.TemporalNamespace == "" {
		return client.DefaultNamespace
	}
	return r.cfg.TemporalNamespace
}

// Registry is the part of a Temporal worker, or of Temporal's test environment,
// that takes registrations.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// RegisterPayments registers the workflows with everything that runs on
// workflows.TaskQueue. The names are for ever: testdata/registered.golden lists
// them.
func RegisterPayments(r Registry, gateway *activities.Gateway, records *activities.Records) {
	r.RegisterWorkflowWithOptions(workflows.ProcessPayment, workflow.RegisterOptions{Name: workflows.ProcessPaymentName})
	r.RegisterWorkflowWithOptions(workflows.ApplyLateEvent, workflow.RegisterOptions{Name: workflows.ApplyLateEventName})
	r.RegisterWorkflowWithOptions(workflows.RefundPayment, workflow.RegisterOptions{Name: workflows.RefundPaymentName})
	r.RegisterWorkflowWithOptions(workflows.SettleRefund, workflow.RegisterOptions{Name: workflows.SettleRefundName})
	r.RegisterWorkflowWithOptions(workflows.RedeliverNotification, workflow.RegisterOptions{Name: workflows.RedeliverNotificationName})
	for name, function := range map[string]any{
		activities.CreateTicketName:   gateway.CreateTicket,
		activities.FindTicketName:     gateway.FindTicket,
		activities.AuthorizeName:      gateway.Authorize,
		activities.CancelTicketName:   gateway.CancelTicket,
		activities.SetPhoneNumberName: gateway.SetPhoneNumber,
		activities.RefundName:         gateway.Refund,
		activities.RecordPaymentName:  records.RecordPayment,
		activities.ReserveRefundName:  records.ReserveRefund,
		activities.RecordRefundName:   records.RecordRefund,
		activities.TakeRefundName:     records.TakeRefund,

		activities.BookExternalRefundName: records.BookExternalRefund,
		activities.RefundContextName:      records.RefundContext,
		activities.FillPayerName:          records.FillPayer,
		activities.RecordMismatchName:     records.RecordMismatch,
		activities.RecordDeliveriesName:   records.RecordDeliveries,
		activities.ReopenDeliveryName:     records.ReopenDelivery,
		activities.SettleEventName:        records.SettleEvent,
		activities.LookUpPaymentName:      records.LookUpPayment,
	} {
		r.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
}

// RegisterReconcile registers the daily comparison with the gateway's report.
func RegisterReconcile(r Registry, reconcile *activities.Reconcile) {
	r.RegisterWorkflowWithOptions(workflows.ReconcileDay, workflow.RegisterOptions{Name: workflows.ReconcileDayName})
	for name, function := range map[string]any{
		activities.CompareSpanName:          reconcile.CompareSpan,
		activities.LookForRefundsName:       reconcile.LookForRefunds,
		activities.SearchReportName:         reconcile.SearchReport,
		activities.RefundsInReviewName:      reconcile.RefundsInReview,
		activities.RecordReconciliationName: reconcile.RecordReconciliation,
	} {
		r.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
}

// RegisterAwait registers what runs on workflows.AwaitQueue.
func RegisterAwait(r Registry, gateway *activities.Gateway) {
	r.RegisterActivityWithOptions(gateway.AwaitDecision, activity.RegisterOptions{Name: activities.AwaitDecisionName})
}
