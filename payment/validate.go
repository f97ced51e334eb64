package payment

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cobropay/cobro/money"
)

// Limits of a request: those of the gateway where it has one
// (docs/athmovil.md §1.1, §3), ours where it has none.
const (
	MaxMetadata      = 40  // characters of metadata1 and metadata2
	MaxReference     = 40  // characters
	MaxItems         = 100 // lines
	MaxItemText      = 255 // characters of an item's name, description and metadata
	MaxRefundMessage = 50  // characters, as the gateway counts
	maxQuantity      = 99999
)

// MinTotal is the least that one payment can ask for: $1.00.
func MinTotal() money.Amount { return money.FromCents(1_00) }

// MaxTotal is the most that one payment can ask for: $1,500.00.
func MaxTotal() money.Amount { return money.FromCents(1500_00) }

// The gateway's bounds of a ticket's life (docs/athmovil.md §1.1).
const (
	MinExpiresIn     = 120 * time.Second
	MaxExpiresIn     = 600 * time.Second
	DefaultExpiresIn = 600 * time.Second
)

// ValidateRefund checks what can be checked of a refund without knowing its
// payment: a positive amount where one is given, and a message that the gateway
// takes. It returns [FieldErrors], or nil.
func ValidateRefund(amount *money.Amount, message string) error {
	var errs FieldErrors
	if amount != nil && amount.Cmp(money.FromCents(1)) < 0 {
		errs = append(errs, FieldError{Field: "amount", Rule: Rule{Code: RuleAtLeast, Args: []any{money.FromCents(1)}}})
	}
	if !fits(message, MaxRefundMessage) {
		errs = append(errs, FieldError{Field: "message", Rule: atMost(MaxRefundMessage)})
	}
	if deceives(message) {
		errs = append(errs, FieldError{Field: "message", Rule: Rule{Code: RuleVisible}})
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// atMost bounds a text.
func atMost(characters int) Rule { return Rule{Code: RuleTextAtMost, Args: []any{characters}} }

// between bounds an amount or a number.
func between(least, most any) Rule { return Rule{Code: RuleBetween, Args: []any{least, most}} }

// FieldError says which field breaks which rule. Rule never repeats the value.
type FieldError struct {
	Field string // as it is spelled in JSON, such as "items[0].price"
	Rule  Rule
}

// Error implements error.
func (e FieldError) Error() string { return e.Field + ": " + e.Rule.String() }

// FieldErrors is every rule that a request breaks; it is never empty when it
// is returned as an error.
type FieldErrors []FieldError

// Error implements error.
func (e FieldErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// Validate checks every rule at once and returns [FieldErrors], or nil.
// minExpiresIn is [MinExpiresIn] at the real gateway and less at a simulator.
func (r Request) Validate(minExpiresIn time.Duration) error {
	var errs FieldErrors
	broken := func(ok bool, field string, rule Rule) {
		if !ok {
			errs = append(errs, FieldError{Field: field, Rule: rule})
		}
	}
	text := func(value, field string, least, most int) {
		length := atMost(most)
		if least > 0 {
			length = Rule{Code: RuleTextBetween, Args: []any{least, most}}
		}
		broken(fits(value, most) && len(value) >= least, field, length)
		broken(!deceives(value), field, Rule{Code: RuleVisible})
	}
	shown := between("0.00", MaxTotal())
	broken(r.Total.Cmp(MinTotal()) >= 0 && r.Total.Cmp(MaxTotal()) <= 0,
		"total", between(MinTotal(), MaxTotal()))
	broken(bounded(r.Subtotal), "subtotal", shown)
	broken(bounded(r.Tax), "tax", shown)
	broken(r.Subtotal == nil || r.Tax == nil || r.Subtotal.Add(*r.Tax) == r.Total,
		"total", Rule{Code: RuleSubtotalPlusTax})
	broken(r.PhoneNumber == "" || IsPhoneNumber(string(r.PhoneNumber)),
		"phone_number", Rule{Code: RulePhoneNumber})
	text(string(r.Metadata1), "metadata1", 0, MaxMetadata)
	text(string(r.Metadata2), "metadata2", 0, MaxMetadata)
	text(r.Reference, "reference", 0, MaxReference)
	broken(!personal(r.Reference), "reference", Rule{Code: RuleNotPersonal})
	broken(r.ExpiresIn >= minExpiresIn && r.ExpiresIn <= MaxExpiresIn,
		"expires_in", Rule{Code: RuleSecondsBetween, Args: []any{int(minExpiresIn.Seconds()), int(MaxExpiresIn.Seconds())}})
	broken(len(r.Items) <= MaxItems, "items", Rule{Code: RuleItemsAtMost, Args: []any{MaxItems}})
	for i, item := range r.Items {
		at := fmt.Sprintf("items[%d].", i)
		text(string(item.Name), at+"name", 1, MaxItemText)
		text(string(item.Description), at+"description", 0, MaxItemText)
		text(string(item.Metadata), at+"metadata", 0, MaxItemText)
		broken(item.Quantity >= 1 && item.Quantity <= maxQuantity, at+"quantity", between(1, maxQuantity))
		broken(bounded(&item.Price), at+"price", shown)
		broken(bounded(item.Tax), at+"tax", shown)
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// IsPhoneNumber reports whether text is ten digits, the only form the gateway
// takes (docs/athmovil.md §1.1).
func IsPhoneNumber(text string) bool {
	if len(text) != 10 {
		return false
	}
	for _, r := range text {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// bounded reports whether an amount that may be absent is one that the gateway
// can show.
func bounded(amount *money.Amount) bool {
	return amount == nil || !amount.IsNegative() && amount.Cmp(MaxTotal()) <= 0
}

// fits reports whether text is printable UTF-8 of at most limit characters.
func fits(text string, limit int) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= limit && !strings.ContainsFunc(text, unicode.IsControl)
}

// Parts of an emoji that cannot be seen: what joins two into one, and what asks for
// the colored form.
const (
	emojiJoiner = '\u200d'
	emojiForm   = '\ufe0f'
)

// deceives reports whether a text is not what people see of it: whether it has a
// character that is invisible or changes the order of others.
func deceives(text string) bool {
	runes := []rune(text)
	symbol := func(i int, also ...*unicode.RangeTable) bool {
		return i >= 0 && i < len(runes) && unicode.In(runes[i], append(also, unicode.S)...)
	}
	for i, r := range runes {
		switch {
		case r == emojiForm && symbol(i-1):
		case r == emojiJoiner && symbol(i-1, unicode.Variation_Selector) && symbol(i+1):
		case r == '\u2800', // a Braille cell without a dot
			unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return true
		}
	}
	return false
}

// personal reports whether a reference looks like an e-mail address or a phone
// number: ten digits, or eleven with a leading 1, in a phone's punctuation. Without
// any it is an order number.
func personal(reference string) bool {
	if at := strings.IndexByte(reference, '@'); at > 0 && strings.Contains(reference[at:], ".") {
		return true
	}
	digits := 0
	for _, r := range reference {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune("+-(). ", r):
			return false
		}
	}
	if digits == len(reference) {
		return false
	}
	return digits == 10 || digits == 11 && strings.HasPrefix(strings.TrimLeft(reference, "+( "), "1")
}
