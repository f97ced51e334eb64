package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/workflows"
)

const (
	relayEvery      = time.Second // how often pending events are looked for unasked
	leaseSize       = 32
	relayLease      = 30 * time.Second
	handoverTimeout = 5 * time.Second // of one event
	firstPause      = time.Second     // after the first try that failed
	longestPause    = time.Minute
	unreadablePause = 15 * time.Minute // of an event whose key is missing, or whose row is damaged
)

// Run hands stored webhooks to the workflows until ctx ends. It finishes the
// handover that is under way, gives back what it has not begun, and returns
// nil. From then on requests that wait for something answer at once. Many
// processes may run it side by side.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.drain)()
	tick := time.NewTicker(relayEvery)
	defer tick.Stop()
	for {
		for s.relayBatch(ctx) {
		}
		select {
		case <-ctx.Done():
			s.drain()
			return nil
		case <-s.wake:
		case <-tick.C:
		}
	}
}

// wakeRelay never waits: one wake-up in the channel stands for any number.
func (s *Server) wakeRelay() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// relayBatch hands over one lease of events and reports whether there may be
// more that can be handed over now.
func (s *Server) relayBatch(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	// Neither a lease nor a handover is given up half way.
	held := context.WithoutCancel(ctx)
	events, err := s.cfg.Store.LeaseGatewayEvents(held, leaseSize, relayLease)
	if err != nil {
		s.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook events not leased", slog.Any("error", err))
		return false
	}
	away := false
	for _, event := range events {
		switch {
		case event.Unreadable != nil:
			s.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook event unreadable",
				slog.String("webhook_event_id", event.ID), slog.Duration("pause", unreadablePause), slog.Any("error", event.Unreadable))
			s.postpone(held, event, s.now().Add(unreadablePause))
		case away:
			s.postpone(held, event, s.now().Add(pauseAfter(event.Attempts)))
		case ctx.Err() != nil:
			s.postpone(held, event, s.now()) // for another process, or the next start
		default:
			away = s.relayEvent(held, event)
		}
	}
	return len(events) == leaseSize && !away
}

// relayEvent hands one event over, and records what became of it. It reports
// whether Temporal is away, so that the rest of a lease is not tried in vain.
func (s *Server) relayEvent(held context.Context, event ledger.GatewayEvent) (away bool) {
	held, handedOver := s.cfg.Watch.Handover(held)
	end := HandedOver{EventID: event.ID, Kind: event.Kind}
	defer func() { handedOver(end) }()
	ctx, cancel := context.WithTimeout(held, handoverTimeout)
	defer cancel()
	failpoint.Reach(failpoint.RelayBefore)
	done, err := s.deliver(ctx, event)
	failpoint.Reach(failpoint.RelayAfter)
	if err != nil {
		pause := pauseAfter(event.Attempts)
		s.cfg.Logger.LogAttrs(held, slog.LevelWarn, "webhook event postponed",
			slog.String("webhook_event_id", event.ID), slog.Duration("pause", pause), slog.Any("error", err))
		s.postpone(held, event, s.now().Add(pause))
		return errors.Is(err, ErrUnavailable)
	}
	end.Verdict, end.PaymentID = done.verdict, done.paymentID
	if err := s.cfg.Store.SettleGatewayEvent(held, event.ID, done.verdict, done.paymentID, done.effect); err != nil {
		// When the lease has run out the event is handed over again, and the
		// workflow takes its digest once.
		s.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook event not settled",
			slog.String("webhook_event_id", event.ID), slog.Any("error", err))
		return false
	}
	s.cfg.Logger.LogAttrs(held, slog.LevelInfo, "webhook event",
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
func (s *Server) deliver(ctx context.Context, event ledger.GatewayEvent) (delivery, error) {
	claim, err := athmovil.ParseWebhook([]byte(event.Body))
	if errors.Is(err, athmovil.ErrNotObject) {
		return delivery{verdict: ledger.EventMalformed, effect: "not a JSON object"}, nil
	}
	if effect, ignored := ignoredKind(claim.Kind); ignored {
		return delivery{verdict: ledger.EventIgnored, effect: effect}, nil
	}
	paymentID, err := s.cfg.Store.MatchGatewayEvent(ctx, event)
	known := err == nil
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return delivery{}, fmt.Errorf("match: %w", err)
	}
	if claim.Kind == athmovil.EventRefund { // which names a payment seldom, and concerns no payment's own workflow
		return s.deliverLate(ctx, event, claim, paymentID, "a refund: the books and ATH Móvil are compared")
	}
	if !known {
		return delivery{verdict: ledger.EventUnmatched, effect: "no payment has this ticket, reference number or id"}, nil
	}
	switch err := s.cfg.Flows.RelayEvent(ctx, paymentID, gatewayEvent(event, claim)); {
	case errors.Is(err, ErrEnded):
		return s.deliverLate(ctx, event, claim, paymentID, "the payment's workflow had ended; the event is compared with what it left")
	case err != nil:
		return delivery{}, fmt.Errorf("signal: %w", err)
	default:
		return delivery{ledger.EventSignalled, paymentID, "the payment's workflow was told to look"}, nil
	}
}

// deliverLate gives an event to a workflow of its own, which settles its verdict.
func (s *Server) deliverLate(
	ctx context.Context, event ledger.GatewayEvent, claim athmovil.Event, paymentID, effect string,
) (delivery, error) {
	err := s.cfg.Flows.ApplyLateEvent(ctx, workflows.ApplyLateEventInput{
		EventID: event.ID, Event: gatewayEvent(event, claim), PaymentID: paymentID, ReceivedAt: event.ReceivedAt, Timing: s.cfg.Timing,
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
	case athmovil.EventUnknown:
		return "an unknown kind of event", true
	case athmovil.EventRefund, athmovil.EventEcommerceCompleted, athmovil.EventEcommerceCancelled, athmovil.EventEcommerceExpired:
		return "", false
	default:
		return "an unknown kind of event", true
	}
}

// gatewayEvent is what a workflow is told.
func gatewayEvent(event ledger.GatewayEvent, claim athmovil.Event) workflows.GatewayEvent {
	return workflows.GatewayEvent{
		Digest:          event.Digest,
		Kind:            string(claim.Kind),
		EcommerceID:     claim.EcommerceID,
		PaymentID:       event.PaymentID,
		ReferenceNumber: claim.ReferenceNumber,
		Total:           claim.Total,
		Name:            claim.Name,
		PhoneNumber:     claim.PhoneNumber,
		Email:           claim.Email,
		Message:         claim.Message,
	}
}

// postpone makes an event due again later. Where that fails, the end of its
// lease does.
func (s *Server) postpone(held context.Context, event ledger.GatewayEvent, until time.Time) {
	if err := s.cfg.Store.PostponeGatewayEvent(held, event.ID, until); err != nil {
		s.cfg.Logger.LogAttrs(held, slog.LevelError, "webhook event not postponed",
			slog.String("webhook_event_id", event.ID), slog.Any("error", err))
	}
}

// pauseAfter returns the pause before the next try, which doubles with each
// one that was made.
func pauseAfter(attempts int) time.Duration {
	doublings := max(0, min(attempts-1, 6))
	return min(firstPause<<doublings, longestPause)
}
