package payment

import (
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// Mismatch is a difference between Cobro's books and the gateway's that nobody
// may settle silently. Its JSON is the API's. It holds no personal data.
type Mismatch struct {
	ID              string         `json:"id"` // "mis_" and 26 characters; the same difference always has the same id
	Kind            MismatchKind   `json:"kind"`
	PaymentID       string         `json:"payment_id,omitempty"`       // where one of ours is concerned
	ReferenceNumber string         `json:"reference_number,omitempty"` // the gateway's
	Ours            string         `json:"ours,omitempty"`             // what Cobro has, such as "25.00"
	Theirs          string         `json:"theirs,omitempty"`           // what the gateway says
	Source          MismatchSource `json:"source"`
	// FoundBy is the workflow run that found it first. That one tells the
	// receivers; whoever finds it again does not.
	FoundBy string    `json:"found_by,omitempty"`
	FoundAt time.Time `json:"found_at"`
}

// Notification is what the receivers are told, with the payment that is
// concerned, or the zero one.
func (m Mismatch) Notification(of Payment) Notification {
	return Notification{
		Version: NotificationVersion, Event: EventReconciliationMismatch, OccurredAt: m.FoundAt, Payment: of, Mismatch: &m,
	}
}

// MismatchKind says what differs. Stored: never rename a value.
type MismatchKind string

// The kinds.
const (
	MismatchAmount             MismatchKind = "amount"
	MismatchFee                MismatchKind = "fee"
	MismatchNet                MismatchKind = "net_amount"
	MismatchRefunded           MismatchKind = "refunded_amount"
	MismatchStatus             MismatchKind = "status"              // the gateway contradicts a terminal status
	MismatchMissingHere        MismatchKind = "missing_here"        // a sale of the gateway that Cobro does not know
	MismatchMissingThere       MismatchKind = "missing_there"       // a completed payment that the report does not list
	MismatchDuplicate          MismatchKind = "duplicate"           // one sale twice in the report, or two sales of one payment
	MismatchUnsolicited        MismatchKind = "unsolicited"         // a donation or a "Pay a Business" receipt; told to nobody
	MismatchUnmatchedRefund    MismatchKind = "unmatched_refund"    // made elsewhere, and of no payment or of several
	MismatchContradictingEvent MismatchKind = "contradicting_event" // an event that the gateway's own answer denies
	MismatchUnreadableRow      MismatchKind = "unreadable_row"      // quarantined; the rest of the report was compared
	MismatchReportUnavailable  MismatchKind = "report_unavailable"  // no answer for a span of time; asked again by later runs
)

// MismatchKinds lists every kind.
func MismatchKinds() []MismatchKind {
	return []MismatchKind{
		MismatchAmount, MismatchFee, MismatchNet, MismatchRefunded, MismatchStatus, MismatchMissingHere,
		MismatchMissingThere, MismatchDuplicate, MismatchUnsolicited, MismatchUnmatchedRefund,
		MismatchContradictingEvent, MismatchUnreadableRow, MismatchReportUnavailable,
	}
}

// Announced reports whether receivers are told of the kind.
func (k MismatchKind) Announced() bool { return k != MismatchUnsolicited }

// MismatchSource says who found a mismatch. Stored: never rename a value.
type MismatchSource string

// The sources.
const (
	FoundByEvent          MismatchSource = "event"
	FoundByRefund         MismatchSource = "refund"
	FoundByReconciliation MismatchSource = "reconciliation"
)

// MismatchFilter selects mismatches of a list. Its zero value selects all.
type MismatchFilter struct {
	Kind      MismatchKind
	PaymentID string
	FoundFrom time.Time // inclusive; zero means no bound
	FoundTo   time.Time // exclusive; zero means no bound
	Limit     int       // 1 to 100
}

// DeriveMismatchID returns the id of a difference: of a kind, about a payment
// or reference, with what tells it apart from others of that kind.
func DeriveMismatchID(kind MismatchKind, about string, detail ...string) string {
	return mismatchIDPrefix + derive(append([]string{"mismatch", string(kind), about}, detail...)...)
}

// ExternalRefund is a refund that was not asked for through Cobro, and that the
// gateway's own total proves.
type ExternalRefund struct {
	RefundID  string       `json:"refund_id"`
	PaymentID string       `json:"payment_id"`
	Amount    money.Amount `json:"amount"`
	// Total is what the gateway says was refunded of the payment in all. The
	// booking is refused where Cobro's books already explain it.
	Total           money.Amount `json:"total"`
	Source          RefundSource `json:"source"` // SourceExternal or SourceUnexplained
	ReferenceNumber string       `json:"reference_number,omitempty"`
	Message         private.Text `json:"message,omitempty"`
	// For is our own refund that is about to be sent and needs the books right
	// before; its own reservation is not in the way. Empty means none.
	For string    `json:"for,omitempty"`
	At  time.Time `json:"at"`
	// BookedAt is when it became known, which is when its event happened.
	BookedAt time.Time `json:"booked_at"`
	// Workflow is as in [Change].
	Workflow string `json:"-"`
}

// Notification is what the receivers are told, with the refund as it was booked
// and the payment as it stands after it.
func (e ExternalRefund) Notification(booked Refund, of Payment) Notification {
	return Notification{
		Version: NotificationVersion, Event: EventRefundCompleted, OccurredAt: e.BookedAt, Payment: of, Refund: &booked,
	}
}

// DeriveExternalRefundID returns the id of a refund made elsewhere: of a
// payment, and the digest of its event or, without one, the gateway's total that
// it explains.
func DeriveExternalRefundID(paymentID, origin string) string {
	return refundIDPrefix + derive("external refund", paymentID, origin)
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
	EchoOf string `json:"echo_of,omitempty"`
	// Candidates are the completed payments that may have been refunded: the
	// one that the event names, where Named, or those of its phone number with
	// enough left.
	Candidates []RefundCandidate `json:"candidates,omitempty"`
	Named      bool              `json:"named,omitempty"`
}

// RefundCandidate is a payment that a refund made elsewhere may be of.
type RefundCandidate struct {
	Payment Payment `json:"payment"` // RefundedAmount is what Cobro's books say
	// Unsettled is our own refund of the payment that is pending or in review.
	Unsettled string `json:"unsettled,omitempty"`
}
