package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
)

// TestActivityOptions says for each class how often Temporal itself tries, since
// a blind second try of money would be a second debit.
func TestActivityOptions(t *testing.T) {
	t.Parallel()
	timing := Timing{}.withDefaults()
	for name, class := range Classes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := timing.activityOptions(name, "")
			require.Greater(t, options.StartToCloseTimeout, timing.Call, "the client's own error comes first")
			require.Zero(t, options.ScheduleToCloseTimeout)
			switch class {
			case ClassRead:
				require.Zero(t, options.RetryPolicy.MaximumAttempts, "for ever")
			case ClassCreate, ClassMoveMoney, ClassAsk:
				require.Equal(t, int32(1), options.RetryPolicy.MaximumAttempts)
			case ClassReport:
				// The workflow gives the tries itself; see reportOptions.
			case ClassRecord:
				require.Equal(t, int32(1), recordOptions().RetryPolicy.MaximumAttempts, "the workflow repeats it")
			case ClassNotify:
				require.Fail(t, "receivers are not listed")
			default:
				require.Failf(t, "no such class", "%s", class)
			}
		})
	}
}

func TestAwaitOptions(t *testing.T) {
	t.Parallel()
	options := Timing{}.withDefaults().awaitOptions(10 * time.Minute)
	require.Equal(t, AwaitQueue, options.TaskQueue)
	require.Greater(t, options.StartToCloseTimeout, 10*time.Minute)
	require.Equal(t, 30*time.Second, options.HeartbeatTimeout)
	require.Zero(t, options.RetryPolicy.MaximumAttempts)
	require.Equal(t, 5*time.Second, options.RetryPolicy.MaximumInterval, "a poll that failed goes on soon")
}

func TestNotifyOptions(t *testing.T) {
	t.Parallel()
	options := notifyOptions(ledger.Receiver{Host: "shop", Timeout: time.Minute})
	require.Equal(t, "notify-shop", options.TaskQueue)
	require.Equal(t, time.Minute, options.StartToCloseTimeout)
	require.Equal(t, 7*24*time.Hour, options.ScheduleToCloseTimeout)

	options = notifyOptions(ledger.Receiver{Host: "shop"})
	require.Equal(t, activities.DefaultReceiverTimeout, options.StartToCloseTimeout, "zero means the default")
}

func TestTimingDefaults(t *testing.T) {
	t.Parallel()
	require.Equal(t, Timing{
		Details: 10 * time.Second, CancelMargin: 5 * time.Second, Grace: 15 * time.Minute, Stale: 30 * time.Second,
		PollFirst: time.Second, PollMost: 5 * time.Second, Heartbeat: 30 * time.Second, Call: 30 * time.Second,
		Settle: 2 * time.Minute, Review: time.Hour,
	}, Timing{}.withDefaults())
	mine := Timing{Details: time.Millisecond, ForbidSecondAuthorize: true}.withDefaults()
	require.Equal(t, time.Millisecond, mine.Details)
	require.True(t, mine.ForbidSecondAuthorize)
}
