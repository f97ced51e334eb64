package ledger

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cobropay/cobro/payment"
)

// DeriveMismatchID returns the id of a difference: of a kind, about a payment
// or reference, with what tells it apart from others of that kind.
func DeriveMismatchID(kind payment.MismatchKind, about string, detail ...string) string {
	return mismatchIDPrefix + derive(append([]string{"mismatch", string(kind), about}, detail...)...)
}

// DeriveReviewID returns the id of the number-th review, from 1, of a payment
// or a refund.
func DeriveReviewID(subject string, number int) string {
	return reviewIDPrefix + derive("review", subject, strconv.Itoa(number))
}

// Prefixes of the ids that this package makes.
const (
	idPrefix             = "pay_"
	refundIDPrefix       = "ref_"
	notificationIDPrefix = "ntf_"
	reviewIDPrefix       = "rev_"
	mismatchIDPrefix     = "mis_"
	gatewayEventIDPrefix = "whe_"
)

// NewID returns a fresh payment id for a request without an idempotency key:
// "pay_" and 26 characters that sort by time. It reads 10 bytes of entropy.
func NewID(now time.Time, entropy io.Reader) (string, error) {
	return FreshID(idPrefix, now, entropy)
}

// NewGatewayEventID returns a fresh id of the same form for an event: "whe_" and
// 26 characters.
func NewGatewayEventID(now time.Time, entropy io.Reader) (string, error) {
	return FreshID(gatewayEventIDPrefix, now, entropy)
}

// FreshID returns a prefix and 26 characters that sort by time.
func FreshID(prefix string, now time.Time, entropy io.Reader) (string, error) {
	id, err := ulid.New(ulid.Timestamp(now), entropy)
	if err != nil {
		return "", fmt.Errorf("draw a random id: %w", err)
	}
	return prefix + strings.ToLower(id.String()), nil
}

// DeriveID returns the payment id of a request with an idempotency key. The
// same merchant and key always give the same id, so that the workflow's id is
// itself the lock against a second payment.
func DeriveID(merchant, key string) string {
	return idPrefix + derive("payment", merchant, key)
}

// DeriveRefundID returns the refund id of a payment and an idempotency key.
func DeriveRefundID(paymentID, key string) string {
	return refundIDPrefix + derive("refund", paymentID, key)
}

// NotificationID returns the stable id under which a receiver is notified of an
// event. subject is the id of the payment, or of the refund for its events;
// sequence tells the subject's events of one name apart.
func NotificationID(subject string, event payment.Event, sequence int, host, receiver string) string {
	return notificationIDPrefix + derive("notification", subject, string(event), strconv.Itoa(sequence), host, receiver)
}

// IsID reports whether text has the form of a payment id.
func IsID(text string) bool { return hasForm(text, idPrefix) }

// IsRefundID reports whether text has the form of a refund id.
func IsRefundID(text string) bool { return hasForm(text, refundIDPrefix) }

// IsNotificationID reports whether text has the form of a notification's id.
func IsNotificationID(text string) bool { return hasForm(text, notificationIDPrefix) }

// IsReviewID reports whether text has the form of a review's id.
func IsReviewID(text string) bool { return hasForm(text, reviewIDPrefix) }

// IsGatewayEventID reports whether text has the form of a gateway event's id.
func IsGatewayEventID(text string) bool { return hasForm(text, gatewayEventIDPrefix) }

// derive returns 26 characters that depend on every part; the lengths keep
// ("ab", "c") and ("a", "bc") apart.
func derive(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = io.WriteString(h, strconv.Itoa(len(part))+":"+part) // a hash never fails to write
	}
	var id ulid.ULID
	copy(id[:], h.Sum(nil))
	return strings.ToLower(id.String())
}

func hasForm(text, prefix string) bool {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || strings.ToLower(rest) != rest {
		return false
	}
	_, err := ulid.ParseStrict(strings.ToUpper(rest))
	return err == nil
}
