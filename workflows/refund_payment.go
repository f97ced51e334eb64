package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// RefundPayment gives money of one payment back, at most once. A refusal is a
// result, not a failure: nothing was reserved and nothing was sent.
func RefundPayment(ctx workflow.Context, in RefundPaymentInput) (RefundOutcome, error) {
	r, err := newRefund(ctx, in)
	if err != nil {
		return RefundOutcome{}, err
	}
	// A refund that may have been sent is never abandoned, so the workflow's
	// cancellation is not heard.
	if err := r.run(detached(ctx)); err != nil {
		return RefundOutcome{}, err
	}
	return r.outcome(), nil
}

// refund is one running RefundPayment.
type refund struct {
	input  RefundPaymentInput
	timing Timing

	refund   payment.Refund
	payment  payment.Payment // as it was when the refund was reserved
	revision int64
	refusal  *payment.RefundRefusal

	outbox  outbox
	settled bool // the outcome is known and written
}

// newRefund installs the handler before anything can block.
func newRefund(ctx workflow.Context, in RefundPaymentInput) (*refund, error) {
	r := &refund{input: in, timing: in.Timing.withDefaults()}
	if got := workflow.GetInfo(ctx).WorkflowExecution.ID; got != RefundWorkflowID(in.RefundID) {
		return nil, temporal.NewNonRetryableApplicationError("the workflow's id is not its refund's", "invalid", nil)
	}
	return r, workflow.SetUpdateHandler(ctx, UpdateAwaitRefund, func(ctx workflow.Context) (RefundOutcome, error) {
		err := workflow.Await(detached(ctx), func() bool { return r.settled })
		return r.outcome(), err
	})
}

func (r *refund) outcome() RefundOutcome {
	if r.refusal != nil {
		return RefundOutcome{Refusal: r.refusal}
	}
	return RefundOutcome{Refund: &r.refund}
}

// run is the refund's life.
func (r *refund) run(ctx workflow.Context) error {
	if err := r.reserve(ctx); err != nil {
		return err
	}
	if r.refusal == nil {
		if err := r.execute(ctx); err != nil {
			return err
		}
		if err := r.announceEnd(ctx); err != nil {
			return err
		}
	}
	r.settled = true
	for {
		over := func() bool { return r.outbox.idle() && workflow.AllHandlersFinished(ctx) }
		if err := workflow.Await(ctx, func() bool { return r.outbox.hasEnded() || over() }); err != nil {
			return err
		}
		if !r.outbox.hasEnded() {
			return nil
		}
		if _, err := persist[payment.Announced](ctx, activities.RecordRefundName, payment.RefundChange{
			Record: r.record(), Deliveries: r.outbox.take(),
		}); err != nil {
			return err
		}
	}
}

// reserve asks for the right to send the refund. While another refund of the
// payment is in the way, it asks again until the request's own deadline.
func (r *refund) reserve(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "Reserves the amount.")
	reservation := payment.Reservation{
		RefundID: r.input.RefundID, PaymentID: r.input.PaymentID, Amount: r.input.Amount, Message: r.input.Message,
		Fingerprint: r.input.Fingerprint, Holder: workflow.GetInfo(ctx).WorkflowExecution.RunID, At: r.input.CreatedAt.UTC(),
	}
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		result, err := persist[activities.ReserveRefundResult](ctx, activities.ReserveRefundName, reservation)
		if err != nil {
			return err
		}
		if result.Reserved != nil {
			r.refund, r.payment = result.Reserved.Refund, result.Reserved.Payment
			r.revision = 1
			return nil
		}
		if result.Refusal.Code != payment.RefusedInProgress || workflow.Now(ctx).Add(pause).After(r.input.WaitUntil) {
			r.refusal = result.Refusal
			return nil
		}
		if err := workflow.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// refundTriesUnsent bounds the tries of a refund that was surely not sent.
const refundTriesUnsent = 3

// execute sends the refund and settles what came of it. Only a request that was
// surely not sent is sent again; what is not known is never sent again.
func (r *refund) execute(ctx workflow.Context) error {
	// What the gateway had refunded before is recorded in the history, to tell
	// afterwards whether an unanswered refund was executed.
	before, err := r.totalRefunded(ctx)
	if err != nil {
		return err
	}
	workflow.SetCurrentDetails(ctx, "Sends the refund to ATH Móvil.")
	options := r.timing.activityOptions(activities.RefundName, "gives $"+r.refund.Amount.String()+" back")
	for tries := 1; ; tries++ {
		var done activities.RefundResult
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activities.RefundName, activities.RefundInput{
			RefundID: r.refund.ID, ReferenceNumber: r.payment.ReferenceNumber, Amount: r.refund.Amount, Message: r.refund.Message,
		}).Get(ctx, &done)
		failure := activities.FailureOf(err)
		switch {
		case err == nil:
			r.complete(ctx, done.ReferenceNumber)
			return nil
		case failure.Definite():
			r.fail(ctx, failure)
			return nil
		case failure.Kind != athmovil.KindUnavailable:
			return r.settle(ctx, before)
		case tries == refundTriesUnsent:
			r.fail(ctx, failure)
			return nil
		}
		if err := workflow.Sleep(ctx, time.Duration(tries)*r.timing.PollFirst); err != nil {
			return err
		}
	}
}

// settle decides what an unanswered refund came to: completed where the
// gateway's total rose by exactly the amount after the settling period, and a
// review in every other case. It goes on looking while the review lasts.
func (r *refund) settle(ctx workflow.Context, before money.Amount) error {
	workflow.SetCurrentDetails(ctx, "The refund's outcome is not known; watches ATH Móvil's total.")
	for pause := r.timing.Settle; ; pause = r.timing.Review {
		if err := workflow.Sleep(ctx, pause); err != nil {
			return err
		}
		after, err := r.totalRefunded(ctx)
		if err != nil {
			return err
		}
		if after.Sub(before) == r.refund.Amount {
			r.complete(ctx, "")
			return nil
		}
		if !r.refund.NeedsReview {
			if err := r.needReview(ctx, before, after); err != nil {
				return err
			}
		}
	}
}

// totalRefunded asks the gateway what it has refunded of the payment.
func (r *refund) totalRefunded(ctx workflow.Context) (money.Amount, error) {
	options := r.timing.activityOptions(activities.FindTicketName, "looks at what was refunded")
	var seen activities.Ticket
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activities.FindTicketName,
		activities.TicketInput{EcommerceID: r.payment.EcommerceID}).Get(ctx, &seen)
	return seen.TotalRefunded, err
}

func (r *refund) complete(ctx workflow.Context, reference string) {
	now := workflow.Now(ctx).UTC()
	r.refund.Status = payment.RefundCompleted
	r.refund.ReferenceNumber = reference
	r.refund.CompletedAt = &now
	r.refund.NeedsReview = false
}

func (r *refund) fail(ctx workflow.Context, failure activities.GatewayFailure) {
	now := workflow.Now(ctx).UTC()
	r.refund.Status = payment.RefundFailed
	r.refund.Failure = failure.Reason()
	r.refund.CompletedAt = &now
	r.refund.NeedsReview = false
}

// needReview flags the refund and tells of it. Those who wait get the refund as
// it is: pending, and in review.
func (r *refund) needReview(ctx workflow.Context, before, after money.Amount) error {
	r.refund.NeedsReview = true
	workflow.SetCurrentDetails(ctx, fmt.Sprintf(
		"Needs a review: ATH Móvil's total of refunds was $%s and is $%s; the refund is of $%s. Looks every %s.",
		before, after, r.refund.Amount, r.timing.Review))
	if err := workflow.UpsertTypedSearchAttributes(ctx, SearchNeedsReview.ValueSet(true)); err != nil {
		return err
	}
	err := r.announce(ctx, payment.EventNeedsReview)
	r.settled = true
	return err
}

// announceEnd writes the outcome and tells the receivers.
func (r *refund) announceEnd(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "The refund is "+string(r.refund.Status)+".")
	if err := workflow.UpsertTypedSearchAttributes(ctx,
		SearchNeedsReview.ValueSet(false), SearchReferenceNumber.ValueSet(r.payment.ReferenceNumber),
	); err != nil {
		return err
	}
	if r.refund.Status == payment.RefundCompleted {
		return r.announce(ctx, payment.EventRefundCompleted)
	}
	return r.announce(ctx, payment.EventRefundFailed)
}

// announce writes the refund as it stands, waits until it is written, and tells
// the event's receivers in the background.
func (r *refund) announce(ctx workflow.Context, event payment.Event) error {
	r.revision++
	announced, err := persist[payment.Announced](ctx, activities.RecordRefundName, payment.RefundChange{
		Record: r.record(), Announce: event,
	})
	if err != nil {
		return err
	}
	current := r.refund
	r.outbox.announce(ctx, r.refund.ID, payment.Notification{
		Event: event, Sequence: announced.Sequence, OccurredAt: workflow.Now(ctx).UTC(), Payment: announced.Payment, Refund: &current,
	}, func(workflow.Context) ([]payment.Receiver, error) { return announced.Receivers, nil })
	return nil
}

func (r *refund) record() payment.RefundRecord {
	return payment.RefundRecord{Refund: r.refund, Revision: r.revision, Fingerprint: r.input.Fingerprint}
}
