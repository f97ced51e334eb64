package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// notifier notifies receivers, each in a coroutine of its own, and writes the
// outcomes to the store.
type notifier struct {
	running   int                  // coroutines
	writing   int                  // writes under way
	inFlight  map[string]*inFlight // by the notification's id
	ended     []payment.Delivery   // outcomes that are not written yet
	listening bool
}

// inFlight is one notification that is being delivered.
type inFlight struct {
	stop func()                 // ends the activity, as it is or between two attempts
	end  payment.DeliveryStatus // set by an order that ends the delivery
}

// listen takes people's orders about deliveries, from the first call on.
func (n *notifier) listen(ctx workflow.Context) {
	if n.listening {
		return
	}
	n.listening, n.inFlight = true, make(map[string]*inFlight)
	orders := workflow.GetSignalChannel(ctx, SignalDeliveries)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var order DeliveryOrder
			orders.Receive(ctx, &order)
			n.follow(ctx, order)
		}
	})
}

// follow carries an order out.
func (n *notifier) follow(ctx workflow.Context, order DeliveryOrder) {
	for _, id := range order.Drop {
		if f, ok := n.inFlight[id]; ok {
			f.end = payment.DeliveryDropped
			f.stop()
			continue
		}
		ended := now(ctx)
		n.ended = append(n.ended, payment.Delivery{ID: id, Status: payment.DeliveryDropped, EndedAt: &ended})
	}
	if len(order.Drop) > 0 {
		n.writeInBackground(ctx)
	}
	for _, id := range order.Now {
		if f, ok := n.inFlight[id]; ok {
			f.stop()
		}
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

// writeInBackground writes outcomes as they come, until none is outstanding: the
// workflow may have nothing else to write for days.
func (n *notifier) writeInBackground(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		if err := n.finish(ctx); err != nil {
			workflow.GetLogger(ctx).Info("deliveries are written later", "error", err)
		}
	})
}

// finish writes what came of every delivery. It returns when none is under way
// and everything is written, whoever writes it.
func (n *notifier) finish(ctx workflow.Context) error {
	for {
		if err := workflow.Await(ctx, func() bool { return n.hasEnded() || n.atRest() }); err != nil {
			return err
		}
		if !n.hasEnded() {
			return nil
		}
		if err := n.write(ctx); err != nil {
			return err
		}
	}
}

// write writes the outcomes that are not written yet.
func (n *notifier) write(ctx workflow.Context) error {
	ended := n.ended
	n.ended = nil
	n.writing++
	_, err := activity.RecordDeliveries.Do(ctx, activity.RecordDeliveriesInput{Deliveries: ended})
	n.writing--
	return err
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
	n.ended = append(n.ended, delivery)
	return delivery.Status
}

// atRest reports whether every delivery has ended, and nothing is being written.
func (n *notifier) atRest() bool { return n.running == 0 && n.writing == 0 }

// hasEnded reports whether there are outcomes to write.
func (n *notifier) hasEnded() bool { return len(n.ended) > 0 }
