package ledger

import (
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// GatewayEvent is one event that the gateway, or somebody who pretends to be
// the gateway, posted. It is kept whole and is only ever a hint to go and look.
type GatewayEvent struct {
	ID     string // "whe_" and 26 characters, sorting by time
	Digest string // of the event normalized, or of the raw bytes; unique
	Kind   string // the parser's, such as "ecommerce_completed"

	// What the event claims: to find its payment by, and to tell its workflow.
	EcommerceID     string
	ReferenceNumber string
	PaymentID       string // from metadata, where one has the form of a payment id
	Total           *money.Amount
	Payer           payment.Customer
	Message         private.Text

	Body       private.Text // raw
	Headers    private.Text // those worth keeping, as a JSON object
	Verdict    EventVerdict // what became of it
	MatchedID  string       // the payment that it belongs to
	Effect     string       // what it did, in words for people
	Deliveries int          // how often it was posted
	Attempts   int          // how often the relay tried to hand it over
	NotBefore  time.Time    // the relay's next try
	ReceivedAt time.Time
	SettledAt  *time.Time
	// Unreadable says why a sealed text could not be read from the store; nil
	// where all were.
	Unreadable error
}

// EventVerdict is what became of an event. Stored: never rename a value.
type EventVerdict string

// The verdicts.
const (
	EventPending   EventVerdict = "pending"   // not handed over yet
	EventSignalled EventVerdict = "signalled" // its payment's workflow has it
	EventLate      EventVerdict = "late"      // ApplyLateEvent has it: a refund, or its payment's workflow had ended
	EventApplied   EventVerdict = "applied"   // it told something new that the gateway vouches for
	EventKnown     EventVerdict = "known"     // nothing new: an echo of our own refund, or what the books already say
	EventRefuted   EventVerdict = "refuted"   // the gateway's own answer denies it
	EventUnmatched EventVerdict = "unmatched" // no payment of ours; tried again when a ticket is recorded
	EventIgnored   EventVerdict = "ignored"   // a test, a donation or a "Pay a Business" payment
	EventMalformed EventVerdict = "malformed" // not a JSON object, or unreadable
	EventTooLarge  EventVerdict = "too_large" // longer than any event about a sale of ours; its beginning is kept
)

// EventVerdicts returns all verdicts.
func EventVerdicts() []EventVerdict {
	return []EventVerdict{
		EventPending, EventSignalled, EventLate, EventApplied, EventKnown,
		EventRefuted, EventUnmatched, EventIgnored, EventMalformed, EventTooLarge,
	}
}
