package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
)

// settledRevision is above every one that a refund's own workflow can have:
// whatever may still be alive of it changes nothing any more.
const settledRevision = 1 << 40

// SettleRefund takes a person's word on a refund whose own workflow is gone: it
// was terminated, or lost with Temporal's database. Nobody sends the refund from
// then on. The word counts unless the gateway's total of refunds, against
// Cobro's books, contradicts it; then nothing is decided, and it can be asked
// again.
func SettleRefund(ctx workflow.Context, in SettleRefundInput) (ReviewOutcome, error) {
	var outcome *ReviewOutcome
	err := workflow.SetUpdateHandler(ctx, UpdateAwaitSettlement, func(ctx workflow.Context, word ReviewRequest) (ReviewOutcome, error) {
		err := workflow.Await(detached(ctx), func() bool { return outcome != nil })
		if err != nil {
			return ReviewOutcome{}, err
		}
		if word != in.Word { // somebody else was first
			return ReviewOutcome{Refused: ReviewNotOpen}, nil
		}
		return *outcome, nil
	})
	if err != nil {
		return ReviewOutcome{}, err
	}
	ctx = detached(ctx) // what was begun is finished
	taken, err := persist[activities.TakeRefundResult](ctx, activities.TakeRefundName,
		activities.TakeRefundInput{PaymentID: in.PaymentID, RefundID: in.RefundID})
	if err != nil {
		return ReviewOutcome{}, err
	}
	if taken.Taken == nil {
		outcome = &ReviewOutcome{Refused: ReviewNotOpen}
		return *outcome, workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
	}
	r := left(ctx, in, taken)
	heard := &ruling{ReviewRequest: in.Word}
	r.weigh(ctx, heard)
	if heard.answer.Refused == "" {
		if err := r.announceEnd(ctx); err != nil {
			return ReviewOutcome{}, err
		}
	}
	outcome = heard.answer
	return *outcome, r.finish(ctx)
}

// left is a refund as its workflow has left it, with its review.
func left(ctx workflow.Context, in SettleRefundInput, taken activities.TakeRefundResult) *refund {
	r := &refund{
		timing: in.Timing.withDefaults(), refund: taken.Taken.Refund, payment: taken.Taken.Payment, revision: settledRevision - 1,
		docket: &docket{paymentID: in.PaymentID, refundID: in.RefundID},
	}
	if taken.Review != nil {
		r.docket.review, r.docket.evidence = taken.Review, taken.Review.Evidence
	} else {
		r.docket.open(ctx, payment.CauseRefundUnknown)
	}
	return r
}

// weigh settles the refund by a person's word where the gateway does not
// contradict it. The books stand for what had been refunded before.
func (r *refund) weigh(ctx workflow.Context, heard *ruling) {
	before := r.payment.RefundedAmount
	r.docket.note(ctx, "the refund's own workflow is gone; Cobro's total of refunds is $%s without it", before)
	seen, err := r.timing.glance(ctx, r.payment.EcommerceID)
	switch {
	case err != nil:
		r.docket.note(ctx, "ATH Móvil did not say what it has refunded")
	case r.contradicted(heard.Verdict, before, seen.TotalRefunded):
		heard.contradict("refunded in all: $" + seen.TotalRefunded.String() + ", before: $" + before.String())
		return
	default:
		r.docket.note(ctx, "ATH Móvil's total of refunds is $%s", seen.TotalRefunded)
	}
	r.rule(ctx, heard)
}
