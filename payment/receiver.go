package payment

import (
	"slices"
	"strings"
)

// EventNames lists every event in words for people.
func EventNames() string {
	names := make([]string, 0, len(Events()))
	for _, event := range Events() {
		names = append(names, string(event))
	}
	return strings.Join(names, ", ")
}

// IsEvent reports whether there is such an event.
func IsEvent(event Event) bool { return slices.Contains(Events(), event) }

// Broken returns the rule that the policy breaks, or nil.
func (r Retry) Broken() *Rule {
	switch {
	case r.First < 0 || r.Most < 0 || r.For < 0:
		return &Rule{Code: RuleNotNegative}
	case r.Most > 0 && r.Most < r.First:
		return &Rule{Code: RulePausesInOrder}
	default:
		return nil
	}
}
