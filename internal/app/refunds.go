package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// RefundInput asks for a refund.
type RefundInput struct {
	PaymentID string
	Key       string        // the idempotency key; required
	Amount    *money.Amount // nil means all that is left
	Message   private.Text  // for the customer
}

// Refunded is what became of a request for a refund: it is pending where the
// gateway's answer is not known yet, and failed where the gateway refused.
type Refunded struct {
	Refund   payment.Refund
	Replayed bool // the request is a repetition
}

// Refund gives money of a payment back, once for each key. The reservation in the
// store is what prevents a second refund; everything that is read here before
// only finds the answer sooner.
func (a *App) Refund(ctx context.Context, in RefundInput) (Refunded, error) {
	if in.Key == "" {
		return Refunded{}, &Error{Kind: KindKeyRequired}
	}
	if err := invalid(payment.ValidateRefund(in.Amount, string(in.Message))); err != nil {
		return Refunded{}, err
	}
	work, err := a.refundInput(in)
	if err != nil {
		return Refunded{}, err
	}
	made, err := a.refund(ctx, work)
	if err == nil && made.Fingerprint != work.Fingerprint {
		err = &Error{Kind: KindKeyReused}
	}
	if err != nil {
		return Refunded{}, err
	}
	return Refunded{Refund: made.Refund, Replayed: !made.Refund.CreatedAt.Equal(work.CreatedAt)}, nil
}

// refundInput names the refund that a request asks for.
func (a *App) refundInput(in RefundInput) (workflows.RefundPaymentInput, error) {
	asked := a.now()
	fingerprint, err := a.fingerprint("POST /v1/payments/{id}/refunds", struct {
		PaymentID string        `json:"payment_id"`
		Amount    *money.Amount `json:"amount"`
		Message   private.Text  `json:"message"`
	}{in.PaymentID, in.Amount, in.Message})
	return workflows.RefundPaymentInput{
		RefundID: ledger.DeriveRefundID(in.PaymentID, in.Key), PaymentID: in.PaymentID, Amount: in.Amount, Message: in.Message,
		Fingerprint: fingerprint, CreatedAt: asked, WaitUntil: asked.Add(a.refundPatience()), Timing: a.cfg.Timing,
	}, err
}

// refundPatience is how long another refund may be in the way. It leaves the
// rest of the wait to learn of the refusal.
func (a *App) refundPatience() time.Duration { return a.cfg.Wait * 8 / 10 }

// refund returns the refund that the key stands for, and starts its workflow, or
// joins it, where the store does not know the outcome yet.
func (a *App) refund(ctx context.Context, in workflows.RefundPaymentInput) (ledger.RefundRecord, error) {
	waiting, cancel := context.WithTimeout(ctx, a.cfg.Wait)
	defer cancel()
	of, err := a.Payment(waiting, in.PaymentID, 0)
	if err != nil {
		return ledger.RefundRecord{}, err
	}
	known, err := a.store.Refund(waiting, in.RefundID)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		if of.Status != payment.StatusCompleted {
			return known, &Error{Kind: KindNotCompleted, Status: of.Status}
		}
		if err := a.awaitOtherRefunds(waiting, in); err != nil {
			return known, err
		}
	case err != nil:
		return known, fromStore(err)
	case known.Refund.Status != payment.RefundPending || known.Fingerprint != in.Fingerprint:
		return known, nil
	}

	failpoint.Reach(failpoint.RefundRequestBefore)
	outcome, err := a.flows.RefundPayment(waiting, in)
	failpoint.Reach(failpoint.RefundRequestAfter)
	switch {
	case err != nil && !unfinished(err):
		return known, fromFlows(err)
	case outcome.Refusal != nil:
		return known, refused(outcome.Refusal)
	case outcome.Refund != nil && outcome.Fingerprint == in.Fingerprint:
		return ledger.RefundRecord{Refund: *outcome.Refund, Fingerprint: outcome.Fingerprint}, nil
	}
	made, readErr := a.store.Refund(ctx, in.RefundID)
	switch {
	case !errors.Is(readErr, ledger.ErrNotFound):
		return made, fromStore(readErr)
	case errors.Is(err, flows.ErrAlreadyEnded):
		return made, fmt.Errorf("the workflow of refund %s ended and left no record", in.RefundID)
	default:
		return pendingRefund(in, of), nil // not reserved yet
	}
}

// awaitOtherRefunds waits until no other refund of the payment is unsettled.
func (a *App) awaitOtherRefunds(ctx context.Context, in workflows.RefundPaymentInput) error {
	patience, cancel := context.WithTimeout(ctx, a.refundPatience())
	defer cancel()
	for {
		refunds, err := a.store.Refunds(ctx, in.PaymentID)
		if err != nil {
			return fromStore(err)
		}
		blocking := unsettled(refunds, in.RefundID)
		if blocking == "" {
			return nil
		}
		if !a.wait(patience) {
			return &Error{Kind: KindRefundInProgress, RetryAfter: retrySoon, RefundID: blocking}
		}
	}
}

// unsettled returns the id of a refund, other than ours, whose outcome is not
// known.
func unsettled(refunds []payment.Refund, ours string) string {
	for _, r := range refunds {
		if r.ID != ours && (r.Status == payment.RefundPending || r.NeedsReview) {
			return r.ID
		}
	}
	return ""
}

// pendingRefund is the refund whose workflow has not written anything yet.
func pendingRefund(in workflows.RefundPaymentInput, of payment.Payment) ledger.RefundRecord {
	amount := of.Left()
	if in.Amount != nil {
		amount = *in.Amount
	}
	return ledger.RefundRecord{Fingerprint: in.Fingerprint, Refund: payment.Refund{
		ID: in.RefundID, PaymentID: in.PaymentID, Amount: amount, Status: payment.RefundPending,
		Message: in.Message, Source: payment.SourceAPI, CreatedAt: in.CreatedAt,
	}}
}

// Refunds returns a payment's refunds, oldest first.
func (a *App) Refunds(ctx context.Context, paymentID string) ([]payment.Refund, error) {
	if _, err := a.Payment(ctx, paymentID, 0); err != nil {
		return nil, err
	}
	refunds, err := a.store.Refunds(ctx, paymentID)
	return refunds, fromStore(err)
}

// refundOf returns a payment's refund. One of another payment is not found.
func (a *App) refundOf(ctx context.Context, paymentID, refundID string) (payment.Refund, error) {
	if _, err := a.Payment(ctx, paymentID, 0); err != nil {
		return payment.Refund{}, err
	}
	record, err := a.store.Refund(ctx, refundID)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && record.Refund.PaymentID != paymentID {
		return payment.Refund{}, &Error{Kind: KindRefundNotFound, PaymentID: paymentID}
	}
	return record.Refund, fromStore(err)
}
