package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// listNotifications answers GET /v1/notifications, newest first: what was told,
// to whom, and what came of it.
func (s *Server) listNotifications(c *gin.Context) error {
	q := readQuery(c.Request.URL.RawQuery, "payment_id", "status", "event", "host", "receiver",
		"created_from", "created_to", "limit", "cursor")
	filter := ledger.DeliveryFilter{
		PaymentID:   q.text("payment_id"),
		Status:      oneOf(q, "status", payment.DeliveryStatuses()),
		Event:       oneOf(q, "event", payment.Events()),
		Host:        q.text("host"),
		Receiver:    q.text("receiver"),
		CreatedFrom: q.time("created_from"),
		CreatedTo:   q.time("created_to"),
		Limit:       q.limit(),
		After:       q.cursor(ledger.IsNotificationID),
	}
	if err := q.err(); err != nil {
		return err
	}
	page, err := s.cfg.App.Notifications(c.Request.Context(), filter)
	if err != nil {
		return err
	}
	return answerPage(c, "notifications", page)
}

// showNotification answers GET /v1/notifications/{id}.
func (s *Server) showNotification(c *gin.Context) error {
	if err := readQuery(c.Request.URL.RawQuery).err(); err != nil {
		return err
	}
	n, err := s.cfg.App.Notification(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	n.AttemptLog = neverNull(n.AttemptLog)
	return answer(c, http.StatusOK, n)
}

// redeliver answers POST /v1/notifications/{id}/redeliver.
func (s *Server) redeliver(c *gin.Context) error {
	if _, err := idempotencyKey(c.Request.Header); err != nil { // the same order twice is one
		return err
	}
	if err := s.readNothing(c); err != nil {
		return err
	}
	d, err := s.cfg.App.Redeliver(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return answer(c, http.StatusAccepted, d)
}

// showTimeline answers GET /v1/payments/{id}/events: everything that happened to
// the payment, oldest first.
func (s *Server) showTimeline(c *gin.Context) error {
	if err := readQuery(c.Request.URL.RawQuery).err(); err != nil {
		return err
	}
	timeline, err := s.cfg.App.Timeline(c.Request.Context(), c.Param("id"))
	if err != nil {
		return err
	}
	timeline.Moments = neverNull(timeline.Moments)
	return answer(c, http.StatusOK, timeline)
}
