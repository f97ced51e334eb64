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

// RuleDurationNegative is what every duration of a receiver must keep.
func RuleDurationNegative() Rule {
	return Rule{
		"a duration is negative; leave it zero for the default",
		"una duración es negativa; déjala en cero para el valor por defecto",
	}
}

// Broken returns the rule that the policy breaks, or the zero one.
func (r Retry) Broken() Rule {
	switch {
	case r.First < 0 || r.Most < 0 || r.For < 0:
		return RuleDurationNegative()
	case r.Most > 0 && r.Most < r.First:
		return Rule{"the longest pause is shorter than the first one", "la pausa más larga es más corta que la primera"}
	default:
		return Rule{}
	}
}
