package athmovil

import (
	"errors"
	"strings"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// TicketStatus is the state of a ticket at the gateway (docs/athmovil.md §3).
// It may hold a word that is not among the constants; see
// [TicketStatus.Known].
type TicketStatus string

// The states of a ticket.
const (
	// StatusOpen: made, and waiting for the customer.
	StatusOpen TicketStatus = "OPEN"
	// StatusConfirm: the customer has confirmed, and nothing is debited yet.
	StatusConfirm TicketStatus = "CONFIRM"
	// StatusCompleted: authorised and debited.
	StatusCompleted TicketStatus = "COMPLETED"
	// StatusCancel: cancelled by customer or merchant, or expired: the gateway
	// does not say which (docs/athmovil.md §1.2).
	StatusCancel TicketStatus = "CANCEL"
	// StatusExpired is undocumented for a ticket and tolerated.
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

// Ticket is what Create answers. It has no other copy: the gateway never
// repeats an AuthToken, and without it a confirmed ticket cannot be authorised
// (docs/athmovil.md §2). Keep it durably, encrypted.
type Ticket struct {
	EcommerceID string
	AuthToken   private.Token
}

// Transaction is a ticket as Find and Authorize describe it (docs/athmovil.md
// §1.2). All amounts are dollars; what the gateway left out is zero.
type Transaction struct {
	Status              TicketStatus
	EcommerceID         string
	ReferenceNumber     string    // empty until completed
	DailyTransactionID  string    // empty until completed; as the gateway wrote it, padded or not
	TransactionDate     time.Time // zero until completed; in [Location]
	Total               money.Amount
	SubTotal            money.Amount
	Tax                 money.Amount
	Fee                 money.Amount
	NetAmount           money.Amount
	TotalRefundedAmount money.Amount // grows with each refund
	Metadata1           private.Text
	Metadata2           private.Text
	Items               []Item
	BusinessName        string
	IsNonProfit         bool

	// Unreadable names the fields that were there and made no sense; they are
	// zero here. A ticket is not refused for them, because the answer to an
	// authorisation must be believed whatever its fee looks like.
	Unreadable []string
}

// Item is one line of what the customer sees, in requests and answers
// (docs/athmovil.md §1.1).
type Item struct {
	Name           private.Text
	Description    private.Text
	Quantity       int
	Price          money.Amount
	Tax            money.Amount
	Metadata       private.Text
	SKU            string
	FormattedPrice string // of answers only
}

func readTransaction(o *object) (Transaction, error) {
	t := Transaction{
		Status:              TicketStatus(strings.ToUpper(o.text("ecommerceStatus"))),
		EcommerceID:         o.text("ecommerceId", "ecommerceID"),
		ReferenceNumber:     o.text("referenceNumber"),
		DailyTransactionID:  o.dailyID(),
		TransactionDate:     o.date("transactionDate"),
		Total:               o.sum("total"),
		SubTotal:            o.sum("subTotal", "subtotal"),
		Tax:                 o.sum("tax"),
		Fee:                 o.sum("fee"),
		NetAmount:           o.sum("netAmount"),
		TotalRefundedAmount: o.sum("totalRefundedAmount", "totalRefundAmount"),
		Metadata1:           o.private("metadata1"),
		Metadata2:           o.private("metadata2"),
		Items:               o.items(),
		BusinessName:        o.text("businessName"),
		IsNonProfit:         o.flag("isNonProfit"),
	}
	t.Unreadable = o.unreadable
	return t, errors.Join(o.require("ecommerceStatus", "ecommerceId", "total"), o.readable("totalRefundedAmount"))
}
