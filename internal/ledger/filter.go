package ledger

import (
	"time"

	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// MismatchFilter selects mismatches of a list. Its zero value selects all.
type MismatchFilter struct {
	Kind      payment.MismatchKind
	PaymentID string
	FoundFrom time.Time // inclusive; zero means no bound
	FoundTo   time.Time // exclusive; zero means no bound
	Limit     int       // 1 to 100
}

// PaymentFilter selects payments of a list. Its zero value selects all.
type PaymentFilter struct {
	Status      payment.Status
	Reference   string
	PhoneNumber private.Text // ten digits; matched by its keyed digest
	Metadata1   private.Text // matched by its keyed digest
	Metadata2   private.Text // matched by its keyed digest
	NeedsReview *bool
	CreatedFrom time.Time // inclusive; zero means no bound
	CreatedTo   time.Time // exclusive; zero means no bound
	After       Cursor    // where the last page ended
	Limit       int       // 1 to 100
}

// Cursor is a place in a list ordered by creation time and id, newest first.
// Its zero value is the start.
type Cursor struct {
	CreatedAt time.Time
	ID        string
}

// DeliveryFilter selects deliveries of a list. Its zero value selects all.
type DeliveryFilter struct {
	PaymentID   string
	Status      payment.DeliveryStatus
	Event       payment.Event
	Host        string
	Receiver    string    // the name
	CreatedFrom time.Time // inclusive; zero means no bound
	CreatedTo   time.Time // exclusive; zero means no bound
	After       Cursor    // where the last page ended
	Limit       int       // 1 to 100
}

// ReviewFilter selects reviews of a list. Its zero value selects all.
type ReviewFilter struct {
	Open      *bool // nil selects both
	PaymentID string
	RefundID  string
	After     Cursor // where the last page ended, by the time that a review was opened
	Limit     int    // 1 to 100
}

// GatewayEventFilter selects events of a list. Its zero value selects all.
type GatewayEventFilter struct {
	Verdict   EventVerdict
	PaymentID string // whom the event was matched with
	After     Cursor // of the last one that was seen, by the moment of its arrival
	Limit     int    // 1 to 100
}
