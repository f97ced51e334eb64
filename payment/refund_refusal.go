package payment

import (
	"fmt"

	"github.com/cobropay/cobro/money"
)

// RefundRefusal is why a refund was not reserved; it is an error, and nothing
// was written.
type RefundRefusal struct {
	Code RefundRefusalCode `json:"code"`
	// Left is what can still be refunded, for RefusedExceeds.
	Left money.Amount `json:"left"`
	// Blocking is the id of the refund in the way, for RefusedInProgress.
	Blocking string `json:"blocking,omitempty"`
	// Status is the payment's, for RefusedNotCompleted.
	Status Status `json:"status,omitempty"`
}

// RefundRefusalCode says why a refund was not reserved. Stored in histories:
// never rename a value.
type RefundRefusalCode string

// The reasons for a refusal.
const (
	RefusedNoPayment    RefundRefusalCode = "payment_not_found"
	RefusedNotCompleted RefundRefusalCode = "payment_not_completed"
	RefusedInProgress   RefundRefusalCode = "refund_in_progress"     // another one is pending or in review
	RefusedExceeds      RefundRefusalCode = "refund_exceeds_balance" // more than what is left
	RefusedKeyReused    RefundRefusalCode = "idempotency_key_reused" // same id, another request
	RefusedHeld         RefundRefusalCode = "refund_held_by_other"   // another workflow run may have sent it
	RefusedExplained    RefundRefusalCode = "refund_explained"       // the books already explain the gateway's total
)

// Error implements error.
func (r *RefundRefusal) Error() string {
	switch r.Code {
	case RefusedExceeds:
		return fmt.Sprintf("%s: %s is left to refund", r.Code, r.Left)
	case RefusedInProgress:
		return fmt.Sprintf("%s: %s is not settled yet", r.Code, r.Blocking)
	case RefusedNotCompleted:
		return fmt.Sprintf("%s: the payment is %s", r.Code, r.Status)
	case RefusedNoPayment, RefusedKeyReused, RefusedHeld, RefusedExplained:
		return string(r.Code)
	default:
		return string(r.Code)
	}
}
