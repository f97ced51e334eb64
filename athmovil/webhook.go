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

// EventKind says what a webhook claims has happened. The values are stable.
type EventKind string

// The kinds of event (docs/athmovil.md §4.2).
const (
	// EventSimulated comes from the test button of the ATH Business app. It is
	// never about a real ticket, whatever else it says (docs/athmovil.md §4.4).
	EventSimulated EventKind = "simulated"
	// EventPayment is a "Pay a Business" sale, which has no ticket.
	EventPayment EventKind = "payment"
	// EventDonation is a donation, which has no ticket.
	EventDonation EventKind = "donation"
	// EventRefund is a refund, made by Refund or in the ATH Business app.
	EventRefund EventKind = "refund"
	// The three ways in which a ticket ends.
	EventEcommerceCompleted EventKind = "ecommerce_completed"
	EventEcommerceCancelled EventKind = "ecommerce_cancelled"
	EventEcommerceExpired   EventKind = "ecommerce_expired"
	// EventUnknown is any other event. It is not an error: store it.
	EventUnknown EventKind = "unknown"
)

// Event is a webhook of any dialect, in one form. Webhooks are not signed, so
// everything in it is a claim: check with Find before acting on it
// (docs/athmovil.md §4.4). Amounts are in US dollars. A field that the webhook
// does not have is nil, empty or zero.
type Event struct {
	Kind EventKind
	// TransactionType and Status are in lower case. Every spelling of a
	// canceled status becomes "cancelled".
	TransactionType        string
	Status                 string
	EcommerceID            string // only in the new dialect
	ReferenceNumber        string
	ReferenceTransactionID string
	DailyTransactionID     string    // as written, padded or not
	Date                   time.Time // when it was sent; in [Location]
	TransactionDate        time.Time // in [Location]
	BusinessName           string
	Name                   private.Text
	PhoneNumber            private.Text // ten digits, or as written if it is another kind of number
	Email                  private.Text
	Message                private.Text
	Total                  *money.Amount // for a refund, the amount refunded
	SubTotal               *money.Amount
	Tax                    *money.Amount
	Fee                    *money.Amount
	NetAmount              *money.Amount
	TotalRefundedAmount    *money.Amount
	Metadata1              private.Text
	Metadata2              private.Text
	Items                  []Item
	IsNonProfit            bool

	// Unreadable names the fields that are present but cannot be read.
	Unreadable []string

	digest string
}

// ErrNotObject is returned by [ParseWebhook] for a body that is not a JSON
// object.
var ErrNotObject = errors.New("athmovil: the webhook is not a JSON object")

// ParseWebhook reads the body of a webhook in any dialect (docs/athmovil.md §4.2,
// §4.3). The error is [ErrNotObject], or it names the missing fields of an event
// of a known kind, which needs date and total. In the second case the Event holds
// what could be read, so that the caller can still check with Find.
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
	o.normalize("transactionType", e.TransactionType)
	o.normalize("status", e.Status)
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

// Digest returns a SHA-256 in hex that is equal for two deliveries of the same
// event and different for two events with different values. It covers every key
// of the body: unknown keys and unreadable values count as received.
//
// The dialect does not count: the order of keys, white space, the two spellings
// of a key, numbers written as strings, zeros and noise after the cent, the form
// of a date or a phone number, the case of transactionType and status, and the
// padding of the daily number. An absent field equals an empty text, null, an
// empty list, a phone number of 0 and an isNonProfit of false. An absent amount
// differs from zero.
//
// Only an Event from [ParseWebhook] has a digest. For any other it is empty. The
// digest of an event never changes, so it can be stored.
func (e Event) Digest() string { return e.digest }

// RawDigest returns the SHA-256 of a body as received, in hex. It identifies a
// webhook that [ParseWebhook] refuses.
func RawDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
