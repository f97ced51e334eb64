// Package orders takes people's orders about notifications to the workflows that
// deliver them.
package orders

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Redeliver has a notification sent now: by the workflow that sends it, where it
// is on its way, and otherwise by one of its own. It returns once the order is
// taken. The errors are the Temporal client's.
func Redeliver(ctx context.Context, temporal client.Client, d payment.Delivery) error {
	in := workflows.RedeliverNotificationInput{NotificationID: d.ID}
	if d.Status == payment.DeliveryPending {
		err := temporal.SignalWorkflow(ctx, d.WorkflowID, "", workflows.SignalDeliveries, workflows.DeliveryOrder{Now: []string{d.ID}})
		if !isNotFound(err) {
			return err
		}
		in.Left = d.WorkflowID // ended, by a person's hand, without having delivered
	}
	_, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.RedeliveryWorkflowID(d.ID), TaskQueue: workflows.TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            fmt.Sprintf("%s to %s/%s", d.Event, d.Host, d.Receiver),
	}, workflows.RedeliverNotificationName, in)
	return err
}

// Store is what [Drop] notes things in.
type Store interface {
	RecordDeliveries(ctx context.Context, deliveries []payment.Delivery) error
}

// Drop ends deliveries that are on their way, or have failed; now is when. Those
// whose workflow has ended are noted at once, and those of running ones soon.
func Drop(ctx context.Context, temporal client.Client, store Store, deliveries []payment.Delivery, now time.Time) error {
	byWorkflow := map[string][]string{}
	for _, d := range deliveries {
		byWorkflow[d.WorkflowID] = append(byWorkflow[d.WorkflowID], d.ID)
	}
	var left []payment.Delivery
	for workflowID, ids := range byWorkflow {
		err := temporal.SignalWorkflow(ctx, workflowID, "", workflows.SignalDeliveries, workflows.DeliveryOrder{Drop: ids})
		if err != nil && !isNotFound(err) {
			return fmt.Errorf("drop notifications of workflow %s: %w", workflowID, err)
		}
		if err == nil {
			continue
		}
		for _, id := range ids {
			left = append(left, payment.Delivery{ID: id, Status: payment.DeliveryDropped, EndedAt: &now})
		}
	}
	if len(left) == 0 {
		return nil
	}
	return store.RecordDeliveries(ctx, left)
}

func isNotFound(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}
