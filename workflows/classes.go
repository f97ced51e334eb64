package workflows

import "github.com/cobropay/cobro/activities"

// Classes lists the retry class of every activity by its registered name.
// Receivers, whose names are the merchant's, are [ClassNotify].
func Classes() map[string]Class {
	return map[string]Class{
		activities.FindTicketName:     ClassRead,
		activities.AwaitDecisionName:  ClassRead,
		activities.CreateTicketName:   ClassCreate,
		activities.AuthorizeName:      ClassMoveMoney,
		activities.RefundName:         ClassMoveMoney,
		activities.CancelTicketName:   ClassAsk,
		activities.SetPhoneNumberName: ClassAsk,
		activities.RecordPaymentName:  ClassRecord,
		activities.ReserveRefundName:  ClassRecord,
		activities.RecordRefundName:   ClassRecord,
		activities.TakeRefundName:     ClassRecord,

		activities.BookExternalRefundName: ClassRecord,
		activities.RefundContextName:      ClassRecord,
		activities.FillPayerName:          ClassRecord,
		activities.RecordMismatchName:     ClassRecord,
		activities.RecordDeliveriesName:   ClassRecord,
		activities.ReopenDeliveryName:     ClassRecord,
		activities.SettleEventName:        ClassRecord,
		activities.LookUpPaymentName:      ClassRecord,

		activities.CompareSpanName:          ClassReport,
		activities.LookForRefundsName:       ClassReport,
		activities.SearchReportName:         ClassReport,
		activities.RefundsInReviewName:      ClassRecord,
		activities.RecordReconciliationName: ClassRecord,
	}
}
