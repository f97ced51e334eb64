package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
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
		Status:      payment.DeliveryStatus(q.text("status")),
		Event:       payment.Event(q.text("event")),
		Host:        q.text("host"),
		Receiver:    q.text("receiver"),
		CreatedFrom: q.time("created_from"),
		CreatedTo:   q.time("created_to"),
		Limit:       q.limit(),
		After:       q.cursor(ledger.IsNotificationID),
	}
	if filter.Status != "" && !slices.Contains(payment.DeliveryStatuses(), filter.Status) {
		q.refuse("status", ruleOneOf(names(payment.DeliveryStatuses())))
	}
	if filter.Event != "" && !payment.IsEvent(filter.Event) {
		q.refuse("event", ruleOneOf(payment.EventNames()))
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

// notificationJSON is one notification with every call of its receiver.
type notificationJSON struct {
	payment.Delivery
	AttemptLog []ledger.Attempt `json:"attempt_log"`
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
	return answer(c, http.StatusOK, notificationJSON{n.Delivery, neverNull(n.Attempts)})
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

// momentJSON is one line of a payment's timeline.
type momentJSON struct {
	At           time.Time          `json:"at"`
	Kind         app.MomentKind     `json:"kind"`
	Transition   *ledger.Transition `json:"transition,omitempty"`
	Webhook      *webhookJSON       `json:"webhook,omitempty"`
	Notification *payment.Delivery  `json:"notification,omitempty"`
	Refund       *payment.Refund    `json:"refund,omitempty"`
	Review       *payment.Review    `json:"review,omitempty"`
	Mismatch     *payment.Mismatch  `json:"mismatch,omitempty"`
}

// webhookJSON is a webhook as a timeline shows it. What it says is a claim of
// anybody's, and stays out.
type webhookJSON struct {
	ID         string              `json:"id"`
	Kind       string              `json:"kind"`
	Verdict    ledger.EventVerdict `json:"verdict"`
	Effect     string              `json:"effect"`
	Deliveries int                 `json:"deliveries"`
}

func showWebhook(w *ledger.GatewayEvent) *webhookJSON {
	if w == nil {
		return nil
	}
	return &webhookJSON{ID: w.ID, Kind: w.Kind, Verdict: w.Verdict, Effect: w.Effect, Deliveries: w.Deliveries}
}

// timelineJSON is a payment's, oldest first.
type timelineJSON struct {
	Events     []momentJSON     `json:"events"`
	Incomplete []app.MomentKind `json:"incomplete,omitempty"`
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
	shown := timelineJSON{Events: make([]momentJSON, len(timeline.Moments)), Incomplete: timeline.Incomplete}
	for i, m := range timeline.Moments {
		shown.Events[i] = momentJSON{m.At, m.Kind, m.Transition, showWebhook(m.Webhook), m.Notification, m.Refund, m.Review, m.Mismatch}
	}
	return answer(c, http.StatusOK, shown)
}
