package athmovil

import (
	"errors"
	"strings"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// TicketStatus is the status of a ticket at the gateway (docs/athmovil.md §3), in
// capital letters. It may be a word that is not one of the constants: see
// [TicketStatus.Known].
type TicketStatus string

// The statuses of a ticket.
const (
	// StatusOpen: created, and waiting for the customer.
	StatusOpen TicketStatus = "OPEN"
	// StatusConfirm: confirmed by the customer, and not debited yet.
	StatusConfirm TicketStatus = "CONFIRM"
	// StatusCompleted: authorized and debited.
	StatusCompleted TicketStatus = "COMPLETED"
	// StatusCancel: canceled by the customer or the merchant, or expired. The
	// gateway does not say which (docs/athmovil.md §1.2).
	StatusCancel TicketStatus = "CANCEL"
	// StatusExpired: expired. It is not documented for a ticket, but accepted.
	StatusExpired TicketStatus = "EXPIRED"
)

// Known reports whether the status is one of the constants.
func (s TicketStatus) Known() bool {
	switch s {
	case StatusOpen, StatusConfirm, StatusCompleted, StatusCancel, StatusExpired:
		return true
	default:
		return false
	}
}

// readStatus reads a status in any spelling that is documented somewhere: the
// official prose says CONFIRMED (docs/athmovil.md §3), and the webhooks of 2020
// say cancelled (§4.2).
func readStatus(text string) TicketStatus {
	switch status := TicketStatus(strings.ToUpper(text)); status {
	case "CONFIRMED":
		return StatusConfirm
	case "CANCELLED", "CANCELED":
		return StatusCancel
	default:
		return status
	}
}

// Ticket is the result of Create. Store it, with AuthToken encrypted: the gateway
// never returns that token again, and without it the ticket cannot be authorized
// (docs/athmovil.md §2).
type Ticket struct {
	EcommerceID string
	AuthToken   private.Token
}

// Transaction is the state of a ticket, the result of Find and Authorize
// (docs/athmovil.md §1.2). Amounts are in US dollars. A field that the gateway
// left out is zero or nil.
type Transaction struct {
	Status              TicketStatus
	EcommerceID         string
	ReferenceNumber     string    // empty until completed
	DailyTransactionID  string    // empty until completed; as written, padded or not
	TransactionDate     time.Time // zero until completed; in [Location]
	Total               money.Amount
	SubTotal            money.Amount
	Tax                 money.Amount
	Fee                 *money.Amount // nil if the gateway did not say, readably
	NetAmount           *money.Amount // nil if the gateway did not say, readably
	TotalRefundedAmount money.Amount  // grows with each refund
	Metadata1           private.Text
	Metadata2           private.Text
	Items               []Item
	BusinessName        string
	IsNonProfit         bool

	// Unreadable names the fields that are present but cannot be read. They are
	// zero or nil. They are not an error, because a debit must count whatever its
	// fee looks like.
	Unreadable []string
}

// Item is a line item that the customer sees, in requests and responses
// (docs/athmovil.md §1.1). Amounts are in US dollars.
type Item struct {
	Name           private.Text // required, at most 255 characters
	Description    private.Text // at most 255 characters
	Quantity       int          // 1 or more
	Price          money.Amount
	Tax            money.Amount
	Metadata       private.Text // at most 255 characters
	SKU            string       // at most 100 characters
	FormattedPrice string       // only in responses
}

func readTransaction(o *object) (Transaction, error) {
	t := Transaction{
		Status:              readStatus(o.text("ecommerceStatus")),
		EcommerceID:         o.text("ecommerceId", "ecommerceID"),
		ReferenceNumber:     o.text("referenceNumber"),
		DailyTransactionID:  o.dailyID(),
		TransactionDate:     o.date("transactionDate"),
		Total:               o.amountOrZero("total"),
		SubTotal:            o.amountOrZero("subTotal", "subtotal"),
		Tax:                 o.amountOrZero("tax"),
		Fee:                 o.amount("fee"),
		NetAmount:           o.amount("netAmount"),
		TotalRefundedAmount: o.amountOrZero("totalRefundedAmount", "totalRefundAmount"),
		Metadata1:           o.private("metadata1"),
		Metadata2:           o.private("metadata2"),
		Items:               o.items(),
		BusinessName:        o.text("businessName"),
		IsNonProfit:         o.flag("isNonProfit"),
	}
	t.Unreadable = o.unreadable
	return t, errors.Join(o.require("ecommerceStatus", "ecommerceId", "total"), o.readable("totalRefundedAmount"))
}
