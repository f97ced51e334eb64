package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
)

// outbox tells receivers, each in a coroutine of its own, and keeps the
// outcomes for the store.
type outbox struct {
	underway int
	ended    []payment.Delivery // those that the store was not given yet
}

// announce tells an event once its receivers are known. subject is what the
// notifications' ids are derived from.
func (o *outbox) announce(ctx workflow.Context, subject string, n payment.Notification, receivers func(workflow.Context) ([]payment.Receiver, error)) {
	n.Version = payment.NotificationVersion
	o.spawn(ctx, func(ctx workflow.Context) {
		list, err := receivers(ctx)
		if err != nil {
			return // only when the workflow is being torn down
		}
		for _, r := range list {
			one := n
			one.ID = payment.NotificationID(subject, n.Event, n.Sequence, r.Host, r.Name)
			o.spawn(ctx, func(ctx workflow.Context) { o.deliver(ctx, one, r) })
		}
	})
}

func (o *outbox) spawn(ctx workflow.Context, work func(workflow.Context)) {
	o.underway++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { o.underway-- }()
		work(ctx)
	})
}

// deliver calls one receiver until it succeeds or its time is over.
func (o *outbox) deliver(ctx workflow.Context, n payment.Notification, r payment.Receiver) {
	delivery := payment.Delivery{
		ID: n.ID, PaymentID: n.Payment.ID, Event: n.Event, Receiver: r.Name, Host: r.Host,
		Sequence: n.Sequence, Status: payment.DeliveryDelivered, CreatedAt: n.OccurredAt,
	}
	if n.Refund != nil {
		delivery.RefundID = n.Refund.ID
	}
	name := activities.ReceiverActivityName(string(n.Event), r.Name)
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, notifyOptions(r)), name, n).Get(ctx, nil)
	if err != nil {
		workflow.GetLogger(ctx).Error("notification gave up", "notification", n.ID, "event", n.Event, "receiver", r.Name)
		delivery.Status = payment.DeliveryFailed
		delivery.LastError = "gave up; see the activity in the Temporal UI"
	}
	ended := workflow.Now(ctx).UTC()
	delivery.EndedAt = &ended
	o.ended = append(o.ended, delivery)
}

// idle reports whether every delivery has ended.
func (o *outbox) idle() bool { return o.underway == 0 }

// hasEnded reports whether there are outcomes for the store.
func (o *outbox) hasEnded() bool { return len(o.ended) > 0 }

// take returns the outcomes that the store was not given yet.
func (o *outbox) take() []payment.Delivery {
	ended := o.ended
	o.ended = nil
	return ended
}
