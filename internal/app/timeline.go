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

// Timeline is everything that happened to a payment, oldest first.
type Timeline struct {
	Moments []Moment
	// Incomplete names the kinds of which only the newest are there.
	Incomplete []MomentKind
}

// MomentKind says what happened. The API shows it: never rename a value.
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
	At           time.Time
	Kind         MomentKind
	Transition   *ledger.Transition
	Webhook      *ledger.GatewayEvent
	Notification *payment.Delivery
	Refund       *payment.Refund
	Review       *payment.Review
	Mismatch     *payment.Mismatch
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
	add(&all, transitions, func(t *ledger.Transition) Moment { return Moment{At: t.At, Kind: MomentTransition, Transition: t} })
	events, _, err := a.store.GatewayEvents(ctx, ledger.GatewayEventFilter{PaymentID: id, Limit: timelineMost + 1})
	if err != nil {
		return all, err
	}
	addNewest(&all, MomentWebhook, events, func(w *ledger.GatewayEvent) Moment { return Moment{At: w.ReceivedAt, Webhook: w} })
	refunds, err := a.store.Refunds(ctx, id)
	if err != nil {
		return all, err
	}
	add(&all, refunds, func(r *payment.Refund) Moment { return Moment{At: r.CreatedAt, Kind: MomentRefund, Refund: r} })
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
	add(&all, deliveries, func(d *payment.Delivery) Moment {
		return Moment{At: d.CreatedAt, Kind: MomentNotification, Notification: d}
	})
	return all, err
}

func add[T any](t *Timeline, things []T, moment func(*T) Moment) {
	for i := range things {
		t.Moments = append(t.Moments, moment(&things[i]))
	}
}

// addNewest adds no more than timelineMost of a kind, of a list newest first.
func addNewest[T any](t *Timeline, kind MomentKind, newest []T, moment func(*T) Moment) {
	if len(newest) > timelineMost {
		newest = newest[:timelineMost]
		t.Incomplete = append(t.Incomplete, kind)
	}
	add(t, newest, func(one *T) Moment {
		m := moment(one)
		m.Kind = kind
		return m
	})
}
