package relay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Personal data that no test may ever see in a log.
const (
	phone      = "7875550199"
	payerName  = "Canaria Rivera"
	payerEmail = "canaria@example.com"
)

// completedEvent is what the gateway posts when a ticket was paid.
func completedEvent(ecommerceID, total string) string {
	return fmt.Sprintf(`{"transactionType":"ECOMMERCE","status":"COMPLETED","ecommerceId":%q,"referenceNumber":"reference-1",
		"dailyTransactionId":"0002","date":"2026-01-15 08:00:31","transactionDate":"2026-01-15 08:00:29",
		"name":%q,"phoneNumber":%s,"email":%q,"message":"","total":%s,"subTotal":%s,"tax":0.0,"fee":0.07,"netAmount":2.93,
		"totalRefundedAmount":0,"metadata1":"","metadata2":"","items":[]}`,
		ecommerceID, payerName, phone, payerEmail, total, total)
}

// wire returns a file of the gateway's documented payloads.
func wire(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "..", "athmovil", "testdata", "wire", name))
	require.NoError(t, err)
	return string(body)
}

// errDisk is why a store fails.
var errDisk = errors.New("the disk is full")

// running is a relay over a real store, in a bubble of testing/synctest: its
// clock moves when everything waits, so that no test waits for real. It is its
// own workflows, which take every event.
type running struct {
	t     *testing.T
	store *store.Store
	logs  *telemetrytest.LogBuffer
	takes func(ctx context.Context, paymentID string, event workflows.GatewayEvent) error

	mu      sync.Mutex
	relayed []relayedEvent                  // guarded by mu
	late    []workflows.ApplyLateEventInput // guarded by mu
}

type relayedEvent struct {
	paymentID string
	event     workflows.GatewayEvent
	at        time.Time
}

func newRelay(t *testing.T) *running {
	t.Helper()
	ring, err := seal.New()
	require.NoError(t, err)
	cfg := store.Config{DSN: filepath.Join(t.TempDir(), "cobro.db"), Sealer: ring, Now: time.Now}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	r := &running{t: t, store: s, logs: &telemetrytest.LogBuffer{}}
	r.takes = r.take
	t.Cleanup(func() {
		for _, canary := range []string{phone, payerName, payerEmail} {
			require.NotContains(t, r.logs.String(), canary, "the log tells what it must not")
		}
	})
	return r
}

// RelayEvent implements relay.Flows.
func (r *running) RelayEvent(ctx context.Context, id string, event workflows.GatewayEvent) error {
	return r.takes(ctx, id, event)
}

// ApplyLateEvent implements relay.Flows.
func (r *running) ApplyLateEvent(_ context.Context, in workflows.ApplyLateEventInput) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = append(r.late, in)
	return nil
}

func (r *running) take(_ context.Context, id string, event workflows.GatewayEvent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relayed = append(r.relayed, relayedEvent{id, event, time.Now()})
	return nil
}

// over returns a relay over a store.
func (r *running) over(s relay.Store) *relay.Relay {
	r.t.Helper()
	one, err := relay.New(relay.Config{
		Store: s, Flows: r, Logger: slog.New(slog.NewJSONHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(r.t, err)
	return one
}

// run starts the relay, and returns a function that stops it.
func (r *running) run() (stop func()) { return r.runOn(r.store) }

func (r *running) runOn(s relay.Store) (stop func()) {
	r.t.Helper()
	one := r.over(s)
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error)
	go func() { ended <- one.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(r.t, <-ended)
	}
}

// payment records a payment with a ticket.
func (r *running) payment(key, ecommerceID string) payment.Payment {
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

// post stores an event, as a relay of another process does that does not run.
func (r *running) post(body string) (id string) {
	r.t.Helper()
	malformed, err := r.over(r.store).Receive(r.t.Context(), []byte(body), nil)
	require.NoError(r.t, err)
	require.False(r.t, malformed)
	claim, _ := athmovil.ParseWebhook([]byte(body))
	return r.byDigest(claim.Digest()).ID
}

func (r *running) byDigest(digest string) ledger.GatewayEvent {
	return r.find(func(e ledger.GatewayEvent) bool { return e.Digest == digest })
}

func (r *running) event(id string) ledger.GatewayEvent {
	return r.find(func(e ledger.GatewayEvent) bool { return e.ID == id })
}

func (r *running) find(wanted func(ledger.GatewayEvent) bool) ledger.GatewayEvent {
	r.t.Helper()
	events, _, err := r.store.GatewayEvents(r.t.Context(), ledger.GatewayEventFilter{Limit: 100})
	require.NoError(r.t, err)
	i := slices.IndexFunc(events, wanted)
	require.NotEqual(r.t, -1, i, "no such event")
	return events[i]
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
		r.takes = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
			if id == late.ID {
				return fmt.Errorf("%w: not found", flows.ErrEnded)
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
		r.takes = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
			if back.Load() {
				return r.take(ctx, id, event)
			}
			tries = append(tries, time.Since(began).Round(time.Second))
			return fmt.Errorf("%w: connection refused", flows.ErrUnavailable)
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
		r.takes = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
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
	relay.Store
	id string
}

func (b blind) LeaseGatewayEvents(ctx context.Context, limit int, lease time.Duration) ([]ledger.GatewayEvent, error) {
	events, err := b.Store.LeaseGatewayEvents(ctx, limit, lease)
	for i := range events {
		if events[i].ID == b.id {
			events[i].Payer, events[i].Unreadable = payment.Customer{}, seal.ErrUnknownKey
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
		r.takes = func(ctx context.Context, id string, event workflows.GatewayEvent) error {
			close(handing)
			<-finish
			if ctx.Err() != nil {
				t.Error("the handover was canceled")
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
	relay.Store
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
		stop := r.runOn(&sick{Store: r.store, leases: 3, settles: 1})
		settle(5 * time.Second)
		require.Equal(t, ledger.EventPending, r.event(id).Verdict, "handed over, and not settled")
		settle(time.Minute)
		require.Equal(t, ledger.EventSignalled, r.event(id).Verdict)
		require.Len(t, r.relayed, 2, "under one digest, which the workflow takes once")
		require.Equal(t, r.relayed[0].event.Digest, r.relayed[1].event.Digest)
		stop()
	})
}

type watchKey struct{}

// diary is a Watcher that keeps what it learns.
type diary struct{ lines []string }

func (d *diary) Handover(ctx context.Context) (context.Context, func(relay.HandedOver)) {
	return context.WithValue(ctx, watchKey{}, "handover"), func(h relay.HandedOver) {
		d.lines = append(d.lines, fmt.Sprintf("%s: %q %t %t", h.Kind, h.Verdict, h.EventID != "", h.PaymentID != ""))
	}
}

// TestWatcherFollowsAHandover: it learns what became of the event, and the
// workflows are asked with its context.
func TestWatcherFollowsAHandover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, d := newRelay(t), &diary{}
		r.payment("watched", "ticket-1")
		away := true
		r.takes = func(ctx context.Context, _ string, _ workflows.GatewayEvent) error {
			require.Equal(t, "handover", ctx.Value(watchKey{}))
			if away {
				away = false
				return flows.ErrUnavailable
			}
			return nil
		}
		one, err := relay.New(relay.Config{Store: r.store, Flows: r, Watch: d})
		require.NoError(t, err)
		r.post(completedEvent("ticket-1", "3"))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- one.Run(ctx) }()
		settle(time.Minute)
		cancel()
		require.NoError(t, <-ended)
		require.Equal(t, []string{`ecommerce_completed: "" true false`, `ecommerce_completed: "signalled" true true`}, d.lines)
	})
}
