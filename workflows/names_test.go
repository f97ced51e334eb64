package workflows_test

import (
	"strings"
	"testing"

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
	require.NotEqual(t, workflows.TaskQueue, workflows.NotifyQueue(""))
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
