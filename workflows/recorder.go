package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// recorder writes a payment's changes one after another, in a coroutine of its
// own, so that a store that is away holds up only those who wait for it.
type recorder struct {
	queue []queued
}

type queued struct {
	change ledger.Change
	done   workflow.Settable
}

// written is a change on its way to the store.
type written struct{ future workflow.Future }

// get waits until the change is in the store.
func (w written) get(ctx workflow.Context) (activities.RecordPaymentResult, error) {
	var result activities.RecordPaymentResult
	err := w.future.Get(ctx, &result)
	return result, err
}

// start begins to write; ctx must not be cancelled with the workflow.
func (r *recorder) start(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return len(r.queue) > 0 }) == nil {
			next := r.queue[0]
			next.done.Set(persist[activities.RecordPaymentResult](ctx, activities.RecordPaymentName, next.change))
			r.queue = r.queue[1:]
		}
	})
}

// idle reports whether everything is written.
func (r *recorder) idle() bool { return len(r.queue) == 0 }

// write puts the payment as it stands in line for the store.
func (p *process) write(ctx workflow.Context) written { return p.enqueue(ctx, p.change(ctx, "")) }

// change is the payment as it stands, with the event to announce, or none.
func (p *process) change(ctx workflow.Context, event payment.Event) ledger.Change {
	p.revision++
	p.payment.UpdatedAt = workflow.Now(ctx).UTC()
	change := ledger.Change{
		Record: ledger.Record{
			Payment: p.payment, Revision: p.revision, Fingerprint: p.fingerprint,
		},
		Transitions: p.unwritten,
		Announce:    event,
		Review:      p.docket.take(),
	}
	p.unwritten = nil
	return change
}

// whenWritten goes on once a change is in the store.
func (p *process) whenWritten(ctx workflow.Context, written written, next func()) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		if _, err := written.get(ctx); err == nil {
			next()
		}
	})
}

// enqueue puts a change in line.
func (p *process) enqueue(ctx workflow.Context, change ledger.Change) written {
	future, done := workflow.NewFuture(ctx)
	p.recorder.queue = append(p.recorder.queue, queued{change: change, done: done})
	return written{future: future}
}

// announce writes the payment as it stands and tells the event's receivers.
func (p *process) announce(ctx workflow.Context, event payment.Event) written {
	change := p.change(ctx, event)
	w := p.enqueue(ctx, change)
	p.outbox.announce(ctx, p.payment.ID, change.Notification(), func(ctx workflow.Context) (ledger.Announced, error) {
		result, err := w.get(ctx)
		return ledger.Announced{Sequence: result.Sequence, Receivers: result.Receivers}, err
	})
	return w
}

// persist repeats a local activity until it succeeds. Between attempts the
// workflow task ends, so that a store that is away delays nothing else.
func persist[R any](ctx workflow.Context, name string, input any) (R, error) {
	var result R
	ctx = workflow.WithLocalActivityOptions(ctx, recordOptions())
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := workflow.ExecuteLocalActivity(ctx, name, input).Get(ctx, &result)
		if err == nil {
			return result, nil
		}
		workflow.GetLogger(ctx).Warn("store write failed; it is tried again", "activity", name, "error", err)
		if err := workflow.Sleep(ctx, pause); err != nil {
			return result, err
		}
	}
}
