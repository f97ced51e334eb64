package payment

import (
	"log/slog"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// Payment is one sale: what the merchant asked for and what became of it. Its
// JSON is the API's, the notifications' and the histories' (see json.go);
// absent values are null there and zero or nil here. All times are UTC.
type Payment struct {
	ID     string // "pay_" and 26 characters; also the workflow's id
	Status Status

	Request

	EcommerceID        string        // the ticket's id at the gateway
	ReferenceNumber    string        // the debit's reference at the gateway
	DailyTransactionID string        // the debit's number of the day at the gateway
	Captured           *money.Amount // what the customer was debited: Total, unless a person decided otherwise; nil until then
	Fee                *money.Amount // what the gateway keeps; nil where it did not say
	NetAmount          *money.Amount // captured less fee; nil where the gateway did not say
	RefundedAmount     money.Amount  // the sum of completed refunds, computed by the store
	Customer           Customer

	Failure     *Failure // why it failed or was canceled
	NeedsReview bool     // an outcome that only a person or time can settle

	ExpiresAt   time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt *time.Time
}

// Left is what can still be refunded of what was captured.
func (p Payment) Left() money.Amount {
	if p.Captured == nil {
		return money.Amount{}
	}
	return p.Captured.Sub(p.RefundedAmount)
}

// Request is what a merchant asks for. Validate it before use. Its JSON is that
// of workflow inputs, where ExpiresIn counts nanoseconds.
type Request struct {
	Reference   string        `json:"reference,omitempty"`    // the merchant's order, in clear: no personal data
	Total       money.Amount  `json:"total"`                  // required: $1.00 to $1,500.00, what the customer pays
	Subtotal    *money.Amount `json:"subtotal,omitempty"`     // shown to the customer
	Tax         *money.Amount `json:"tax,omitempty"`          // shown to the customer
	PhoneNumber private.Text  `json:"phone_number,omitempty"` // ten digits; empty when it is given later
	Metadata1   private.Text  `json:"metadata1,omitempty"`    // the merchant's, at most 40 characters
	Metadata2   private.Text  `json:"metadata2,omitempty"`    // the merchant's, at most 40 characters
	Items       []Item        `json:"items,omitempty"`
	ExpiresIn   time.Duration `json:"expires_in"` // required: 120 to 600 whole seconds, from the request to the deadline
}

// Item is a line of the sale, as the customer's app shows it.
type Item struct {
	Name        private.Text  `json:"name"` // required
	Description private.Text  `json:"description"`
	Quantity    int           `json:"quantity"`
	Price       money.Amount  `json:"price"`
	Tax         *money.Amount `json:"tax"`
	Metadata    private.Text  `json:"metadata"`
}

// Customer is who paid, as far as the gateway says.
type Customer struct {
	Name        private.Text
	PhoneNumber private.Text // digits
	Email       private.Text
}

// IsZero reports whether nothing is known of the customer.
func (c Customer) IsZero() bool { return c == Customer{} }

// Failure says why a payment or a refund failed, or why a payment was
// canceled.
type Failure struct {
	// Code is stable and meant for programs: one of the Failure constants or
	// a code of the gateway such as "BTRA_0044".
	Code string `json:"code"`
	// Message is meant for people and holds no personal data.
	Message string `json:"message"`
}

// Codes of a [Failure] beside the gateway's own. Stored: never rename a value.
const (
	FailureCancelledByCustomer = "cancelled_by_customer"
	FailureCancelledByMerchant = "cancelled_by_merchant"
	FailureCancelledElsewhere  = "cancelled_elsewhere" // before Cobro, by a system that did not write down by whom
	FailureGatewayUnavailable  = "gateway_unavailable" // nothing happened at the gateway
	FailureGatewayNoAnswer     = "gateway_no_answer"   // a ticket may exist that nobody can authorize
	FailureGatewayRefused      = "gateway_refused"     // refused without a code
	FailureStale               = "stale"               // work began too long after the request
	FailureEnded               = "payment_ended"       // too late: the payment is terminal
	FailureReviewed            = "review_not_executed" // a person decided that the money did not move
	FailureNotExecuted         = "not_executed"        // a report of the gateway that covers it does not list it
	FailureExceedsBalance      = "exceeds_balance"     // a refund made elsewhere left too little; nothing was sent
	FailureAnswerDiffers       = "answer_differs"      // the gateway tells of another sale; no refund was sent
)

// LogValue implements [slog.LogValuer] with what may be read by everybody.
func (p Payment) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", p.ID),
		slog.String("status", string(p.Status)),
		slog.String("total", p.Total.String()),
	)
}
