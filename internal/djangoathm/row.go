package djangoathm

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// row is one row of a table, each value as its text; an absent one and null are
// "". What is wrong with it gathers in problems, so that all of it is told at
// once.
type row struct {
	at     Remark
	values map[string]string
	// naive is the zone of times that have none: sqlite keeps UTC without
	// saying so, and JSON has such times only where USE_TZ is off.
	naive    *time.Location
	problems []string
}

func (r *row) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// remark is about the row as it is.
func (r *row) remark() Remark {
	at := r.at
	at.Reason = strings.Join(r.problems, "; ")
	return at
}

// amount reads a column of money; an absent one is $0.00.
func (r *row) amount(column string) money.Amount {
	text := r.values[column]
	if text == "" {
		return money.Amount{}
	}
	amount, err := money.Parse(text)
	switch {
	case err != nil:
		r.problem(`%s is not an amount like "25.00"`, column)
	case amount.IsNegative():
		r.problem("%s is negative", column)
	}
	return amount
}

// price reads a column of money that has to be there and above zero.
func (r *row) price(column string) money.Amount {
	before := len(r.problems)
	amount := r.amount(column)
	if len(r.problems) == before && amount.IsZero() {
		r.problem("%s is missing or zero", column)
	}
	return amount
}

// optional returns nil for $0.00, which is how django-athm keeps an amount that
// nobody gave.
func optional(a money.Amount) *money.Amount {
	if a.IsZero() {
		return nil
	}
	return &a
}

// timeForms are how dumps write times; a fraction of a second may follow the
// seconds in each.
func timeForms() []string {
	return []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07",
		"2006-01-02T15:04:05", "2006-01-02 15:04:05",
	}
}

// time reads a column of times, cut to the microseconds that the store keeps;
// an absent one is the zero time.
func (r *row) time(column string) time.Time {
	text := r.values[column]
	if text == "" {
		return time.Time{}
	}
	for _, form := range timeForms() {
		at, err := time.ParseInLocation(form, text, r.naive)
		if err == nil && at.Unix() >= 0 && at.Year() <= 9999 {
			return at.UTC().Truncate(time.Microsecond)
		}
	}
	r.problem("%s is not a time", column)
	return time.Time{}
}

// gatewayTime reads a column whose times came from the gateway without a zone,
// were read in Django's, and were really Puerto Rico's.
func (r *row) gatewayTime(column string, zone *time.Location) time.Time {
	at := r.time(column)
	if at.IsZero() {
		return at
	}
	wall := at.In(zone)
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(),
		athmovil.Location()).UTC()
}

// id reads a column of UUIDs, in its usual form: sqlite keeps them without
// hyphens.
func (r *row) id(column string) string {
	id, ok := parseUUID(r.values[column])
	if !ok {
		r.problem("%s is not a UUID", column)
	}
	return id
}

// clear reads a column that is kept unencrypted: an id of the gateway's.
func (r *row) clear(column string, most int) string {
	text := r.values[column]
	odd := func(c rune) bool { return c <= ' ' || c > '~' }
	if len(text) > most || strings.ContainsFunc(text, odd) {
		r.problem("%s is no number of the gateway's", column)
		return ""
	}
	return text
}

// personal reads a column of personal data.
func (r *row) personal(column string) private.Text {
	return private.Text(strings.TrimSpace(r.values[column]))
}

// phone reads a column of phone numbers as digits. One that is not of ten
// digits is kept as it is; the gateway writes 0 for none (docs/athmovil.md §3).
func (r *row) phone(column string) private.Text {
	text := r.values[column]
	if number, err := athmovil.ParsePhone(text); err == nil {
		return private.Text(number)
	}
	digits := strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, text)
	if strings.Trim(digits, "0") == "" {
		return ""
	}
	return private.Text(digits)
}

// parseUUID reads a UUID with or without hyphens.
func parseUUID(text string) (string, bool) {
	digits := strings.ToLower(text)
	if len(digits) == 36 {
		for _, i := range []int{23, 18, 13, 8} {
			if digits[i] != '-' {
				return "", false
			}
			digits = digits[:i] + digits[i+1:]
		}
	}
	if len(digits) != 32 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", false
	}
	return strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-"), true
}

// isRandom reports whether a UUID is of version 4.
func isRandom(uuid string) bool { return uuid[14] == '4' }

// textOf returns a JSON value as its text: numbers as they are written, so that
// no amount passes through a float. It refuses lists and objects.
func textOf(raw json.RawMessage) (string, bool) {
	switch {
	case len(raw) == 0, string(raw) == "null":
		return "", true
	case raw[0] == '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err == nil
	case raw[0] == '{', raw[0] == '[':
		return "", false
	default:
		return string(raw), true
	}
}
