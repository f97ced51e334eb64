// Package private holds values that must never appear in a log.
//
// [Text] is personal data, such as a payer's phone number, name or email
// address. Print it with fmt or log/slog and you see [Mark]. To use the value
// itself, convert it:
//
//	slog.Info("paid", "email", customer.Email) // email=[private]
//	send(string(customer.Email))              // the address
//
// JSON carries the real text, because API responses and notifications contain
// it, and so do workflow histories, encrypted.
//
// [Token] is a secret, such as an API key. Make one with [NewToken] or [ReadFile]. It prints as
// [Mark] too, and it cannot be marshaled at all. The one place that sends it
// calls [Token.Reveal], which is easy to search for.
//
// Both types are plain values and safe for concurrent use.
package private

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
)

// Mark is what logs and error messages show in place of a private value. An
// empty value prints as "".
const Mark = "[private]"

// Text is personal data. It prints as [Mark]; string(t) is the real text.
type Text string

// Format implements [fmt.Formatter]. It covers every verb, because %q, %x and %#v
// would otherwise bypass a String method.
func (t Text) Format(f fmt.State, _ rune) { mark(f, string(t)) }

// LogValue implements [slog.LogValuer].
func (t Text) LogValue() slog.Value { return slog.StringValue(marked(string(t))) }

// Token is a secret, such as an API key. The zero value is empty. Tokens compare
// with ==, which does not run in constant time: if an attacker can measure the
// comparison, use crypto/subtle on the revealed bytes.
type Token struct{ secret string }

// NewToken wraps secret.
func NewToken(secret string) Token { return Token{secret: secret} }

// maxFile is the largest file that [ReadFile] takes, in bytes.
const maxFile = 64 << 10

// ReadFile reads a secret from a file, as container platforms mount them. One line
// break at the end does not belong to it. A file of more than 64 KiB is an error:
// nobody's secret is that long, and a device may have no end.
func ReadFile(path string) (Token, error) {
	file, err := os.Open(path)
	if err != nil {
		return Token{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return Token{}, err
	}
	if len(data) > maxFile {
		return Token{}, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return Token{secret: strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")}, nil
}

// Reveal returns the secret itself, for the one place that sends it.
func (t Token) Reveal() string { return t.secret }

// IsZero reports whether the token is empty.
func (t Token) IsZero() bool { return t.secret == "" }

// Format implements [fmt.Formatter].
func (t Token) Format(f fmt.State, _ rune) { mark(f, t.secret) }

// LogValue implements [slog.LogValuer].
func (t Token) LogValue() slog.Value { return slog.StringValue(marked(t.secret)) }

// ErrMarshal is the error of every attempt to marshal a [Token].
var ErrMarshal = errors.New("private: a token cannot be marshaled; call Reveal where it is sent")

// MarshalJSON implements encoding/json.Marshaler. It always returns [ErrMarshal].
func (t Token) MarshalJSON() ([]byte, error) { return nil, ErrMarshal }

// MarshalText implements encoding.TextMarshaler. It always returns [ErrMarshal].
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
