package athmovilsim

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// cents is an amount in cents of a US dollar. It is negative only while parsing.
type cents int64

// The limits of a sale (docs/athmovil.md §1.1).
const (
	minimumSale cents = 1_00
	maximumSale cents = 1_500_00
)

// minimumRefund is the smallest refund (docs/athmovil.md §1.5).
const minimumRefund cents = 1

// String returns the amount with two decimals, such as "25.00".
func (c cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, c/100, c%100)
}

// number writes an amount as the newer calls do: a JSON number, without decimals
// for whole dollars (docs/athmovil.md §1.2).
type number cents

// MarshalJSON implements [json.Marshaler].
func (n number) MarshalJSON() ([]byte, error) {
	if n%100 == 0 {
		return []byte(strconv.FormatInt(int64(n)/100, 10)), nil
	}
	return []byte(cents(n).String()), nil
}

// decimal writes an amount as reports do: a JSON number that always has decimals,
// such as 1.0 or 0.07 (docs/athmovil.md §1.8).
type decimal cents

// MarshalJSON implements [json.Marshaler].
func (d decimal) MarshalJSON() ([]byte, error) {
	return []byte(strings.TrimSuffix(cents(d).String(), "0")), nil
}

// noise is what a 32-bit float added to a fee in the sample of
// docs/athmovil.md §1.2: 0.6000000238418579. Written as digits, it needs no float
// here, and still breaks a client that compares without rounding.
const noise = "00000238418579"

// noisy writes an amount as [number] does, followed by [noise] unless it is zero.
type noisy struct {
	cents cents
	plain bool // without the noise
}

// MarshalJSON implements [json.Marshaler].
func (n noisy) MarshalJSON() ([]byte, error) {
	if n.plain || n.cents == 0 {
		return number(n.cents).MarshalJSON()
	}
	return []byte(n.cents.String() + noise), nil
}

// text writes an amount as the old webhook dialect does: a string
// (docs/athmovil.md §4.2).
type text cents

// MarshalJSON implements [json.Marshaler].
func (t text) MarshalJSON() ([]byte, error) { return json.Marshal(cents(t).String()) }

// parseAmount reads a JSON number or a numeric string by the rules of
// docs/athmovil.md §3: at most four digits before the point and two after it.
func parseAmount(value string) (cents, error) {
	digits, negative := strings.CutPrefix(value, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if !isDigits(whole) || dotted && !isDigits(fraction) {
		return 0, refuse(codeInvalidFormat)
	}
	whole = strings.TrimLeft(whole, "0")
	if len(whole) > 4 || len(fraction) > 2 {
		return 0, refuse(codeOutOfBounds)
	}
	total, err := strconv.ParseInt("0"+whole+(fraction + "00")[:2], 10, 64)
	if err != nil {
		return 0, refuse(codeInvalidFormat)
	}
	if negative {
		total = -total
	}
	return cents(total), nil
}

// isDigits reports whether s is one or more ASCII digits.
func isDigits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

// feeOf is the fee of docs/athmovil.md §3, a guess from samples: 2.25 %, at least
// six cents, rounded half up or, if down, toward zero.
func feeOf(total cents, down bool) cents {
	const minimum cents = 6
	fee := total * 225
	if !down {
		fee += 5_000
	}
	return min(total, max(minimum, fee/10_000))
}
