package activities_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

func nothing(context.Context, payment.Notification) error { return nil }

func TestMistakes(t *testing.T) {
	t.Parallel()
	good := activities.Receiver{Event: payment.EventCompleted, Name: "send-receipt", Func: nothing}
	for _, tt := range []struct {
		name  string
		wrong func(*activities.Receiver)
		hint  string
	}{
		{"no such event", func(r *activities.Receiver) { r.Event = "payment_complete" }, "the events are payment_created, payment_completed"},
		{"a negative pause", func(r *activities.Receiver) { r.Retry.For = -1 }, "a duration is negative"},
		{"pauses that shrink", func(r *activities.Receiver) { r.Retry.First, r.Retry.Most = 2, 1 }, "shorter than the first"},
		{"no name", func(r *activities.Receiver) { r.Name = "" }, `such as "send-receipt"`},
		{"capitals", func(r *activities.Receiver) { r.Name = "Send" }, `such as "send-receipt"`},
		{"a slash", func(r *activities.Receiver) { r.Name = "a/b" }, `such as "send-receipt"`},
		{"a hyphen at the end", func(r *activities.Receiver) { r.Name = "send-" }, `such as "send-receipt"`},
		{"too long", func(r *activities.Receiver) { r.Name = strings.Repeat("x", 61) }, "1 to 60"},
		{"no function", func(r *activities.Receiver) { r.Func = nil }, "the function is nil"},
		{"a negative timeout", func(r *activities.Receiver) { r.Timeout = -1 }, "a duration is negative"},
		{"twice", func(*activities.Receiver) {}, "give the second one another name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := activities.NewNotifications()
			n.Add(good)
			require.NoError(t, n.Err())
			wrong := good
			tt.wrong(&wrong)
			n.Add(wrong)
			require.ErrorContains(t, n.Err(), tt.hint)
			require.ErrorContains(t, n.Err(), `receiver "`+wrong.Name+`"`)
			require.Len(t, n.Announced("shop"), 1, "a mistake is not announced")
		})
	}

	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		n := activities.NewNotifications()
		n.On(payment.EventCompleted, "", nothing)
		n.On(payment.EventCompleted, "print", nil)
		require.ErrorContains(t, n.Err(), "the name must be")
		require.ErrorContains(t, n.Err(), "the function is nil")
	})
}

func TestAnnounced(t *testing.T) {
	t.Parallel()
	n := activities.NewNotifications()
	n.On(payment.EventCompleted, strings.Repeat("x", 60), nothing)
	retry := payment.Retry{First: time.Second, Most: time.Minute, For: time.Hour}
	n.Add(activities.Receiver{Event: payment.EventFailed, Name: "x", Func: nothing, Timeout: time.Minute, Retry: retry})
	require.NoError(t, n.Err())
	require.Equal(t, []ledger.Receiver{
		{Host: "shop", Event: payment.EventCompleted, Name: strings.Repeat("x", 60), Timeout: activities.DefaultReceiverTimeout},
		{Host: "shop", Event: payment.EventFailed, Name: "x", Timeout: time.Minute, Retry: retry},
	}, n.Announced("shop"))
}

// attempts is a store of attempts.
type attempts struct {
	err   error
	hangs bool   // until its time is over
	late  func() // called before the note is written
	notes []ledger.Attempt
}

func (a *attempts) RecordAttempt(ctx context.Context, attempt ledger.Attempt) error {
	if a.late != nil {
		a.late()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.notes = append(a.notes, attempt)
	if a.hangs {
		<-ctx.Done()
	}
	return a.err
}

// logger is the one that a worker gives to Temporal's SDK, and tells all.
func logger(w io.Writer) log.Logger {
	return log.NewStructuredLogger(engine.Logger(slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})), ledger.IsID))
}

// overtime is a context whose deadline passes when it is closed.
type overtime chan struct{}

func (overtime) Deadline() (time.Time, bool) { return time.Time{}, false }
func (overtime) Value(any) any               { return nil }
func (o overtime) Done() <-chan struct{}     { return o }

func (o overtime) Err() error {
	select {
	case <-o:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A receiver that fails in time, and whose note is written after it, is logged
// by the SDK with what it said, at the level info.
func TestADeliveryThatIsNotedTooLate(t *testing.T) {
	t.Parallel()
	over := make(overtime)
	var attempt context.Context // the receiver's
	store := &attempts{late: func() {
		close(over)
		<-attempt.Done()
	}}
	n := activities.NewNotifications()
	n.On(payment.EventCompleted, "print", func(ctx context.Context, _ payment.Notification) error {
		attempt = ctx
		return errors.New("no ink for 7875551234")
	})
	var logs bytes.Buffer
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(logger(&logs))
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: over})
	n.Register(env, store, nil)
	_, err := env.ExecuteActivity(activities.ReceiverActivityName("payment_completed", "print"), payment.Notification{ID: "ntf_1"})
	require.ErrorContains(t, err, "deadline exceeded")
	require.Len(t, store.notes, 1)
	require.Contains(t, logs.String(), "Activity complete after timeout.")
	require.NotContains(t, logs.String(), "7875551234", "what a receiver says may be personal")
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	failure := errors.New("no ink for 7875551234")
	permanent := activities.Permanent(failure)
	says := func(err error) activities.ReceiverFunc {
		return func(context.Context, payment.Notification) error { return err }
	}
	for _, tt := range []struct {
		name    string
		receive activities.ReceiverFunc
		timeout time.Duration
		store   *attempts // nil: nobody keeps notes
		want    string    // in the error; empty: none
		final   bool      // no further attempt
	}{
		{name: "succeeds", receive: says(nil), store: &attempts{}},
		{name: "fails", receive: says(failure), store: &attempts{}, want: "no ink"},
		{name: "fails for good", receive: says(permanent), store: &attempts{}, want: "no ink", final: true},
		{name: "fails for good behind another error", receive: says(fmt.Errorf("print: %w", permanent)), store: &attempts{}, want: "print: no ink", final: true},
		{name: "panics", receive: func(context.Context, payment.Notification) error { panic("no paper for 7875551234") }, store: &attempts{}, want: "the receiver panicked: no paper"},
		{name: "leaves", receive: func(context.Context, payment.Notification) error { runtime.Goexit(); return nil }, store: &attempts{}, want: "ended its goroutine"},
		{name: "hangs", receive: func(context.Context, payment.Notification) error { select {} }, timeout: 50 * time.Millisecond, store: &attempts{}, want: "did not end in time"},
		{name: "succeeds where the note cannot be written", receive: says(nil), store: &attempts{err: errors.New("away")}},
		{name: "succeeds where the note hangs", receive: says(nil), store: &attempts{hangs: true}},
		{name: "says a lot", receive: says(errors.New("no ink" + strings.Repeat(" and no paper", 1<<20))), store: &attempts{}, want: "no ink"},
		{name: "fails where the note cannot be written", receive: says(failure), store: &attempts{err: errors.New("away")}, want: "no ink"},
		{name: "succeeds without notes", receive: says(nil)},
		{name: "fails without notes", receive: says(failure), want: "no ink"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := payment.Notification{ID: "ntf_1", Event: payment.EventCompleted, OccurredAt: now, Payment: payment.Payment{ID: paymentID, CreatedAt: now}}
			called := make(chan payment.Notification, 1) // one that hangs is still there when it is looked at
			n := activities.NewNotifications()
			n.On(payment.EventCompleted, "print", func(ctx context.Context, n payment.Notification) error {
				called <- n
				return tt.receive(ctx, n)
			})
			var logs bytes.Buffer
			var suite testsuite.WorkflowTestSuite
			suite.SetLogger(logger(&logs))
			env := suite.NewTestActivityEnvironment()
			if tt.timeout > 0 {
				ctx, cancel := context.WithTimeout(context.Background(), tt.timeout)
				defer cancel()
				env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
			}
			var store activities.AttemptStore
			if tt.store != nil {
				store = tt.store
			}
			n.Register(env, store, func() time.Time { return now })

			_, err := env.ExecuteActivity(activities.ReceiverActivityName("payment_completed", "print"), told)
			require.NotContains(t, logs.String(), "7875551234", "what a receiver says may be personal")
			switch {
			case tt.want == "":
				require.NoError(t, err)
			case tt.timeout > 0: // the server hears of a timeout
				require.ErrorContains(t, err, "deadline exceeded")
			default:
				require.ErrorContains(t, err, tt.want)
				var application *temporal.ApplicationError
				require.ErrorAs(t, err, &application)
				require.Equal(t, tt.final, application.NonRetryable())
				require.Less(t, len(err.Error()), 40_000, "Temporal takes no failure of megabytes")
			}
			got := <-called
			require.Equal(t, told.ID, got.ID)
			require.Equal(t, paymentID, got.Payment.ID)
			if tt.store == nil {
				return
			}
			require.Len(t, tt.store.notes, 1)
			noted := tt.store.notes[0]
			require.Equal(t, "ntf_1", noted.DeliveryID)
			require.Equal(t, 1, noted.Number)
			require.NotEmpty(t, noted.Execution)
			require.Equal(t, now, noted.At)
			require.Contains(t, string(noted.Error), tt.want)
			require.Equal(t, tt.want == "", noted.Error == "")
		})
	}
}

// names keeps the names that are registered.
type names []string

func (n *names) RegisterActivityWithOptions(_ any, options activity.RegisterOptions) {
	*n = append(*n, options.Name)
}

func TestLog(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	n := activities.Log(slog.New(slog.NewTextHandler(&lines, nil)))
	require.NoError(t, n.Err())
	var registered names
	n.Register(&registered, nil, nil)
	require.Len(t, registered, len(payment.Events()))

	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	n.Register(env, nil, nil)
	_, err := env.ExecuteActivity("refund_completed/log", payment.Notification{
		ID: "ntf_1", Event: payment.EventRefundCompleted,
		Payment: payment.Payment{ID: paymentID, Customer: payment.Customer{Name: "Valeria", PhoneNumber: "7875551234"}},
		Refund:  &payment.Refund{ID: refundID, Amount: money.FromCents(5_00), Message: "sorry, Valeria"},
	})
	require.NoError(t, err)
	for _, want := range []string{"ntf_1", "refund_completed", paymentID, refundID, "5.00"} {
		require.Contains(t, lines.String(), want)
	}
	require.NotContains(t, lines.String(), "Valeria")
	require.NotContains(t, lines.String(), "787")
}
