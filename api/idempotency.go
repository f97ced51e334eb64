package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
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
	malformed := &app.Error{Kind: keyMalformed}
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

// markReplay tells a merchant that the answer is about a request of the past.
func markReplay(c *gin.Context, replayed bool) {
	if replayed {
		c.Header(headerReplayed, "true")
	}
}
