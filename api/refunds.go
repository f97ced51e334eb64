package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// createRefund answers POST /v1/payments/{id}/refunds. The reservation in the
// store is what prevents a second refund; everything that is read here before
// only finds the answer sooner.
func (s *Server) createRefund(c *gin.Context) error {
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return err
	}
	if key == "" {
		return &problem{kind: keyRequired}
	}
	amount, message, err := s.readRefundRequest(c)
	if err != nil {
		return err
	}
	paymentID := c.Param("id")
	fingerprint, err := s.refundFingerprint(paymentID, amount, message)
	if err != nil {
		return err
	}
	asked := s.now()
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.cfg.Wait)
	defer cancel()
	in := workflows.RefundPaymentInput{
		RefundID: ledger.DeriveRefundID(paymentID, key), PaymentID: paymentID, Amount: amount, Message: message,
		Fingerprint: fingerprint, CreatedAt: asked, WaitUntil: asked.Add(s.refundPatience()), Timing: s.cfg.Timing,
	}
	of, err := s.payment(ctx, paymentID)
	if err != nil {
		return err
	}
	known, err := s.cfg.Store.Refund(ctx, in.RefundID)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		if of.Payment.Status != payment.StatusCompleted {
			return &payment.RefundRefusal{Code: payment.RefusedNotCompleted, Status: of.Payment.Status}
		}
		if err := s.awaitOtherRefunds(ctx, in); err != nil {
			return err
		}
	case err != nil:
		return fromStore(err)
	case known.Refund.Status != payment.RefundPending || known.Fingerprint != in.Fingerprint:
		return answerRefund(c, in, known)
	}
	return s.refundPayment(ctx, c, in, of.Payment)
}

// refundPatience is how long another refund may be in the way. It leaves the
// rest of the wait to learn of the refusal.
func (s *Server) refundPatience() time.Duration { return s.cfg.Wait * 8 / 10 }

// awaitOtherRefunds waits until no other refund of the payment is unsettled.
func (s *Server) awaitOtherRefunds(ctx context.Context, in workflows.RefundPaymentInput) error {
	patience, cancel := context.WithTimeout(ctx, s.refundPatience())
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		refunds, err := s.cfg.Store.Refunds(ctx, in.PaymentID)
		if err != nil {
			return fromStore(err)
		}
		blocking := unsettled(refunds, in.RefundID)
		if blocking == "" {
			return nil
		}
		select {
		case <-patience.Done():
			return &payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: blocking}
		case <-s.draining:
			return &payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: blocking}
		case <-look.C:
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

// refundPayment starts the refund's workflow, or joins it, and answers with
// what came of it. ctx ends when the wait does.
func (s *Server) refundPayment(ctx context.Context, c *gin.Context, in workflows.RefundPaymentInput, of payment.Payment) error {
	failpoint.Reach(failpoint.GiveBefore)
	outcome, err := s.cfg.Flows.RefundPayment(ctx, in)
	failpoint.Reach(failpoint.GiveAfter)
	switch {
	case errors.Is(err, ErrStillWorking), errors.Is(err, ErrAlreadyEnded):
		// The store knows how far it came.
	case err != nil:
		return err
	case outcome.Refusal != nil:
		return outcome.Refusal
	}
	ended := errors.Is(err, ErrAlreadyEnded)
	made, err := s.cfg.Store.Refund(c.Request.Context(), in.RefundID)
	switch {
	case errors.Is(err, ledger.ErrNotFound) && ended:
		return fmt.Errorf("the workflow of refund %s ended and left no record", in.RefundID)
	case errors.Is(err, ledger.ErrNotFound):
		made = pendingRefund(in, of) // not reserved yet
	case err != nil:
		return fromStore(err)
	}
	return answerRefund(c, in, made)
}

// pendingRefund is the refund whose workflow has not written anything yet.
func pendingRefund(in workflows.RefundPaymentInput, of payment.Payment) ledger.RefundRecord {
	amount := of.Total.Sub(of.RefundedAmount)
	if in.Amount != nil {
		amount = *in.Amount
	}
	return ledger.RefundRecord{Fingerprint: in.Fingerprint, Refund: payment.Refund{
		ID: in.RefundID, PaymentID: in.PaymentID, Amount: amount, Status: payment.RefundPending,
		Message: in.Message, Source: payment.SourceAPI, CreatedAt: in.CreatedAt,
	}}
}

// answerRefund answers a POST, the first one or a replay. A declined refund is
// an answer like any other: it was made, and it failed.
func answerRefund(c *gin.Context, in workflows.RefundPaymentInput, made ledger.RefundRecord) error {
	if made.Fingerprint != in.Fingerprint {
		return &problem{kind: keyReused}
	}
	markReplay(c, made.Refund.CreatedAt, in.CreatedAt)
	c.Header("Location", "/v1/payments/"+in.PaymentID+"/refunds")
	if made.Refund.Status == payment.RefundPending {
		return answer(c, http.StatusAccepted, made.Refund)
	}
	return answer(c, http.StatusCreated, made.Refund)
}

// listRefunds answers GET /v1/payments/{id}/refunds, oldest first.
func (s *Server) listRefunds(c *gin.Context) error {
	if err := readQuery(c.Request.URL.RawQuery).err(); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if _, err := s.payment(ctx, c.Param("id")); err != nil {
		return err
	}
	refunds, err := s.cfg.Store.Refunds(ctx, c.Param("id"))
	if err != nil {
		return fromStore(err)
	}
	return answer(c, http.StatusOK, struct {
		Refunds []payment.Refund `json:"refunds"`
	}{neverNull(refunds)})
}
