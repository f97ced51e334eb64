package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// relay is a running server over a real store, in a bubble of testing/synctest:
// its clock moves when everything waits, so that no test waits for real.
type relay struct {
	t     *testing.T
	flows *flows
	store *store.Store
	ring  *seal.Ring
	logs  *telemetrytest.Lines

	mu      sync.Mutex
	relayed []relayedEvent                  // guarded by mu
	late    []workflows.ApplyLateEventInput // guarded by mu
}

type relayedEvent struct {
	paymentID string
	event     workflows.GatewayEvent
	at        time.Time
}

// newRelay returns one whose workflows take every event.
func newRelay(t *testing.T) *relay {
	t.Helper()
	s, ring := newStore(t, time.Now)
	r := &relay{t: t, flows: &flows{t: t}, store: s, ring: ring, logs: &telemetrytest.Lines{}}
	r.flows.relay = r.take
	r.flows.late = func(_ context.Context, in workflows.ApplyLateEventInput) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.late = append(r.late, in)
		return nil
	}
	t.Cleanup(func() { requireNoCanaries(t, r.logs.String()) })
	return r
}

func (r *relay) take(_ context.Context, id string, event workflows.GatewayEvent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relayed = append(r.relayed, relayedEvent{id, event, time.Now()})
	return nil
}

// run starts the relay, and returns a function that stops it.
func (r *relay) run() (stop func()) { return r.runOn(r.store) }

func (r *relay) runOn(s api.Store) (stop func()) {
	r.t.Helper()
	server, err := api.New(config(s, r.flows, r.ring, r.logs, time.Now))
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(r.t, <-ended)
	}
}

// payment records a payment with a ticket.
func (r *relay) payment(key, ecommerceID string) payment.Payment {
	r.t.Helper()
	now := time.Now().UTC()
	p := payment.Payment{
		ID: ledger.DeriveID("default", key), Status: payment.StatusOpen,
		Request:     payment.Request{Total: money.MustParse("3.00"), ExpiresIn: 10 * time.Minute},
		EcommerceID: ecommerceID, ExpiresAt: now.Add(10 * time.Minute), CreatedAt: now, UpdatedAt: now,
	}
	_, err := r.store.RecordPayment(r.t.Context(), ledger.Change{Record: ledger.Record{Payment: p, Revision: 1}})
	require.NoError(r.t, err)
	return p
}

// post stores an event as the webhook handler does.
func (r *relay) post(body string) string {
	r.t.Helper()
	claim, err := athmovil.ParseWebhook([]byte(body))
	require.NoError(r.t, err)
	now := time.Now()
	event := ledger.GatewayEvent{
		ID: fmt.Sprintf("whe_%s", claim.Digest()[:26]), Digest: claim.Digest(), Kind: string(claim.Kind),
		EcommerceID: claim.EcommerceID, ReferenceNumber: claim.ReferenceNumber,
		Body: private.Text(body), ReceivedAt: now, NotBefore: now,
	}
	if ledger.IsID(string(claim.Metadata1)) {
		event.PaymentID = string(claim.Metadata1)
	}
	_, err = r.store.AddGatewayEvent(r.t.Context(), event)
	require.NoError(r.t, err)
	return event.ID
}

func (r *relay) event(id string) ledger.GatewayEvent {
	r.t.Helper()
	events, _, err := r.store.GatewayEvents(r.t.Context(), ledger.GatewayEventFilter{Limit: 100})
	require.NoError(r.t, err)
	for _, event := range events {
		if event.ID == id {
			return event
		}
	}
	require.FailNow(r.t, "no such event")
	return ledger.GatewayEvent{}
}

// settle lets the relay look d later, and waits until it has.
func settle(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's clock, not the world's
	synctest.Wait()
}

func TestRelayVerdicts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		ours, late := r.payment("ours", "ticket-ours"), r.payment("late", "ticket-late")
		r.flows.relay = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
			if id == late.ID {
				return fmt.Errorf("%w: not found", api.ErrEnded)
			}
			return r.take(ctx, id, event)
		}
		expired := fmt.Sprintf(
			`{"transactionType":"ecommerce","status":"expired","date":"2026-01-15 08:00:31","total":"3.00","metadata1":%q}`, ours.ID)
		tests := []struct {
			name, body string
			verdict    ledger.EventVerdict
			matched    string
			effect     string
		}{
			{"ours by its ticket", completedEvent("ticket-ours", "3"), ledger.EventSignalled, ours.ID, "told to look"},
			{"ours by its id", expired, ledger.EventSignalled, ours.ID, "told to look"},
			{"late", completedEvent("ticket-late", "3"), ledger.EventLate, late.ID, "had ended"},
			{"nobody's", completedEvent("ticket-nobody", "3"), ledger.EventUnmatched, "", "no payment"},
			{"nobody's refund", wire(t, "webhook.refund.captured.json"), ledger.EventLate, "", "a refund"},
			{"simulated", wire(t, "webhook.simulated.json"), ledger.EventIgnored, "", "test"},
			{"simulated with our ticket", strings.Replace(completedEvent("ticket-ours", "3"), "ECOMMERCE", "simulated", 1), ledger.EventIgnored, "", "test"},
			{"donation", wire(t, "webhook.donation.json"), ledger.EventIgnored, "", "donation"},
			{"pay a business", wire(t, "webhook.payment.json"), ledger.EventIgnored, "", "Pay a Business"},
			{"unknown", `{"transactionType":"lottery","ecommerceId":"ticket-ours"}`, ledger.EventIgnored, "", "unknown kind"},
		}
		ids := make([]string, len(tests))
		for i, tt := range tests {
			ids[i] = r.post(tt.body)
		}
		stop := r.run()
		synctest.Wait()
		stop()
		for i, tt := range tests {
			got := r.event(ids[i])
			require.Equal(t, tt.verdict, got.Verdict, tt.name)
			require.Equal(t, tt.matched, got.MatchedID, tt.name)
			require.Contains(t, got.Effect, tt.effect, tt.name)
			require.NotNil(t, got.SettledAt, tt.name)
		}
		require.Len(t, r.late, 2)
		slices.SortFunc(r.late, func(a, b workflows.ApplyLateEventInput) int { return strings.Compare(a.PaymentID, b.PaymentID) })
		require.Equal(t, "Refunded via admin", string(r.late[0].Event.Message), "it may name our own refund")
		require.Equal(t, late.ID, r.late[1].PaymentID)
		require.Equal(t, ids[2], r.late[1].EventID)
		require.Len(t, r.relayed, 2)
		told := r.relayed[0]
		if told.event.EcommerceID == "" {
			told = r.relayed[1]
		}
		three := money.MustParse("3.00")
		require.Equal(t, workflows.GatewayEvent{
			Digest: r.event(ids[0]).Digest, Kind: "ecommerce_completed", EcommerceID: "ticket-ours",
			ReferenceNumber: "reference-1", Total: &three, Name: payerName, PhoneNumber: phone, Email: payerEmail,
		}, told.event)
	})
}

func TestRelayWaitsForTemporal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		p := r.payment("ours", "ticket-1")
		r.payment("other", "ticket-2")
		began := time.Now()
		var tries []time.Duration
		var back atomic.Bool
		r.flows.relay = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
			if back.Load() {
				return r.take(ctx, id, event)
			}
			tries = append(tries, time.Since(began).Round(time.Second))
			return fmt.Errorf("%w: connection refused", api.ErrUnavailable)
		}
		first, second := r.post(completedEvent("ticket-1", "3")), r.post(completedEvent("ticket-2", "3"))
		stop := r.run()
		defer stop()
		settle(10 * time.Minute)
		require.Equal(t, ledger.EventPending, r.event(first).Verdict)
		require.Equal(t, []time.Duration{0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second},
			tries[:6], "the pauses double, and of a lease only one event is tried in vain")
		require.Less(t, len(tries), 20, "and end at a minute")

		back.Store(true)
		settle(2 * time.Minute)
		require.Equal(t, ledger.EventSignalled, r.event(first).Verdict)
		require.Equal(t, ledger.EventSignalled, r.event(second).Verdict)
		require.Len(t, r.relayed, 2)
		require.Contains(t, []string{r.relayed[0].paymentID, r.relayed[1].paymentID}, p.ID)
	})
}

// TestRelayGoesRoundAPoisonedEvent: one that a workflow never takes holds up no
// other.
func TestRelayGoesRoundAPoisonedEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.payment("poisoned", "ticket-1")
		r.payment("healthy", "ticket-2")
		r.flows.relay = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
			if event.EcommerceID == "ticket-1" {
				return errors.New("payload too large")
			}
			return r.take(ctx, id, event)
		}
		poisoned, healthy := r.post(completedEvent("ticket-1", "3")), r.post(completedEvent("ticket-2", "3"))
		stop := r.run()
		defer stop()
		synctest.Wait()
		require.Equal(t, ledger.EventPending, r.event(poisoned).Verdict)
		require.Equal(t, ledger.EventSignalled, r.event(healthy).Verdict)
	})
}

// blind is a store that cannot read one event.
type blind struct {
	api.Store
	id string
}

func (b blind) LeaseGatewayEvents(ctx context.Context, limit int, lease time.Duration) ([]ledger.GatewayEvent, error) {
	events, err := b.Store.LeaseGatewayEvents(ctx, limit, lease)
	for i := range events {
		if events[i].ID == b.id {
			events[i].Body, events[i].Unreadable = "", seal.ErrUnknownKey
		}
	}
	return events, err
}

// TestRelayGoesRoundAnUnreadableEvent: it is no malformed one, and waits for its
// key.
func TestRelayGoesRoundAnUnreadableEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.payment("unreadable", "ticket-1")
		r.payment("healthy", "ticket-2")
		unreadable, healthy := r.post(completedEvent("ticket-1", "3")), r.post(completedEvent("ticket-2", "3"))
		stop := r.runOn(blind{r.store, unreadable})
		settle(10 * time.Minute)
		stop()
		require.Equal(t, ledger.EventSignalled, r.event(healthy).Verdict)
		waiting := r.event(unreadable)
		require.Equal(t, ledger.EventPending, waiting.Verdict)
		require.Equal(t, 1, waiting.Attempts, "not again and again")
		require.Contains(t, r.logs.String(), "webhook event unreadable")
		require.Contains(t, r.logs.String(), seal.ErrUnknownKey.Error())

		stop = r.run() // with the key
		settle(10 * time.Minute)
		stop()
		require.Equal(t, ledger.EventSignalled, r.event(unreadable).Verdict)
	})
}

// TestRelaySurvivesARestart: what was stored while nobody relayed is handed over
// at the next start, in the order of arrival and once.
func TestRelaySurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		for i := range 100 {
			ticket := fmt.Sprintf("ticket-%02d", i)
			r.payment(ticket, ticket)
			r.post(completedEvent(ticket, "3"))
			settle(time.Millisecond)
		}
		stop, stopOther := r.run(), r.run() // two processes side by side
		settle(time.Second)
		stop()
		stopOther()
		require.Len(t, r.relayed, 100)
		seen := map[string]bool{}
		for _, one := range r.relayed {
			require.False(t, seen[one.event.Digest], "handed over once")
			seen[one.event.Digest] = true
		}
		stop = r.run()
		settle(time.Minute)
		stop()
		require.Len(t, r.relayed, 100, "and never again")
	})
}

// TestRelayFinishesWhatItHolds stops in the middle of a handover: that one is
// finished, and the others of its lease are free at once.
func TestRelayFinishesWhatItHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.payment("one", "ticket-1")
		r.payment("two", "ticket-2")
		handing, finish := make(chan struct{}), make(chan struct{})
		r.flows.relay = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
			close(handing)
			<-finish
			if ctx.Err() != nil {
				t.Error("the handover was cancelled")
			}
			return r.take(ctx, id, event)
		}
		first := r.post(completedEvent("ticket-1", "3"))
		settle(time.Millisecond)
		second := r.post(completedEvent("ticket-2", "3"))
		stop := r.run()
		<-handing
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		synctest.Wait()
		close(finish)
		<-stopped
		require.Equal(t, ledger.EventSignalled, r.event(first).Verdict)
		require.Equal(t, ledger.EventPending, r.event(second).Verdict)

		free, err := r.store.LeaseGatewayEvents(t.Context(), 10, time.Minute)
		require.NoError(t, err)
		require.Len(t, free, 1)
	})
}

// TestRelayHearsOfLateTickets: the webhook was faster than the ticket's row.
func TestRelayHearsOfLateTickets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		stop := r.run()
		defer stop()
		id := r.post(completedEvent("ticket-1", "3"))
		settle(2 * time.Second)
		require.Equal(t, ledger.EventUnmatched, r.event(id).Verdict)
		r.payment("late", "ticket-1")
		settle(2 * time.Second)
		require.Equal(t, ledger.EventSignalled, r.event(id).Verdict)
	})
}

// sick is a store that fails until it is cured.
type sick struct {
	api.Store
	mu      sync.Mutex
	leases  int // that still fail
	settles int
}

func (s *sick) fails(left *int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	*left--
	return *left >= 0
}

func (s *sick) LeaseGatewayEvents(ctx context.Context, limit int, lease time.Duration) ([]ledger.GatewayEvent, error) {
	if s.fails(&s.leases) {
		return nil, errDisk
	}
	return s.Store.LeaseGatewayEvents(ctx, limit, lease)
}

func (s *sick) SettleGatewayEvent(ctx context.Context, id string, verdict ledger.EventVerdict, matchedID, effect string) error {
	if s.fails(&s.settles) {
		return errDisk
	}
	return s.Store.SettleGatewayEvent(ctx, id, verdict, matchedID, effect)
}

func TestRelayOutlivesTheStoresFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.payment("one", "ticket-1")
		id := r.post(completedEvent("ticket-1", "3"))
		server, err := api.New(config(&sick{Store: r.store, leases: 3, settles: 1}, r.flows, r.ring, r.logs, time.Now))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- server.Run(ctx) }()
		settle(5 * time.Second)
		require.Equal(t, ledger.EventPending, r.event(id).Verdict, "handed over, and not settled")
		settle(time.Minute)
		require.Equal(t, ledger.EventSignalled, r.event(id).Verdict)
		require.Len(t, r.relayed, 2, "under one digest, which the workflow takes once")
		require.Equal(t, r.relayed[0].event.Digest, r.relayed[1].event.Digest)
		cancel()
		require.NoError(t, <-ended)
	})
}

// TestWebhookWakesTheRelay goes the whole way over HTTP.
func TestWebhookWakesTheRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open("hinted")
	told := make(chan string, 1)
	w.flows.relay = func(_ context.Context, id string, _ workflows.GatewayEvent) error {
		told <- id
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.api.Run(ctx) }()
	require.Equal(t, 200, w.do("POST", webhookPath, completedEvent(p.EcommerceID, "10")).status)
	require.Equal(t, p.ID, <-told)
	cancel()
	require.NoError(t, <-ended)
	require.Len(t, w.events(ledger.EventSignalled), 1)
}
