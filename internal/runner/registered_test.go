package runner_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdk "go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/activity/reconcile"
	"github.com/cobropay/cobro/internal/activity/records"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/internal/runner"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/workflows"
)

var update = flag.Bool("update", false, "write testdata/registered.golden: a changed line breaks running payments")

// registry keeps what is registered instead of running it.
type registry struct {
	workflows, activities map[string]any
}

func newRegistry() *registry {
	return &registry{workflows: make(map[string]any), activities: make(map[string]any)}
}

func (r *registry) RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions) {
	r.workflows[options.Name] = w
}

func (r *registry) RegisterActivityWithOptions(a any, options sdk.RegisterOptions) {
	r.activities[options.Name] = a
}

// queues is everything that Cobro itself registers, by task queue.
func queues() map[string]*registry {
	calls := &gateway.Gateway{}
	payments, receivers := newRegistry(), newRegistry()
	runner.RegisterPayments(payments, calls, &records.Records{}, &reconcile.Reconcile{})
	notify.Register(receivers, activities.Log(slog.New(slog.DiscardHandler)).All(), nil, nil)
	return map[string]*registry{
		workflows.TaskQueue: payments, workflows.NotifyQueue("cobro"): receivers,
	}
}

func TestRegisteredNames(t *testing.T) {
	t.Parallel()
	var lines []string
	add := func(queue, kind string, names ...string) {
		for _, name := range names {
			lines = append(lines, fmt.Sprintf("%-14s %-17s %s", queue, kind, name))
		}
	}
	for queue, r := range queues() {
		add(queue, "workflow", slices.Collect(maps.Keys(r.workflows))...)
		add(queue, "activity", slices.Collect(maps.Keys(r.activities))...)
	}
	add(workflows.TaskQueue, "update", workflows.UpdateAwaitTicket, workflows.UpdateAwaitSettlement, workflows.UpdateCancel, workflows.UpdateSetPhoneNumber,
		workflows.UpdateAwaitRefund, workflows.UpdateReview, workflows.UpdateDeliverNow)
	add(workflows.TaskQueue, "signal", workflows.SignalGatewayEvent, workflows.SignalReportAnswered, workflows.SignalDeliveries)
	add(workflows.NotifyQueue("cobro"), "activity", workflows.ReceiverActivity("{event}", "webhook-{endpoint}"))
	add("-", "search attribute", slices.Collect(maps.Keys(temporalclient.SearchAttributes()))...)
	add("-", "workflow id", workflows.PaymentWorkflowID("{payment id}"), workflows.RefundWorkflowID("{refund id}"),
		workflows.LateEventWorkflowID("{event digest}"), workflows.SettlementWorkflowID("{refund id}"), workflows.ReconcileWorkflowID("{day}"), workflows.RedeliveryWorkflowID("{notification id}"))
	add("-", "schedule id", workflows.ReconcileSchedule)
	add("-", "schedule id", workflows.SweepSchedule)
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"

	golden := filepath.Join("testdata", "registered.golden")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "a name is for ever: running payments and other programs hold it")
}

func TestEveryDefinedActivityIsRegistered(t *testing.T) {
	t.Parallel()
	registered := slices.Collect(maps.Keys(queues()[workflows.TaskQueue].activities))
	var defined []string
	for _, d := range activity.All() {
		defined = append(defined, d.Name())
	}
	require.ElementsMatch(t, defined, registered)
}

// TestSignatures says that everything registered takes one struct and answers
// with one struct, to which fields can be added.
func TestSignatures(t *testing.T) {
	t.Parallel()
	for queue, r := range queues() {
		for name, function := range r.workflows {
			checkSignature(t, queue+" "+name, function, reflect.TypeFor[workflow.Context]())
		}
		for name, function := range r.activities {
			checkSignature(t, queue+" "+name, function, reflect.TypeFor[context.Context]())
		}
	}
}

func checkSignature(t *testing.T, name string, function any, ctx reflect.Type) {
	t.Helper()
	f := reflect.TypeOf(function)
	require.Equal(t, reflect.Func, f.Kind(), name)
	require.Equal(t, 2, f.NumIn(), name)
	require.Equal(t, ctx, f.In(0), name)
	require.Equal(t, reflect.Struct, f.In(1).Kind(), name)
	results := f.NumOut()
	require.Contains(t, []int{1, 2}, results, name)
	require.Equal(t, reflect.TypeFor[error](), f.Out(results-1), name)
	if results == 2 {
		require.Equal(t, reflect.Struct, f.Out(0).Kind(), name)
	}
}
