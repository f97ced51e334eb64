package workflows

import (
	"strings"

	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/payment"
)

// Task queues. A queue's name is forever: histories and running workers hold
// it.
const (
	// TaskQueue runs the workflows, their local activities and the calls to
	// the gateway.
	TaskQueue = "cobro"

	notifyQueuePrefix = "notify-"
)

// NotifyQueue returns the task queue of the receivers that a host runs.
func NotifyQueue(host string) string { return notifyQueuePrefix + host }

// ReceiverActivity returns the registered name of a receiver's activity, such as
// "payment_completed/send-receipt".
func ReceiverActivity(event payment.Event, receiver string) string {
	return string(event) + "/" + receiver
}

// Registered names of the workflows. A name is forever.
const (
	ProcessPaymentName = "ProcessPayment"
	RefundPaymentName  = "RefundPayment"
	ApplyLateEventName = "ApplyLateEvent"
	ReconcileDayName   = "ReconcileDay"
	SettleRefundName   = "SettleRefund"
	SweepName          = "Sweep"

	RedeliverNotificationName = "RedeliverNotification"
)

// Names of the messages that workflows take. A name is forever.
const (
	// UpdateAwaitTicket of ProcessPayment waits until the gateway made a
	// ticket or the payment failed, and returns a TicketOutcome.
	UpdateAwaitTicket = "AwaitTicket"
	// UpdateCancel of ProcessPayment cancels for the merchant and returns a
	// CancelOutcome.
	UpdateCancel = "CancelPayment"
	// UpdateSetPhoneNumber of ProcessPayment takes a SetPhoneNumberRequest and
	// returns a PhoneNumberOutcome.
	UpdateSetPhoneNumber = "SetPhoneNumber"
	// UpdateAwaitRefund of RefundPayment waits until the refund is settled or
	// refused, and returns a RefundOutcome.
	UpdateAwaitRefund = "AwaitRefund"
	// UpdateAwaitSettlement of SettleRefund takes the ReviewRequest that it was
	// started with, and returns a ReviewOutcome.
	UpdateAwaitSettlement = "AwaitSettlement"
	// UpdateReview of ProcessPayment and of RefundPayment takes a person's
	// ReviewRequest and returns a ReviewOutcome.
	UpdateReview = "Review"
	// SignalGatewayEvent of ProcessPayment carries a GatewayEvent. RefundPayment
	// takes it too, as a sign that another refund of its payment may exist.
	SignalGatewayEvent = "GatewayEvent"
	// SignalTicketSeen of ProcessPayment says that the ticket is no longer open. It
	// carries nothing: the workflow looks itself.
	SignalTicketSeen = "TicketSeen"
	// SignalReportAnswered of RefundPayment carries a ReportAnswered.
	SignalReportAnswered = "ReportAnswered"
	// UpdateDeliverNow of every workflow that tells receivers takes a
	// DeliverNowRequest and returns a DeliverNowOutcome.
	UpdateDeliverNow = "DeliverNow"
	// SignalDeliveries of every workflow that tells receivers carries a
	// DeliveryOrder.
	SignalDeliveries = "Deliveries"
)

const (
	refundWorkflowPrefix = "refund/"
	lateWorkflowPrefix   = "late/"
	dayWorkflowPrefix    = "reconcile/"
	settleWorkflowPrefix = "settle/"

	redeliveryWorkflowPrefix = "redeliver/"
)

// ReconcileSchedule is the id of the schedule that starts ReconcileDay.
const ReconcileSchedule = "reconcile-daily"

// SweepSchedule is the id of the schedule that starts Sweep.
const SweepSchedule = "sweep"

// ReconcileWorkflowID returns the id of the workflow that reconciles a day,
// "2006-01-02", on demand. Those that the schedule starts have its own ids.
func ReconcileWorkflowID(day string) string { return dayWorkflowPrefix + day }

// ReconciledDayOf is the inverse of [ReconcileWorkflowID]; it returns false for
// the id of any other workflow.
func ReconciledDayOf(workflowID string) (string, bool) {
	return strings.CutPrefix(workflowID, dayWorkflowPrefix)
}

// PaymentWorkflowID returns the id of the workflow that owns a payment, which
// is the payment's own.
func PaymentWorkflowID(paymentID string) string { return paymentID }

// RefundWorkflowID returns the id of the workflow that owns a refund.
func RefundWorkflowID(refundID string) string { return refundWorkflowPrefix + refundID }

// RefundIDOf is the inverse of [RefundWorkflowID]; it returns false for the id
// of any other workflow.
func RefundIDOf(workflowID string) (string, bool) {
	return strings.CutPrefix(workflowID, refundWorkflowPrefix)
}

// SettlementWorkflowID returns the id of the workflow that settles a refund whose
// own workflow is gone.
func SettlementWorkflowID(refundID string) string { return settleWorkflowPrefix + refundID }

// LateEventWorkflowID returns the id of the workflow that applies an event whose
// payment's own workflow cannot: one for each digest, so that a duplicate is
// applied once.
func LateEventWorkflowID(digest string) string { return lateWorkflowPrefix + digest }

// LateEventDigestOf is the inverse of [LateEventWorkflowID]; it returns false
// for the id of any other workflow.
func LateEventDigestOf(workflowID string) (string, bool) {
	return strings.CutPrefix(workflowID, lateWorkflowPrefix)
}

// RedeliveryWorkflowID returns the id of the workflow that sends a notification
// again: one at a time for each.
func RedeliveryWorkflowID(notificationID string) string {
	return redeliveryWorkflowPrefix + notificationID
}

// RedeliveredOf is the inverse of [RedeliveryWorkflowID]; it returns false for
// the id of any other workflow.
func RedeliveredOf(workflowID string) (string, bool) {
	return strings.CutPrefix(workflowID, redeliveryWorkflowPrefix)
}

// Search attributes, for the person who looks at the Temporal UI. They are
// never encrypted, so none holds personal data. All but PaymentStatus and
// NeedsReview are set when the workflow starts.
var (
	SearchStatus          = temporal.NewSearchAttributeKeyKeyword("PaymentStatus")
	SearchTotalCents      = temporal.NewSearchAttributeKeyInt64("PaymentTotalCents")
	SearchReference       = temporal.NewSearchAttributeKeyKeyword("MerchantReference")
	SearchEcommerceID     = temporal.NewSearchAttributeKeyKeyword("AthmEcommerceId")
	SearchReferenceNumber = temporal.NewSearchAttributeKeyKeyword("AthmReferenceNumber")
	SearchNeedsReview     = temporal.NewSearchAttributeKeyBool("NeedsReview")
)
