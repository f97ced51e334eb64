package payment

import (
	"slices"
	"strings"
)

// Limits of the names of [Receiver].
const (
	MaxHost         = 40 // characters
	MaxReceiverName = 60 // characters
)

// BuiltInHost is the host of the receivers that Cobro brings along. No
// merchant's program may take it.
const BuiltInHost = "cobro"

// RuleHost is what [IsHost] demands.
func RuleHost() Rule {
	return Rule{
		`must be 1 to 40 of a-z, 0-9 and hyphens, such as "shop"`,
		`debe ser de 1 a 40 caracteres entre a-z, 0-9 y guiones, como "shop"`,
	}
}

// RuleBuiltInHost keeps merchants from [BuiltInHost].
func RuleBuiltInHost() Rule {
	return Rule{`must not be "cobro", which is Cobro's own`, `no debe ser "cobro", que es de Cobro`}
}

// RuleReceiverName is what [IsReceiverName] demands.
func RuleReceiverName() Rule {
	return Rule{
		`must be 1 to 60 of a-z, 0-9 and hyphens, such as "send-receipt"`,
		`debe ser de 1 a 60 caracteres entre a-z, 0-9 y guiones, como "send-receipt"`,
	}
}

// EventNames lists every event in words for people.
func EventNames() string {
	names := make([]string, 0, len(Events()))
	for _, event := range Events() {
		names = append(names, string(event))
	}
	return strings.Join(names, ", ")
}

// IsHost reports whether text can name a program that hosts receivers: it
// becomes part of a task queue's name. [BuiltInHost] can.
func IsHost(text string) bool { return plain(text, MaxHost) }

// IsReceiverName reports whether text can name a receiver: readable in the
// Temporal UI and safe in ids.
func IsReceiverName(text string) bool { return plain(text, MaxReceiverName) }

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

// plain reports whether text is 1 to most of a-z, 0-9 and hyphens, with no
// hyphen at either end.
func plain(text string, most int) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	return text != "" && len(text) <= most && strings.Trim(text, letters) == "" &&
		!strings.HasPrefix(text, "-") && !strings.HasSuffix(text, "-")
}
