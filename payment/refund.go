package payment

import (
	"fmt"
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

// RefundStatuses lists every status in the order of a refund's life.
func RefundStatuses() []RefundStatus {
	return []RefundStatus{RefundPending, RefundCompleted, RefundFailed}
}

// RefundFact is something learned about a refund that may move it: always the
// gateway's own answer or, in review, a person's recorded decision. Stored in
// histories: never rename a value.
type RefundFact string

// The facts that [NextRefund] knows.
const (
	RefundFactUnknown   RefundFact = "unknown"   // nobody knows whether it was executed: a review opens, and it stays pending
	RefundFactCompleted RefundFact = "completed" // the gateway credited the customer
	RefundFactFailed    RefundFact = "failed"    // it was not executed, and never will be
	// RefundFactCorrected says that a refund was completed although it may have
	// been recorded as failed. Only an open review may learn that: without one,
	// the money of a failed refund may be in the next refund already.
	RefundFactCorrected RefundFact = "corrected"
)

// RefundFacts lists every fact.
func RefundFacts() []RefundFact {
	return []RefundFact{RefundFactUnknown, RefundFactCompleted, RefundFactFailed, RefundFactCorrected}
}

// RefundTransitionError says that a fact cannot follow a refund's status.
type RefundTransitionError struct {
	Status RefundStatus
	Fact   RefundFact
}

// Error implements error.
func (e *RefundTransitionError) Error() string {
	return fmt.Sprintf("a refund that is %s cannot become %s", e.Status, e.Fact)
}

// NextRefund returns the status that follows when a fact is learned, as [Next]
// does for a payment. A fact that is already true changes nothing. A fact that
// contradicts the status returns it unchanged with a [*RefundTransitionError]:
// what is settled is never unsettled.
func NextRefund(status RefundStatus, fact RefundFact) (RefundStatus, error) {
	refused := &RefundTransitionError{Status: status, Fact: fact}
	switch fact {
	case RefundFactUnknown:
		return follow(status, RefundPending, refused)
	case RefundFactCompleted:
		return follow(status, RefundCompleted, refused, RefundPending)
	case RefundFactFailed:
		return follow(status, RefundFailed, refused, RefundPending)
	case RefundFactCorrected:
		return follow(status, RefundCompleted, refused, RefundPending, RefundFailed)
	default:
		return status, refused
	}
}

// RefundSource says who asked for a refund. Stored: never rename a value.
type RefundSource string

// The sources of a refund.
const (
	SourceAPI      RefundSource = "api"      // asked for through Cobro
	SourceExternal RefundSource = "external" // made in the ATH Business app, which sent an event
	// SourceUnexplained is an increase of the gateway's total that no event reported.
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
