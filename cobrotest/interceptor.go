package cobrotest

import (
	"context"
	"math"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// environment fixes two ways in which the test environment is not like a
// server. By itself it tries an activity ten times at most, which is nine
// minutes of a receiver's week. And it goes on trying what nobody waits for any
// more, such as a look that was under way when the workflow ended.
type environment struct {
	interceptor.WorkerInterceptorBase

	over func() bool // the workflow has ended
}

// InterceptWorkflow implements [interceptor.WorkerInterceptor].
func (*environment) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &workflowIn{interceptor.WorkflowInboundInterceptorBase{Next: next}}
}

// InterceptActivity implements [interceptor.WorkerInterceptor].
func (e *environment) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &activityIn{interceptor.ActivityInboundInterceptorBase{Next: next}, e.over}
}

type workflowIn struct {
	interceptor.WorkflowInboundInterceptorBase
}

// Init implements [interceptor.WorkflowInboundInterceptor].
func (w *workflowIn) Init(out interceptor.WorkflowOutboundInterceptor) error {
	return w.Next.Init(&workflowOut{interceptor.WorkflowOutboundInterceptorBase{Next: out}})
}

type workflowOut struct {
	interceptor.WorkflowOutboundInterceptorBase
}

// ExecuteActivity implements [interceptor.WorkflowOutboundInterceptor].
func (w *workflowOut) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	options := workflow.GetActivityOptions(ctx)
	if options.RetryPolicy != nil && options.RetryPolicy.MaximumAttempts == 0 { // which is without end
		policy := *options.RetryPolicy
		policy.MaximumAttempts = math.MaxInt32
		options.RetryPolicy = &policy
		ctx = workflow.WithActivityOptions(ctx, options)
	}
	return w.Next.ExecuteActivity(ctx, name, args...)
}

type activityIn struct {
	interceptor.ActivityInboundInterceptorBase

	over func() bool
}

// ExecuteActivity implements [interceptor.ActivityInboundInterceptor].
func (a *activityIn) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	if a.over() {
		return nil, activity.ErrResultPending
	}
	result, err := a.Next.ExecuteActivity(ctx, in)
	if a.over() {
		return nil, activity.ErrResultPending
	}
	return result, err
}
