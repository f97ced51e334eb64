package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func TestNotifyQueue(t *testing.T) {
	t.Parallel()
	require.Equal(t, "notify-shop", workflows.NotifyQueue("shop"))
	require.NotContains(t, []string{workflows.TaskQueue, workflows.AwaitQueue}, workflows.NotifyQueue(""))
}

func TestWorkflowIDs(t *testing.T) {
	t.Parallel()
	id := ledger.DeriveRefundID(ledger.DeriveID("default", "key"), "key")
	got, ok := workflows.RefundIDOf(workflows.RefundWorkflowID(id))
	require.True(t, ok)
	require.Equal(t, id, got)

	_, ok = workflows.RefundIDOf(workflows.PaymentWorkflowID(ledger.DeriveID("default", "key")))
	require.False(t, ok, "a payment's workflow is no refund's")
}

// TestNamesFit says that nothing is longer than what Temporal keeps by default
// (limit.maxIDLength, 1000) and what other stores of ids usually do.
func TestNamesFit(t *testing.T) {
	t.Parallel()
	const most = 255
	longest := ""
	for _, event := range payment.Events() {
		if len(event) > len(longest) {
			longest = string(event)
		}
	}
	id := ledger.DeriveID("default", "key")
	for _, name := range []string{
		workflows.PaymentWorkflowID(id),
		workflows.RefundWorkflowID(ledger.DeriveRefundID(id, "key")),
		workflows.NotifyQueue(strings.Repeat("h", ledger.MaxHost)),
		workflows.ReceiverActivity(payment.Event(longest), strings.Repeat("r", ledger.MaxReceiverName)),
	} {
		require.LessOrEqual(t, len(name), most, name)
	}
}

func TestSearchAttributesAreRegistered(t *testing.T) {
	t.Parallel()
	used := make(map[string]enums.IndexedValueType)
	for _, key := range []temporal.SearchAttributeKey{
		workflows.SearchStatus, workflows.SearchTotalCents, workflows.SearchReference,
		workflows.SearchEcommerceID, workflows.SearchReferenceNumber, workflows.SearchNeedsReview,
	} {
		used[key.GetName()] = key.GetValueType()
	}
	require.Equal(t, temporalclient.SearchAttributes(), used)
}

func TestMoneyIsNeverRetried(t *testing.T) {
	t.Parallel()
	var moving []string
	for _, d := range activity.All() {
		if d.Class() == activity.ClassMoveMoney {
			moving = append(moving, d.Name())
		}
	}
	require.Equal(t, []string{activity.Authorize.Name(), activity.Refund.Name()}, moving)
}

func TestTimingFromEnv(t *testing.T) {
	t.Parallel()
	names := []string{
		"COBRO_TIMING_DETAILS", "COBRO_TIMING_CANCEL_MARGIN", "COBRO_TIMING_GRACE", "COBRO_TIMING_STALE", "COBRO_TIMING_POLL_FIRST",
		"COBRO_TIMING_POLL_MOST", "COBRO_TIMING_HEARTBEAT", "COBRO_CALL_TIMEOUT", "COBRO_TIMING_SETTLE", "COBRO_TIMING_REVIEW",
	}

	t.Run("nothing is set", func(t *testing.T) {
		t.Parallel()
		timing, err := workflows.TimingFromEnv(func(string) string { return "" })
		require.NoError(t, err)
		require.Zero(t, timing)
	})

	t.Run("everything is set", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{"COBRO_FORBID_SECOND_AUTHORIZE": "true"}
		for i, name := range names {
			env[name] = strings.Repeat("1", i+1) + "s"
		}
		timing, err := workflows.TimingFromEnv(func(name string) string { return env[name] })
		require.NoError(t, err)
		require.True(t, timing.ForbidSecondAuthorize)
		var seconds []string
		for _, d := range []time.Duration{
			timing.Details, timing.CancelMargin, timing.Grace, timing.Stale, timing.PollFirst,
			timing.PollMost, timing.Heartbeat, timing.Call, timing.Settle, timing.Review,
		} {
			seconds = append(seconds, d.String())
		}
		require.Equal(t, []string{
			"1s", "11s", "1m51s", "18m31s", "3h5m11s", "30h51m51s", "308h38m31s", "3086h25m11s", "30864h11m51s", "308641h58m31s",
		}, seconds, "each variable has its own field")
	})

	t.Run("every mistake is reported", func(t *testing.T) {
		t.Parallel()
		_, err := workflows.TimingFromEnv(func(name string) string {
			if name == "COBRO_TIMING_GRACE" {
				return "-5s"
			}
			return "soon"
		})
		for _, name := range append(names, "COBRO_FORBID_SECOND_AUTHORIZE") {
			require.ErrorContains(t, err, name)
		}
	})
}
