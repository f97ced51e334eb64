package payment

import (
	"fmt"
	"strings"
)

// RuleCode names a rule for programs.
type RuleCode string

// The rules of values, and the arguments of each. The rules of their JSON are
// the API's.
const (
	RuleAtLeast           RuleCode = "at_least"           // the least amount
	RuleBetween           RuleCode = "between"            // the least and the most, of an amount or a number
	RuleSecondsBetween    RuleCode = "seconds_between"    // the least and the most
	RuleSubtotalPlusTax   RuleCode = "subtotal_plus_tax"  // what a total is
	RuleTextAtMost        RuleCode = "text_at_most"       // printable characters
	RuleTextBetween       RuleCode = "text_between"       // the least and the most printable characters
	RuleCharactersBetween RuleCode = "characters_between" // the least and the most characters of any kind
	RulePhoneNumber       RuleCode = "phone_number"
	RuleVisible           RuleCode = "visible"         // nothing that is invisible or changes the order of others
	RuleNotPersonal       RuleCode = "not_personal"    // neither an email address nor a phone number
	RuleItemsAtMost       RuleCode = "items_at_most"   // lines
	RuleOneOf             RuleCode = "one_of"          // the names, as one text
	RuleNotNegative       RuleCode = "not_negative"    // a duration of a receiver
	RulePausesInOrder     RuleCode = "pauses_in_order" // the longest is no shorter than the first
)

// Rule is what a value must be: a code, and what belongs into its text. The
// texts for people are outside the domain, one for each language.
type Rule struct {
	Code RuleCode
	Args []any // never the value itself
}

// String returns the rule for logs and programmers, such as "between(1, 100)".
func (r Rule) String() string {
	if len(r.Args) == 0 {
		return string(r.Code)
	}
	args := make([]string, len(r.Args))
	for i, arg := range r.Args {
		args[i] = fmt.Sprint(arg)
	}
	return string(r.Code) + "(" + strings.Join(args, ", ") + ")"
}
