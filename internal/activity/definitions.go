package activity

import (
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Calls to ATH Móvil. Package gateway does them.
var (
	// CreateTicket asks for a ticket, which rings the customer's phone where a
	// number is given. An attempt whose answer is lost leaves an orphan that nobody
	// can authorize.
	CreateTicket = Def[CreateTicketInput, CreateTicketResult]{"CreateTicket", ClassCreate}
	// FindTicket looks.
	FindTicket = Def[TicketInput, Ticket]{"FindTicket", ClassRead}
	// Authorize debits the customer.
	Authorize = Def[AuthorizeInput, Ticket]{"Authorize", ClassMoveMoney}
	// CancelTicket asks the gateway to cancel a ticket that was not authorized.
	CancelTicket = Def[TicketInput, None]{"CancelTicket", ClassAsk}
	// SetPhoneNumber rings a phone for a ticket that was made without a number.
	SetPhoneNumber = Def[SetPhoneNumberInput, None]{"SetPhoneNumber", ClassAsk}
	// Refund credits the customer.
	Refund = Def[RefundInput, RefundResult]{"Refund", ClassMoveMoney}
)

// Reads and writes of the store. Package records does them.
var (
	// RecordPayment writes one step of a payment's life. A debit that is another
	// payment's is an answer, not an error.
	RecordPayment = Def[ledger.Change, RecordPaymentResult]{"RecordPayment", ClassRecord}
	// WatchTicket puts a ticket before the poller of the worker that runs it. It
	// needs no store.
	WatchTicket = Def[WatchTicketInput, None]{"WatchTicket", ClassRecord}
	// ReserveRefund reads a refund's reservation. Where there is none any more, it
	// makes it again; a refusal of that is an answer.
	ReserveRefund = Def[ledger.Reservation, ReserveRefundResult]{"ReserveRefund", ClassRecord}
	// RecordRefund writes one step of a refund's life.
	RecordRefund = Def[ledger.RefundChange, ledger.Announced]{"RecordRefund", ClassRecord}
	// TakeRefund keeps every workflow from sending a refund.
	TakeRefund = Def[TakeRefundInput, TakeRefundResult]{"TakeRefund", ClassRecord}
	// BookExternalRefund writes a refund that was made elsewhere. A refusal is an
	// answer.
	BookExternalRefund = Def[ledger.ExternalRefund, BookExternalRefundResult]{"BookExternalRefund", ClassRecord}
	// RefundContext finds what an event about a refund may be about.
	RefundContext = Def[ledger.RefundClaim, ledger.RefundContext]{"RefundContext", ClassRecord}
	// FillPayer writes who paid, where that is not known yet.
	FillPayer = Def[FillPayerInput, FillPayerResult]{"FillPayer", ClassRecord}
	// RecordMismatch keeps a difference for people.
	RecordMismatch = Def[payment.Mismatch, ledger.Announced]{"RecordMismatch", ClassRecord}
	// RecordDeliveries notes how deliveries stand. Nothing else writes that.
	RecordDeliveries = Def[RecordDeliveriesInput, None]{"RecordDeliveries", ClassRecord}
	// ReopenDelivery makes a notification that has ended the calling workflow's
	// to send again. A refusal is an answer.
	ReopenDelivery = Def[ReopenDeliveryInput, ReopenDeliveryResult]{"ReopenDelivery", ClassRecord}
	// SettleEvent writes what became of a gateway event.
	SettleEvent = Def[SettleEventInput, None]{"SettleEvent", ClassRecord}
	// UnstartedPayments reads a page of reserved payments of which nothing has come
	// since, and UnstartedRefunds of refunds.
	UnstartedPayments = Def[UnstartedInput, UnstartedPage[ledger.Record]]{"UnstartedPayments", ClassRecord}
	UnstartedRefunds  = Def[UnstartedInput, UnstartedPage[ledger.RefundRecord]]{"UnstartedRefunds", ClassRecord}
	// LookUpPayment reads a payment. One that nobody knows is an answer.
	LookUpPayment = Def[LookUpPaymentInput, LookUpPaymentResult]{"LookUpPayment", ClassRecord}
)

// The daily comparison with the gateway's books. Package reconcile does it.
var (
	// CompareSpan compares the report of a span of time with the payments.
	CompareSpan = Def[CompareSpanInput, CompareSpanResult]{"CompareSpan", ClassReport}
	// LookForRefunds looks at a page of completed payments for refunds that no
	// event told of.
	LookForRefunds = Def[LookForRefundsInput, LookForRefundsResult]{"LookForRefunds", ClassReport}
	// SearchReport looks for a refund in review in the report since it was asked
	// for.
	SearchReport = Def[SearchReportInput, SearchReportResult]{"SearchReport", ClassReport}
	// RefundsInReview lists the refunds whose outcome nobody knows.
	RefundsInReview = Def[None, RefundsInReviewResult]{"RefundsInReview", ClassRecord}
	// RecordReconciliation keeps what a run came to.
	RecordReconciliation = Def[payment.Reconciliation, None]{"RecordReconciliation", ClassRecord}
)

// All lists every definition. The receivers of notifications are a merchant's
// own, and not among them.
func All() []Definition {
	return []Definition{
		CreateTicket, FindTicket, Authorize, CancelTicket, SetPhoneNumber, Refund,
		RecordPayment, WatchTicket, ReserveRefund, RecordRefund, TakeRefund, BookExternalRefund, RefundContext, FillPayer, RecordMismatch,
		RecordDeliveries, ReopenDelivery, SettleEvent, UnstartedPayments, UnstartedRefunds, LookUpPayment,
		CompareSpan, LookForRefunds, SearchReport, RefundsInReview, RecordReconciliation,
	}
}
