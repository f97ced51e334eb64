package activity

import (
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// RecordPaymentResult answers RecordPayment.
type RecordPaymentResult struct {
	Sequence  int               `json:"sequence,omitempty"` // of the event that was announced
	Receivers []ledger.Receiver `json:"receivers,omitempty"`
	// DebitOf is the payment that has the same reference number of the gateway;
	// then nothing was written.
	DebitOf string `json:"debit_of,omitempty"`
}

// WatchTicketInput names the ticket of an open payment.
type WatchTicketInput struct {
	PaymentID   string    `json:"payment_id"`
	EcommerceID string    `json:"ecommerce_id"`
	Until       time.Time `json:"until"` // the payment's deadline
}

// ReserveRefundResult answers ReserveRefund; exactly one field is set.
type ReserveRefundResult struct {
	Reserved *ledger.Reserved       `json:"reserved,omitempty"`
	Refusal  *payment.RefundRefusal `json:"refusal,omitempty"`
}

// TakeRefundInput names a refund whose workflow is gone.
type TakeRefundInput struct {
	PaymentID string `json:"payment_id"`
	RefundID  string `json:"refund_id"`
}

// TakeRefundResult is the refund, and the review that its workflow has left open.
// Taken is nil where the refund is settled.
type TakeRefundResult struct {
	Taken  *ledger.Reserved `json:"taken,omitempty"`
	Review *payment.Review  `json:"review,omitempty"`
}

// BookExternalRefundResult answers BookExternalRefund; either Refusal or the
// others are set.
type BookExternalRefundResult struct {
	Refund    *payment.Refund        `json:"refund,omitempty"`
	Announced ledger.Announced       `json:"announced"`
	Refusal   *payment.RefundRefusal `json:"refusal,omitempty"`
}

// FillPayerInput says who paid.
type FillPayerInput struct {
	PaymentID string           `json:"payment_id"`
	Payer     payment.Customer `json:"payer"`
}

// FillPayerResult answers FillPayer.
type FillPayerResult struct {
	Filled bool `json:"filled"`
}

// RecordDeliveriesInput is what became of notifications.
type RecordDeliveriesInput struct {
	Deliveries []payment.Delivery `json:"deliveries"`
}

// ReopenDeliveryInput names a notification.
type ReopenDeliveryInput struct {
	NotificationID string `json:"notification_id"`
	Left           string `json:"left,omitempty"` // the workflow that ended without having delivered
}

// ReopenDeliveryResult is what is sent again; or nil, and why not.
type ReopenDeliveryResult struct {
	Reopened *ledger.Reopened `json:"reopened,omitempty"`
	Refusal  string           `json:"refusal,omitempty"` // in words for people
}

// SettleEventInput is what became of a webhook's event.
type SettleEventInput struct {
	EventID   string              `json:"event_id"`
	Verdict   ledger.EventVerdict `json:"verdict"`
	MatchedID string              `json:"matched_id,omitempty"`
	Effect    string              `json:"effect"` // in words for people; no personal data
}

// LookUpPaymentInput names a payment.
type LookUpPaymentInput struct {
	PaymentID string `json:"payment_id"`
}

// LookUpPaymentResult is a payment as the store has it; nil where there is none.
type LookUpPaymentResult struct {
	Payment *payment.Payment `json:"payment,omitempty"`
}

// UnstartedLimit is how many reservations one page has at most: their payments may
// be large.
const UnstartedLimit = 20

// UnstartedPage is a page of reservations.
type UnstartedPage[T any] struct {
	Items []T `json:"items,omitempty"`
}

// UnstartedInput asks for reservations made before a moment, oldest first.
type UnstartedInput struct {
	Before time.Time     `json:"before"`
	After  ledger.Cursor `json:"after"` // the last one of the page before
}
