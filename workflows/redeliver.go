package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
)

// redeliverNotification sends a notification again that has ended, under its own
// id, with its receiver's retries.
func redeliverNotification(ctx workflow.Context, in RedeliverNotificationInput) (RedeliverNotificationResult, error) {
	var n notifier
	if err := n.install(ctx); err != nil {
		return RedeliverNotificationResult{}, err
	}
	ctx = detached(ctx) // what was begun is finished
	result, err := activity.ReopenDelivery.Do(ctx, activity.ReopenDeliveryInput{NotificationID: in.NotificationID, Left: in.Left})
	if err != nil || result.Reopened == nil {
		return RedeliverNotificationResult{Refusal: result.Refusal}, err
	}
	n.listen(ctx)
	status := n.deliver(ctx, result.Reopened.Notification, result.Reopened.Receiver)
	return RedeliverNotificationResult{Status: status}, n.finish(ctx)
}
