package athmovil

import (
	"errors"
	"strings"
)

// ErrPhone is returned by [ParsePhone].
var ErrPhone = errors.New("not a phone number of ten digits, such as 7875551234")

// ParsePhone returns the ten digits of a phone number, the form that the gateway
// takes (docs/athmovil.md §3 "Phone"). It accepts spaces, dots, hyphens and
// parentheses between the digits. A leading 1 or +1 is the country code of a North
// American number, whose area code and exchange begin with 2 to 9; other countries'
// numbers are refused. The error is [ErrPhone], which never quotes the text.
func ParsePhone(text string) (string, error) {
	text, international := strings.CutPrefix(strings.TrimSpace(text), "+")
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
	number, northAmerican := strings.CutPrefix(digits.String(), "1")
	switch {
	case len(number) == 10 && northAmerican && number[0] >= '2' && number[3] >= '2':
		return number, nil
	case digits.Len() == 10 && !international:
		return digits.String(), nil
	default:
		return "", ErrPhone
	}
}

// formatPhone writes ten digits in the form that the www host searches by
// (docs/athmovil.md §1.9).
func formatPhone(digits string) string {
	return "(" + digits[:3] + ") " + digits[3:6] + "-" + digits[6:]
}
