package ledger

import "time"

// OpenTicket is an open payment's ticket, as a poller needs it.
type OpenTicket struct {
	PaymentID   string
	EcommerceID string
	// ExpiresAt is the payment's deadline. From then on its workflow looks by
	// itself.
	ExpiresAt time.Time
	// HintedAt is when an event last named the payment; zero where none has.
	HintedAt time.Time
}
