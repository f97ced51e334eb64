package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/payment"
)

// DefaultReceiverTimeout bounds one attempt of a receiver that names no
// timeout of its own.
const DefaultReceiverTimeout = 30 * time.Second

// ReceiverFunc is a merchant's own code. It is called at least once for each
// event, always with the same Notification.ID for the same event and receiver,
// and again, for days, after each error. An error made with [Permanent] ends
// the attempts.
type ReceiverFunc func(ctx context.Context, n payment.Notification) error

// Receiver is a merchant's code with the event that it wants.
type Receiver struct {
	Event payment.Event
	Name  string // 1 to 60 of a-z, 0-9 and hyphens, such as "send-receipt"
	Func  ReceiverFunc

	// Timeout bounds one attempt. Zero means DefaultReceiverTimeout.
	Timeout time.Duration
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
	case !payment.IsReceiverName(r.Name):
		n.mistake(r, "a name is 1 to 60 of a-z, 0-9 and hyphens, such as \"send-receipt\"")
	case r.Func == nil:
		n.mistake(r, "the function is nil")
	case r.Timeout < 0:
		n.mistake(r, "the timeout is negative")
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

// Announced lists the receivers as the store keeps them for a host.
func (n *Notifications) Announced(host string) []payment.Receiver {
	announced := make([]payment.Receiver, len(n.receivers))
	for i, r := range n.receivers {
		announced[i] = payment.Receiver{Host: host, Event: r.Event, Name: r.Name, Timeout: r.timeout()}
	}
	return announced
}

func (r Receiver) timeout() time.Duration {
	if r.Timeout == 0 {
		return DefaultReceiverTimeout
	}
	return r.Timeout
}

// AttemptStore notes how a delivery goes, for people to see. internal/store
// satisfies it.
type AttemptStore interface {
	RecordAttempt(ctx context.Context, deliveryID string, attempt int, lastError string, at time.Time) error
}

// ActivityRegistry is the part of a Temporal worker that Register needs.
type ActivityRegistry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

// Register registers each receiver as an activity of its own. attempts may be
// nil; a note that cannot be written never fails a delivery. now is the clock of
// the notes; nil means time.Now.
func (n *Notifications) Register(registry ActivityRegistry, attempts AttemptStore, now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	for _, r := range n.receivers {
		name := ReceiverActivityName(string(r.Event), r.Name)
		registry.RegisterActivityWithOptions(deliver(r, attempts, now), activity.RegisterOptions{Name: name})
	}
}

// deliver wraps a receiver as an activity.
func deliver(r Receiver, attempts AttemptStore, now func() time.Time) func(context.Context, payment.Notification) error {
	return func(ctx context.Context, n payment.Notification) error {
		failpoint.Reach(failpoint.NotifyBefore)
		err := quiet(r.Func(ctx, n))
		failpoint.Reach(failpoint.NotifyAfter)
		if err != nil {
			activity.GetLogger(ctx).Warn("receiver failed", "event", r.Event, "receiver", r.Name, "notification", n.ID)
		}
		if attempts == nil {
			return err
		}
		lastError := ""
		if err != nil {
			lastError = "the receiver returned an error; see its activity in the Temporal UI"
		}
		attempt := int(activity.GetInfo(ctx).Attempt)
		if noteErr := attempts.RecordAttempt(context.WithoutCancel(ctx), n.ID, attempt, lastError, now()); noteErr != nil {
			activity.GetLogger(ctx).Warn("attempt not noted", "notification", n.ID, "error", noteErr)
		}
		return err
	}
}

// typeReceiver is the type of an error that a receiver returned.
const typeReceiver = "receiver"

// quiet keeps the text of a receiver's error, which may name a customer, out of
// the log: the SDK logs an activity's error unless it is benign. The text is in
// the history, encrypted.
func quiet(err error) error {
	var application *temporal.ApplicationError
	if err == nil || errors.As(err, &application) && application.Type() == typePermanent {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), typeReceiver, temporal.ApplicationErrorOptions{
		Category: temporal.ApplicationErrorCategoryBenign, Cause: err,
	})
}

// typePermanent is the type of the application error that ends a receiver's
// attempts.
const typePermanent = "permanent"

// Permanent wraps an error of a receiver that no further attempt can mend: the
// delivery is failed at once instead of being tried for days. Permanent(nil) is
// nil.
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
