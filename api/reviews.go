package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// listReviews answers GET /v1/reviews, newest first: what people are asked,
// with everything that was seen.
func (s *Server) listReviews(c *gin.Context) error {
	q := readQuery(c.Request.URL.RawQuery, "state", "payment_id", "limit", "cursor")
	filter := ledger.ReviewFilter{PaymentID: q.text("payment_id"), Limit: q.limit(), After: q.cursor(ledger.IsReviewID)}
	switch state := q.text("state"); state {
	case "", "open", "decided":
		open := state != "decided"
		filter.Open = &open
	case "all":
	default:
		q.refuse("state", ruleOneOf("open, decided, all"))
	}
	if err := q.err(); err != nil {
		return err
	}
	page, err := s.cfg.App.Reviews(c.Request.Context(), filter)
	if err != nil {
		return err
	}
	return answerPage(c, "reviews", page)
}

// reviewPayment answers POST /v1/payments/{id}/review: a person decides what
// became of a payment that needs a review.
func (s *Server) reviewPayment(c *gin.Context) error {
	decision, err := s.readDecision(c)
	if err != nil {
		return err
	}
	decided, err := s.cfg.App.DecidePayment(c.Request.Context(), decision)
	if err != nil {
		return err
	}
	return answerWork(c, http.StatusOK, decided.Pending, decided.Payment)
}

// reviewRefund answers POST /v1/payments/{id}/refunds/{rid}/review.
func (s *Server) reviewRefund(c *gin.Context) error {
	decision, err := s.readDecision(c)
	if err != nil {
		return err
	}
	decided, err := s.cfg.App.DecideRefund(c.Request.Context(), decision)
	if err != nil {
		return err
	}
	return answerWork(c, http.StatusOK, decided.Pending, decided.Refund)
}

// readDecision reads and validates a request for POST …/review.
func (s *Server) readDecision(c *gin.Context) (app.Decision, error) {
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return app.Decision{}, err
	}
	o, err := s.readObject(c)
	if err != nil {
		return app.Decision{}, err
	}
	d := app.Decision{
		PaymentID: c.Param("id"), RefundID: c.Param("rid"), Key: key, By: c.GetString(logKeyName),
		Verdict: payment.Verdict(o.required("verdict").text("verdict")),
		Reason:  private.Text(o.required("reason").text("reason")),
	}
	return d, o.finish(payment.ValidateReview(d.Verdict, string(d.Reason)))
}
