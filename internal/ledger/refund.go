package ledger

import (
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// ExternalRefund is a refund that was not asked for through Cobro, and that the
// gateway's own total proves.
type ExternalRefund struct {
	RefundID  string       `json:"refund_id"`
	PaymentID string       `json:"payment_id"`
	Amount    money.Amount `json:"amount"`
	// Total is what the gateway says was refunded of the payment in all. The
	// booking is refused where Cobro's books already explain it.
	Total           money.Amount         `json:"total"`
	Source          payment.RefundSource `json:"source"` // SourceExternal or SourceUnexplained
	ReferenceNumber string               `json:"reference_number,omitempty"`
	Message         private.Text         `json:"message,omitempty"`
	// For is our own refund that is about to be sent and needs the books right
	// before; its own reservation is not in the way. Empty means none.
	For string    `json:"for,omitempty"`
	At  time.Time `json:"at"`
	// BookedAt is when it became known, which is when its event happened.
	BookedAt time.Time `json:"booked_at"`
	// Workflow is as in [Change].
	Workflow string `json:"-"`
}

// Notification is what the receivers get, with the refund as it was booked
// and the payment as it stands after it.
func (e ExternalRefund) Notification(booked payment.Refund, of payment.Payment) payment.Notification {
	return payment.Notification{
		Version: payment.NotificationVersion, Event: payment.EventRefundCompleted, OccurredAt: e.BookedAt, Payment: of, Refund: &booked,
	}
}

// DeriveExternalRefundID returns the id of a refund made elsewhere: of a
// payment, and the digest of its event or, without one, the gateway's total that
// it explains.
func DeriveExternalRefundID(paymentID, origin string) string {
	return refundIDPrefix + derive("external refund", paymentID, origin)
}

// DeriveEchoedRefundID returns the id under which a refund of ours is booked that
// we held for failed, and that the gateway executed.
func DeriveEchoedRefundID(refundID string) string {
	return refundIDPrefix + derive("echoed refund", refundID)
}

// RefundClaim is what an event says of a refund, to find what it is about.
type RefundClaim struct {
	PaymentID       string       `json:"payment_id,omitempty"`
	EcommerceID     string       `json:"ecommerce_id,omitempty"`
	ReferenceNumber string       `json:"reference_number,omitempty"`
	PhoneNumber     private.Text `json:"phone_number,omitempty"` // ten digits
	Amount          money.Amount `json:"amount"`
	Message         private.Text `json:"message,omitempty"`
	CompletedAfter  time.Time    `json:"completed_after"` // of payments found by phone alone
}

// RefundContext is what Cobro knows that a refund claim may be about.
type RefundContext struct {
	// EchoOf is our own refund that the event tells of: it has the refund's
	// short id in its message, or the reference that the gateway gave us for it.
	// Where that one failed, and was not booked since, its payment is the one
	// candidate.
	EchoOf     string               `json:"echo_of,omitempty"`
	EchoStatus payment.RefundStatus `json:"echo_status,omitempty"`
	// Candidates are the completed payments that may have been refunded: the
	// one that the event names, where Named, or those of its phone number with
	// enough left.
	Candidates []RefundCandidate `json:"candidates,omitempty"`
	Named      bool              `json:"named,omitempty"`
}

// RefundCandidate is a payment that a refund made elsewhere may be of.
type RefundCandidate struct {
	Payment payment.Payment `json:"payment"` // RefundedAmount is what Cobro's books say
	// Unsettled is our own refund of the payment that is pending or in review.
	Unsettled string `json:"unsettled,omitempty"`
}

// RefundRecord is a refund with what the store keeps beside it.
type RefundRecord struct {
	Refund      payment.Refund `json:"refund"`
	Revision    int64          `json:"revision"`
	Fingerprint string         `json:"fingerprint"`
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
	Refund  payment.Refund  `json:"refund"`
	Payment payment.Payment `json:"payment"`
}

// RefundChange is what one step of a refund's life writes to the store, all or
// nothing. Writing it twice is the same as writing it once.
type RefundChange struct {
	Record RefundRecord `json:"record"`
	// Announce names the event whose receivers are wanted, or is empty. The
	// store gives it the payment's next sequence, once.
	Announce payment.Event `json:"announce,omitempty"`
	At       time.Time     `json:"at"` // when the event happened
	// Review is the refund's review, opened or ended by this step.
	Review *payment.Review `json:"review,omitempty"`
	// Workflow is as in [Change].
	Workflow string `json:"-"`
}

// Notification is what the receivers of the announced event get, with the
// payment as it stands after the write.
func (c RefundChange) Notification(of payment.Payment) payment.Notification {
	refund := c.Record.Refund
	n := payment.Notification{Version: payment.NotificationVersion, Event: c.Announce, OccurredAt: c.At, Payment: of, Refund: &refund}
	if c.Announce == payment.EventNeedsReview {
		n.Review = c.Review
	}
	return n
}

// shortRefundID is how many characters of its id a refund shows to people.
const shortRefundID = 8

// ShortRefundID returns the end of a refund's id. Where there is room it follows
// "#" at the end of the message that the gateway echoes in its event
// (docs/athmovil.md §4.2).
func ShortRefundID(id string) string { return id[max(0, len(id)-shortRefundID):] }
