package athmovil

import (
	"errors"
	"strings"
)

// ErrPhone is returned by [ParsePhone].
var ErrPhone = errors.New("not a phone number of ten digits, such as 7875551234")

// ParsePhone returns the ten digits of a phone number, the form that the gateway
// takes (docs/athmovil.md §3 "Phone"). It accepts spaces, dots, hyphens and
// parentheses between the digits, and a leading 1 or +1. The error is [ErrPhone],
// which never quotes the text.
func ParsePhone(text string) (string, error) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "+")
	var digits strings.Builder
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			digits.WriteRune(r)
		case strings.ContainsRune(" .-()", r):
		default:
			return "", ErrPhone
		}
	}
	number := digits.String()
	if len(number) == 11 {
		number = strings.TrimPrefix(number, "1")
	}
	if len(number) != 10 {
		return "", ErrPhone
	}
	return number, nil
}

// formatPhone writes ten digits in the form that the www host searches by
// (docs/athmovil.md §1.9).
func formatPhone(digits string) string {
	return "(" + digits[:3] + ") " + digits[3:6] + "-" + digits[6:]
}
