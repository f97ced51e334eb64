package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
)

func TestNotifyOptions(t *testing.T) {
	t.Parallel()
	options := notifyOptions(ledger.Receiver{Host: "shop", Timeout: time.Minute})
	require.Equal(t, "notify-shop", options.TaskQueue)
	require.Equal(t, time.Minute, options.StartToCloseTimeout)
	require.Equal(t, 7*24*time.Hour, options.ScheduleToCloseTimeout)

	options = notifyOptions(ledger.Receiver{Host: "shop"})
	require.Equal(t, ledger.DefaultReceiverTimeout, options.StartToCloseTimeout, "zero means the default")
}

func TestTimingDefaults(t *testing.T) {
	t.Parallel()
	require.Equal(t, Timing{
		Details: 10 * time.Second, CancelMargin: 5 * time.Second, Grace: 15 * time.Minute, Stale: 30 * time.Second,
		PollFirst: time.Second, PollMost: 5 * time.Second, Call: 30 * time.Second,
		Settle: 2 * time.Minute, Review: time.Hour, Sweep: 2 * time.Minute,
	}, Timing{}.withDefaults())
	mine := Timing{Details: time.Millisecond, ForbidSecondAuthorize: true}.withDefaults()
	require.Equal(t, time.Millisecond, mine.Details)
	require.True(t, mine.ForbidSecondAuthorize)
}
