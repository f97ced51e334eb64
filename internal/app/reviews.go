package app

import (
	"context"
	"errors"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// Decision is a person's decision in a review.
type Decision struct {
	PaymentID string
	RefundID  string // the refund in question; empty where the payment is
	Key       string // the idempotency key, or empty
	Verdict   payment.Verdict
	Reason    private.Text
	By        string // who decides, such as an API key's name
}

// DecidedPayment is what became of a decision on a payment.
type DecidedPayment struct {
	Payment payment.Payment
	Pending bool // the workflow still looks at the gateway
}

// DecidedRefund is what became of a decision on a refund.
type DecidedRefund struct {
	Refund  payment.Refund
	Pending bool // the workflow still looks at the gateway
}

// Reviews returns one page of what people were asked, newest first.
func (a *App) Reviews(ctx context.Context, filter ledger.ReviewFilter) (Page[payment.Review], error) {
	return page(a.store.Reviews(ctx, filter))
}

// DecidePayment records what became of a payment that needs a review.
func (a *App) DecidePayment(ctx context.Context, d Decision) (DecidedPayment, error) {
	p, err := a.Payment(ctx, d.PaymentID, 0)
	if err != nil {
		return DecidedPayment{}, err
	}
	outcome, pending, err := a.decide(ctx, d, func(ctx context.Context, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
		return a.flows.ReviewPayment(ctx, d.PaymentID, updateID, in)
	})
	if err != nil {
		return DecidedPayment{}, err
	}
	p, err = a.became(ctx, p, outcome.Payment)
	if err == nil {
		err = notTaken(outcome, &Error{PaymentID: p.ID, Status: p.Status})
	}
	return DecidedPayment{p, pending}, err
}

// DecideRefund does so for a refund. A refund that is pending and has no workflow
// any more needs a person too, whether or not it was in review.
func (a *App) DecideRefund(ctx context.Context, d Decision) (DecidedRefund, error) {
	of, err := a.refundOf(ctx, d.PaymentID, d.RefundID)
	if err != nil {
		return DecidedRefund{}, err
	}
	outcome, pending, err := a.decide(ctx, d, func(ctx context.Context, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
		outcome, err := a.flows.ReviewRefund(ctx, of.ID, updateID, in)
		if errors.Is(err, flows.ErrEnded) && of.Status == payment.RefundPending {
			return a.flows.SettleRefund(ctx, updateID, workflows.SettleRefundInput{
				PaymentID: d.PaymentID, RefundID: of.ID, Word: in, Timing: a.cfg.Timing,
			})
		}
		return outcome, err
	})
	if err != nil {
		return DecidedRefund{}, err
	}
	if outcome.Refund != nil && of.CompletedAt == nil { // else that was an earlier request's decision
		of = *outcome.Refund
	} else if of, err = a.refundOf(ctx, d.PaymentID, d.RefundID); err != nil {
		return DecidedRefund{}, err
	}
	return DecidedRefund{of, pending}, notTaken(outcome, &Error{PaymentID: d.PaymentID, RefundID: d.RefundID})
}

// decide hands a decision to the workflow that asked for it. A repetition joins
// the one before it. A workflow that has ended asks nothing.
func (a *App) decide(
	ctx context.Context, d Decision, ask func(context.Context, string, workflows.ReviewRequest) (workflows.ReviewOutcome, error),
) (outcome workflows.ReviewOutcome, pending bool, err error) {
	if err := invalid(payment.ValidateReview(d.Verdict, string(d.Reason))); err != nil {
		return outcome, false, err
	}
	in := workflows.ReviewRequest{Verdict: d.Verdict, Reason: d.Reason, By: d.By}
	digest, err := a.fingerprint("POST …/review", []any{d.Key, in})
	if err != nil {
		return outcome, false, err
	}
	waiting, cancel := context.WithTimeout(ctx, a.cfg.Wait)
	defer cancel()
	outcome, err = ask(waiting, "review-"+digest, in)
	switch {
	case errors.Is(err, flows.ErrEnded):
		return workflows.ReviewOutcome{Refused: workflows.ReviewNotOpen}, false, nil
	case errors.Is(err, flows.ErrStillWorking):
		return workflows.ReviewOutcome{}, true, nil
	default:
		return outcome, false, fromFlows(err)
	}
}

// notTaken is why a decision was not taken, or nil where it was.
func notTaken(outcome workflows.ReviewOutcome, about *Error) error {
	about.GatewayMessage = outcome.Says
	switch outcome.Refused {
	case "":
		return nil
	case workflows.ReviewContradicted:
		about.Kind = KindReviewContradicted
	default:
		about.Kind = KindNotInReview
	}
	return about
}
