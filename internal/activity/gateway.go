package activity

import (
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// The types of this package are stored in histories: fields are only ever added.

// TicketStatus is what the gateway says of a ticket, in its own words
// (docs/athmovil.md §1.2). Stored in histories: never rename a value.
type TicketStatus string

// The statuses that workflows decide on. Any other one decides nothing.
const (
	TicketOpen      TicketStatus = "OPEN"
	TicketConfirmed TicketStatus = "CONFIRM"
	TicketCompleted TicketStatus = "COMPLETED"
	TicketOver      TicketStatus = "CANCEL" // canceled or expired: the gateway does not say which
	TicketExpired   TicketStatus = "EXPIRED"
)

// Known reports whether the status is one that workflows decide on.
func (s TicketStatus) Known() bool {
	switch s {
	case TicketOpen, TicketConfirmed, TicketCompleted, TicketOver, TicketExpired:
		return true
	default:
		return false
	}
}

// CreateTicketInput asks for a ticket.
type CreateTicketInput struct {
	PaymentID string          `json:"payment_id"`
	Request   payment.Request `json:"request"`
}

// CreateTicketResult is a ticket.
type CreateTicketResult struct {
	EcommerceID string `json:"ecommerce_id"`
	// AuthToken cannot be issued again, and without it a confirmed sale is
	// lost. It lives in the history, encrypted, and nowhere else.
	AuthToken private.Text `json:"auth_token"`
}

// TicketInput names a ticket.
type TicketInput struct {
	EcommerceID string `json:"ecommerce_id"`
}

// Ticket is what the gateway said of a ticket at one moment.
type Ticket struct {
	EcommerceID        string        `json:"ecommerce_id,omitempty"`
	Status             TicketStatus  `json:"status"`
	ReferenceNumber    string        `json:"reference_number,omitempty"`
	DailyTransactionID string        `json:"daily_transaction_id,omitempty"`
	Total              money.Amount  `json:"total"`
	Fee                *money.Amount `json:"fee,omitempty"`        // nil where the gateway did not say
	NetAmount          *money.Amount `json:"net_amount,omitempty"` // nil where the gateway did not say
	TotalRefunded      money.Amount  `json:"total_refunded"`
	SeenAt             time.Time     `json:"seen_at"` // by the worker's clock
}

// AuthorizeInput debits a confirmed ticket.
type AuthorizeInput struct {
	EcommerceID string       `json:"ecommerce_id"`
	AuthToken   private.Text `json:"auth_token"`
}

// SetPhoneNumberInput rings a phone for a ticket that was made without one.
type SetPhoneNumberInput struct {
	EcommerceID string       `json:"ecommerce_id"`
	AuthToken   private.Text `json:"auth_token"`
	PhoneNumber private.Text `json:"phone_number"` // ten digits
}

// RefundInput gives money back.
type RefundInput struct {
	RefundID        string       `json:"refund_id"`
	Try             int          `json:"try"`              // from 1; each may be sent once
	ReferenceNumber string       `json:"reference_number"` // the payment's
	Amount          money.Amount `json:"amount"`
	Captured        money.Amount `json:"captured"` // of the payment, for comparison
	Message         private.Text `json:"message,omitempty"`
}

// RefundResult is a refund that the gateway executed.
type RefundResult struct {
	ReferenceNumber string `json:"reference_number,omitempty"` // the refund's own, or the payment's (docs/athmovil.md §1.5)
}
