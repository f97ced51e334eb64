package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

const (
	headerKey      = "Idempotency-Key"
	headerReplayed = "Idempotency-Replayed"
	maxKey         = 255
)

// idempotencyKey reads the Idempotency-Key header (IETF draft
// draft-ietf-httpapi-idempotency-key-header): a quoted string as the draft has
// it, or bare as most clients send it. Both forms of one text are one key. It
// returns "" where there is no header.
func idempotencyKey(header http.Header) (string, error) {
	values := header.Values(headerKey)
	if len(values) == 0 {
		return "", nil
	}
	malformed := &problem{kind: keyMalformed}
	if len(values) > 1 {
		return "", malformed
	}
	key := values[0]
	if strings.HasPrefix(key, `"`) {
		unquoted, ok := unquote(key)
		if !ok {
			return "", malformed
		}
		key = unquoted
	}
	if !isPrintable(key) || len(key) > maxKey {
		return "", malformed
	}
	return key, nil
}

// unquote reads a structured-field string (RFC 9651 §3.3.3).
func unquote(quoted string) (string, bool) {
	var text strings.Builder
	for rest := quoted[1:]; rest != ""; rest = rest[1:] {
		switch rest[0] {
		case '"':
			return text.String(), rest == `"`
		case '\\':
			if rest = rest[1:]; rest == "" || rest[0] != '"' && rest[0] != '\\' {
				return "", false
			}
		}
		text.WriteByte(rest[0])
	}
	return "", false
}

// paymentFingerprint tells two requests for a payment apart once they were
// validated, so that "25" and "25.00" are the same request.
func (s *Server) paymentFingerprint(r payment.Request) (string, error) {
	return s.fingerprint("POST /v1/payments", r)
}

// refundFingerprint does so for refunds, each of which is of one payment.
func (s *Server) refundFingerprint(paymentID string, amount *money.Amount, message private.Text) (string, error) {
	return s.fingerprint("POST /v1/payments/{id}/refunds", struct {
		PaymentID string        `json:"payment_id"`
		Amount    *money.Amount `json:"amount"`
		Message   private.Text  `json:"message"`
	}{paymentID, amount, message})
}

// fingerprint is the keyed digest of a value's JSON. The order of a struct's
// fields makes that canonical.
func (s *Server) fingerprint(purpose string, value any) (string, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	return s.cfg.Fingerprint(purpose, data), nil
}

// markReplay tells a merchant that the answer is about a request of the past:
// what the store holds was made at another moment than this request.
func markReplay(c *gin.Context, made, asked time.Time) {
	if !made.Equal(asked) {
		c.Header(headerReplayed, "true")
	}
}
