package api

import (
	"context"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
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
	reviews, next, err := s.cfg.Store.Reviews(c.Request.Context(), filter)
	if err != nil {
		return fromStore(err)
	}
	return answer(c, http.StatusOK, struct {
		Reviews    []payment.Review `json:"reviews"`
		NextCursor *string          `json:"next_cursor"`
	}{neverNull(reviews), formatCursor(next)})
}

// reviewPayment answers POST /v1/payments/{id}/review: a person decides what
// became of a payment that needs a review.
func (s *Server) reviewPayment(c *gin.Context) error {
	id := c.Param("id")
	if _, err := s.payment(c.Request.Context(), id); err != nil {
		return err
	}
	outcome, err := s.review(c, func(ctx context.Context, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
		return s.cfg.Flows.ReviewPayment(ctx, id, updateID, in)
	})
	if err != nil && !errors.Is(err, ErrStillWorking) {
		return err
	}
	seen, readErr := s.payment(c.Request.Context(), id)
	if readErr != nil {
		return readErr
	}
	about := members{PaymentID: id, PaymentStatus: seen.Payment.Status, GatewayMessage: outcome.Says}
	return answerReview(c, err, outcome, about, seen.Payment)
}

// reviewRefund answers POST /v1/payments/{id}/refunds/{rid}/review. A refund that
// is pending and has no workflow any more needs a person, too, whether or not it
// was in review.
func (s *Server) reviewRefund(c *gin.Context) error {
	id, refundID := c.Param("id"), c.Param("rid")
	of, err := s.refundOf(c.Request.Context(), id, refundID)
	if err != nil {
		return err
	}
	outcome, err := s.review(c, func(ctx context.Context, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
		outcome, err := s.cfg.Flows.ReviewRefund(ctx, of.ID, updateID, in)
		if errors.Is(err, ErrEnded) && of.Status == payment.RefundPending {
			return s.cfg.Flows.SettleRefund(ctx, updateID, workflows.SettleRefundInput{
				PaymentID: id, RefundID: of.ID, Word: in, Timing: s.cfg.Timing,
			})
		}
		return outcome, err
	})
	if err != nil && !errors.Is(err, ErrStillWorking) {
		return err
	}
	seen, readErr := s.refundOf(c.Request.Context(), id, refundID)
	if readErr != nil {
		return readErr
	}
	about := members{PaymentID: id, RefundID: refundID, GatewayMessage: outcome.Says}
	return answerReview(c, err, outcome, about, seen)
}

// refundOf returns a payment's refund. One of another payment is not found.
func (s *Server) refundOf(ctx context.Context, paymentID, refundID string) (payment.Refund, error) {
	if _, err := s.payment(ctx, paymentID); err != nil {
		return payment.Refund{}, err
	}
	record, err := s.cfg.Store.Refund(ctx, refundID)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && record.Refund.PaymentID != paymentID {
		return payment.Refund{}, &problem{kind: refundNotFound, members: members{PaymentID: paymentID}}
	}
	return record.Refund, fromStore(err)
}

// review reads a person's word and hands it to the workflow that asked for it.
// A repetition joins the one before it. A workflow that has ended asks nothing.
func (s *Server) review(
	c *gin.Context, ask func(context.Context, string, workflows.ReviewRequest) (workflows.ReviewOutcome, error),
) (workflows.ReviewOutcome, error) {
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return workflows.ReviewOutcome{}, err
	}
	in, err := s.readReview(c)
	if err != nil {
		return workflows.ReviewOutcome{}, err
	}
	digest, err := s.fingerprint("POST …/review", []any{key, in})
	if err != nil {
		return workflows.ReviewOutcome{}, err
	}
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.cfg.Wait)
	defer cancel()
	outcome, err := ask(ctx, "review-"+digest, in)
	if errors.Is(err, ErrEnded) {
		return workflows.ReviewOutcome{Refused: workflows.ReviewNotOpen}, nil
	}
	return outcome, err
}

// readReview reads and validates the body of POST …/review.
func (s *Server) readReview(c *gin.Context) (workflows.ReviewRequest, error) {
	o, err := s.readObject(c)
	if err != nil {
		return workflows.ReviewRequest{}, err
	}
	verdict := func(text string) bool {
		return payment.Verdict(text) == payment.VerdictCompleted || payment.Verdict(text) == payment.VerdictNotExecuted
	}
	reason := func(text string) bool { return text != "" && utf8.RuneCountInString(text) <= payment.MaxReviewReason }
	in := workflows.ReviewRequest{
		Verdict: payment.Verdict(o.textWhere("verdict", verdict, ruleOneOf(names([]payment.Verdict{payment.VerdictCompleted, payment.VerdictNotExecuted})))),
		Reason:  private.Text(o.textWhere("reason", reason, ruleReason())),
		By:      c.GetString(logKeyName),
	}
	return in, o.finish(nil)
}

// answerReview answers with what the payment or the refund has become.
func answerReview(c *gin.Context, waiting error, outcome workflows.ReviewOutcome, about members, became any) error {
	switch {
	case waiting != nil:
		return answer(c, http.StatusAccepted, became)
	case outcome.Refused == workflows.ReviewContradicted:
		return &problem{kind: reviewContradicted, members: about}
	case outcome.Refused != "":
		return &problem{kind: notInReview, members: about}
	default:
		return answer(c, http.StatusOK, became)
	}
}
