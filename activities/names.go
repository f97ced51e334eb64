package activities

// Registered names of the activities. A name is for ever: histories hold it.
const (
	CreateTicketName   = "CreateTicket"
	FindTicketName     = "FindTicket"
	AwaitDecisionName  = "AwaitDecision"
	AuthorizeName      = "Authorize"
	CancelTicketName   = "CancelTicket"
	SetPhoneNumberName = "SetPhoneNumber"
	RefundName         = "Refund"

	RecordPaymentName = "RecordPayment"
	ReserveRefundName = "ReserveRefund"
	RecordRefundName  = "RecordRefund"
	TakeRefundName    = "TakeRefund"

	BookExternalRefundName = "BookExternalRefund"
	RefundContextName      = "RefundContext"
	FillPayerName          = "FillPayer"
	RecordMismatchName     = "RecordMismatch"
	SettleEventName        = "SettleEvent"
	LookUpPaymentName      = "LookUpPayment"
	RecordDeliveriesName   = "RecordDeliveries"
	ReopenDeliveryName     = "ReopenDelivery"

	CompareSpanName          = "CompareSpan"
	LookForRefundsName       = "LookForRefunds"
	SearchReportName         = "SearchReport"
	RefundsInReviewName      = "RefundsInReview"
	RecordReconciliationName = "RecordReconciliation"
)

// ReceiverActivityName returns the registered name of a receiver's activity,
// such as "payment_completed/send-receipt".
func ReceiverActivityName(event, receiver string) string { return event + "/" + receiver }
