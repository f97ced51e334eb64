package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// notifier notifies receivers, each in a coroutine of its own, and writes each
// outcome to the store when it happens.
type notifier struct {
	running   int                  // coroutines
	writing   bool                 // a coroutine writes outcomes
	inFlight  map[string]*inFlight // by the notification's id
	ended     []payment.Delivery   // outcomes that no write has taken yet
	listening bool
	hurried   int // orders to deliver now that were followed
}

// inFlight is one notification that is being delivered.
type inFlight struct {
	stop func()                 // ends the activity, as it is or between two attempts
	end  payment.DeliveryStatus // set by an order that ends the delivery
}

// install installs the handler of orders to deliver now, before anything can
// block.
func (n *notifier) install(ctx workflow.Context) error {
	n.inFlight = make(map[string]*inFlight)
	return workflow.SetUpdateHandlerWithOptions(ctx, UpdateDeliverNow, n.deliverNow,
		workflow.UpdateHandlerOptions{Validator: n.validateDeliverNow})
}

// maxHurried bounds the orders that one workflow follows: each adds to its
// history.
const maxHurried = 100

// validateDeliverNow refuses an order that nothing comes of, so that it leaves
// no trace in the history.
func (n *notifier) validateDeliverNow(in DeliverNowRequest) error {
	switch _, ok := n.inFlight[in.NotificationID]; {
	case !ok:
		return temporal.NewApplicationError("the notification is not on its way", NotInFlight)
	case n.hurried >= maxHurried:
		return temporal.NewApplicationError("the workflow has followed enough of these orders", HurriedEnough)
	default:
		return nil
	}
}

// deliverNow ends the pause before a delivery's next attempt.
func (n *notifier) deliverNow(_ workflow.Context, in DeliverNowRequest) (DeliverNowOutcome, error) {
	f, ok := n.inFlight[in.NotificationID]
	if ok {
		n.hurried++
		f.stop()
	}
	return DeliverNowOutcome{Trying: ok}, nil
}

// listen takes orders to drop deliveries, from the first call on.
func (n *notifier) listen(ctx workflow.Context) {
	if n.listening {
		return
	}
	n.listening = true
	orders := workflow.GetSignalChannel(ctx, SignalDeliveries)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var order DeliveryOrder
			orders.Receive(ctx, &order)
			n.drop(ctx, order.Drop)
		}
	})
}

// drop ends deliveries. One that is not in flight is noted in any case: it may
// have failed.
func (n *notifier) drop(ctx workflow.Context, ids []string) {
	for _, id := range ids {
		if f, ok := n.inFlight[id]; ok {
			f.end = payment.DeliveryDropped
			f.stop()
			continue
		}
		ended := now(ctx)
		n.end(ctx, payment.Delivery{ID: id, Status: payment.DeliveryDropped, EndedAt: &ended})
	}
}

// announce notifies the receivers of an event once the store has given it its
// place and its receivers. subject is what the notifications' ids are derived
// from.
func (n *notifier) announce(ctx workflow.Context, subject string, what payment.Notification, written func(workflow.Context) (ledger.Announced, error)) {
	n.listen(ctx)
	n.spawn(ctx, func(ctx workflow.Context) {
		announced, err := written(ctx)
		if err != nil {
			return // only when the workflow is being torn down
		}
		what.Sequence = announced.Sequence
		for _, r := range announced.Receivers {
			one := what
			one.ID = ledger.NotificationID(subject, what.Event, what.Sequence, r.Host, r.Name)
			n.spawn(ctx, func(ctx workflow.Context) { n.deliver(ctx, one, r) })
		}
	})
}

// announceRefund announces that a refund made elsewhere was booked.
func (n *notifier) announceRefund(ctx workflow.Context, external ledger.ExternalRefund, booked activity.BookExternalRefundResult) {
	n.announce(ctx, booked.Refund.ID, external.Notification(*booked.Refund, booked.Announced.Payment), already(booked.Announced))
}

// recordMismatch keeps a difference and announces it. Its id makes a repetition
// harmless.
func (n *notifier) recordMismatch(ctx workflow.Context, m payment.Mismatch) error {
	m.FoundAt, m.FoundBy = now(ctx), workflow.GetInfo(ctx).WorkflowExecution.RunID
	announced, err := activity.RecordMismatch.Do(ctx, m)
	if err != nil {
		return err
	}
	n.announce(ctx, m.ID, m.Notification(announced.Payment), already(announced))
	return nil
}

// already is an announcement that is in the store already.
func already(announced ledger.Announced) func(workflow.Context) (ledger.Announced, error) {
	return func(workflow.Context) (ledger.Announced, error) { return announced, nil }
}

// finish returns when every delivery has ended, every outcome is written and
// every handler has answered.
func (n *notifier) finish(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return n.atRest() && workflow.AllHandlersFinished(ctx) })
}

// end takes an outcome and sees to it that it is written. One write at a time
// takes all that have come meanwhile.
func (n *notifier) end(ctx workflow.Context, outcome payment.Delivery) {
	n.ended = append(n.ended, outcome)
	if n.writing {
		return
	}
	n.writing = true
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { n.writing = false }()
		for len(n.ended) > 0 {
			outcomes := n.ended
			n.ended = nil
			if _, err := activity.RecordDeliveries.Do(ctx, activity.RecordDeliveriesInput{Deliveries: outcomes}); err != nil {
				return // only when the workflow is being torn down
			}
		}
	})
}

func (n *notifier) spawn(ctx workflow.Context, work func(workflow.Context)) {
	n.running++
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { n.running-- }()
		work(ctx)
	})
}

// deliver calls one receiver until it succeeds, its time is over, or a person
// orders otherwise.
func (n *notifier) deliver(ctx workflow.Context, what payment.Notification, r ledger.Receiver) payment.DeliveryStatus {
	delivery := payment.Delivery{
		ID: what.ID, PaymentID: what.Payment.ID, Event: what.Event, Receiver: r.Name, Host: r.Host,
		Sequence: what.Sequence, Status: payment.DeliveryDelivered, CreatedAt: what.OccurredAt,
	}
	if what.Refund != nil {
		delivery.RefundID = what.Refund.ID
	}
	name := ReceiverActivity(what.Event, r.Name)
	for {
		trying, stop := workflow.WithCancel(ctx)
		f := &inFlight{stop: stop}
		n.inFlight[what.ID] = f
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(trying, notifyOptions(r)), name, what).Get(ctx, nil)
		delete(n.inFlight, what.ID)
		switch {
		case err == nil:
		case f.end != "":
			delivery.Status = f.end
		case temporal.IsCanceledError(err) && trying.Err() != nil: // ordered to try at once, and not the receiver's own error
			continue
		default:
			workflow.GetLogger(ctx).Error("notification gave up", "notification", what.ID, "event", what.Event, "receiver", r.Name)
			delivery.Status = payment.DeliveryFailed
			delivery.LastError = private.Text(err.Error())
		}
		break
	}
	ended := now(ctx)
	delivery.EndedAt = &ended
	n.end(ctx, delivery)
	return delivery.Status
}

// atRest reports whether every delivery has ended and is written.
func (n *notifier) atRest() bool { return n.running == 0 && !n.writing }
