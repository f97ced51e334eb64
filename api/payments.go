package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// createPayment answers POST /v1/payments.
func (s *Server) createPayment(c *gin.Context) error {
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return err
	}
	request, err := s.readPaymentRequest(c)
	if err != nil {
		return err
	}
	opened, err := s.cfg.App.OpenPayment(c.Request.Context(), app.OpenPaymentInput{Key: key, Request: request})
	c.Set(logPaymentID, opened.Payment.ID)
	markReplay(c, opened.Replayed)
	if err != nil {
		return err
	}
	c.Header("Location", "/v1/payments/"+opened.Payment.ID)
	return answerWork(c, http.StatusCreated, opened.Payment.Status == payment.StatusPending, opened.Payment)
}

// showPayment answers GET /v1/payments/{id}, with ?wait= once the payment is
// terminal or the time is over.
func (s *Server) showPayment(c *gin.Context) error {
	q := readQuery(c.Request.URL.RawQuery, "wait")
	wait := q.wait("wait")
	if err := q.err(); err != nil {
		return err
	}
	p, err := s.cfg.App.Payment(c.Request.Context(), c.Param("id"), wait)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, p)
}

// cancelPayment answers POST /v1/payments/{id}/cancel.
func (s *Server) cancelPayment(c *gin.Context) error {
	if _, err := idempotencyKey(c.Request.Header); err != nil { // canceling is idempotent by itself
		return err
	}
	if err := s.readNothing(c); err != nil {
		return err
	}
	p, err := s.cfg.App.CancelPayment(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return answerWork(c, http.StatusOK, !p.Status.Terminal(), p)
}

// setPhoneNumber answers PUT /v1/payments/{id}/phone-number.
func (s *Server) setPhoneNumber(c *gin.Context) error {
	key, err := idempotencyKey(c.Request.Header)
	if err != nil {
		return err
	}
	phone, err := s.readPhoneNumber(c)
	if err != nil {
		return err
	}
	set, err := s.cfg.App.SetPhoneNumber(c.Request.Context(), app.SetPhoneNumberInput{
		PaymentID: c.Param("id"), Key: key, PhoneNumber: phone,
	})
	if err != nil {
		return err
	}
	return answerWork(c, http.StatusOK, set.Pending, set.Payment)
}

// listPayments answers GET /v1/payments, newest first.
func (s *Server) listPayments(c *gin.Context) error {
	filter, err := readFilter(c.Request.URL.RawQuery)
	if err != nil {
		return err
	}
	page, err := s.cfg.App.Payments(c.Request.Context(), filter)
	if err != nil {
		return err
	}
	return answerPage(c, "payments", page)
}

func readFilter(query string) (ledger.PaymentFilter, error) {
	q := readQuery(query, "status", "reference", "phone_number", "metadata1", "metadata2",
		"needs_review", "created_from", "created_to", "limit", "cursor")
	filter := ledger.PaymentFilter{
		Status:      oneOf(q, "status", payment.Statuses()),
		Reference:   q.text("reference"),
		PhoneNumber: private.Text(q.text("phone_number")),
		Metadata1:   private.Text(q.text("metadata1")),
		Metadata2:   private.Text(q.text("metadata2")),
		CreatedFrom: q.time("created_from"),
		CreatedTo:   q.time("created_to"),
		Limit:       q.limit(),
		After:       q.cursor(ledger.IsID),
	}
	if filter.PhoneNumber != "" {
		digits, err := athmovil.ParsePhone(string(filter.PhoneNumber))
		if err != nil {
			q.refuse("phone_number", rulePhone())
		}
		filter.PhoneNumber = private.Text(digits)
	}
	switch text := q.text("needs_review"); text {
	case "":
	case "true", "false":
		needs := text == "true"
		filter.NeedsReview = &needs
	default:
		q.refuse("needs_review", ruleBoolean())
	}
	return filter, q.err()
}
