package app

import (
	"context"
	"slices"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// GatewayEvents returns one page of what the gateway, or somebody who pretends to
// be the gateway, has posted, newest first.
func (a *App) GatewayEvents(ctx context.Context, filter ledger.GatewayEventFilter) (Page[ledger.GatewayEvent], error) {
	return page(a.store.GatewayEvents(ctx, filter))
}

// Timeline is everything that happened to a payment, oldest first. Its JSON is the
// API's.
type Timeline struct {
	Moments []Moment `json:"events"`
	// Incomplete names the kinds of which only the newest are there.
	Incomplete []MomentKind `json:"incomplete,omitempty"`
}

// MomentKind says what happened: never rename a value.
type MomentKind string

// The kinds.
const (
	MomentTransition   MomentKind = "transition"
	MomentWebhook      MomentKind = "webhook"
	MomentNotification MomentKind = "notification"
	MomentRefund       MomentKind = "refund"
	MomentReview       MomentKind = "review"
	MomentMismatch     MomentKind = "mismatch"
)

// Moment is one line of a timeline: the field that Kind names is set.
type Moment struct {
	At           time.Time          `json:"at"`
	Kind         MomentKind         `json:"kind"`
	Transition   *ledger.Transition `json:"transition,omitempty"`
	Webhook      *Webhook           `json:"webhook,omitempty"`
	Notification *payment.Delivery  `json:"notification,omitempty"`
	Refund       *payment.Refund    `json:"refund,omitempty"`
	Review       *payment.Review    `json:"review,omitempty"`
	Mismatch     *payment.Mismatch  `json:"mismatch,omitempty"`
}

// Webhook is a gateway event without what it says, which is a claim of anybody's.
type Webhook struct {
	ID         string              `json:"id"`
	Kind       string              `json:"kind"`
	Verdict    ledger.EventVerdict `json:"verdict"`
	Effect     string              `json:"effect"`
	Deliveries int                 `json:"deliveries"`
}

// WebhookOf leaves out what a gateway event says.
func WebhookOf(w ledger.GatewayEvent) Webhook {
	return Webhook{ID: w.ID, Kind: w.Kind, Verdict: w.Verdict, Effect: w.Effect, Deliveries: w.Deliveries}
}

// timelineMost bounds what a timeline has of each kind that others than the
// merchant can add to. One more is read, to tell whether there is more.
const timelineMost = 99

// Timeline returns a payment's timeline.
func (a *App) Timeline(ctx context.Context, id string) (Timeline, error) {
	if _, err := a.Payment(ctx, id, 0); err != nil {
		return Timeline{}, err
	}
	all, err := a.timeline(ctx, id)
	slices.SortStableFunc(all.Moments, func(a, b Moment) int { return a.At.Compare(b.At) })
	return all, fromStore(err)
}

// timeline gathers the lines of a timeline. Within one moment they come in the
// order in which they are gathered here.
func (a *App) timeline(ctx context.Context, id string) (all Timeline, err error) {
	transitions, err := a.store.Transitions(ctx, id)
	if err != nil {
		return all, err
	}
	add(&all, MomentTransition, transitions, func(t *ledger.Transition) Moment { return Moment{At: t.At, Transition: t} })
	events, _, err := a.store.GatewayEvents(ctx, ledger.GatewayEventFilter{PaymentID: id, Limit: timelineMost + 1})
	if err != nil {
		return all, err
	}
	addNewest(&all, MomentWebhook, events, func(w *ledger.GatewayEvent) Moment {
		webhook := WebhookOf(*w)
		return Moment{At: w.ReceivedAt, Webhook: &webhook}
	})
	refunds, err := a.store.Refunds(ctx, id)
	if err != nil {
		return all, err
	}
	add(&all, MomentRefund, refunds, func(r *payment.Refund) Moment { return Moment{At: r.CreatedAt, Refund: r} })
	reviews, _, err := a.store.Reviews(ctx, ledger.ReviewFilter{PaymentID: id, Limit: timelineMost + 1})
	if err != nil {
		return all, err
	}
	addNewest(&all, MomentReview, reviews, func(r *payment.Review) Moment { return Moment{At: r.OpenedAt, Review: r} })
	mismatches, err := a.store.Mismatches(ctx, ledger.MismatchFilter{PaymentID: id, Limit: timelineMost + 1})
	if err != nil {
		return all, err
	}
	addNewest(&all, MomentMismatch, mismatches, func(m *payment.Mismatch) Moment { return Moment{At: m.FoundAt, Mismatch: m} })
	deliveries, err := a.store.Deliveries(ctx, id)
	add(&all, MomentNotification, deliveries, func(d *payment.Delivery) Moment { return Moment{At: d.CreatedAt, Notification: d} })
	return all, err
}

func add[T any](t *Timeline, kind MomentKind, things []T, moment func(*T) Moment) {
	for i := range things {
		m := moment(&things[i])
		m.Kind = kind
		t.Moments = append(t.Moments, m)
	}
}

// addNewest adds no more than timelineMost of a kind, of a list newest first.
func addNewest[T any](t *Timeline, kind MomentKind, newest []T, moment func(*T) Moment) {
	if len(newest) > timelineMost {
		newest = newest[:timelineMost]
		t.Incomplete = append(t.Incomplete, kind)
	}
	add(t, kind, newest, moment)
}
