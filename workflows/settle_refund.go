package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/payment"
)

// settledRevision is above every one that a refund's own workflow can have:
// whatever may still be alive of it changes nothing any more.
const settledRevision = 1 << 40

// settleRefund takes a person's decision on a refund whose own workflow is gone:
// it was terminated, or lost with Temporal's database. Nobody sends the refund
// from then on. The decision counts unless the gateway's total of refunds,
// against Cobro's books, contradicts it; then nothing is decided, and it can be
// made again.
func settleRefund(ctx workflow.Context, in SettleRefundInput) (ReviewOutcome, error) {
	var outcome *ReviewOutcome
	err := workflow.SetUpdateHandler(ctx, UpdateAwaitSettlement, func(ctx workflow.Context, decision ReviewRequest) (ReviewOutcome, error) {
		err := workflow.Await(detached(ctx), func() bool { return outcome != nil })
		if err != nil {
			return ReviewOutcome{}, err
		}
		if decision != in.Word { // somebody else was first
			return ReviewOutcome{Refused: ReviewNotOpen, Refund: outcome.Refund}, nil
		}
		return *outcome, nil
	})
	if err != nil {
		return ReviewOutcome{}, err
	}
	ctx = detached(ctx) // what was begun is finished
	taken, err := activity.TakeRefund.Do(ctx, activity.TakeRefundInput{PaymentID: in.PaymentID, RefundID: in.RefundID})
	if err != nil {
		return ReviewOutcome{}, err
	}
	if taken.Taken == nil {
		outcome = &ReviewOutcome{Refused: ReviewNotOpen}
		return *outcome, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	}
	r := abandoned(ctx, in, taken)
	if err := r.notifier.install(ctx); err != nil {
		return ReviewOutcome{}, err
	}
	request := &decisionRequest{ReviewRequest: in.Word}
	r.weigh(ctx, request)
	if request.answer.Refused == "" {
		if err := r.announceEnd(ctx); err != nil {
			return ReviewOutcome{}, err
		}
	}
	r.describe(request.answer)
	outcome = request.answer
	return *outcome, r.notifier.finish(ctx)
}

// abandoned is a refund as its workflow has left it, with its review.
func abandoned(ctx workflow.Context, in SettleRefundInput, taken activity.TakeRefundResult) *refund {
	r := &refund{
		timing: in.Timing.withDefaults(), refund: taken.Taken.Refund, stored: &taken.Taken.Refund, payment: taken.Taken.Payment, revision: settledRevision - 1,
		reviewCase: &reviewCase{paymentID: in.PaymentID, refundID: in.RefundID},
	}
	if taken.Review != nil {
		r.reviewCase.review, r.reviewCase.evidence = taken.Review, taken.Review.Evidence
	} else {
		r.reviewCase.open(ctx, payment.CauseRefundUnknown)
	}
	return r
}

// weigh settles the refund by a person's decision where the gateway does not
// contradict it. The books stand for what had been refunded before.
func (r *refund) weigh(ctx workflow.Context, request *decisionRequest) {
	before := r.payment.RefundedAmount
	r.reviewCase.note(ctx, "the refund's own workflow is gone; Cobro's total of refunds is $%s without it", before)
	seen, err := r.timing.findOnce(ctx, r.payment.EcommerceID)
	switch {
	case err != nil:
		r.reviewCase.note(ctx, "ATH Móvil did not say what it has refunded")
	case !r.isOurs(ctx, seen): // which contradicts nothing
	case r.contradicted(request.Verdict, before, seen.TotalRefunded):
		request.contradict("refunded in all: $" + seen.TotalRefunded.String() + ", before: $" + before.String())
		return
	default:
		r.reviewCase.note(ctx, "ATH Móvil's total of refunds is $%s", seen.TotalRefunded)
	}
	r.settleBy(ctx, request)
}
