package ledger

import (
	"time"

	"github.com/cobropay/cobro/private"
)

// WebhookEvent is one event that the gateway, or somebody who pretends to be
// the gateway, posted. It is kept whole and is only ever a hint to go and look.
type WebhookEvent struct {
	ID     string // "whe_" and 26 characters, sorting by time
	Digest string // of the event normalised, or of the raw bytes; unique
	Kind   string // the parser's, such as "ecommerce_completed"

	// What the event claims, to find its payment by.
	EcommerceID     string
	ReferenceNumber string
	PaymentID       string // from metadata, where one has the form of a payment id

	Body       private.Text   // raw
	Headers    private.Text   // those worth keeping, as a JSON object
	Verdict    WebhookVerdict // what became of it
	MatchedID  string         // the payment that it belongs to
	Effect     string         // what it did, in words for people
	Deliveries int            // how often it was posted
	Attempts   int            // how often the relay tried to hand it over
	NotBefore  time.Time      // the relay's next try
	ReceivedAt time.Time
	SettledAt  *time.Time
	// Unreadable says why Body and Headers could not be read from the store; nil
	// where they were.
	Unreadable error
}

// WebhookVerdict is what became of an event. Stored: never rename a value.
type WebhookVerdict string

// The verdicts.
const (
	VerdictPending   WebhookVerdict = "pending"   // not handed over yet
	VerdictSignalled WebhookVerdict = "signalled" // its payment's workflow has it
	VerdictLate      WebhookVerdict = "late"      // ApplyLateEvent has it: a refund, or its payment's workflow had ended
	VerdictApplied   WebhookVerdict = "applied"   // it told something new that the gateway vouches for
	VerdictKnown     WebhookVerdict = "known"     // nothing new: an echo of our own refund, or what the books already say
	VerdictRefuted   WebhookVerdict = "refuted"   // the gateway's own answer denies it
	VerdictUnmatched WebhookVerdict = "unmatched" // no payment of ours; tried again when a ticket is recorded
	VerdictIgnored   WebhookVerdict = "ignored"   // a test, a donation or a "Pay a Business" payment
	VerdictMalformed WebhookVerdict = "malformed" // not a JSON object, or unreadable
)

// WebhookVerdicts returns all verdicts.
func WebhookVerdicts() []WebhookVerdict {
	return []WebhookVerdict{
		VerdictPending, VerdictSignalled, VerdictLate, VerdictApplied, VerdictKnown,
		VerdictRefuted, VerdictUnmatched, VerdictIgnored, VerdictMalformed,
	}
}
