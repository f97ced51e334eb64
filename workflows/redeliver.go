package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
)

// RedeliverNotification sends a notification again that has ended, under its own
// id, with its receiver's ways of trying again.
func RedeliverNotification(ctx workflow.Context, in RedeliverNotificationInput) (RedeliverNotificationResult, error) {
	ctx = detached(ctx) // what was begun is finished
	result, err := persist[activities.ReopenDeliveryResult](ctx, activities.ReopenDeliveryName,
		activities.ReopenDeliveryInput{NotificationID: in.NotificationID, Left: in.Left})
	if err != nil || result.Reopened == nil {
		return RedeliverNotificationResult{Refusal: result.Refusal}, err
	}
	var o outbox
	o.listen(ctx)
	status := o.deliver(ctx, result.Reopened.Notification, result.Reopened.Receiver)
	return RedeliverNotificationResult{Status: status}, o.finish(ctx)
}
