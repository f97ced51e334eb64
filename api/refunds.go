package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/payment"
)

// createRefund answers POST /v1/payments/{id}/refunds. A declined refund is an
// answer like any other: it was made, and it failed.
func (s *Server) createRefund(c *gin.Context) error {
	key, err := idempotencyKey(c.Request.Header)
	if err == nil && key == "" {
		err = &app.Error{Kind: app.KindKeyRequired}
	}
	if err != nil {
		return err
	}
	amount, message, err := s.readRefundRequest(c)
	if err != nil {
		return err
	}
	refunded, err := s.cfg.App.Refund(c.Request.Context(), app.RefundInput{
		PaymentID: c.Param("id"), Key: key, Amount: amount, Message: message,
	})
	if err != nil {
		return err
	}
	markReplay(c, refunded.Replayed)
	c.Header("Location", "/v1/payments/"+refunded.Refund.PaymentID+"/refunds")
	return answerWork(c, http.StatusCreated, refunded.Refund.Status == payment.RefundPending, refunded.Refund)
}

// listRefunds answers GET /v1/payments/{id}/refunds, oldest first.
func (s *Server) listRefunds(c *gin.Context) error {
	if err := readQuery(c.Request.URL.RawQuery).err(); err != nil {
		return err
	}
	refunds, err := s.cfg.App.Refunds(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, gin.H{"refunds": neverNull(refunds)})
}
