package app

import (
	"context"
	"errors"

	"github.com/cobropay/cobro/internal/failpoint"
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
// store is what prevents a second refund.
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
	if err != nil {
		return Refunded{}, err
	}
	return Refunded{Refund: made, Replayed: !made.CreatedAt.Equal(work.CreatedAt)}, nil
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
		Fingerprint: fingerprint, CreatedAt: asked, Timing: a.cfg.Timing,
	}, err
}

// refund returns the refund that the key stands for. It reserves it first, and
// then starts its workflow, or joins it, where the outcome is not known yet.
func (a *App) refund(ctx context.Context, in workflows.RefundPaymentInput) (payment.Refund, error) {
	waiting, cancel := context.WithTimeout(ctx, a.cfg.Wait)
	defer cancel()
	reserved, err := a.reserveRefund(ctx, ledger.Reservation{
		RefundID: in.RefundID, PaymentID: in.PaymentID, Amount: in.Amount, Message: in.Message, Fingerprint: in.Fingerprint, At: in.CreatedAt,
	})
	if err != nil || reserved.Status != payment.RefundPending {
		return reserved, err
	}
	in.CreatedAt = reserved.CreatedAt // of the first request

	failpoint.Reach(failpoint.RefundRequestBefore)
	outcome, err := a.flows.RefundPayment(waiting, in)
	failpoint.Reach(failpoint.RefundRequestAfter)
	switch {
	case err != nil && !unfinished(err):
		return reserved, fromFlows(err)
	case outcome.Refusal != nil:
		return reserved, refused(outcome.Refusal)
	case outcome.Refund != nil:
		return *outcome.Refund, nil
	}
	made, err := a.store.Refund(ctx, in.RefundID)
	return made.Refund, fromStore(err)
}

// reserveRefund waits while another refund of the payment is unsettled, for most
// of the request's time: the rest is for what comes of this one.
func (a *App) reserveRefund(ctx context.Context, reservation ledger.Reservation) (payment.Refund, error) {
	patience, cancel := context.WithTimeout(ctx, a.cfg.Wait*8/10)
	defer cancel()
	for {
		reserved, err := a.store.ReserveRefund(ctx, reservation)
		refusal, ok := errors.AsType[*payment.RefundRefusal](err)
		switch {
		case !ok:
			return reserved.Refund, fromStore(err)
		case refusal.Code != payment.RefusedInProgress || !a.wait(patience):
			return payment.Refund{}, refused(refusal)
		}
	}
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
