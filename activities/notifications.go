package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/catalog"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// DefaultReceiverTimeout bounds one attempt of a receiver that names no
// timeout of its own.
const DefaultReceiverTimeout = ledger.DefaultReceiverTimeout

// ReceiverFunc is a merchant's own code. It is called at least once for each
// event, always with the same Notification.ID for the same event and receiver,
// and again, for days, after each error. An error made with [Permanent] ends
// the attempts.
type ReceiverFunc func(ctx context.Context, n payment.Notification) error

// Receiver is a merchant's code with the event that it wants.
type Receiver struct {
	Event payment.Event // required
	Name  string        // required: 1 to 60 of a-z, 0-9 and hyphens, such as "send-receipt"
	Func  ReceiverFunc  // required

	// Timeout bounds one attempt. Zero means DefaultReceiverTimeout. A Func that
	// goes on after its context has ended counts as failed, and runs alongside its
	// next attempt.
	Timeout time.Duration
	// Retry says how it is tried again; zero fields mean the defaults.
	Retry payment.Retry
}

// Notifications is the list of a program's receivers. Fill it before the worker
// starts; after that it may be read concurrently. Mistakes are kept and
// reported together by [Notifications.Err], which the worker calls at start.
type Notifications struct {
	receivers []Receiver
	mistakes  []error
}

// NewNotifications returns an empty list.
func NewNotifications() *Notifications { return &Notifications{} }

// On adds a receiver of an event under a name that tells it apart from the
// event's other receivers. It is the short form of [Notifications.Add].
func (n *Notifications) On(event payment.Event, name string, receive ReceiverFunc) {
	n.Add(Receiver{Event: event, Name: name, Func: receive})
}

// Add adds a receiver.
func (n *Notifications) Add(r Receiver) {
	switch {
	case !payment.IsEvent(r.Event):
		n.mistake(r, "no such event; the events are %s", payment.EventNames())
	case !ledger.IsReceiverName(r.Name):
		n.mistake(r, "the name %s", catalog.English(ledger.RuleReceiverName()))
	case r.Func == nil:
		n.mistake(r, "the function is nil")
	case r.Timeout < 0:
		n.mistake(r, "%s", catalog.English(payment.Rule{Code: payment.RuleNotNegative}))
	case r.Retry.Broken() != nil:
		n.mistake(r, "%s", catalog.English(*r.Retry.Broken()))
	case slices.ContainsFunc(n.receivers, func(o Receiver) bool { return o.Event == r.Event && o.Name == r.Name }):
		n.mistake(r, "registered twice; give the second one another name")
	default:
		n.receivers = append(n.receivers, r)
	}
}

// Err returns every mistake of the list at once, or nil.
func (n *Notifications) Err() error { return errors.Join(n.mistakes...) }

func (n *Notifications) mistake(r Receiver, format string, args ...any) {
	n.mistakes = append(n.mistakes, fmt.Errorf("receiver %q of %q: %s", r.Name, r.Event, fmt.Sprintf(format, args...)))
}

// All returns the receivers in the order in which they were added.
func (n *Notifications) All() []Receiver { return slices.Clone(n.receivers) }

// typePermanent is the type of the application error that ends a receiver's
// attempts.
const typePermanent = "permanent"

// Permanent wraps an error of a receiver that retrying cannot fix: the delivery
// fails immediately instead of being tried for days. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), typePermanent, temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Cause: err,
	})
}

// logTimeout is short, because a line is written at once: what was lost with a
// worker that died is written by the next one soon.
const logTimeout = 5 * time.Second

// Log returns the built-in receivers: one for each event, which write a line.
func Log(logger *slog.Logger) *Notifications {
	n := NewNotifications()
	for _, event := range payment.Events() {
		n.Add(Receiver{Event: event, Name: "log", Timeout: logTimeout, Func: func(ctx context.Context, e payment.Notification) error {
			logger.InfoContext(ctx, "notification", "notification", e)
			return nil
		}})
	}
	return n
}
