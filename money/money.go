// Package money holds amounts of US dollars, exact to the cent.
//
// Get an [Amount] from text with [Parse], or from a number of cents with
// [FromCents]. Use [MustParse] for constants in tests and examples:
//
//	price, err := money.Parse("24.99")
//	shipping := money.FromCents(5_00)
//
// Add, subtract and compare. An Amount never changes; each operation returns a
// new one:
//
//	total := price.Add(shipping)            // $29.99
//	if refund.Cmp(total) > 0 { … }          // more than was paid
//	if refund == total { … }                // all of it
//
// Print an Amount and it reads "29.99". In JSON it is the string "29.99", and a
// JSON number is rejected. In a database it is an integer column of cents.
//
// There is no currency: ATH Móvil takes US dollars only (docs/athmovil.md §3).
// There is no float64 anywhere, because 0.1 + 0.2 must be 0.30.
package money

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// ErrSyntax is wrapped by every error about text that is not a valid amount.
var ErrSyntax = errors.New("not an amount")

// maxDigits limits the digits before the decimal point, so that even a sum of
// many amounts stays far from the limits of an int64.
const maxDigits = 12

// Amount is a number of cents. The zero value is $0.00. Amounts are immutable,
// comparable with ==, and safe for concurrent use.
type Amount struct{ cents int64 }

// FromCents returns an amount of that many cents.
func FromCents(cents int64) Amount { return Amount{cents: cents} }

// Parse reads an amount as people write it: "25", "25.5" or "25.00", with an
// optional minus sign. It rejects exponents, any other sign, spaces, thousands
// separators and more than two decimals. Its errors wrap [ErrSyntax].
func Parse(text string) (Amount, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	switch {
	case !isDigits(whole) || len(whole) > maxDigits:
		return Amount{}, fmt.Errorf("%w: %s: write dollars and cents like \"25.00\"", ErrSyntax, quote(text))
	case dotted && (!isDigits(fraction) || len(fraction) > 2):
		return Amount{}, fmt.Errorf("%w: %s: at most two decimals", ErrSyntax, quote(text))
	}
	fraction += strings.Repeat("0", 2-len(fraction))
	cents, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return Amount{}, fmt.Errorf("%w: %s", ErrSyntax, quote(text))
	}
	if negative {
		cents = -cents
	}
	return Amount{cents: cents}, nil
}

// MustParse is [Parse] for constants in tests and examples. It panics on an
// error.
func MustParse(text string) Amount {
	a, err := Parse(text)
	if err != nil {
		panic(err)
	}
	return a
}

// ParseNoisy reads an amount as ATH Móvil writes it: a JSON number with the
// rounding error of a 32-bit float ("0.6000000238418579" is $0.60,
// docs/athmovil.md §1.2). It rounds to the nearest cent, and half a cent away
// from zero. It rejects exponents of more than two digits and text of more than
// 40 characters. Its errors wrap [ErrSyntax].
func ParseNoisy(text string) (Amount, error) {
	if !isNumber(text) {
		return Amount{}, fmt.Errorf("%w: %s", ErrSyntax, quote(text))
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return Amount{}, fmt.Errorf("%w: %s", ErrSyntax, quote(text))
	}
	cents := d.Shift(2).Round(0)
	if cents.Abs().GreaterThanOrEqual(decimal.New(1, maxDigits+2)) {
		return Amount{}, fmt.Errorf("%w: %s: out of range", ErrSyntax, quote(text))
	}
	return Amount{cents: cents.IntPart()}, nil
}

// Cents returns the amount in cents.
func (a Amount) Cents() int64 { return a.cents }

// String returns the amount with two decimals, such as "12.50" or "-0.05".
func (a Amount) String() string {
	sign, cents := "", uint64(a.cents)
	if a.cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}

// Add returns a + b. It panics if the sum overflows an int64, which no realistic
// sum of parsed amounts does.
func (a Amount) Add(b Amount) Amount {
	sum := a.cents + b.cents
	if (sum > a.cents) != (b.cents > 0) && b.cents != 0 {
		panic("money: amount out of range")
	}
	return Amount{cents: sum}
}

// Sub returns a - b. It panics like [Amount.Add].
func (a Amount) Sub(b Amount) Amount {
	if b.cents == math.MinInt64 {
		panic("money: amount out of range")
	}
	return a.Add(Amount{cents: -b.cents})
}

// Cmp returns -1 if a is less than b, 0 if they are equal, and +1 if a is
// greater.
func (a Amount) Cmp(b Amount) int {
	switch {
	case a.cents < b.cents:
		return -1
	case a.cents > b.cents:
		return 1
	default:
		return 0
	}
}

// IsZero reports whether the amount is $0.00.
func (a Amount) IsZero() bool { return a.cents == 0 }

// IsNegative reports whether the amount is below $0.00.
func (a Amount) IsNegative() bool { return a.cents < 0 }

// MarshalJSON writes the amount as a string with two decimals.
func (a Amount) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// UnmarshalJSON reads a string by the rules of [Parse]. It rejects a JSON
// number, which may already have lost cents in a float64.
func (a *Amount) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("%w: %s: write it as a string like \"25.00\"", ErrSyntax, quote(string(data)))
	}
	parsed, err := Parse(text)
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}

// Value implements [driver.Valuer]. The column holds cents.
func (a Amount) Value() (driver.Value, error) { return a.cents, nil }

// Scan implements [database/sql.Scanner] for a column of cents.
func (a *Amount) Scan(src any) error {
	cents, ok := src.(int64)
	if !ok {
		return fmt.Errorf("money: a column of cents holds a %T", src)
	}
	a.cents = cents
	return nil
}

func isDigits(s string) bool {
	if s == "" {
		return false
	}
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// isNumber reports whether text is a JSON number of at most 40 characters with
// an exponent of at most two digits.
func isNumber(text string) bool {
	if len(text) > 40 {
		return false
	}
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(strings.TrimPrefix(text, "-")), "e")
	if scientific {
		exponent = strings.TrimPrefix(strings.TrimPrefix(exponent, "+"), "-")
		if !isDigits(exponent) || len(exponent) > 2 {
			return false
		}
	}
	whole, fraction, dotted := strings.Cut(mantissa, ".")
	return isDigits(whole) && (!dotted || isDigits(fraction))
}

// quote returns at most 40 bytes of text for an error message.
func quote(text string) string {
	if len(text) > 40 {
		text = text[:40] + "…"
	}
	return strconv.Quote(text)
}
