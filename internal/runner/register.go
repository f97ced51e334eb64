package runner

import (
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/workflows"
)

// Registry is the part of a Temporal worker, or of Temporal's test environment,
// that takes registrations.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// RegisterPayments registers the workflows with everything that runs on
// workflows.TaskQueue. The names are for ever: testdata/registered.golden lists
// them.
func RegisterPayments(r Registry, gateway *activities.Gateway, records *activities.Records) {
	r.RegisterWorkflowWithOptions(workflows.ProcessPayment, workflow.RegisterOptions{Name: workflows.ProcessPaymentName})
	r.RegisterWorkflowWithOptions(workflows.ApplyLateEvent, workflow.RegisterOptions{Name: workflows.ApplyLateEventName})
	r.RegisterWorkflowWithOptions(workflows.RefundPayment, workflow.RegisterOptions{Name: workflows.RefundPaymentName})
	r.RegisterWorkflowWithOptions(workflows.SettleRefund, workflow.RegisterOptions{Name: workflows.SettleRefundName})
	r.RegisterWorkflowWithOptions(workflows.RedeliverNotification, workflow.RegisterOptions{Name: workflows.RedeliverNotificationName})
	for name, function := range map[string]any{
		activities.CreateTicketName:   gateway.CreateTicket,
		activities.FindTicketName:     gateway.FindTicket,
		activities.AuthorizeName:      gateway.Authorize,
		activities.CancelTicketName:   gateway.CancelTicket,
		activities.SetPhoneNumberName: gateway.SetPhoneNumber,
		activities.RefundName:         gateway.Refund,
		activities.RecordPaymentName:  records.RecordPayment,
		activities.ReserveRefundName:  records.ReserveRefund,
		activities.RecordRefundName:   records.RecordRefund,
		activities.TakeRefundName:     records.TakeRefund,

		activities.BookExternalRefundName: records.BookExternalRefund,
		activities.RefundContextName:      records.RefundContext,
		activities.FillPayerName:          records.FillPayer,
		activities.RecordMismatchName:     records.RecordMismatch,
		activities.RecordDeliveriesName:   records.RecordDeliveries,
		activities.ReopenDeliveryName:     records.ReopenDelivery,
		activities.SettleEventName:        records.SettleEvent,
		activities.LookUpPaymentName:      records.LookUpPayment,
	} {
		r.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
}

// RegisterReconcile registers the daily comparison with the gateway's report.
func RegisterReconcile(r Registry, reconcile *activities.Reconcile) {
	r.RegisterWorkflowWithOptions(workflows.ReconcileDay, workflow.RegisterOptions{Name: workflows.ReconcileDayName})
	for name, function := range map[string]any{
		activities.CompareSpanName:          reconcile.CompareSpan,
		activities.LookForRefundsName:       reconcile.LookForRefunds,
		activities.SearchReportName:         reconcile.SearchReport,
		activities.RefundsInReviewName:      reconcile.RefundsInReview,
		activities.RecordReconciliationName: reconcile.RecordReconciliation,
	} {
		r.RegisterActivityWithOptions(function, activity.RegisterOptions{Name: name})
	}
}

// RegisterAwait registers what runs on workflows.AwaitQueue.
func RegisterAwait(r Registry, gateway *activities.Gateway) {
	r.RegisterActivityWithOptions(gateway.AwaitDecision, activity.RegisterOptions{Name: activities.AwaitDecisionName})
}

// DynamicRegistry is the part of a Temporal worker, or of Temporal's test
// environment, that takes the one activity which serves every endpoint.
type DynamicRegistry interface {
	RegisterDynamicActivity(a any, options activity.DynamicRegisterOptions)
}

// RegisterEndpoints registers what serves every activity that the queue's
// worker has no registration for.
func RegisterEndpoints(r DynamicRegistry, endpoints *activities.Endpoints) {
	r.RegisterDynamicActivity(endpoints.Deliver, activity.DynamicRegisterOptions{})
}
