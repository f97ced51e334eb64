package api

import (
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
)

// keptWebhookJSON is a webhook as it is kept, without what it says of people.
type keptWebhookJSON struct {
	app.Webhook
	PaymentID  string     `json:"payment_id,omitempty"` // whom it was matched with
	Attempts   int        `json:"attempts"`             // to hand it over
	ReceivedAt time.Time  `json:"received_at"`
	SettledAt  *time.Time `json:"settled_at,omitempty"`
}

// listWebhookEvents answers GET /v1/webhook-events, newest first: what the
// gateway, or somebody who pretends to be, has posted, and what became of it.
func (s *Server) listWebhookEvents(c *gin.Context) error {
	q := readQuery(c.Request.URL.RawQuery, "verdict", "payment_id", "limit", "cursor")
	filter := ledger.GatewayEventFilter{
		Verdict:   oneOf(q, "verdict", ledger.EventVerdicts()),
		PaymentID: q.text("payment_id"),
		Limit:     q.limit(),
		After:     q.cursor(ledger.IsGatewayEventID),
	}
	if err := q.err(); err != nil {
		return err
	}
	page, err := s.cfg.App.GatewayEvents(c.Request.Context(), filter)
	if err != nil {
		return err
	}
	shown := app.Page[keptWebhookJSON]{Next: page.Next}
	for _, w := range page.Items {
		shown.Items = append(shown.Items, keptWebhookJSON{app.WebhookOf(w), w.MatchedID, w.Attempts, w.ReceivedAt, w.SettledAt})
	}
	return answerPage(c, "webhook_events", shown)
}
