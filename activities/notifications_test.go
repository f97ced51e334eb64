package activities_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

const (
	paymentID = "pay_01hzzzzzzzzzzzzzzzzzzzzzzz"
	refundID  = "ref_01hzzzzzzzzzzzzzzzzzzzzzzz"
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
			require.Len(t, n.All(), 1, "a mistake is not announced")
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
	notify.Register(&registered, n.All(), nil, nil)
	require.Len(t, registered, len(payment.Events()))

	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	notify.Register(env, n.All(), nil, nil)
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
