// Package private wraps what must never be read in a log.
//
// There are two kinds. [Text] is personal data: a payer's phone number, name
// or e-mail address. It travels in JSON, because the API answers with it and
// histories carry it (encrypted), but fmt and log/slog print only a mark.
// [Token] is a secret: it cannot be printed and it cannot be marshalled
// either; whoever needs it calls [Token.Reveal], which is easy to search for.
//
// Both are values and safe for concurrent use.
package private

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Mark is what every log, error text and debugger sees instead of a private
// value that is not empty.
const Mark = "[private]"

// Text is a piece of personal data. Its zero value is the empty text, which
// prints as "". Convert with string(t) where the clear text is meant.
type Text string

// Format implements [fmt.Formatter] for every verb, so that no %q, %x or %#v
// finds a way round.
func (t Text) Format(f fmt.State, _ rune) { mark(f, string(t)) }

// LogValue implements [slog.LogValuer].
func (t Text) LogValue() slog.Value { return slog.StringValue(marked(string(t))) }

// Token is a secret such as a private token or an API key. Its zero value is
// the empty token. Tokens compare with ==, which is not constant in time: use
// crypto/subtle on revealed bytes where an attacker can measure.
type Token struct{ secret string }

// NewToken wraps secret.
func NewToken(secret string) Token { return Token{secret: secret} }

// Reveal returns the secret in clear, for the one place that sends it.
func (t Token) Reveal() string { return t.secret }

// IsZero reports whether the token is empty.
func (t Token) IsZero() bool { return t.secret == "" }

// Format implements [fmt.Formatter] for every verb.
func (t Token) Format(f fmt.State, _ rune) { mark(f, t.secret) }

// LogValue implements [slog.LogValuer].
func (t Token) LogValue() slog.Value { return slog.StringValue(marked(t.secret)) }

// ErrMarshal is returned by every attempt to marshal a [Token].
var ErrMarshal = errors.New("private: a token is never marshalled; call Reveal where it is sent")

// MarshalJSON implements encoding/json.Marshaler and always fails with
// [ErrMarshal].
func (t Token) MarshalJSON() ([]byte, error) { return nil, ErrMarshal }

// MarshalText implements encoding.TextMarshaler and always fails with
// [ErrMarshal].
func (t Token) MarshalText() ([]byte, error) { return nil, ErrMarshal }

func mark(f fmt.State, text string) {
	_, _ = io.WriteString(f, marked(text)) // a fmt.State reports its own write errors
}

func marked(text string) string {
	if text == "" {
		return ""
	}
	return Mark
}
