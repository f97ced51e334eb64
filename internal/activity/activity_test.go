package activity_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
)

// run calls an activity in a workflow whose options would retry it for ever,
// and counts how often it was tried. do is given the number of the try, from 1.
func run[In, Out any](t *testing.T, d activity.Def[In, Out], do func(try int) (Out, error)) (tries int, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	activity.Register(env, d.Bind(func(context.Context, In) (Out, error) {
		tries++
		return do(tries)
	}))
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2},
		})
		var in In
		_, err := d.Do(ctx, in)
		return err
	})
	return tries, env.GetWorkflowError()
}

var errAway = errors.New("away")

// always fails every try.
func always[Out any](err error) func(int) (Out, error) {
	return func(int) (Out, error) {
		var none Out
		return none, err
	}
}

// until fails until a try.
func until[Out any](last int) func(int) (Out, error) {
	return func(try int) (Out, error) {
		var none Out
		if try < last {
			return none, errAway
		}
		return none, nil
	}
}

// A blind second try of money would be a second debit: whatever options a
// workflow gives, the class decides.
func TestTheClassDecidesHowOftenAnActivityIsTried(t *testing.T) {
	t.Parallel()
	t.Run("money moves in one try", func(t *testing.T) {
		t.Parallel()
		tries, err := run(t, activity.Authorize, always[activity.Ticket](errAway))
		require.Error(t, err)
		require.Equal(t, 1, tries)
		tries, err = run(t, activity.Refund, always[activity.RefundResult](errAway))
		require.Error(t, err)
		require.Equal(t, 1, tries)
	})
	t.Run("a ticket is made in one try", func(t *testing.T) {
		t.Parallel()
		tries, err := run(t, activity.CreateTicket, always[activity.CreateTicketResult](errAway))
		require.Error(t, err)
		require.Equal(t, 1, tries)
	})
	t.Run("a request is made in one try", func(t *testing.T) {
		t.Parallel()
		tries, err := run(t, activity.CancelTicket, always[activity.None](errAway))
		require.Error(t, err)
		require.Equal(t, 1, tries)
		tries, err = run(t, activity.SetPhoneNumber, always[activity.None](errAway))
		require.Error(t, err)
		require.Equal(t, 1, tries)
	})
	t.Run("a look is repeated", func(t *testing.T) {
		t.Parallel()
		tries, err := run(t, activity.FindTicket, until[activity.Ticket](7))
		require.NoError(t, err)
		require.Equal(t, 7, tries)
	})
	t.Run("a report is given up", func(t *testing.T) {
		t.Parallel()
		tries, err := run(t, activity.CompareSpan, always[activity.CompareSpanResult](errAway))
		require.Error(t, err)
		require.Equal(t, 3, tries)
	})
	t.Run("a write is repeated", func(t *testing.T) {
		t.Parallel()
		tries, err := run(t, activity.RecordPayment, until[activity.RecordPaymentResult](7))
		require.NoError(t, err)
		require.Equal(t, 7, tries)
	})
}

// What can never succeed must be seen: a failed workflow task is, a write that is
// repeated for ever is not.
func TestAHopelessWriteFailsTheWorkflowTask(t *testing.T) {
	t.Parallel()
	t.Run("the activity says so", func(t *testing.T) {
		t.Parallel()
		unreadable := temporal.NewNonRetryableApplicationError("something stored cannot be read", "unreadable", nil)
		tries, err := run(t, activity.ReopenDelivery, always[activity.ReopenDeliveryResult](unreadable))
		require.ErrorContains(t, err, "something stored cannot be read")
		require.Equal(t, 1, tries)
	})
	t.Run("the activity panics", func(t *testing.T) {
		t.Parallel()
		tries, err := run(t, activity.ReopenDelivery, func(int) (activity.ReopenDeliveryResult, error) { panic("a nil map") })
		require.ErrorContains(t, err, "a nil map")
		require.Equal(t, 1, tries)
	})
	t.Run("its result does not decode", func(t *testing.T) {
		t.Parallel()
		var suite testsuite.WorkflowTestSuite
		suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
		env := suite.NewTestWorkflowEnvironment()
		env.RegisterActivityWithOptions(func(context.Context, ledger.Change) (string, error) { return "no object", nil },
			sdk.RegisterOptions{Name: activity.RecordPayment.Name()})
		env.ExecuteWorkflow(func(ctx workflow.Context) error {
			_, err := activity.RecordPayment.Do(ctx, ledger.Change{})
			return err
		})
		require.ErrorContains(t, env.GetWorkflowError(), "unable to decode")
	})
}

func TestEveryDefinitionHasANameAndAClass(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, d := range activity.All() {
		require.NotEmpty(t, d.Name())
		require.False(t, names[d.Name()], "%s is defined twice", d.Name())
		names[d.Name()] = true
		require.Contains(t, []activity.Class{
			activity.ClassRead, activity.ClassCreate, activity.ClassMoveMoney, activity.ClassAsk, activity.ClassRecord, activity.ClassReport,
		}, d.Class(), d.Name())
	}
}
