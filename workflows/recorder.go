package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// now is the workflow's time, as precise as the store keeps it: what an update
// answers is what a later read says.
func now(ctx workflow.Context) time.Time { return workflow.Now(ctx).UTC().Truncate(time.Microsecond) }

// recorder writes a payment's changes one after another, in a coroutine of its
// own, so that a store that is away holds up only those who wait for it.
type recorder struct {
	queue  []queued
	stored *payment.Payment // as the store has it; nil before the first write
}

type queued struct {
	change ledger.Change
	done   workflow.Settable
}

// start begins to write; ctx must not be canceled with the workflow.
func (r *recorder) start(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return len(r.queue) > 0 }) == nil {
			next := r.queue[0]
			result, err := activity.RecordPayment.Do(ctx, next.change)
			if err == nil {
				r.stored = &next.change.Record.Payment
			}
			next.done.Set(result, err)
			r.queue = r.queue[1:]
		}
	})
}

// idle reports whether everything is written.
func (r *recorder) idle() bool { return len(r.queue) == 0 }

// written is a change on its way to the store.
type written = activity.Future[activity.RecordPaymentResult]

// write puts the payment as it stands in line for the store.
func (p *process) write(ctx workflow.Context) written { return p.enqueue(ctx, p.change(ctx, "")) }

// change is the payment as it stands, with the event to announce, or none.
func (p *process) change(ctx workflow.Context, event payment.Event) ledger.Change {
	p.revision++
	p.payment.UpdatedAt = now(ctx)
	change := ledger.Change{
		Record:      ledger.Record{Payment: p.payment, Revision: p.revision, Fingerprint: p.fingerprint},
		Transitions: p.unwritten,
		Announce:    event,
		Review:      p.reviewCase.take(),
	}
	p.unwritten = nil
	return change
}

// whenWritten goes on once a change is in the store.
func (p *process) whenWritten(ctx workflow.Context, change written, next func()) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		if change.Get(ctx, nil) == nil {
			next()
		}
	})
}

// enqueue puts a change in line.
func (p *process) enqueue(ctx workflow.Context, change ledger.Change) written {
	future, done := workflow.NewFuture(ctx)
	p.recorder.queue = append(p.recorder.queue, queued{change: change, done: done})
	return written{Future: future}
}

// announce writes the payment as it stands and notifies the event's receivers.
func (p *process) announce(ctx workflow.Context, event payment.Event) written {
	change := p.change(ctx, event)
	w := p.enqueue(ctx, change)
	p.notifier.announce(ctx, p.payment.ID, change.Notification(), func(ctx workflow.Context) (ledger.Announced, error) {
		result, err := w.Result(ctx)
		return ledger.Announced{Sequence: result.Sequence, Receivers: result.Receivers}, err
	})
	return w
}
