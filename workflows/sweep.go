package workflows

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
)

// SweepInput starts Sweep.
type SweepInput struct {
	// Timing is that of the workflows which are started.
	Timing Timing `json:"timing"`
}

// SweepResult is what a run came to.
type SweepResult struct {
	Started int `json:"started"` // workflows
}

// sweepPages bounds one run; the next one goes on.
const sweepPages = 20

// sweep starts the workflow that a reservation lacks, since whoever reserved has
// died, or could not reach Temporal. One that has, or had, its workflow is left
// alone: the workflow's id is the question and the answer. A payment that is started
// this late makes no ticket: it ends as stale, and its receivers are notified.
func sweep(ctx workflow.Context, in SweepInput) (result SweepResult, err error) {
	before := workflow.Now(ctx).Add(-in.Timing.withDefaults().Sweep)
	err = sweepEach(ctx, before, &result, activity.UnstartedPayments, func(r ledger.Record) (workflow.ChildWorkflowFuture, ledger.Cursor) {
		return startPayment(ctx, r, in.Timing), ledger.Cursor{CreatedAt: r.Payment.CreatedAt, ID: r.Payment.ID}
	})
	if err != nil {
		return result, err
	}
	err = sweepEach(ctx, before, &result, activity.UnstartedRefunds, func(r ledger.RefundRecord) (workflow.ChildWorkflowFuture, ledger.Cursor) {
		return startRefund(ctx, r, in.Timing), ledger.Cursor{CreatedAt: r.Refund.CreatedAt, ID: r.Refund.ID}
	})
	return result, err
}

// sweepEach starts what every page lists.
func sweepEach[T any](
	ctx workflow.Context, before time.Time, result *SweepResult, pages activity.Def[activity.UnstartedInput, activity.UnstartedPage[T]],
	start func(T) (workflow.ChildWorkflowFuture, ledger.Cursor),
) error {
	page := activity.UnstartedInput{Before: before}
	for range sweepPages {
		found, err := pages.Do(ctx, page)
		if err != nil {
			return err
		}
		children := make([]workflow.ChildWorkflowFuture, len(found.Items))
		for i, r := range found.Items {
			children[i], page.After = start(r)
		}
		for _, child := range children {
			err := child.GetChildWorkflowExecution().Get(ctx, nil)
			switch {
			case temporal.IsWorkflowExecutionAlreadyStartedError(err):
			case err != nil:
				return err
			default:
				result.Started++
			}
		}
		if len(found.Items) < activity.UnstartedLimit {
			return nil
		}
	}
	return nil
}

func startPayment(ctx workflow.Context, r ledger.Record, timing Timing) workflow.ChildWorkflowFuture {
	p := r.Payment
	summary, attributes := DescribePayment(p.Request)
	return startAbandoned(ctx, PaymentWorkflowID(p.ID), summary, attributes, ProcessPaymentName, ProcessPaymentInput{
		PaymentID: p.ID, Fingerprint: r.Fingerprint, Request: p.Request, CreatedAt: p.CreatedAt, Timing: timing,
	})
}

func startRefund(ctx workflow.Context, r ledger.RefundRecord, timing Timing) workflow.ChildWorkflowFuture {
	refund := r.Refund
	summary, attributes := DescribeRefund(refund.PaymentID, &refund.Amount)
	return startAbandoned(ctx, RefundWorkflowID(refund.ID), summary, attributes, RefundPaymentName, RefundPaymentInput{
		RefundID: refund.ID, PaymentID: refund.PaymentID, Amount: &refund.Amount, Message: refund.Message,
		Fingerprint: r.Fingerprint, CreatedAt: refund.CreatedAt, Timing: timing,
	})
}

// startAbandoned starts a workflow that goes on by itself, once for each id.
func startAbandoned(
	ctx workflow.Context, id, summary string, attributes []temporal.SearchAttributeUpdate, name string, input any,
) workflow.ChildWorkflowFuture {
	return workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, TaskQueue: TaskQueue, StaticSummary: summary,
		TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
	}), name, input)
}

// SweepEvery is how often the schedule starts Sweep.
const SweepEvery = time.Minute
