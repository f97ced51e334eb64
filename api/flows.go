package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/orders"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Flows asks the workflows, which alone write payments and refunds. It is safe
// for concurrent use. Beside the errors named here every method may return
// [ErrUnavailable].
type Flows interface {
	// OpenPayment starts the payment's workflow, or joins it, and waits until
	// the gateway made a ticket or the payment failed. [ErrStillWorking] where
	// ctx ends first; [ErrAlreadyEnded] where the workflow's id is used up and
	// the outcome is not kept with it.
	OpenPayment(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error)
	// CancelPayment waits for the status that the payment reaches.
	// [ErrStillWorking] where ctx ends first; [ErrEnded] where the workflow has
	// closed.
	CancelPayment(ctx context.Context, paymentID string) (workflows.CancelOutcome, error)
	// SetPhoneNumber waits for the gateway's answer; the same updateID joins
	// the same try. The errors are those of CancelPayment.
	SetPhoneNumber(ctx context.Context, paymentID, updateID string, in workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error)
	// RefundPayment starts the refund's workflow, or joins it, and waits until
	// the refund is settled or refused. The errors are those of OpenPayment.
	RefundPayment(ctx context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error)
	// ReviewPayment takes a person's word to the payment's workflow and waits for
	// what came of it; the same updateID joins the same try. The errors are those
	// of CancelPayment.
	ReviewPayment(ctx context.Context, paymentID, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error)
	// ReviewRefund does so for a refund.
	ReviewRefund(ctx context.Context, refundID, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error)
	// SettleRefund takes a person's word on a refund whose workflow has ended
	// without settling it. The errors are those of CancelPayment.
	SettleRefund(ctx context.Context, updateID string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error)
	// RelayEvent hands an event to the payment's workflow, which takes each
	// digest once. [ErrEnded] where the workflow has closed.
	RelayEvent(ctx context.Context, paymentID string, event workflows.GatewayEvent) error
	// Redeliver has a notification sent now, and returns once the order is taken.
	Redeliver(ctx context.Context, d payment.Delivery) error
	// ApplyLateEvent starts the workflow of an event that no payment's own
	// workflow takes, once for each digest.
	ApplyLateEvent(ctx context.Context, in workflows.ApplyLateEventInput) error
}

// Errors of [Flows].
var (
	ErrStillWorking = flows.ErrStillWorking
	ErrAlreadyEnded = flows.ErrAlreadyEnded
	ErrEnded        = flows.ErrEnded
	ErrUnavailable  = flows.ErrUnavailable
)

// Update ids of the one update that starts a workflow, so that every replay
// joins it. Stored in histories: never change them.
const (
	openUpdateID   = "open"
	refundUpdateID = "refund"
	cancelUpdateID = "cancel"
)

// temporalFlows is [Flows] over a Temporal client.
type temporalFlows struct {
	client        client.Client
	withRequestID func(ctx context.Context, id string) context.Context
}

// NewFlows reaches the workflows through a Temporal client, which stays the
// caller's to close. withRequestID returns a context under which a signal
// carries id as its request id, so that the server drops a second one; nil
// leaves that to the workflow.
func NewFlows(c client.Client, withRequestID func(ctx context.Context, id string) context.Context) Flows {
	if withRequestID == nil {
		withRequestID = func(ctx context.Context, _ string) context.Context { return ctx }
	}
	return &temporalFlows{client: c, withRequestID: withRequestID}
}

// OpenPayment implements [Flows].
func (f *temporalFlows) OpenPayment(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
	r := in.Request
	summary := "$" + r.Total.String()
	attributes := []temporal.SearchAttributeUpdate{workflows.SearchTotalCents.ValueSet(r.Total.Cents())}
	if r.Reference != "" {
		summary += " · " + r.Reference
		attributes = append(attributes, workflows.SearchReference.ValueSet(r.Reference))
	}
	var outcome workflows.TicketOutcome
	err := f.start(ctx, starting{
		workflow: workflows.ProcessPaymentName, id: workflows.PaymentWorkflowID(in.PaymentID), input: in,
		update: workflows.UpdateAwaitTicket, updateID: openUpdateID,
		summary: summary, attributes: attributes,
	}, &outcome)
	return outcome, err
}

// RefundPayment implements [Flows].
func (f *temporalFlows) RefundPayment(ctx context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
	var attributes []temporal.SearchAttributeUpdate
	if in.Amount != nil {
		attributes = append(attributes, workflows.SearchTotalCents.ValueSet(in.Amount.Cents()))
	}
	var outcome workflows.RefundOutcome
	id := workflows.RefundWorkflowID(in.RefundID)
	err := f.start(ctx, starting{
		workflow: workflows.RefundPaymentName, id: id, input: in,
		update: workflows.UpdateAwaitRefund, updateID: refundUpdateID,
		summary: refundSummary(in.Amount) + " · " + in.PaymentID, attributes: attributes,
	}, &outcome)
	if errors.Is(err, ErrAlreadyEnded) && f.client.GetWorkflow(ctx, id, "").Get(ctx, &outcome) == nil {
		return outcome, nil // its result is what the update would have answered
	}
	return outcome, err
}

func refundSummary(amount *money.Amount) string {
	if amount == nil {
		return "refund of all that is left"
	}
	return "refund of $" + amount.String()
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
func (f *temporalFlows) start(ctx context.Context, s starting, outcome any) error {
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
		err = handle.Get(ctx, outcome)
	}
	return f.translate(ctx, s.id, err, ended)
}

// CancelPayment implements [Flows].
func (f *temporalFlows) CancelPayment(ctx context.Context, paymentID string) (workflows.CancelOutcome, error) {
	var outcome workflows.CancelOutcome
	err := f.ask(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflows.PaymentWorkflowID(paymentID), UpdateName: workflows.UpdateCancel, UpdateID: cancelUpdateID,
	}, &outcome)
	return outcome, err
}

// SetPhoneNumber implements [Flows].
func (f *temporalFlows) SetPhoneNumber(
	ctx context.Context, paymentID, updateID string, in workflows.SetPhoneNumberRequest,
) (workflows.PhoneNumberOutcome, error) {
	var outcome workflows.PhoneNumberOutcome
	err := f.ask(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflows.PaymentWorkflowID(paymentID), UpdateName: workflows.UpdateSetPhoneNumber, UpdateID: updateID,
		Args: []any{in},
	}, &outcome)
	return outcome, err
}

// ReviewPayment implements [Flows].
func (f *temporalFlows) ReviewPayment(
	ctx context.Context, paymentID, updateID string, in workflows.ReviewRequest,
) (workflows.ReviewOutcome, error) {
	return f.review(ctx, workflows.PaymentWorkflowID(paymentID), updateID, in)
}

// ReviewRefund implements [Flows].
func (f *temporalFlows) ReviewRefund(
	ctx context.Context, refundID, updateID string, in workflows.ReviewRequest,
) (workflows.ReviewOutcome, error) {
	return f.review(ctx, workflows.RefundWorkflowID(refundID), updateID, in)
}

// SettleRefund implements [Flows].
func (f *temporalFlows) SettleRefund(ctx context.Context, updateID string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error) {
	var outcome workflows.ReviewOutcome
	err := f.start(ctx, starting{
		workflow: workflows.SettleRefundName, id: workflows.SettlementWorkflowID(in.RefundID), input: in, again: true,
		update: workflows.UpdateAwaitSettlement, updateID: updateID, args: []any{in.Word},
		summary: string(in.Word.Verdict) + " · " + in.PaymentID,
	}, &outcome)
	return outcome, err
}

func (f *temporalFlows) review(ctx context.Context, workflowID, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
	var outcome workflows.ReviewOutcome
	err := f.ask(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflowID, UpdateName: workflows.UpdateReview, UpdateID: updateID, Args: []any{in},
	}, &outcome)
	return outcome, err
}

func (f *temporalFlows) ask(ctx context.Context, options client.UpdateWorkflowOptions, outcome any) error {
	options.WaitForStage = client.WorkflowUpdateStageCompleted
	handle, err := f.client.UpdateWorkflow(ctx, options)
	if err == nil {
		err = handle.Get(ctx, outcome)
	}
	return f.translate(ctx, options.WorkflowID, err, ErrEnded)
}

// RelayEvent implements [Flows].
func (f *temporalFlows) RelayEvent(ctx context.Context, paymentID string, event workflows.GatewayEvent) error {
	id := workflows.PaymentWorkflowID(paymentID)
	err := f.client.SignalWorkflow(f.withRequestID(ctx, event.Digest), id, "", workflows.SignalGatewayEvent, event)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err) // a signal has nothing to wait for but Temporal
	}
	return f.translate(ctx, id, err, ErrEnded)
}

// ApplyLateEvent implements [Flows].
func (f *temporalFlows) ApplyLateEvent(ctx context.Context, in workflows.ApplyLateEventInput) error {
	id := workflows.LateEventWorkflowID(in.Event.Digest)
	summary := in.Event.Kind
	if in.PaymentID != "" {
		summary += " · " + in.PaymentID
	}
	_, err := f.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                    id,
		TaskQueue:             workflows.TaskQueue,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		StaticSummary:         summary,
	}, workflows.ApplyLateEventName, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &started): // it has, or had, this digest already
		return nil
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return f.translate(ctx, id, err, ErrEnded)
	}
}

// Redeliver implements [Flows].
func (f *temporalFlows) Redeliver(ctx context.Context, d payment.Delivery) error {
	err := orders.Redeliver(ctx, f.client, d)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return f.translate(ctx, d.WorkflowID, err, ErrEnded)
}

// abandonedUpdate is the type of the server's failure of an update that was
// accepted and did not end before its workflow did.
const abandonedUpdate = "AcceptedUpdateCompletedWorkflow"

// translate maps an error of the client to one of the errors of [Flows].
func (f *temporalFlows) translate(ctx context.Context, workflowID string, err, ended error) error {
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
func (f *temporalFlows) overdue(ctx context.Context, workflowID string, cause error) error {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), existsTimeout)
	defer cancel()
	if _, err := f.client.DescribeWorkflowExecution(asking, workflowID, ""); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(cause, err))
	}
	return fmt.Errorf("%w: %w", ErrStillWorking, cause)
}
