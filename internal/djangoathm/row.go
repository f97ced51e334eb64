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

// row is one row of a table. Values are text; a missing value and null are "".
// problems collects everything that is wrong, to report it together.
type row struct {
	at     Remark
	values map[string]string
	// naive is the zone of times without one. SQLite stores UTC without a zone,
	// and JSON has such times only if USE_TZ is off.
	naive    *time.Location
	problems []string
}

func (r *row) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// remark returns a Remark with the problems of the row.
func (r *row) remark() Remark {
	at := r.at
	at.Reason = strings.Join(r.problems, "; ")
	return at
}

// amount reads an amount. A missing one is $0.00.
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

// positive reads an amount that must be above zero.
func (r *row) positive(column string) money.Amount {
	before := len(r.problems)
	amount := r.amount(column)
	if len(r.problems) == before && amount.IsZero() {
		r.problem("%s is missing or zero", column)
	}
	return amount
}

// optional returns nil for $0.00, which is how django-athm stores a missing
// amount.
func optional(a money.Amount) *money.Amount {
	if a.IsZero() {
		return nil
	}
	return &a
}

// timeLayouts are the formats of times in dumps. Each also matches fractional
// seconds.
func timeLayouts() []string {
	return []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z07",
		"2006-01-02T15:04:05", "2006-01-02 15:04:05",
	}
}

// time reads a time, truncated to the microseconds that the store keeps. A missing
// one is the zero time.
func (r *row) time(column string) time.Time {
	text := r.values[column]
	if text == "" {
		return time.Time{}
	}
	for _, layout := range timeLayouts() {
		at, err := time.ParseInLocation(layout, text, r.naive)
		if err == nil && at.Unix() >= 0 && at.Year() <= 9999 {
			return at.UTC().Truncate(time.Microsecond)
		}
	}
	r.problem("%s is not a time", column)
	return time.Time{}
}

// gatewayTime reads a time that ATH Móvil sent without a zone. Django parsed it in
// its own zone, but it was Puerto Rico time.
func (r *row) gatewayTime(column string, zone *time.Location) time.Time {
	at := r.time(column)
	if at.IsZero() {
		return at
	}
	wall := at.In(zone)
	return time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(),
		athmovil.Location()).UTC()
}

// id reads a UUID and returns it with hyphens, which SQLite's dumps lack.
func (r *row) id(column string) string {
	id, ok := parseUUID(r.values[column])
	if !ok {
		r.problem("%s is not a UUID", column)
	}
	return id
}

// gatewayID reads an id of ATH Móvil's. The store keeps it unencrypted, so text
// that does not look like an id is rejected.
func (r *row) gatewayID(column string, maxLength int) string {
	text := r.values[column]
	unexpected := func(c rune) bool { return c <= ' ' || c > '~' }
	if len(text) > maxLength || strings.ContainsFunc(text, unexpected) {
		r.problem("%s is not an ATH Móvil id", column)
		return ""
	}
	return text
}

// personal reads personal data.
func (r *row) personal(column string) private.Text {
	return private.Text(strings.TrimSpace(r.values[column]))
}

// phone reads a phone number as digits. A foreign number keeps all its digits.
// ATH Móvil sends 0 for no number (docs/athmovil.md §3).
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

// isRandom reports whether a UUID is version 4.
func isRandom(uuid string) bool { return uuid[14] == '4' }

// textOf returns a JSON value as text. Numbers keep their exact text, so that no
// amount becomes a float. It rejects lists and objects.
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
