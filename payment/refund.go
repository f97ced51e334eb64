package payment

import (
	"log/slog"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// RefundStatus is where a refund stands. Stored: never rename a value.
type RefundStatus string

// The statuses of a refund. Only pending is not terminal.
const (
	RefundPending   RefundStatus = "pending"   // reserved; the gateway's answer is not known yet
	RefundCompleted RefundStatus = "completed" // the customer was credited
	RefundFailed    RefundStatus = "failed"    // the gateway refused; nothing was credited
)

// RefundSource says who asked for a refund. Stored: never rename a value.
type RefundSource string

// The sources of a refund.
const (
	SourceAPI      RefundSource = "api"      // asked for through Cobro
	SourceExternal RefundSource = "external" // made in the ATH Business app, which sent an event
	// SourceUnexplained is a rise of the gateway's total that no event told of.
	SourceUnexplained RefundSource = "unexplained"
	SourceImported    RefundSource = "imported" // made by the system that Cobro replaced
)

// Refund gives money of one payment back. Its JSON is the API's.
type Refund struct {
	ID              string // "ref_" and 26 characters
	PaymentID       string
	Amount          money.Amount
	Status          RefundStatus
	NeedsReview     bool
	Failure         *Failure
	ReferenceNumber string
	Message         private.Text // at most 50 characters with the short id (docs/athmovil.md §1.5)
	Source          RefundSource
	CreatedAt       time.Time
	CompletedAt     *time.Time
}

// LogValue implements [slog.LogValuer] with what may be read by everybody.
func (r Refund) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", r.ID),
		slog.String("payment_id", r.PaymentID),
		slog.String("status", string(r.Status)),
		slog.String("amount", r.Amount.String()),
	)
}
