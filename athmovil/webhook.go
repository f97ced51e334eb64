package athmovil

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// EventKind says what a webhook claims to have happened. The values are
// stable.
type EventKind string

// The kinds of event (docs/athmovil.md §4.2).
const (
	// EventSimulated comes from the test button of the ATH Business app, and
	// never concerns a real ticket, whatever else it says (§4.4).
	EventSimulated EventKind = "simulated"
	// EventPayment is a sale by "Pay a Business", made without a ticket.
	EventPayment EventKind = "payment"
	// EventDonation is a donation, made without a ticket.
	EventDonation EventKind = "donation"
	// EventRefund is a refund, ours or one made in the ATH Business app.
	EventRefund             EventKind = "refund"
	EventEcommerceCompleted EventKind = "ecommerce_completed"
	EventEcommerceCancelled EventKind = "ecommerce_cancelled"
	EventEcommerceExpired   EventKind = "ecommerce_expired"
	// EventUnknown is anything else. It is not an error: keep it.
	EventUnknown EventKind = "unknown"
)

// Event is a webhook of any dialect in one form. Webhooks are not signed, so
// everything in it is a claim: look at the gateway before acting on it
// (docs/athmovil.md §4.4). Amounts are dollars, nil where the event has none;
// texts are empty and times zero where it has none.
type Event struct {
	Kind EventKind
	// TransactionType and Status are in lower case; a status of "cancel" in
	// any spelling reads "cancelled".
	TransactionType        string
	Status                 string
	EcommerceID            string // new-style events only
	ReferenceNumber        string
	ReferenceTransactionID string
	DailyTransactionID     string    // as written, padded or not
	Date                   time.Time // when it was sent; in [Location]
	TransactionDate        time.Time // in [Location]
	BusinessName           string
	Name                   private.Text
	PhoneNumber            private.Text // ten digits, or as written where it is no such number
	Email                  private.Text
	Message                private.Text
	Total                  *money.Amount // of a refund, the amount refunded
	SubTotal               *money.Amount
	Tax                    *money.Amount
	Fee                    *money.Amount
	NetAmount              *money.Amount
	TotalRefundedAmount    *money.Amount
	Metadata1              private.Text
	Metadata2              private.Text
	Items                  []Item
	IsNonProfit            bool

	// Unreadable names the fields that were there and made no sense.
	Unreadable []string

	digest string
}

// ErrNotObject is returned by [ParseWebhook] for a body that is not a JSON
// object.
var ErrNotObject = errors.New("athmovil: the webhook is not a JSON object")

// ParseWebhook reads the body of a webhook, of any dialect (docs/athmovil.md
// §4.2, §4.3). The error is [ErrNotObject], or names the fields without which
// an event of a known kind says too little: date and total. With the second
// sort of error the Event holds what could be read, so that a caller can still
// go and look.
func ParseWebhook(body []byte) (Event, error) {
	o, err := parseObject(body)
	if err != nil {
		return Event{}, ErrNotObject
	}
	e := Event{
		TransactionType:        strings.ToLower(o.text("transactionType")),
		Status:                 normalStatus(o.text("status")),
		EcommerceID:            o.text("ecommerceId", "ecommerceID"),
		ReferenceNumber:        o.text("referenceNumber"),
		ReferenceTransactionID: o.text("referenceTransactionId", "referenceTransactionID"),
		DailyTransactionID:     o.dailyID(),
		Date:                   o.date("date"),
		TransactionDate:        o.date("transactionDate"),
		BusinessName:           o.text("businessName"),
		Name:                   o.private("name"),
		PhoneNumber:            o.phone("phoneNumber"),
		Email:                  o.private("email"),
		Message:                o.private("message"),
		Total:                  o.amount("total"),
		SubTotal:               o.amount("subTotal", "subtotal"),
		Tax:                    o.amount("tax"),
		Fee:                    o.amount("fee"),
		NetAmount:              o.amount("netAmount"),
		TotalRefundedAmount:    o.amount("totalRefundedAmount", "totalRefundAmount"),
		Metadata1:              o.private("metadata1"),
		Metadata2:              o.private("metadata2"),
		Items:                  o.items(),
		IsNonProfit:            o.flag("isNonProfit"),
	}
	e.Kind = e.kind()
	o.keep("transactionType", e.TransactionType)
	o.keep("status", e.Status)
	e.Unreadable = o.unreadable
	e.digest = RawDigest([]byte("athmovil event v1\n" + o.normalForm()))
	if e.Kind == EventUnknown {
		return e, nil
	}
	if err := o.require("date", "total"); err != nil {
		return e, fmt.Errorf("athmovil: webhook: %w", err)
	}
	return e, nil
}

func normalStatus(text string) string {
	switch text = strings.ToLower(text); text {
	case "cancel", "canceled":
		return "cancelled"
	default:
		return text
	}
}

func (e Event) kind() EventKind {
	switch e.TransactionType {
	case "simulated":
		return EventSimulated
	case "payment":
		return EventPayment
	case "donation":
		return EventDonation
	case "refund":
		return EventRefund
	case "ecommerce":
	case "":
		if e.EcommerceID == "" {
			return EventUnknown
		}
	default:
		return EventUnknown
	}
	switch e.Status {
	case "completed":
		return EventEcommerceCompleted
	case "cancelled":
		return EventEcommerceCancelled
	case "expired":
		return EventEcommerceExpired
	default:
		return EventUnknown
	}
}

// Digest returns a SHA-256 in hex that is equal for two deliveries of one
// event, and differs where any value differs. Every key of the body takes
// part, unknown ones and unreadable values as they came. What does not matter
// is the dialect: the order of keys and the space between them, both spellings
// of a key, numbers written as strings, zeros and noise after the cent, the
// form of a date or phone number, case in transactionType and status, padding
// of the daily number, space around a text; and an absent field equals an
// empty text, null, an empty list, a phone number 0 and isNonProfit false. An
// absent amount differs from zero.
//
// It belongs to an Event from [ParseWebhook]; any other has an empty digest.
// The form never changes: digests are kept.
func (e Event) Digest() string { return e.digest }

// RawDigest returns the SHA-256 of a body as it came, in hex: the name of a
// webhook that [ParseWebhook] refuses.
func RawDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
