package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

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
	found, next, err := s.cfg.Store.Notifications(c.Request.Context(), filter)
	if err != nil {
		return fromStore(err)
	}
	return answer(c, http.StatusOK, struct {
		Notifications []payment.Delivery `json:"notifications"`
		NextCursor    *string            `json:"next_cursor"`
	}{neverNull(found), formatCursor(next)})
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
	ctx := c.Request.Context()
	d, err := s.notification(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	attempts, err := s.cfg.Store.Attempts(ctx, d.ID)
	if err != nil {
		return fromStore(err)
	}
	return answer(c, http.StatusOK, notificationJSON{d, neverNull(attempts)})
}

// orderTimeout bounds an order to send a notification again.
const orderTimeout = 5 * time.Second

// redeliver answers POST /v1/notifications/{id}/redeliver: the notification is
// sent now, under its own id, whatever came of it before. One that is on its way
// is tried at once.
func (s *Server) redeliver(c *gin.Context) error {
	if _, err := idempotencyKey(c.Request.Header); err != nil { // the same order twice is one
		return err
	}
	if err := s.readNothing(c); err != nil {
		return err
	}
	ctx := c.Request.Context()
	d, err := s.notification(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	ordering, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	if err := s.cfg.Flows.Redeliver(ordering, d); err != nil {
		return err
	}
	if d, err = s.notification(ctx, d.ID); err != nil {
		return err
	}
	return answer(c, http.StatusAccepted, d)
}

func (s *Server) notification(ctx context.Context, id string) (payment.Delivery, error) {
	if !ledger.IsNotificationID(id) {
		return payment.Delivery{}, &problem{kind: notificationNotFound}
	}
	d, err := s.cfg.Store.Delivery(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return d, &problem{kind: notificationNotFound}
	}
	return d, fromStore(err)
}

// moment is one line of a payment's timeline: one of its fields is set, and Kind
// names which.
type moment struct {
	At           time.Time          `json:"at"`
	Kind         string             `json:"kind"`
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

func showWebhook(w ledger.GatewayEvent) webhookJSON {
	return webhookJSON{ID: w.ID, Kind: w.Kind, Verdict: w.Verdict, Effect: w.Effect, Deliveries: w.Deliveries}
}

// timeline is a payment's, oldest first.
type timeline struct {
	Events []moment `json:"events"`
	// Incomplete names the kinds of which only the newest are shown.
	Incomplete []string `json:"incomplete,omitempty"`
}

// timelineMost bounds what a timeline shows of each kind that others than the
// merchant can add to. One more is read, to tell whether there is more.
const timelineMost = maxPage - 1

// add adds the newest of a kind.
func (t *timeline) add(kind string, newest []moment) {
	if len(newest) > timelineMost {
		newest = newest[:timelineMost]
		t.Incomplete = append(t.Incomplete, kind)
	}
	t.Events = append(t.Events, newest...)
}

// showTimeline answers GET /v1/payments/{id}/events: everything that happened to
// the payment, oldest first.
func (s *Server) showTimeline(c *gin.Context) error {
	if err := readQuery(c.Request.URL.RawQuery).err(); err != nil {
		return err
	}
	ctx := c.Request.Context()
	seen, err := s.payment(ctx, c.Param("id"))
	if err != nil {
		return err
	}
	shown, err := s.timeline(ctx, seen.Payment.ID)
	if err != nil {
		return fromStore(err)
	}
	slices.SortStableFunc(shown.Events, func(a, b moment) int { return a.At.Compare(b.At) })
	shown.Events = neverNull(shown.Events)
	return answer(c, http.StatusOK, shown)
}

// timeline gathers the lines of a timeline. Within one moment they come in the
// order in which they are gathered here.
func (s *Server) timeline(ctx context.Context, id string) (timeline, error) {
	var all timeline
	transitions, err := s.cfg.Store.Transitions(ctx, id)
	if err != nil {
		return timeline{}, err
	}
	for _, t := range transitions {
		all.Events = append(all.Events, moment{At: t.At, Kind: "transition", Transition: &t})
	}
	events, _, err := s.cfg.Store.GatewayEvents(ctx, ledger.GatewayEventFilter{PaymentID: id, Limit: maxPage})
	if err != nil {
		return timeline{}, err
	}
	all.add("webhook", each(events, func(w ledger.GatewayEvent) moment {
		shown := showWebhook(w)
		return moment{At: w.ReceivedAt, Kind: "webhook", Webhook: &shown}
	}))
	refunds, err := s.cfg.Store.Refunds(ctx, id)
	if err != nil {
		return timeline{}, err
	}
	for _, r := range refunds {
		all.Events = append(all.Events, moment{At: r.CreatedAt, Kind: "refund", Refund: &r})
	}
	reviews, _, err := s.cfg.Store.Reviews(ctx, ledger.ReviewFilter{PaymentID: id, Limit: maxPage})
	if err != nil {
		return timeline{}, err
	}
	all.add("review", each(reviews, func(r payment.Review) moment {
		return moment{At: r.OpenedAt, Kind: "review", Review: &r}
	}))
	mismatches, err := s.cfg.Store.Mismatches(ctx, ledger.MismatchFilter{PaymentID: id, Limit: maxPage})
	if err != nil {
		return timeline{}, err
	}
	all.add("mismatch", each(mismatches, func(m payment.Mismatch) moment {
		return moment{At: m.FoundAt, Kind: "mismatch", Mismatch: &m}
	}))
	deliveries, err := s.cfg.Store.Deliveries(ctx, id)
	if err != nil {
		return timeline{}, err
	}
	for _, d := range deliveries {
		all.Events = append(all.Events, moment{At: d.CreatedAt, Kind: "notification", Notification: &d})
	}
	return all, nil
}

func each[T any](all []T, show func(T) moment) []moment {
	shown := make([]moment, len(all))
	for i, one := range all {
		shown[i] = show(one)
	}
	return shown
}
