// Package relay takes what the gateway posts and hands it to the workflows.
//
// The two halves never wait for each other. [Relay.Receive] makes an event
// durable before it is answered: the gateway documents no retry
// (docs/athmovil.md §4.1), so nothing may be lost after that. It reads what the
// event claims, once, and keeps that beside the body. [Relay.Run] leases stored
// events, finds the payment of each, and gives it to the payment's workflow, or
// to a workflow of its own where that one has ended. What Temporal cannot take
// now is tried again, with growing pauses; what it will never take gets a
// verdict.
//
// Nothing here knows HTTP. An event is only a hint: nobody signed it.
package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/workflows"
)

// Store keeps events. Each call ends within a few seconds, whatever the database
// does. It is safe for concurrent use.
type Store interface {
	// AddGatewayEvent makes an event durable and reports whether its digest is
	// new; a duplicate is only counted.
	AddGatewayEvent(ctx context.Context, event ledger.GatewayEvent) (added bool, err error)
	// LeaseGatewayEvents hands out pending events, oldest first, each to one
	// caller until the lease has run out.
	LeaseGatewayEvents(ctx context.Context, limit int, lease time.Duration) ([]ledger.GatewayEvent, error)
	SettleGatewayEvent(ctx context.Context, id string, verdict ledger.EventVerdict, matchedID, effect string) error
	// PostponeGatewayEvent ends the lease; the event stays pending.
	PostponeGatewayEvent(ctx context.Context, id string, notBefore time.Time) error
	// MatchGatewayEvent returns the id of the payment that an event is about, or
	// [ledger.ErrNotFound].
	MatchGatewayEvent(ctx context.Context, event ledger.GatewayEvent) (paymentID string, err error)
}

// Flows reaches the workflows. [flows.Flows] says what each method does.
type Flows interface {
	RelayEvent(ctx context.Context, paymentID string, event workflows.GatewayEvent) error
	ApplyLateEvent(ctx context.Context, in workflows.ApplyLateEventInput) error
}

// Watcher follows what the relay does, to measure and to trace it. It learns
// only ids of ours and what was decided. It is safe for concurrent use.
type Watcher interface {
	// Handover is called before an event is handed over, which goes on with the
	// context that it returns, and done after it.
	Handover(ctx context.Context) (_ context.Context, done func(HandedOver))
}

// HandedOver is what became of an event.
type HandedOver struct {
	EventID   string
	Kind      string              // the parser's
	Verdict   ledger.EventVerdict // empty where it has to be tried again
	PaymentID string              // or empty
}

// Config says what a [Relay] works with.
type Config struct {
	// Required fields

	Store Store
	Flows Flows

	// Optional fields

	// Timing travels in the input of every workflow that the relay starts. Its
	// zero fields mean the defaults.
	Timing workflows.Timing
	// Watch follows handovers; nil means that nobody does.
	Watch Watcher
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Entropy is where ids come from; nil means crypto/rand. It must be safe for
	// concurrent use.
	Entropy io.Reader
	// Logger gets a line for each event; nil means silence.
	Logger *slog.Logger
}

// Relay takes events and hands them over. Make one with [New]; it is safe for
// concurrent use and holds nothing that needs closing.
type Relay struct {
	cfg  Config
	wake chan struct{} // an event was stored
}

// New returns a relay, or an error that names every required field that is
// missing.
func New(cfg Config) (*Relay, error) {
	var errs []error
	if cfg.Store == nil {
		errs = append(errs, errors.New("relay: Store is required"))
	}
	if cfg.Flows == nil {
		errs = append(errs, errors.New("relay: Flows is required"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.Watch == nil {
		cfg.Watch = unwatched{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Entropy == nil {
		cfg.Entropy = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Relay{cfg: cfg, wake: make(chan struct{}, 1)}, nil
}

// unwatched is the Watcher of a relay that has none.
type unwatched struct{}

func (unwatched) Handover(ctx context.Context) (context.Context, func(HandedOver)) {
	return ctx, func(HandedOver) {}
}

const (
	relayEvery      = time.Second // how often pending events are looked for unasked
	leaseSize       = 32
	relayLease      = 30 * time.Second
	handoverTimeout = 5 * time.Second // of one event
	firstPause      = time.Second     // after the first try that failed
	longestPause    = time.Minute
	unreadablePause = 15 * time.Minute // of an event whose key is missing, or whose row is damaged
)

// Run hands stored events to the workflows until ctx ends. It finishes the
// handover that is under way, gives back what it has not begun, and returns nil.
// Many processes may run it side by side.
func (r *Relay) Run(ctx context.Context) error {
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	for {
		for r.relayBatch(ctx) {
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-tick.C:
		}
	}
}

// wakeUp never waits: one wake-up in the channel stands for any number.
func (r *Relay) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// relayBatch hands over one lease of events and reports whether there may be
// more that can be handed over now.
func (r *Relay) relayBatch(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	// Neither a lease nor a handover is given up half way.
	held := context.WithoutCancel(ctx)
	events, err := r.cfg.Store.LeaseGatewayEvents(held, leaseSize, relayLease)
	if err != nil {
		r.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook events not leased", slog.Any("error", err))
		return false
	}
	away := false
	for _, event := range events {
		switch {
		case event.Unreadable != nil:
			r.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook event unreadable",
				slog.String("webhook_event_id", event.ID), slog.Duration("pause", unreadablePause), slog.Any("error", event.Unreadable))
			r.postpone(held, event, r.cfg.Now().Add(unreadablePause))
		case away:
			r.postpone(held, event, r.cfg.Now().Add(pauseAfter(event.Attempts)))
		case ctx.Err() != nil:
			r.postpone(held, event, r.cfg.Now()) // for another process, or the next start
		default:
			away = r.relayEvent(held, event)
		}
	}
	return len(events) == leaseSize && !away
}

// relayEvent hands one event over, and records what became of it. It reports
// whether Temporal is away, so that the rest of a lease is not tried in vain.
func (r *Relay) relayEvent(held context.Context, event ledger.GatewayEvent) (away bool) {
	held, handedOver := r.cfg.Watch.Handover(held)
	end := HandedOver{EventID: event.ID, Kind: event.Kind}
	defer func() { handedOver(end) }()
	ctx, cancel := context.WithTimeout(held, handoverTimeout)
	defer cancel()
	failpoint.Reach(failpoint.RelayBefore)
	done, err := r.deliver(ctx, event)
	failpoint.Reach(failpoint.RelayAfter)
	if err != nil {
		pause := pauseAfter(event.Attempts)
		r.cfg.Logger.LogAttrs(held, slog.LevelWarn, "webhook event postponed",
			slog.String("webhook_event_id", event.ID), slog.Duration("pause", pause), slog.Any("error", err))
		r.postpone(held, event, r.cfg.Now().Add(pause))
		return errors.Is(err, flows.ErrUnavailable)
	}
	end.Verdict, end.PaymentID = done.verdict, done.paymentID
	if err := r.cfg.Store.SettleGatewayEvent(held, event.ID, done.verdict, done.paymentID, done.effect); err != nil {
		// When the lease has run out the event is handed over again, and the
		// workflow takes its digest once.
		r.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook event not settled",
			slog.String("webhook_event_id", event.ID), slog.Any("error", err))
		return false
	}
	r.cfg.Logger.LogAttrs(held, slog.LevelInfo, "webhook event",
		slog.String("webhook_event_id", event.ID), slog.String("kind", event.Kind),
		slog.String("verdict", string(done.verdict)), slog.String("payment_id", done.paymentID))
	return false
}

// delivery is what became of an event.
type delivery struct {
	verdict   ledger.EventVerdict
	paymentID string
	effect    string // for people
}

// deliver gives an event to its payment's workflow, where it has one.
func (r *Relay) deliver(ctx context.Context, event ledger.GatewayEvent) (delivery, error) {
	kind := athmovil.EventKind(event.Kind)
	if effect, ignored := ignoredKind(kind); ignored {
		return delivery{verdict: ledger.EventIgnored, effect: effect}, nil
	}
	paymentID, err := r.cfg.Store.MatchGatewayEvent(ctx, event)
	known := err == nil
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return delivery{}, fmt.Errorf("match: %w", err)
	}
	if kind == athmovil.EventRefund { // which names a payment seldom, and concerns no payment's own workflow
		return r.deliverLate(ctx, event, paymentID, "a refund: the books and ATH Móvil are compared")
	}
	if !known {
		return delivery{verdict: ledger.EventUnmatched, effect: "no payment has this ticket, reference number or id"}, nil
	}
	switch err := r.cfg.Flows.RelayEvent(ctx, paymentID, told(event)); {
	case errors.Is(err, flows.ErrEnded):
		return r.deliverLate(ctx, event, paymentID, "the payment's workflow had ended; the event is compared with what it left")
	case err != nil:
		return delivery{}, fmt.Errorf("signal: %w", err)
	default:
		return delivery{ledger.EventSignalled, paymentID, "the payment's workflow was told to look"}, nil
	}
}

// deliverLate gives an event to a workflow of its own, which settles its verdict.
func (r *Relay) deliverLate(ctx context.Context, event ledger.GatewayEvent, paymentID, effect string) (delivery, error) {
	err := r.cfg.Flows.ApplyLateEvent(ctx, workflows.ApplyLateEventInput{
		EventID: event.ID, Event: told(event), PaymentID: paymentID, ReceivedAt: event.ReceivedAt, Timing: r.cfg.Timing,
	})
	if err != nil {
		return delivery{}, fmt.Errorf("apply late: %w", err)
	}
	return delivery{ledger.EventLate, paymentID, effect}, nil
}

// ignoredKind reports the kinds of event that concern no payment of ours, and
// why. A simulated one never does, whatever else it says (docs/athmovil.md
// §4.4).
func ignoredKind(kind athmovil.EventKind) (effect string, ignored bool) {
	switch kind {
	case athmovil.EventSimulated:
		return "a test from the ATH Business app", true
	case athmovil.EventPayment:
		return "a Pay a Business payment, made without a ticket", true
	case athmovil.EventDonation:
		return "a donation, made without a ticket", true
	case athmovil.EventRefund, athmovil.EventEcommerceCompleted, athmovil.EventEcommerceCancelled, athmovil.EventEcommerceExpired:
		return "", false
	default:
		return "an unknown kind of event", true
	}
}

// told is what a workflow is told of an event.
func told(event ledger.GatewayEvent) workflows.GatewayEvent {
	return workflows.GatewayEvent{
		Digest:          event.Digest,
		Kind:            event.Kind,
		EcommerceID:     event.EcommerceID,
		PaymentID:       event.PaymentID,
		ReferenceNumber: event.ReferenceNumber,
		Total:           event.Total,
		Name:            event.Payer.Name,
		PhoneNumber:     event.Payer.PhoneNumber,
		Email:           event.Payer.Email,
		Message:         event.Message,
	}
}

// postpone makes an event due again later. Where that fails, the end of its
// lease does.
func (r *Relay) postpone(held context.Context, event ledger.GatewayEvent, until time.Time) {
	if err := r.cfg.Store.PostponeGatewayEvent(held, event.ID, until); err != nil {
		r.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook event not postponed",
			slog.String("webhook_event_id", event.ID), slog.Any("error", err))
	}
}

// pauseAfter returns the pause before the next try, which doubles with each
// one that was made.
func pauseAfter(attempts int) time.Duration {
	doublings := max(0, min(attempts-1, 6))
	return min(firstPause<<doublings, longestPause)
}
