package payment

import (
	"fmt"
	"slices"
)

// Status is where a payment stands. Stored in histories and databases: never
// rename a value.
type Status string

// The statuses of a payment. The last four are terminal.
const (
	StatusPending   Status = "pending"   // no ticket at the gateway yet
	StatusOpen      Status = "open"      // the customer is asked to confirm
	StatusConfirmed Status = "confirmed" // the customer said yes; not debited yet
	StatusCompleted Status = "completed" // debited
	StatusCancelled Status = "cancelled" // by the customer or the merchant
	StatusExpired   Status = "expired"   // nobody confirmed in time
	StatusFailed    Status = "failed"    // refused, or never opened
)

// Statuses lists every status in the order of a payment's life.
func Statuses() []Status {
	return []Status{
		StatusPending, StatusOpen, StatusConfirmed, StatusCompleted,
		StatusCancelled, StatusExpired, StatusFailed,
	}
}

// Terminal reports whether nothing can follow the status.
func (s Status) Terminal() bool {
	switch s {
	case StatusCompleted, StatusCancelled, StatusExpired, StatusFailed:
		return true
	case StatusPending, StatusOpen, StatusConfirmed:
		return false
	default:
		return false
	}
}

// Fact is something learned about a payment that may move it: always the
// gateway's own answer or, in review, a person's recorded decision. Stored in
// histories: never rename a value.
type Fact string

// The facts that [Next] knows.
const (
	FactOpened    Fact = "opened"    // the gateway made a ticket
	FactConfirmed Fact = "confirmed" // the customer confirmed in the app
	FactCompleted Fact = "completed" // the gateway debited the customer
	FactCancelled Fact = "cancelled" // over, before the deadline
	FactExpired   Fact = "expired"   // over, by the deadline
	FactFailed    Fact = "failed"    // refused for good
)

// Facts lists every fact.
func Facts() []Fact {
	return []Fact{FactOpened, FactConfirmed, FactCompleted, FactCancelled, FactExpired, FactFailed}
}

// TransitionError says that a fact cannot follow a status.
type TransitionError struct {
	Status Status
	Fact   Fact
}

// Error implements error.
func (e *TransitionError) Error() string {
	return fmt.Sprintf("a payment that is %s cannot become %s", e.Status, e.Fact)
}

// Next returns the status that follows when a fact is learned. A fact that
// is already true changes nothing: Next returns the same status and no error,
// so a duplicate is never a transition. A fact that contradicts the status
// returns it unchanged with a [*TransitionError].
func Next(status Status, fact Fact) (Status, error) {
	refused := &TransitionError{Status: status, Fact: fact}
	switch fact {
	case FactOpened:
		return follow(status, StatusOpen, refused, StatusPending)
	case FactConfirmed:
		return follow(status, StatusConfirmed, refused, StatusOpen)
	case FactCompleted:
		return follow(status, StatusCompleted, refused, StatusConfirmed)
	case FactCancelled:
		return follow(status, StatusCancelled, refused, StatusPending, StatusOpen, StatusConfirmed)
	case FactExpired:
		return follow(status, StatusExpired, refused, StatusPending, StatusOpen, StatusConfirmed)
	case FactFailed:
		return follow(status, StatusFailed, refused, StatusPending, StatusOpen, StatusConfirmed)
	default:
		return status, refused
	}
}

// follow moves from to next where from is among the allowed ones.
func follow[S ~string](from, next S, refused error, allowed ...S) (S, error) {
	switch {
	case from == next:
		return from, nil
	case slices.Contains(allowed, from):
		return next, nil
	default:
		return from, refused
	}
}
