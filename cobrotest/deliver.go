package cobrotest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Delivered is what came of one notification for one receiver.
type Delivered struct {
	// Receiver is the name of its activity, such as "payment_completed/send-receipt".
	Receiver     string
	Notification payment.Notification
	// First is what the receiver returned, and Again what it returned when the
	// same notification came once more.
	First, Again error
}

// Deliver gives every receiver a realistic notification of its event, with
// changes made to each, and then all of them once more under the same ids, the
// last one first. Production does both: a worker can die before it has said
// that a receiver was done, and events may overtake each other. An error fails
// the test.
//
// What a receiver gets went through JSON, as in production, and each attempt has
// the receiver's own timeout. Deliver returns what happened in the order of the
// first round.
func Deliver(t testing.TB, n *activities.Notifications, changes ...func(*payment.Notification)) []Delivered {
	t.Helper()
	all := receivers(t, n)
	delivered := make([]Delivered, len(all))
	for i, r := range all {
		sent := Notification(r.event, changes...)
		sent.ID = idFor(sent, r.name)
		delivered[i] = Delivered{Receiver: r.activity(), Notification: sent, First: r.call(t, sent)}
		if err := delivered[i].First; err != nil {
			t.Errorf("%s: %v", r.activity(), err)
		}
	}
	for i, r := range slices.Backward(all) {
		d := &delivered[i]
		d.Again = r.call(t, d.Notification)
		if d.Again != nil && d.First == nil {
			t.Errorf("%s: the same notification came again, as it may: %v", r.activity(), d.Again)
		}
	}
	return delivered
}

// receiver is a receiver as it is registered, and its activity.
type receiver struct {
	event   payment.Event
	name    string
	timeout time.Duration
	run     func(context.Context, payment.Notification) error
}

func (r receiver) activity() string { return workflows.ReceiverActivity(r.event, r.name) }

// receivers lists the receivers of a program, in the order of a payment's life.
func receivers(t testing.TB, n *activities.Notifications) []receiver {
	t.Helper()
	if err := n.Err(); err != nil {
		t.Fatalf("the receivers are not well registered: %v", err)
	}
	found := make(registry)
	notify.Register(found, n.All(), nil, nil)
	var all []receiver
	for _, event := range payment.Events() {
		for _, r := range notify.Announced(host, n.All()) {
			if r.Event != event {
				continue
			}
			one := receiver{event: r.Event, name: r.Name, timeout: r.Timeout}
			one.run = found[one.activity()]
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		t.Fatalf("there is no receiver: add one with On")
	}
	return all
}

// registry keeps receivers by the names of their activities.
type registry map[string]func(context.Context, payment.Notification) error

// RegisterActivityWithOptions implements [activity.Registry].
func (r registry) RegisterActivityWithOptions(a any, options activity.RegisterOptions) {
	r[options.Name] = a.(func(context.Context, payment.Notification) error)
}

// errAltered is a receiver that was given something else than was sent.
var errAltered = errors.New("the notification was altered by its way through JSON")

func same(a, b payment.Notification) bool {
	one, err := json.Marshal(a)
	other, otherErr := json.Marshal(b)
	return err == nil && otherErr == nil && bytes.Equal(one, other)
}

// call makes one attempt.
func (r receiver) call(t testing.TB, sent payment.Notification) error {
	t.Helper()
	suite := testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	suite.SetDisableRegistrationAliasing(true)
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivityWithOptions(func(ctx context.Context, got payment.Notification) error {
		if !same(got, sent) {
			return errAltered
		}
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		return r.run(ctx, got)
	}, activity.RegisterOptions{Name: r.activity()})
	if _, err := env.ExecuteActivity(r.activity(), sent); err != nil {
		return plain(err)
	}
	return nil
}
