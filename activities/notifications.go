package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/catalog"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
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

	// Timeout bounds one attempt. Zero means DefaultReceiverTimeout. A Func that
	// goes on after its context has ended counts as failed, and runs beside its
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

// Announced lists the receivers as the store keeps them for a host.
func (n *Notifications) Announced(host string) []ledger.Receiver {
	announced := make([]ledger.Receiver, len(n.receivers))
	for i, r := range n.receivers {
		announced[i] = ledger.Receiver{Host: host, Event: r.Event, Name: r.Name, Timeout: r.timeout(), Retry: r.Retry}
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
	RecordAttempt(ctx context.Context, attempt ledger.Attempt) error
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
		registry.RegisterActivityWithOptions(
			func(ctx context.Context, n payment.Notification) error {
				return Deliver(ctx, n, attempts, now, func(ctx context.Context) (*ledger.Answer, error) { return nil, r.Func(ctx, n) })
			},
			activity.RegisterOptions{Name: ReceiverActivityName(string(r.Event), r.Name)},
		)
	}
}

// Deliver makes one attempt to deliver a notification, inside the receiver's
// activity, and notes what came of it. What the receiver says stays out of logs:
// it may name a customer. A panic is an error like any other. send may return
// what an HTTP endpoint answered, to be kept with the attempt.
func Deliver(
	ctx context.Context, n payment.Notification, attempts AttemptStore, now func() time.Time,
	send func(context.Context) (*ledger.Answer, error),
) error {
	failpoint.Reach(failpoint.NotifyBefore)
	answer, err := await(ctx, send)
	failpoint.Reach(failpoint.NotifyAfter)
	info := activity.GetInfo(ctx)
	if err != nil {
		activity.GetLogger(ctx).Warn("receiver failed", "receiver", info.ActivityType.Name, "notification", n.ID)
	}
	attempt := ledger.Attempt{
		DeliveryID: n.ID, Execution: info.WorkflowExecution.RunID + "/" + info.ActivityID, Number: int(info.Attempt),
		At: now().UTC(), Answer: answer,
	}
	if err != nil {
		attempt.Error = private.Text(cut(err.Error(), maxErrorText))
	}
	if attempts == nil || !wasCalled(err) {
		return quiet(err)
	}
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if noteErr := attempts.RecordAttempt(noting, attempt); noteErr != nil {
		activity.GetLogger(ctx).Warn("attempt not noted", "notification", n.ID, "error", noteErr)
	}
	return quiet(err)
}

// wasCalled reports whether the receiver was called at all. One that has no
// room is asked again and again, and a note each time would load the database
// that payments use.
func wasCalled(err error) bool {
	var failure *outbound.Error
	return !errors.As(err, &failure) || !failure.Busy
}

// interrupted says why a context ended before the receiver did.
func interrupted(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return errors.New("the worker stopped before the receiver had ended")
	}
	return errors.New("the receiver did not end in time")
}

const (
	// noteTimeout bounds the writing of a note, which must not hold what was
	// delivered until the server takes it for lost.
	noteTimeout = 3 * time.Second
	// maxErrorText bounds what is kept of a receiver's error with the attempt, in
	// bytes, and maxHistoryText what is sent to Temporal, which takes a failure
	// that is too large for one that must not be tried again.
	maxErrorText   = 2000
	maxHistoryText = 16 << 10
)

func cut(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// await calls a receiver and waits for it, no longer than ctx lasts: one that
// does not listen to its context must not take the others' places for ever.
func await(ctx context.Context, send func(context.Context) (*ledger.Answer, error)) (*ledger.Answer, error) {
	type outcome struct {
		answer *ledger.Answer
		err    error
	}
	done := make(chan outcome, 1)
	go func() { // nobody waits for one that outlives its context
		o := outcome{err: errors.New("the receiver ended its goroutine")}
		defer func() {
			if what := recover(); what != nil {
				o = outcome{err: fmt.Errorf("the receiver panicked: %v\n%s", what, debug.Stack())}
			}
			done <- o
		}()
		answer, err := send(ctx)
		o = outcome{answer, err}
	}()
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
	}
	select { // it may have ended in this moment
	case o := <-done:
		return o.answer, o.err
	default:
		return nil, interrupted(ctx)
	}
}

// typeReceiver is the type of an error that a receiver returned.
const typeReceiver = "receiver"

// quiet keeps the text of a receiver's error, which may name a customer, out of
// the log: the SDK logs an activity's error as one unless it is benign, and
// engine.Logger leaves out what a benign one says. The text is in the history,
// encrypted. What the error says of further attempts is kept.
func quiet(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	options := temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign}
	if len(text) <= maxHistoryText {
		options.Cause = err
	}
	kind := typeReceiver
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		options.NonRetryable, options.NextRetryDelay = application.NonRetryable(), application.NextRetryDelay()
		kind = cmp.Or(application.Type(), typeReceiver)
	}
	return temporal.NewApplicationErrorWithOptions(cut(text, maxHistoryText), kind, options)
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
