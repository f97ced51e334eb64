// Package notify runs receivers: a merchant's own functions, and the HTTP
// endpoints that Cobro calls itself. It registers each as an activity, calls it
// with a bound on its time, and notes what came of each attempt.
package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	sdk "go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// AttemptStore notes how a delivery goes, for people to see. internal/store
// satisfies it.
type AttemptStore interface {
	RecordAttempt(ctx context.Context, attempt ledger.Attempt) error
}

// Announced lists receivers as the store keeps them for a host.
func Announced(host string, receivers []activities.Receiver) []ledger.Receiver {
	announced := make([]ledger.Receiver, len(receivers))
	for i, r := range receivers {
		announced[i] = ledger.Receiver{
			Host: host, Event: r.Event, Name: r.Name, Timeout: cmp.Or(r.Timeout, ledger.DefaultReceiverTimeout), Retry: r.Retry,
		}
	}
	return announced
}

// Register registers each receiver as an activity of its own. attempts may be
// nil; a note that cannot be written never fails a delivery. now is the clock of
// the notes; nil means time.Now.
func Register(registry activity.Registry, receivers []activities.Receiver, attempts AttemptStore, now func() time.Time) {
	for _, r := range receivers {
		registry.RegisterActivityWithOptions(
			func(ctx context.Context, n payment.Notification) error {
				return deliver(ctx, n, attempts, now, func(ctx context.Context) (*ledger.Answer, error) { return nil, r.Func(ctx, n) })
			},
			sdk.RegisterOptions{Name: workflows.ReceiverActivity(r.Event, r.Name)},
		)
	}
}

// deliver makes one attempt to deliver a notification, inside the receiver's
// activity, and notes what came of it. What the receiver says stays out of logs:
// it may name a customer. A panic is an error like any other. send may return
// what an HTTP endpoint answered, to be kept with the attempt.
func deliver(
	ctx context.Context, n payment.Notification, attempts AttemptStore, now func() time.Time,
	send func(context.Context) (*ledger.Answer, error),
) error {
	failpoint.Reach(failpoint.NotifyBefore)
	answer, err := await(ctx, send)
	failpoint.Reach(failpoint.NotifyAfter)
	info := sdk.GetInfo(ctx)
	if err != nil {
		sdk.GetLogger(ctx).Warn("receiver failed", "receiver", info.ActivityType.Name, "notification", n.ID)
	}
	if now == nil {
		now = time.Now
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
		sdk.GetLogger(ctx).Warn("attempt not noted", "notification", n.ID, "error", noteErr)
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
// temporalclient.Logger leaves out what a benign one says. The text is in the history,
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
