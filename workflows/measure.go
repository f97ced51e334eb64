package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
)

// MetricUnknownOutcomes counts, by its tag "operation", calls that may have
// moved money or made a ticket and whose outcome is not known.
const MetricUnknownOutcomes = "cobro_unknown_outcomes"

// Values of the tag "operation".
const (
	opCreate    = "create"
	opAuthorize = "authorize"
	opRefund    = "refund"
)

// countUnknown counts a call if its outcome is not known. The workflow alone
// knows all of them: a worker that died during a call counts nothing. The
// handler is the SDK's, which is silent while it replays.
func countUnknown(ctx workflow.Context, operation string, failure activity.GatewayFailure) {
	if failure.Kind != activity.KindUnknown {
		return
	}
	workflow.GetMetricsHandler(ctx).WithTags(map[string]string{"operation": operation}).Counter(MetricUnknownOutcomes).Inc(1)
}
