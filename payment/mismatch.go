package payment

import (
	"time"
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

// Notification is what the receivers get, with the payment that is
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
	MismatchUnsolicited        MismatchKind = "unsolicited"         // a donation or a "Pay a Business" receipt; not announced
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

// Announced reports whether receivers are notified of the kind.
func (k MismatchKind) Announced() bool { return k != MismatchUnsolicited }

// MismatchSource says who found a mismatch. Stored: never rename a value.
type MismatchSource string

// The sources.
const (
	FoundByEvent          MismatchSource = "event"
	FoundByRefund         MismatchSource = "refund"
	FoundByReconciliation MismatchSource = "reconciliation"
)
