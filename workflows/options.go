package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
)

const (
	// answerMargin is what an activity gets beyond the gateway client's own
	// timeout, so that the client's more precise error wins.
	answerMargin = 5 * time.Second
	// readPauseMax bounds the pause between looks at a gateway that is away.
	readPauseMax = 30 * time.Second
	// reportTimeout bounds an activity that asks for reports or looks at many
	// payments.
	reportTimeout = time.Hour
	// How a receiver is tried again that says nothing of it: after the first
	// pause, then twice as long each time up to the longest, until its time is over
	// and its delivery is failed.
	notifyFirst = time.Second
	notifyMost  = time.Hour
	notifyFor   = 7 * 24 * time.Hour
)

// calling returns a context for one call to the gateway: its timeout, the pauses
// of one that is tried again, and a summary for the person who looks at the
// Temporal UI. Whether it is tried again is up to the activity's class.
func (t Timing) calling(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, t.callOptions(summary))
}

func (t Timing) callOptions(summary string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		TaskQueue:           TaskQueue,
		Summary:             summary,
		StartToCloseTimeout: t.Call + answerMargin,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: t.PollFirst, BackoffCoefficient: 2, MaximumInterval: max(readPauseMax, t.PollFirst),
		},
	}
}

// reporting returns a context for activities that ask for reports or look at
// many payments.
func (t Timing) reporting(ctx workflow.Context, summary string) workflow.Context {
	options := t.callOptions(summary)
	options.StartToCloseTimeout = reportTimeout
	options.HeartbeatTimeout = t.Call + time.Minute
	return workflow.WithActivityOptions(ctx, options)
}

// find begins to look at a ticket, for as long as that takes.
func (t Timing) find(ctx workflow.Context, ecommerceID, summary string) activity.Future[activity.Ticket] {
	return activity.FindTicket.Start(t.calling(ctx, summary), activity.TicketInput{EcommerceID: ecommerceID})
}

// findOnce looks at a ticket once: a person waits, and an answer that does not
// come tells nothing.
func (t Timing) findOnce(ctx workflow.Context, ecommerceID string) (activity.Ticket, error) {
	ctx = t.calling(ctx, "looks before a person's decision counts")
	return activity.FindTicket.Once(ctx, activity.TicketInput{EcommerceID: ecommerceID}).Result(ctx)
}

// notifyOptions returns the options of one receiver's activity.
func notifyOptions(r ledger.Receiver) workflow.ActivityOptions {
	first := cmp.Or(r.Retry.First, notifyFirst)
	return workflow.ActivityOptions{
		TaskQueue:              NotifyQueue(r.Host),
		Summary:                "notifies " + r.Host,
		StartToCloseTimeout:    cmp.Or(r.Timeout, ledger.DefaultReceiverTimeout),
		ScheduleToCloseTimeout: cmp.Or(r.Retry.For, notifyFor),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: first, BackoffCoefficient: 2, MaximumInterval: max(first, cmp.Or(r.Retry.Most, notifyMost)),
		},
	}
}
