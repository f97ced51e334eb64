package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// outbox tells receivers, each in a coroutine of its own, and keeps the
// outcomes for the store.
type outbox struct {
	underway  int
	writing   int                // writes under way
	flying    map[string]*flight // by the notification's id
	ended     []payment.Delivery // those that the store was not given yet
	listening bool
}

// flight is one notification on its way.
type flight struct {
	stop func()                 // ends the activity, as it is or between two attempts
	end  payment.DeliveryStatus // set by an order that ends it
}

// listen hears people's orders about deliveries, from the first call on.
func (o *outbox) listen(ctx workflow.Context) {
	if o.listening {
		return
	}
	o.listening, o.flying = true, make(map[string]*flight)
	orders := workflow.GetSignalChannel(ctx, SignalDeliveries)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var order DeliveryOrder
			orders.Receive(ctx, &order)
			o.obey(ctx, order)
		}
	})
}

func (o *outbox) obey(ctx workflow.Context, order DeliveryOrder) {
	for _, id := range order.Drop {
		if f, ok := o.flying[id]; ok {
			f.end = payment.DeliveryDropped
			f.stop()
			continue
		}
		ended := workflow.Now(ctx).UTC()
		o.ended = append(o.ended, payment.Delivery{ID: id, Status: payment.DeliveryDropped, EndedAt: &ended})
	}
	if len(order.Drop) > 0 {
		o.keepUp(ctx)
	}
	for _, id := range order.Now {
		if f, ok := o.flying[id]; ok {
			f.stop()
		}
	}
}

// announce tells an event once the store has given it its place and its
// receivers. subject is what the notifications' ids are derived from.
func (o *outbox) announce(ctx workflow.Context, subject string, n payment.Notification, told func(workflow.Context) (ledger.Announced, error)) {
	o.listen(ctx)
	o.spawn(ctx, func(ctx workflow.Context) {
		announced, err := told(ctx)
		if err != nil {
			return // only when the workflow is being torn down
		}
		n.Sequence = announced.Sequence
		for _, r := range announced.Receivers {
			one := n
			one.ID = ledger.NotificationID(subject, n.Event, n.Sequence, r.Host, r.Name)
			o.spawn(ctx, func(ctx workflow.Context) { o.deliver(ctx, one, r) })
		}
	})
	o.keepUp(ctx)
}

// announceRefund tells that a refund made elsewhere was booked.
func (o *outbox) announceRefund(ctx workflow.Context, external ledger.ExternalRefund, booked activities.BookExternalRefundResult) {
	o.announce(ctx, booked.Refund.ID, external.Notification(*booked.Refund, booked.Announced.Payment), at(booked.Announced))
}

// recordMismatch keeps a difference and tells of it. Its id makes a repetition
// harmless.
func (o *outbox) recordMismatch(ctx workflow.Context, m payment.Mismatch) error {
	m.FoundAt, m.FoundBy = workflow.Now(ctx).UTC(), workflow.GetInfo(ctx).WorkflowExecution.RunID
	announced, err := persist[ledger.Announced](ctx, activities.RecordMismatchName, m)
	if err != nil {
		return err
	}
	o.announce(ctx, m.ID, m.Notification(announced.Payment), at(announced))
	return nil
}

// at is an announcement that is in the store already.
func at(announced ledger.Announced) func(workflow.Context) (ledger.Announced, error) {
	return func(workflow.Context) (ledger.Announced, error) { return announced, nil }
}

// keepUp tells the store, in the background, what came of the deliveries under
// way: the workflow may have nothing else to write for days.
func (o *outbox) keepUp(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		if err := o.finish(ctx); err != nil {
			workflow.GetLogger(ctx).Info("deliveries are written later", "error", err)
		}
	})
}

// finish tells the store what came of every delivery and returns when none is
// under way and everything is written, whoever writes it.
func (o *outbox) finish(ctx workflow.Context) error {
	for {
		if err := workflow.Await(ctx, func() bool { return o.hasEnded() || o.atRest() }); err != nil {
			return err
		}
		if !o.hasEnded() {
			return nil
		}
		o.writing++
		_, err := persist[any](ctx, activities.RecordDeliveriesName, activities.RecordDeliveriesInput{Deliveries: o.take()})
		o.writing--
		if err != nil {
			return err
		}
	}
}

func (o *outbox) spawn(ctx workflow.Context, work func(workflow.Context)) {
	o.underway++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { o.underway-- }()
		work(ctx)
	})
}

// deliver calls one receiver until it succeeds, its time is over, or a person
// orders otherwise.
func (o *outbox) deliver(ctx workflow.Context, n payment.Notification, r ledger.Receiver) payment.DeliveryStatus {
	delivery := payment.Delivery{
		ID: n.ID, PaymentID: n.Payment.ID, Event: n.Event, Receiver: r.Name, Host: r.Host,
		Sequence: n.Sequence, Status: payment.DeliveryDelivered, CreatedAt: n.OccurredAt,
	}
	if n.Refund != nil {
		delivery.RefundID = n.Refund.ID
	}
	name := activities.ReceiverActivityName(string(n.Event), r.Name)
	for {
		trying, stop := workflow.WithCancel(ctx)
		f := &flight{stop: stop}
		o.flying[n.ID] = f
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(trying, notifyOptions(r)), name, n).Get(ctx, nil)
		delete(o.flying, n.ID)
		switch {
		case err == nil:
		case f.end != "":
			delivery.Status = f.end
		case temporal.IsCanceledError(err) && trying.Err() != nil: // ordered to try at once, and not the receiver's own error
			continue
		default:
			workflow.GetLogger(ctx).Error("notification gave up", "notification", n.ID, "event", n.Event, "receiver", r.Name)
			delivery.Status = payment.DeliveryFailed
			delivery.LastError = private.Text(err.Error())
		}
		break
	}
	ended := workflow.Now(ctx).UTC()
	delivery.EndedAt = &ended
	o.ended = append(o.ended, delivery)
	return delivery.Status
}

// idle reports whether every delivery has ended.
func (o *outbox) idle() bool { return o.underway == 0 }

// atRest reports whether every delivery has ended, and its outcome is written.
func (o *outbox) atRest() bool { return o.idle() && o.writing == 0 && !o.hasEnded() }

// hasEnded reports whether there are outcomes for the store.
func (o *outbox) hasEnded() bool { return len(o.ended) > 0 }

// take returns the outcomes that the store was not given yet.
func (o *outbox) take() []payment.Delivery {
	ended := o.ended
	o.ended = nil
	return ended
}
