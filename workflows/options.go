package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
)

// Class says how an activity may be tried again. Every activity has one, in
// [Classes].
type Class string

// The retry classes.
const (
	// ClassRead is retried for ever, with backoff: looking costs nothing.
	ClassRead Class = "read"
	// ClassCreate is one attempt; the workflow tries again where the request
	// was surely not sent, and once where its answer was lost.
	ClassCreate Class = "create"
	// ClassMoveMoney is one attempt. Its outcome is done, declined or unknown,
	// and unknown leads to a look, never to a blind second try.
	ClassMoveMoney Class = "moveMoney"
	// ClassAsk is one attempt, followed by a look.
	ClassAsk Class = "ask"
	// ClassRecord is an idempotent write of the store, as a local activity; the
	// workflow repeats it until it succeeds.
	ClassRecord Class = "record"
	// ClassReport is tried a few times and then set aside, visibly: the gateway's
	// report is known to time out, and the rest of the day goes on without it.
	ClassReport Class = "report"
	// ClassNotify is retried for days, each receiver on its own.
	ClassNotify Class = "notify"
)

const (
	// answerMargin is what an activity gets beyond the gateway client's own
	// timeout, so that the client's more precise error wins.
	answerMargin = 5 * time.Second
	// recordTimeout bounds one local write. It is short, because a running
	// local activity holds back everything else that the workflow task decided.
	recordTimeout = 3 * time.Second
	// How a receiver is tried again that says nothing of it: after the first
	// pause, then twice as long each time up to the most, until its time is over
	// and its delivery is failed.
	notifyFirst = time.Second
	notifyMost  = time.Hour
	notifyFor   = 7 * 24 * time.Hour
	// readPauseMost bounds the pause between looks at a gateway that is away.
	readPauseMost = 30 * time.Second
)

// activityOptions returns the options of a gateway activity by its class.
// summary is for the person who looks at the Temporal UI.
func (t Timing) activityOptions(name, summary string) workflow.ActivityOptions {
	options := workflow.ActivityOptions{
		TaskQueue:           TaskQueue,
		Summary:             summary,
		StartToCloseTimeout: t.Call + answerMargin,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	}
	if Classes()[name] == ClassRead {
		options.RetryPolicy = &temporal.RetryPolicy{
			InitialInterval: t.PollFirst, BackoffCoefficient: 2, MaximumInterval: max(readPauseMost, t.PollFirst),
		}
	}
	return options
}

// awaitOptions returns the options of AwaitDecision, which waits until the
// deadline and has slots of its own.
func (t Timing) awaitOptions(left time.Duration) workflow.ActivityOptions {
	options := t.activityOptions(activities.AwaitDecisionName, "waits for the customer")
	options.TaskQueue = AwaitQueue
	options.StartToCloseTimeout = left + t.Call + answerMargin
	options.HeartbeatTimeout = t.Heartbeat
	options.RetryPolicy.MaximumInterval = max(t.PollMost, t.PollFirst)
	return options
}

// recordOptions returns the options of a write to the store.
func recordOptions() workflow.LocalActivityOptions {
	return workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: recordTimeout,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	}
}

// notifyOptions returns the options of one receiver's activity.
func notifyOptions(r ledger.Receiver) workflow.ActivityOptions {
	first := cmp.Or(r.Retry.First, notifyFirst)
	return workflow.ActivityOptions{
		TaskQueue:              NotifyQueue(r.Host),
		Summary:                "tells " + r.Host,
		StartToCloseTimeout:    cmp.Or(r.Timeout, activities.DefaultReceiverTimeout),
		ScheduleToCloseTimeout: cmp.Or(r.Retry.For, notifyFor),
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: first, BackoffCoefficient: 2, MaximumInterval: max(first, cmp.Or(r.Retry.Most, notifyMost)),
		},
	}
}
