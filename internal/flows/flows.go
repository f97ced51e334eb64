// Package flows is the one client of Cobro's workflows: what starts them, asks
// them, signals them and schedules them, with the ids and options of each, and
// the one translation of Temporal's errors.
package flows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Errors of [Flows].
var (
	// ErrStillWorking says that the request was taken and that its outcome is
	// not known yet.
	ErrStillWorking = errors.New("the workflow is still working")
	// ErrAlreadyEnded says that the workflow which was to be started has
	// already run and closed.
	ErrAlreadyEnded = errors.New("the workflow has already ended")
	// ErrEnded says that the workflow which was asked is closed or unknown.
	ErrEnded = errors.New("the workflow has ended")
	// ErrUnavailable says that Temporal cannot be reached, or refuses to work
	// at the moment. Whether the request was taken is not known.
	ErrUnavailable = errors.New("temporal is not available")
)

// Update ids of the one update that starts a workflow, so that every replay
// joins it. Stored in histories: never change them.
const (
	openUpdateID   = "open"
	refundUpdateID = "refund"
	cancelUpdateID = "cancel"
)

// Flows asks the workflows, which alone write payments and refunds. It is safe
// for concurrent use. Besides the errors that a method names, each may return
// [ErrUnavailable].
type Flows struct {
	client client.Client
}

// New reaches the workflows through a client that [temporalclient.Dial] made. The caller
// closes the client.
func New(c client.Client) *Flows { return &Flows{client: c} }

// OpenPayment starts the payment's workflow, or joins it, and waits until the
// gateway made a ticket or the payment failed. [ErrStillWorking] where ctx ends
// first; [ErrAlreadyEnded] where the workflow's id is used up and the outcome is
// not kept with it.
func (f *Flows) OpenPayment(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
	summary, attributes := workflows.DescribePayment(in.Request)
	return start[workflows.TicketOutcome](ctx, f, starting{
		workflow: workflows.ProcessPaymentName, id: workflows.PaymentWorkflowID(in.PaymentID), input: in,
		update: workflows.UpdateAwaitTicket, updateID: openUpdateID,
		summary: summary, attributes: attributes,
	})
}

// RefundPayment starts the refund's workflow, or joins it, and waits until the
// refund is settled or refused. The errors are those of OpenPayment.
func (f *Flows) RefundPayment(ctx context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
	summary, attributes := workflows.DescribeRefund(in.PaymentID, in.Amount)
	id := workflows.RefundWorkflowID(in.RefundID)
	outcome, err := start[workflows.RefundOutcome](ctx, f, starting{
		workflow: workflows.RefundPaymentName, id: id, input: in,
		update: workflows.UpdateAwaitRefund, updateID: refundUpdateID,
		summary: summary, attributes: attributes,
	})
	if errors.Is(err, ErrAlreadyEnded) && f.client.GetWorkflow(ctx, id, "").Get(ctx, &outcome) == nil {
		return outcome, nil // its result is what the update would have answered
	}
	return outcome, err
}

// starting is a workflow that is started unless it runs, and the update that
// waits for its outcome.
type starting struct {
	workflow, id, update, updateID string
	input                          any
	summary                        string // for people who look at the UI; no personal data
	attributes                     []temporal.SearchAttributeUpdate
	args                           []any // of the update
	again                          bool  // it may run again after it has closed
}

// start joins a workflow that runs and, unless it may run again, refuses to run
// one a second time. The server answers the same update id with the same outcome,
// even after the workflow has closed.
func start[T any](ctx context.Context, f *Flows, s starting) (outcome T, err error) {
	reuse, ended := enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, ErrAlreadyEnded
	if s.again {
		reuse, ended = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, ErrEnded
	}
	operation := f.client.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID:                       s.id,
		TaskQueue:                workflows.TaskQueue,
		WorkflowIDReusePolicy:    reuse,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            s.summary,
		TypedSearchAttributes:    temporal.NewSearchAttributes(s.attributes...),
		// Without it the SDK may answer for a workflow that is over.
		WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, s.workflow, s.input)
	handle, err := f.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: operation,
		UpdateOptions: client.UpdateWorkflowOptions{
			WorkflowID: s.id, UpdateName: s.update, UpdateID: s.updateID, Args: s.args,
			WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err == nil {
		err = handle.Get(ctx, &outcome)
	}
	return outcome, f.translate(ctx, s.id, err, ended)
}

// CancelPayment waits for the status that the payment reaches.
// [ErrStillWorking] where ctx ends first; [ErrEnded] where the workflow has
// closed.
func (f *Flows) CancelPayment(ctx context.Context, paymentID string) (workflows.CancelOutcome, error) {
	return ask[workflows.CancelOutcome](ctx, f, client.UpdateWorkflowOptions{
		WorkflowID: workflows.PaymentWorkflowID(paymentID), UpdateName: workflows.UpdateCancel, UpdateID: cancelUpdateID,
	})
}

// SetPhoneNumber waits for the gateway's answer; the same updateID joins the
// same try. The errors are those of CancelPayment.
func (f *Flows) SetPhoneNumber(
	ctx context.Context, paymentID, updateID string, in workflows.SetPhoneNumberRequest,
) (workflows.PhoneNumberOutcome, error) {
	return ask[workflows.PhoneNumberOutcome](ctx, f, client.UpdateWorkflowOptions{
		WorkflowID: workflows.PaymentWorkflowID(paymentID), UpdateName: workflows.UpdateSetPhoneNumber, UpdateID: updateID,
		Args: []any{in},
	})
}

// ReviewPayment takes a person's decision to the payment's workflow and waits for
// what came of it; the same updateID joins the same try. The errors are those of
// CancelPayment.
func (f *Flows) ReviewPayment(
	ctx context.Context, paymentID, updateID string, in workflows.ReviewRequest,
) (workflows.ReviewOutcome, error) {
	return ask[workflows.ReviewOutcome](ctx, f, review(workflows.PaymentWorkflowID(paymentID), updateID, in))
}

// ReviewRefund does so for a refund.
func (f *Flows) ReviewRefund(
	ctx context.Context, refundID, updateID string, in workflows.ReviewRequest,
) (workflows.ReviewOutcome, error) {
	return ask[workflows.ReviewOutcome](ctx, f, review(workflows.RefundWorkflowID(refundID), updateID, in))
}

func review(workflowID, updateID string, in workflows.ReviewRequest) client.UpdateWorkflowOptions {
	return client.UpdateWorkflowOptions{
		WorkflowID: workflowID, UpdateName: workflows.UpdateReview, UpdateID: updateID, Args: []any{in},
	}
}

// SettleRefund takes a person's decision on a refund whose workflow has ended
// without settling it. The errors are those of CancelPayment.
func (f *Flows) SettleRefund(ctx context.Context, updateID string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error) {
	return start[workflows.ReviewOutcome](ctx, f, starting{
		workflow: workflows.SettleRefundName, id: workflows.SettlementWorkflowID(in.RefundID), input: in, again: true,
		update: workflows.UpdateAwaitSettlement, updateID: updateID, args: []any{in.Word},
		summary: string(in.Word.Verdict) + " · " + in.PaymentID,
	})
}

// ask waits for what a running workflow answers to an update.
func ask[T any](ctx context.Context, f *Flows, options client.UpdateWorkflowOptions) (outcome T, err error) {
	options.WaitForStage = client.WorkflowUpdateStageCompleted
	handle, err := f.client.UpdateWorkflow(ctx, options)
	if err == nil {
		err = handle.Get(ctx, &outcome)
	}
	return outcome, f.translate(ctx, options.WorkflowID, err, ErrEnded)
}

// RelayEvent hands an event to the payment's workflow, which takes each digest
// once. [ErrEnded] where the workflow has closed.
func (f *Flows) RelayEvent(ctx context.Context, paymentID string, event workflows.GatewayEvent) error {
	ctx = temporalclient.WithSignalRequestID(ctx, event.Digest)
	return f.signal(ctx, workflows.PaymentWorkflowID(paymentID), workflows.SignalGatewayEvent, event)
}

// TicketSeen tells the payment's workflow that its ticket is no longer open, once
// for each status. [ErrEnded] where the workflow has closed.
func (f *Flows) TicketSeen(ctx context.Context, paymentID, status string) error {
	ctx = temporalclient.WithSignalRequestID(ctx, paymentID+"/"+status)
	return f.signal(ctx, workflows.PaymentWorkflowID(paymentID), workflows.SignalTicketSeen, nil)
}

// ApplyLateEvent starts the workflow of an event that no payment's own workflow
// takes, once for each digest.
func (f *Flows) ApplyLateEvent(ctx context.Context, in workflows.ApplyLateEventInput) error {
	summary := in.Event.Kind
	if in.PaymentID != "" {
		summary += " · " + in.PaymentID
	}
	id := workflows.LateEventWorkflowID(in.Event.Digest)
	_, err := f.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.TaskQueue, StaticSummary: summary,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflows.ApplyLateEventName, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) { // it has, or had, this digest already
		return nil
	}
	return f.delivered(ctx, id, err)
}

// Redeliver has a notification sent now and says how. The workflow that has it
// decides, whatever the store says of it: where the notification is on its way,
// that workflow tries at once, and otherwise one of its own sends it again.
func (f *Flows) Redeliver(ctx context.Context, d payment.Delivery) (ledger.Redelivery, error) {
	if d.WorkflowID != "" {
		switch redelivery, err := f.deliverNow(ctx, d); {
		case err == nil && redelivery != "":
			return redelivery, nil
		case err != nil && !errors.Is(err, ErrEnded):
			return "", err
		}
	}
	in := workflows.RedeliverNotificationInput{NotificationID: d.ID, Left: d.WorkflowID}
	id := workflows.RedeliveryWorkflowID(d.ID)
	_, err := f.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            fmt.Sprintf("%s to %s/%s", d.Event, d.Host, d.Receiver),
	}, workflows.RedeliverNotificationName, in)
	if err := f.delivered(ctx, id, err); err != nil {
		return "", err
	}
	return ledger.SentAgain, nil
}

// deliverNow asks the workflow that has the notification. Empty where it does not
// deliver it any more.
func (f *Flows) deliverNow(ctx context.Context, d payment.Delivery) (ledger.Redelivery, error) {
	outcome, err := ask[workflows.DeliverNowOutcome](ctx, f, client.UpdateWorkflowOptions{
		WorkflowID: d.WorkflowID, UpdateName: workflows.UpdateDeliverNow,
		Args: []any{workflows.DeliverNowRequest{NotificationID: d.ID}},
	})
	var refused *temporal.ApplicationError
	switch {
	case err == nil && outcome.Trying:
		return ledger.TriedNow, nil
	case errors.As(err, &refused) && refused.Type() == workflows.NotInFlight:
		return "", nil
	case errors.As(err, &refused) && refused.Type() == workflows.HurriedEnough:
		return ledger.LeftAlone, nil
	default:
		return "", err
	}
}

// Drop has a workflow give up deliveries that are on their way. [ErrEnded] where
// it has closed.
func (f *Flows) Drop(ctx context.Context, workflowID string, deliveryIDs []string) error {
	return f.signal(ctx, workflowID, workflows.SignalDeliveries, workflows.DeliveryOrder{Drop: deliveryIDs})
}

// BacklogAge returns the age of the oldest workflow task that no worker has taken
// yet: zero where workers keep up.
func (f *Flows) BacklogAge(ctx context.Context) (time.Duration, error) {
	queue, err := f.client.DescribeTaskQueueEnhanced(ctx, client.DescribeTaskQueueEnhancedOptions{
		TaskQueue: workflows.TaskQueue, TaskQueueTypes: []client.TaskQueueType{client.TaskQueueTypeWorkflow}, ReportStats: true,
	})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var oldest time.Duration
	//lint:ignore SA1019 the SDK has the statistics nowhere else
	for _, version := range queue.VersionsInfo { //nolint:staticcheck // as above
		if stats := version.TypesInfo[client.TaskQueueTypeWorkflow].Stats; stats != nil {
			oldest = max(oldest, stats.ApproximateBacklogAge)
		}
	}
	return oldest, nil
}

func (f *Flows) signal(ctx context.Context, workflowID, name string, value any) error {
	return f.delivered(ctx, workflowID, f.client.SignalWorkflow(ctx, workflowID, "", name, value))
}

// delivered translates the error of a signal or of a start that nobody waits
// for: where ctx has ended there was nothing to wait for but Temporal.
func (f *Flows) delivered(ctx context.Context, workflowID string, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return f.translate(ctx, workflowID, err, ErrEnded)
}

// abandonedUpdate is the type of the server's failure of an update that was
// accepted and did not end before its workflow did.
const abandonedUpdate = "AcceptedUpdateCompletedWorkflow"

// translate maps an error of the client to one of the errors of [Flows].
func (f *Flows) translate(ctx context.Context, workflowID string, err, ended error) error {
	var (
		notFound   *serviceerror.NotFound
		started    *serviceerror.WorkflowExecutionAlreadyStarted
		failed     *temporal.ApplicationError
		notReady   *serviceerror.WorkflowNotReady
		overdue    *client.WorkflowUpdateServiceTimeoutOrCanceledError
		deadline   *serviceerror.DeadlineExceeded
		away       *serviceerror.Unavailable
		overloaded *serviceerror.ResourceExhausted
		nowhere    *serviceerror.NamespaceNotFound // what a server says that has just lost its database
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &notFound), errors.As(err, &started),
		errors.As(err, &failed) && failed.Type() == abandonedUpdate:
		return fmt.Errorf("%w: %w", ended, err)
	case errors.As(err, &notReady):
		return fmt.Errorf("%w: %w", ErrStillWorking, err)
	case errors.As(err, &overdue), errors.As(err, &deadline), errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
		return f.overdue(ctx, workflowID, err)
	case errors.As(err, &away), errors.As(err, &overloaded), errors.As(err, &nowhere):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return fmt.Errorf("workflow %s: %w", workflowID, err)
	}
}

// existsTimeout bounds the question whether a workflow exists.
const existsTimeout = 2 * time.Second

// overdue tells a workflow that takes its time, or that no worker runs yet,
// from a Temporal that never heard of it: only the first may be answered with
// "still working".
func (f *Flows) overdue(ctx context.Context, workflowID string, cause error) error {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), existsTimeout)
	defer cancel()
	if _, err := f.client.DescribeWorkflowExecution(asking, workflowID, ""); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(cause, err))
	}
	return fmt.Errorf("%w: %w", ErrStillWorking, cause)
}
