package payment

import (
	"errors"
	"fmt"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// ErrNotFound is returned by a store that does not know the id.
var ErrNotFound = errors.New("not found")

// Record is a payment with what the store keeps beside it.
type Record struct {
	Payment Payment `json:"payment"`
	// Revision grows with every change that the workflow makes; the store
	// never lets an older one overwrite a newer, however late it is retried.
	Revision int64 `json:"revision"`
	// Fingerprint is the keyed digest of the request that made the payment.
	Fingerprint string `json:"fingerprint"`
	// Sequence is that of the last event announced. The store counts it: events
	// of a payment, of its refunds and of mismatches share one order.
	Sequence int `json:"sequence"`
}

// Change is what one step of a payment's life writes to the store, all or
// nothing. Writing it twice is the same as writing it once.
type Change struct {
	Record      Record       `json:"record"`
	Transitions []Transition `json:"transitions,omitempty"` // known ones are left alone
	// Announce names the event whose receivers are wanted, or is empty. The
	// store gives it the payment's next sequence, once, notes a pending delivery
	// for each receiver and answers with the list. A payment has each event once.
	Announce Event `json:"announce,omitempty"`
	// Deliveries are the outcomes of earlier announcements.
	Deliveries []Delivery `json:"deliveries,omitempty"`
	// Review is the payment's review, opened or ended by this step.
	Review *Review `json:"review,omitempty"`
	// Workflow is the one that delivers what is announced. The activity that
	// writes fills it in.
	Workflow string `json:"-"`
}

// Notification is what the receivers of the announced event are told. Its id,
// and its place among the payment's events, are the store's to give.
func (c Change) Notification() Notification {
	n := Notification{
		Version: NotificationVersion, Event: c.Announce, OccurredAt: c.Record.Payment.UpdatedAt, Payment: c.Record.Payment,
	}
	if c.Announce == EventNeedsReview {
		n.Review = c.Review
	}
	return n
}

// ReferenceInUseError is returned by the first write of a payment whose
// reference has another unfinished payment. Nothing was written.
type ReferenceInUseError struct {
	PaymentID string // the unfinished one
}

// Error implements error.
func (e *ReferenceInUseError) Error() string {
	return fmt.Sprintf("the reference has an unfinished payment, %s", e.PaymentID)
}

// RefundRecord is a refund with what the store keeps beside it.
type RefundRecord struct {
	Refund      Refund `json:"refund"`
	Revision    int64  `json:"revision"`
	Fingerprint string `json:"fingerprint"`
}

// Reservation asks for the right to send one refund to the gateway. Without a
// reservation there is no gateway call.
type Reservation struct {
	RefundID    string        `json:"refund_id"`
	PaymentID   string        `json:"payment_id"`
	Amount      *money.Amount `json:"amount"` // nil means all that is left
	Message     private.Text  `json:"message"`
	Fingerprint string        `json:"fingerprint"`
	At          time.Time     `json:"at"`
}

// Reserved is a reservation that was granted.
type Reserved struct {
	Refund  Refund  `json:"refund"`
	Payment Payment `json:"payment"`
}

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

// RefundChange is what one step of a refund's life writes to the store, all or
// nothing. Writing it twice is the same as writing it once.
type RefundChange struct {
	Record RefundRecord `json:"record"`
	// Announce names the event whose receivers are wanted, or is empty. The
	// store gives it the payment's next sequence, once.
	Announce   Event      `json:"announce,omitempty"`
	At         time.Time  `json:"at"` // when the event happened
	Deliveries []Delivery `json:"deliveries,omitempty"`
	// Review is the refund's review, opened or ended by this step.
	Review *Review `json:"review,omitempty"`
	// Workflow is as in [Change].
	Workflow string `json:"-"`
}

// Notification is what the receivers of the announced event are told, with the
// payment as it stands after the write.
func (c RefundChange) Notification(of Payment) Notification {
	refund := c.Record.Refund
	n := Notification{Version: NotificationVersion, Event: c.Announce, OccurredAt: c.At, Payment: of, Refund: &refund}
	if c.Announce == EventNeedsReview {
		n.Review = c.Review
	}
	return n
}

// Announced answers a write that announced an event. Without an event only
// Payment is set.
type Announced struct {
	Payment   Payment    `json:"payment"` // as it stands after the write
	Sequence  int        `json:"sequence"`
	Receivers []Receiver `json:"receivers,omitempty"`
}

// Filter selects payments of a list. Its zero value selects all.
type Filter struct {
	Status      Status
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
