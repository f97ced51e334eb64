package athmovilsim

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The longest texts, in characters (docs/athmovil.md §3).
const (
	maxMetadata = 40
	maxMessage  = 50
)

// fields is the body of a request: a JSON object whose values may be numbers
// or strings, as real clients send both (docs/athmovil.md §1.1).
type fields map[string]json.RawMessage

// parseFields parses a body.
func parseFields(body []byte) (fields, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, refuseMissingBody()
	}
	var f fields
	if err := json.Unmarshal(body, &f); err != nil || f == nil {
		return nil, refuse(codeInvalidFormat)
	}
	return f, nil
}

// text returns a string, or a number as written. A null counts as absent.
func (f fields) text(name string) (value string, present bool, err error) {
	raw := f[name]
	if raw == nil || string(raw) == "null" {
		return "", false, nil
	}
	if raw[0] != '"' {
		if !isNumber(raw) {
			return "", false, refuse(codeInvalidFormat)
		}
		return string(raw), true, nil
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return "", false, refuse(codeInvalidFormat)
	}
	return value, true, nil
}

// required returns a text that must not be missing or blank.
func (f fields) required(name string) (string, error) {
	value, present, err := f.text(name)
	switch {
	case err != nil:
		return "", err
	case !present:
		return "", refuse(codeNull, name)
	case strings.TrimSpace(value) == "":
		return "", refuse(codeBlank, name)
	}
	return strings.TrimSpace(value), nil
}

// optional returns a text, empty if it is missing.
func (f fields) optional(name string) (string, error) {
	value, _, err := f.text(name)
	return value, err
}

// limited returns an optional text. If it has more than limit characters, it is
// refused with code.
func (f fields) limited(name string, limit int, code string) (string, error) {
	value, err := f.optional(name)
	if err == nil && utf8.RuneCountInString(value) > limit {
		err = refuse(code)
	}
	return value, err
}

// amount returns an amount that is required.
func (f fields) amount(name string) (cents, error) {
	value, err := f.required(name)
	if err != nil {
		return 0, err
	}
	return parseAmount(value)
}

// displayAmount returns an amount that is only displayed. It is zero if it is
// missing, and must not be negative.
func (f fields) displayAmount(name string) (cents, error) {
	value, err := f.optional(name)
	if err != nil || strings.TrimSpace(value) == "" {
		return 0, err
	}
	sum, err := parseAmount(strings.TrimSpace(value))
	if err == nil && sum < 0 {
		err = refuse(codeInvalidFormat)
	}
	return sum, err
}

// total returns the amount of a sale (docs/athmovil.md §1.1).
func (f fields) total() (cents, error) {
	total, err := f.amount("total")
	switch {
	case err != nil:
		return 0, err
	case total == 0:
		return 0, refuse(codeZero)
	case total < minimumSale:
		return 0, refuse(codeBelowMinimum)
	case total > maximumSale:
		return 0, refuse(codeOverLimit)
	}
	return total, nil
}

// phone returns ten digits, or nothing if the field is missing or empty.
func (f fields) phone() (string, error) {
	phone, err := f.optional("phoneNumber")
	if err != nil || phone == "" {
		return "", err
	}
	if len(phone) != 10 || !isDigits(phone) {
		return "", refuse(codeInvalidFormat)
	}
	return phone, nil
}

// The documented longest life of a ticket, which is the default too
// (docs/athmovil.md §1.1).
const longestTimeout = 600 * time.Second

// timeout returns how long a ticket lives.
func (f fields) timeout(shortest time.Duration, long LongTimeout) (time.Duration, error) {
	value, err := f.optional("timeout")
	if err != nil {
		return 0, err
	}
	value = strings.TrimSpace(value)
	if value == "" {
		return max(shortest, longestTimeout), nil
	}
	const longestDigits = 9 // thirty years of seconds, and far from overflow
	seconds, err := strconv.Atoi(value)
	timeout := time.Duration(seconds) * time.Second
	switch {
	case err != nil, len(value) > longestDigits, timeout < shortest:
		return 0, refuse(codeInvalidFormat)
	case timeout <= longestTimeout || long == LongTimeoutAccepted:
		return timeout, nil
	case long == LongTimeoutClamped:
		return longestTimeout, nil
	default:
		return 0, refuse(codeInvalidFormat)
	}
}

// items returns the lines of a receipt (docs/athmovil.md §1.1, "Item").
func (f fields) items() ([]item, error) {
	raw := f["items"]
	if raw == nil || string(raw) == "null" {
		return []item{}, nil
	}
	var lines []fields
	if err := json.Unmarshal(raw, &lines); err != nil {
		return nil, refuse(codeInvalidFormat)
	}
	items := make([]item, 0, len(lines))
	for _, line := range lines {
		i, err := line.item()
		if err != nil {
			return nil, err
		}
		items = append(items, i)
	}
	return items, nil
}

func (f fields) item() (i item, err error) {
	if i.Name, err = f.required("name"); err != nil {
		return i, err
	}
	quantity, err := f.required("quantity")
	if err != nil {
		return i, err
	}
	if i.Quantity, err = strconv.Atoi(quantity); err != nil || i.Quantity < 1 {
		return i, refuse(codeInvalidFormat)
	}
	if _, err = f.required("price"); err != nil {
		return i, err
	}
	if i.Price, err = f.displayAmount("price"); err != nil {
		return i, err
	}
	if i.Tax, err = f.displayAmount("tax"); err != nil {
		return i, err
	}
	if i.Description, err = f.optional("description"); err != nil {
		return i, err
	}
	if i.Metadata, err = f.optional("metadata"); err != nil {
		return i, err
	}
	i.SKU, err = f.optional("sku")
	return i, err
}

// isNumber reports whether a JSON value that is not a string is a number.
func isNumber(raw json.RawMessage) bool {
	return raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'
}

// formatPhone writes ten digits as reports and refunds do: "(787) 123-4567"
// (docs/athmovil.md §3).
func formatPhone(digits string) string {
	if len(digits) != 10 {
		return ""
	}
	return "(" + digits[:3] + ") " + digits[3:6] + "-" + digits[6:]
}
