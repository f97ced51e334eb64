package payment

import (
	"log/slog"
	"time"
)

// Event names what receivers are notified of. Stored: never rename a value.
type Event string

// The lifecycle events. The first five are those that users of django-athm
// know.
const (
	EventCreated                Event = "payment_created"
	EventCompleted              Event = "payment_completed"
	EventFailed                 Event = "payment_failed" // cancelled or refused; the reason is in Payment.Failure
	EventExpired                Event = "payment_expired"
	EventRefundCompleted        Event = "refund_completed"
	EventRefundFailed           Event = "refund_failed"
	EventNeedsReview            Event = "payment_needs_review"
	EventReconciliationMismatch Event = "reconciliation_mismatch"
)

// Events lists every event.
func Events() []Event {
	return []Event{
		EventCreated, EventCompleted, EventFailed, EventExpired, EventRefundCompleted,
		EventRefundFailed, EventNeedsReview, EventReconciliationMismatch,
	}
}

// EventFor returns the event that tells of a payment's arrival at status, and
// false where that status is not announced.
func EventFor(status Status) (Event, bool) {
	switch status {
	case StatusOpen:
		return EventCreated, true
	case StatusCompleted:
		return EventCompleted, true
	case StatusCancelled, StatusFailed:
		return EventFailed, true
	case StatusExpired:
		return EventExpired, true
	case StatusPending, StatusConfirmed:
		return "", false
	default:
		return "", false
	}
}

// NotificationVersion is the version of the notification's form. Fields are
// only ever added within a version.
const NotificationVersion = 1

// Notification is what a receiver is given: one event of one payment, for one
// receiver. It may arrive more than once, always under the same ID, and events
// of one payment may overtake each other: Sequence tells their order.
type Notification struct {
	ID         string    `json:"id"`       // "ntf_" and 26 characters, stable over every retry
	Version    int       `json:"version"`  // NotificationVersion
	Event      Event     `json:"event"`    // what happened
	Sequence   int       `json:"sequence"` // order among the events of this payment, from 1
	OccurredAt time.Time `json:"occurred_at"`
	Payment    Payment   `json:"payment"`          // as it was when the event happened
	Refund     *Refund   `json:"refund,omitempty"` // set for the refund events
	Review     *Review   `json:"review,omitempty"` // set for EventNeedsReview
	// Mismatch is set for EventReconciliationMismatch. Payment is zero where it
	// concerns none of ours.
	Mismatch *Mismatch `json:"mismatch,omitempty"`
}

// LogValue implements [slog.LogValuer] with what may be read by everybody.
func (n Notification) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("id", n.ID),
		slog.String("event", string(n.Event)),
		slog.Any("payment", n.Payment),
	}
	if n.Refund != nil {
		attrs = append(attrs, slog.Any("refund", *n.Refund))
	}
	return slog.GroupValue(attrs...)
}

// Retry says how a receiver that fails is tried again: after First, then after
// twice that, and so on up to Most, for For in all. The zero value means the
// defaults: a second, an hour and a week.
type Retry struct {
	First time.Duration `json:"retry_first,omitempty"`
	Most  time.Duration `json:"retry_most,omitempty"`
	For   time.Duration `json:"retry_for,omitempty"`
}
