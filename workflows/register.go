package workflows

import "go.temporal.io/sdk/workflow"

// Registry is the part of a Temporal worker, or of Temporal's test environment,
// that takes workflows.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// Register registers every workflow under its name.
func Register(r Registry) {
	for name, run := range map[string]any{
		ProcessPaymentName: processPayment, RefundPaymentName: refundPayment, ApplyLateEventName: applyLateEvent,
		SettleRefundName: settleRefund, ReconcileDayName: reconcile, RedeliverNotificationName: redeliverNotification,
		SweepName: sweep,
	} {
		r.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: name})
	}
}
