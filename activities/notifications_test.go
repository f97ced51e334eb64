package activities_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/activities"
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
		{"no name", func(r *activities.Receiver) { r.Name = "" }, `such as "send-receipt"`},
		{"capitals", func(r *activities.Receiver) { r.Name = "Send" }, `such as "send-receipt"`},
		{"a slash", func(r *activities.Receiver) { r.Name = "a/b" }, `such as "send-receipt"`},
		{"a hyphen at the end", func(r *activities.Receiver) { r.Name = "send-" }, `such as "send-receipt"`},
		{"too long", func(r *activities.Receiver) { r.Name = strings.Repeat("x", 61) }, "1 to 60"},
		{"no function", func(r *activities.Receiver) { r.Func = nil }, "the function is nil"},
		{"a negative timeout", func(r *activities.Receiver) { r.Timeout = -1 }, "the timeout is negative"},
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
		require.ErrorContains(t, n.Err(), "a name is")
		require.ErrorContains(t, n.Err(), "the function is nil")
	})
}

func TestAnnounced(t *testing.T) {
	t.Parallel()
	n := activities.NewNotifications()
	n.On(payment.EventCompleted, strings.Repeat("x", 60), nothing)
	n.Add(activities.Receiver{Event: payment.EventFailed, Name: "x", Func: nothing, Timeout: time.Minute})
	require.NoError(t, n.Err())
	require.Equal(t, []payment.Receiver{
		{Host: "shop", Event: payment.EventCompleted, Name: strings.Repeat("x", 60), Timeout: activities.DefaultReceiverTimeout},
		{Host: "shop", Event: payment.EventFailed, Name: "x", Timeout: time.Minute},
	}, n.Announced("shop"))
}

// attempts is a store of attempts.
type attempts struct {
	err   error
	notes []note
}

type note struct {
	delivery  string
	attempt   int
	lastError string
	at        time.Time
}

func (a *attempts) RecordAttempt(ctx context.Context, delivery string, attempt int, lastError string, at time.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.notes = append(a.notes, note{delivery, attempt, lastError, at})
	return a.err
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	failure := errors.New("no ink for 7875551234")
	for _, tt := range []struct {
		name    string
		receive error
		store   *attempts // nil: nobody keeps notes
		noted   string
	}{
		{"succeeds", nil, &attempts{}, ""},
		{"fails", failure, &attempts{}, "the receiver returned an error"},
		{"succeeds where the note cannot be written", nil, &attempts{err: errors.New("away")}, ""},
		{"fails where the note cannot be written", failure, &attempts{err: errors.New("away")}, "the receiver returned an error"},
		{"succeeds without notes", nil, nil, ""},
		{"fails without notes", failure, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			told := payment.Notification{ID: "ntf_1", Event: payment.EventCompleted, OccurredAt: now, Payment: payment.Payment{ID: paymentID, CreatedAt: now}}
			var got payment.Notification
			n := activities.NewNotifications()
			n.On(payment.EventCompleted, "print", func(_ context.Context, n payment.Notification) error {
				got = n
				return tt.receive
			})
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			var store activities.AttemptStore
			if tt.store != nil {
				store = tt.store
			}
			n.Register(env, store, func() time.Time { return now })

			_, err := env.ExecuteActivity(activities.ReceiverActivityName("payment_completed", "print"), told)
			if tt.receive == nil {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tt.receive.Error())
			}
			require.Equal(t, told.ID, got.ID)
			require.Equal(t, paymentID, got.Payment.ID)
			if tt.store == nil {
				return
			}
			require.Len(t, tt.store.notes, 1)
			noted := tt.store.notes[0]
			require.Equal(t, note{"ntf_1", 1, noted.lastError, now}, noted)
			require.Contains(t, noted.lastError, tt.noted)
			require.NotContains(t, noted.lastError, "787", "what a receiver says may be personal")
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
