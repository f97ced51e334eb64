package ledger

import (
	"strings"
	"time"

	"github.com/cobropay/cobro/payment"
)

// DefaultReceiverTimeout bounds one attempt of a receiver that announces no
// timeout of its own.
const DefaultReceiverTimeout = 30 * time.Second

// Receiver is one piece of merchant's code that receives an event: where it
// runs, how long one attempt may take, and how it is tried again. (Host, Event,
// Name) is unique. Durations are nanoseconds in JSON; zero means the default.
type Receiver struct {
	Host    string        `json:"host"` // its task queue is "notify-" and this
	Event   payment.Event `json:"event"`
	Name    string        `json:"name"`
	Timeout time.Duration `json:"timeout"` // of one attempt
	payment.Retry
}

// Limits of the names of [Receiver].
const (
	MaxHost         = 40 // characters
	MaxReceiverName = 60 // characters
)

// BuiltInHost is the host of the receivers that Cobro brings along. No
// merchant's program may take it.
const BuiltInHost = "cobro"

// RuleHost is what [IsHost] demands.
func RuleHost() payment.Rule {
	return payment.Rule{Code: "name", Args: []any{MaxHost, "shop"}}
}

// RuleBuiltInHost keeps merchants from [BuiltInHost].
func RuleBuiltInHost() payment.Rule {
	return payment.Rule{Code: "not_built_in_host", Args: []any{BuiltInHost}}
}

// RuleReceiverName is what [IsReceiverName] demands.
func RuleReceiverName() payment.Rule {
	return payment.Rule{Code: "name", Args: []any{MaxReceiverName, "send-receipt"}}
}

// IsHost reports whether text can name a program that hosts receivers: it
// becomes part of a task queue's name. [BuiltInHost] can.
func IsHost(text string) bool { return plain(text, MaxHost) }

// IsReceiverName reports whether text can name a receiver: readable in the
// Temporal UI and safe in ids.
func IsReceiverName(text string) bool { return plain(text, MaxReceiverName) }

// plain reports whether text is 1 to most of a-z, 0-9 and hyphens, with no
// hyphen at either end.
func plain(text string, most int) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	return text != "" && len(text) <= most && strings.Trim(text, letters) == "" &&
		!strings.HasPrefix(text, "-") && !strings.HasSuffix(text, "-")
}
