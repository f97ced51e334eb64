package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/cobropay/cobro/payment"
)

// ErrNotFound is returned by a store that does not know the id.
var ErrNotFound = errors.New("not found")

// Record is a payment with what the store keeps beside it.
type Record struct {
	Payment payment.Payment `json:"payment"`
	// Revision grows with every change that the workflow makes; the store
	// never lets an older one overwrite a newer, however late it is retried.
	Revision int64 `json:"revision"`
	// Fingerprint is the keyed digest of the request that made the payment.
	Fingerprint string `json:"fingerprint"`
	// Sequence is that of the last event announced. The store counts it: events
	// of a payment, of its refunds and of mismatches share one order.
	Sequence int `json:"sequence"`
}

// NewRecord returns a payment as it is reserved, before its workflow is started:
// pending, and with revision 0.
func NewRecord(id, fingerprint string, request payment.Request, at time.Time) Record {
	at = at.UTC()
	return Record{Fingerprint: fingerprint, Payment: payment.Payment{
		ID: id, Status: payment.StatusPending, Request: request, CreatedAt: at, UpdatedAt: at, ExpiresAt: at.Add(request.ExpiresIn),
	}}
}

// Change is what one step of a payment's life writes to the store, all or
// nothing. Writing it twice is the same as writing it once.
type Change struct {
	Record      Record       `json:"record"`
	Transitions []Transition `json:"transitions,omitempty"` // known ones are left alone
	// Announce names the event whose receivers are wanted, or is empty. The
	// store gives it the payment's next sequence, once, notes a pending delivery
	// for each receiver and answers with the list. A payment has each event once.
	Announce payment.Event `json:"announce,omitempty"`
	// Review is the payment's review, opened or ended by this step.
	Review *payment.Review `json:"review,omitempty"`
	// Workflow is the one that delivers what is announced. The activity that
	// writes fills it in.
	Workflow string `json:"-"`
}

// Notification is what the receivers of the announced event get. Its id,
// and its place among the payment's events, are the store's to give.
func (c Change) Notification() payment.Notification {
	n := payment.Notification{
		Version: payment.NotificationVersion, Event: c.Announce, OccurredAt: c.Record.Payment.UpdatedAt, Payment: c.Record.Payment,
	}
	if c.Announce == payment.EventNeedsReview {
		n.Review = c.Review
	}
	return n
}

// ReferenceInUseError refuses to keep a payment whose reference has another
// unfinished payment. Nothing was written.
type ReferenceInUseError struct {
	PaymentID string // the unfinished one
}

// Error implements error.
func (e *ReferenceInUseError) Error() string {
	return fmt.Sprintf("the reference has an unfinished payment, %s", e.PaymentID)
}

// DebitTakenError is returned by a write of a payment whose debit, by the
// gateway's reference number, is another payment's. Nothing was written.
type DebitTakenError struct {
	PaymentID string // the other one
}

// Error implements error.
func (e *DebitTakenError) Error() string {
	return fmt.Sprintf("the reference number is that of the debit of %s", e.PaymentID)
}

// Announced answers a write that announced an event. Without an event only
// Payment is set.
type Announced struct {
	Payment   payment.Payment `json:"payment"` // as it stands after the write
	Sequence  int             `json:"sequence"`
	Receivers []Receiver      `json:"receivers,omitempty"`
}

// Transition is one step of a payment's life, kept for its timeline.
type Transition struct {
	PaymentID string         `json:"payment_id"`
	Sequence  int            `json:"sequence"` // 1 for the first
	From      payment.Status `json:"from"`
	To        payment.Status `json:"to"`
	At        time.Time      `json:"at"`
	Reason    string         `json:"reason,omitempty"` // a Failure's code, or empty
}
