package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// scrape returns the exposed metrics.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(recorder.Body)
	require.NoError(t, err)
	require.Equal(t, 200, recorder.Code, "%s", body)
	return string(body)
}

// exposed is a metric in a scrape.
type exposed struct {
	kind   string
	labels []string // sorted
}

var (
	typeLine   = regexp.MustCompile(`^# TYPE (\S+) (\S+)$`)
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	labelName  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"`)
	histogram  = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// families parses a scrape.
func families(t *testing.T, body string) map[string]exposed {
	t.Helper()
	found := map[string]exposed{}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		if match := typeLine.FindStringSubmatch(line); match != nil {
			found[match[1]] = exposed{kind: match[2]}
			continue
		}
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		match := sampleLine.FindStringSubmatch(line)
		require.NotNil(t, match, line)
		name := match[1]
		family, ok := found[name]
		if !ok {
			name = histogram.ReplaceAllString(name, "")
			family, ok = found[name]
		}
		require.True(t, ok, line)
		for _, label := range labelName.FindAllStringSubmatch(match[2], -1) {
			if label[1] != "le" && label[1] != "quantile" && !slices.Contains(family.labels, label[1]) {
				family.labels = append(family.labels, label[1])
			}
		}
		slices.Sort(family.labels)
		found[name] = family
	}
	return found
}

// exercised returns metrics after each hook was called once.
func exercised(t *testing.T) *metrics.Metrics {
	t.Helper()
	m := metrics.New(metrics.ProgramAPI, metrics.ProgramWorker)
	m.RequestAnswered("POST", "/v1/payments", "201", time.Second)
	m.GatewayCalled(athmovil.Call{Op: athmovil.OpFind, Duration: time.Second})
	m.WatchCreates(func() metrics.Creates { return metrics.Creates{Limit: 100, Opening: 2, Refused: 1} })
	m.ReceiverCalled(ledger.Receiver{Host: "shop", Event: payment.EventCompleted, Name: "book"}, true)
	m.TicketsWatched(1)
	m.TicketLooked("open", time.Second)
	m.WatchStore(t.Context(), &fakeStore{backlog: store.Backlog{
		Notifications: []ledger.DeliveryCount{{Host: "shop", Event: payment.EventCompleted, Receiver: "book", Status: payment.DeliveryFailed, Count: 1}},
		ReconciledAt:  noon,
	}}, slog.New(slog.DiscardHandler), nil)
	m.Temporal().WithTags(map[string]string{"operation": "RespondWorkflowTaskCompleted"}).Counter("temporal_request").Inc(1)
	return m
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func TestDocsListExactlyTheExposedMetrics(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	documented := map[string]exposed{}
	row := regexp.MustCompile("^\\| `(cobro_[a-z_]+)` \\| (\\w+) \\| ([^|]*)\\| (?:api|worker|both) \\| [^|]+ \\|$")
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| `cobro_") {
			continue
		}
		match := row.FindStringSubmatch(strings.TrimSpace(line))
		require.NotNil(t, match, "malformed row: %s", line)
		labels := slices.Sorted(slices.Values(strings.FieldsFunc(match[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })))
		documented[match[1]] = exposed{kind: match[2], labels: labels}
	}
	found := map[string]exposed{}
	for name, family := range families(t, scrape(t, exercised(t))) {
		if strings.HasPrefix(name, "cobro_") {
			found[name] = family
			continue
		}
		require.Regexp(t, `^(temporal|go|process)_`, name, "a metric that the page does not list")
	}
	require.Equal(t, documented, found)
}

// newStore returns an empty store with m as its observer.
func newStore(t *testing.T, m *metrics.Metrics) *store.Store {
	t.Helper()
	ring, err := seal.New()
	require.NoError(t, err)
	cfg := store.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "cobro.db"), Sealer: ring, Observer: m}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

const paymentID = "pay_00000000000000000000000000"

// sale returns the change that confirms and completes a payment of $10.00.
func sale() ledger.Change {
	step := func(n int, from, to payment.Status, at time.Duration) ledger.Transition {
		return ledger.Transition{PaymentID: paymentID, Sequence: n, From: from, To: to, At: noon.Add(at)}
	}
	return ledger.Change{
		Record: ledger.Record{Revision: 3, Payment: payment.Payment{
			ID: paymentID, Status: payment.StatusCompleted, CreatedAt: noon, UpdatedAt: noon, ExpiresAt: noon.Add(time.Hour),
			Request: payment.Request{Total: money.FromCents(10_00), PhoneNumber: "7875550199", Metadata1: "canary-metadata"},
		}},
		Transitions: []ledger.Transition{
			step(1, payment.StatusPending, payment.StatusOpen, time.Second),
			step(2, payment.StatusOpen, payment.StatusConfirmed, 12*time.Second),
			step(3, payment.StatusConfirmed, payment.StatusCompleted, 14*time.Second),
		},
		Announce: payment.EventCompleted,
	}
}

func TestRepeatedWritesCountOnce(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.ProgramWorker)
	s, ctx := newStore(t, m), t.Context()
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{{Host: "shop", Event: payment.EventCompleted, Name: "book"}}))
	event := ledger.GatewayEvent{ID: "whe_1", Digest: "d1", ReceivedAt: noon, NotBefore: noon}
	malformed := ledger.GatewayEvent{ID: "whe_2", Digest: "d2", ReceivedAt: noon, NotBefore: noon, Verdict: ledger.EventMalformed}
	for range 3 {
		_, err := s.RecordPayment(ctx, sale())
		require.NoError(t, err)
		for number := range 2 {
			attempt := ledger.Attempt{
				DeliveryID: ledger.NotificationID(paymentID, payment.EventCompleted, 1, "shop", "book"),
				Execution:  "run/1", Number: number + 1, At: noon,
			}
			if number == 0 {
				attempt.Error = "no ink for Valeria"
			}
			require.NoError(t, s.RecordAttempt(ctx, attempt))
		}
		for _, e := range []ledger.GatewayEvent{event, malformed} {
			_, err = s.AddGatewayEvent(ctx, e)
			require.NoError(t, err)
		}
		require.NoError(t, s.SettleGatewayEvent(ctx, "whe_1", ledger.EventSignalled, paymentID, "told"))
	}
	require.NoError(t, s.SettleGatewayEvent(ctx, "whe_1", ledger.EventApplied, paymentID, "who paid"))
	require.NoError(t, s.SettleGatewayEvent(ctx, "whe_1", ledger.EventSignalled, paymentID, "too late"), "changes nothing")

	body := scrape(t, m)
	for _, line := range []string{
		`cobro_payments_total{status="open"} 1`,
		`cobro_payments_total{status="confirmed"} 1`,
		`cobro_payments_total{status="completed"} 1`,
		`cobro_payments_total{status="failed"} 0`,
		`cobro_payment_confirm_seconds_sum 12`,
		`cobro_payment_confirm_seconds_count 1`,
		`cobro_payment_complete_seconds_sum 14`,
		`cobro_payment_complete_seconds_count 1`,
		`cobro_notification_attempts_total{event="payment_completed",host="shop",outcome="error",receiver="book"} 1`,
		`cobro_notification_attempts_total{event="payment_completed",host="shop",outcome="ok",receiver="book"} 1`,
		`cobro_webhook_verdicts_total{verdict="signalled"} 1`,
		`cobro_webhook_verdicts_total{verdict="applied"} 1`,
		`cobro_webhook_verdicts_total{verdict="malformed"} 1`,
	} {
		require.Contains(t, body, line+"\n")
	}
	for _, canary := range []string{"7875550199", "canary-metadata", "Valeria", paymentID} {
		require.NotContains(t, body, canary)
	}
}

func TestBacklogIsQueriedAtScrape(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.ProgramAPI)
	s, ctx := newStore(t, m), t.Context()
	now := noon
	m.WatchStore(ctx, s, slog.New(slog.DiscardHandler), func() time.Time { return now })
	body := scrape(t, m)
	require.Contains(t, body, "cobro_store_up 1\n")
	require.Contains(t, body, `cobro_payments_open{status="open"} 0`+"\n")
	require.Contains(t, body, "cobro_webhooks_oldest_pending_seconds 0\n")
	require.NotContains(t, body, "cobro_last_reconciliation_timestamp_seconds ", "no reconciliation has run")

	open := sale()
	open.Record.Payment.Status, open.Announce, open.Transitions = payment.StatusOpen, payment.EventCreated, nil
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{{Host: "shop", Event: payment.EventCreated, Name: "book"}}))
	open.Review = &payment.Review{ID: "rev_1", PaymentID: paymentID, OpenedAt: noon}
	_, err := s.RecordPayment(ctx, open)
	require.NoError(t, err)
	_, err = s.AddGatewayEvent(ctx, ledger.GatewayEvent{ID: "whe_1", Digest: "d", ReceivedAt: noon.Add(-time.Minute), NotBefore: noon})
	require.NoError(t, err)
	require.NoError(t, s.RecordReconciliation(ctx, payment.Reconciliation{RunID: "r", Day: "2026-03-01", StartedAt: noon, EndedAt: noon}))

	now = noon.Add(4 * time.Second)
	require.Contains(t, scrape(t, m), `cobro_payments_open{status="open"} 0`+"\n", "a result is reused for a few seconds")
	now = noon.Add(5 * time.Second)
	body = scrape(t, m)
	for _, line := range []string{
		`cobro_payments_open{status="open"} 1`,
		`cobro_reviews_open{subject="payment"} 1`,
		`cobro_reviews_open{subject="refund"} 0`,
		`cobro_webhooks_pending 1`,
		`cobro_webhooks_oldest_pending_seconds 65`,
		`cobro_notifications{event="payment_created",host="shop",receiver="book",status="pending"} 1`,
		`cobro_last_reconciliation_timestamp_seconds 1.7724528e+09`,
	} {
		require.Contains(t, body, line+"\n")
	}
}

// fakeStore is a store with one fixed result.
type fakeStore struct {
	asked   int
	backlog store.Backlog
	err     error
	ping    error
	hang    bool
}

func (b *fakeStore) Ping(context.Context) error { return b.ping }

func (b *fakeStore) Backlog(ctx context.Context) (store.Backlog, error) {
	b.asked++
	if b.hang {
		<-ctx.Done()
		return store.Backlog{}, ctx.Err()
	}
	return b.backlog, b.err
}

// A store that is down must not look like an empty one, and must not block a
// scrape for long.
func TestBacklogIsLeftOutWhenStoreIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, scrapeStoresThatAreDown) // with fake time the timeout takes no time
}

func scrapeStoresThatAreDown(t *testing.T) {
	for name, source := range map[string]*fakeStore{"broken": {err: errors.New("disk full")}, "hanging": {hang: true}} {
		m := metrics.New(metrics.ProgramAPI)
		var logs bytes.Buffer
		m.WatchStore(t.Context(), source, slog.New(slog.NewTextHandler(&logs, nil)), nil)
		m.WatchStore(t.Context(), &fakeStore{}, slog.New(slog.DiscardHandler), nil) // ignored: only the first counts
		for range 2 {
			body := scrape(t, m)
			require.Contains(t, body, "cobro_store_up 0\n", name)
			require.NotContains(t, body, "cobro_reviews_open{", name)
			require.Contains(t, body, `cobro_build_info{`, name)
		}
		require.Equal(t, 1, source.asked, "a failure is reused like a result")
		require.Contains(t, logs.String(), "backlog not counted", name)
	}
}

// A read-only store loses webhooks, so it counts as down. Its numbers are still
// exposed, because open reviews still need a person.
func TestReadOnlyStoreCountsAsDown(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.ProgramAPI)
	var logs bytes.Buffer
	m.WatchStore(t.Context(), &fakeStore{ping: errors.New("disk full")}, slog.New(slog.NewTextHandler(&logs, nil)), nil)
	body := scrape(t, m)
	require.Contains(t, body, "cobro_store_up 0\n")
	require.Contains(t, body, `cobro_reviews_open{subject="payment"} 0`+"\n")
	require.Contains(t, logs.String(), "disk full")
}

func TestSDKMetricsAreExposed(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.ProgramWorker)
	h := m.Temporal()
	for range 2 {
		h.WithTags(map[string]string{"namespace": "shop"}).Counter("temporal_request").Inc(2)
	}
	h.WithTags(map[string]string{"namespace": "shop"}).WithTags(map[string]string{"operation": "Poll"}).Counter("temporal_request").Inc(1)
	h.Counter("temporal_request").Inc(-5) // ignored
	h.Counter("temporal_local_activity_total").Inc(1)
	h.WithTags(map[string]string{"worker_type": "a"}).Gauge("temporal_num_pollers").Update(3)
	h.Timer("temporal_request_latency").Record(1500 * time.Millisecond)
	h.WithTags(map[string]string{"operation": "authorize", "workflow_type": "ProcessPayment"}).Counter(workflows.MetricUnknownOutcomes).Inc(1)
	body := scrape(t, m)
	for _, line := range []string{
		`temporal_request_total{namespace="shop"} 4`,
		`temporal_request_total{namespace="shop",operation="Poll"} 1`,
		`temporal_request_total 0`,
		`temporal_local_activity_total 1`,
		`temporal_num_pollers{worker_type="a"} 3`,
		`temporal_request_latency_seconds_sum 1.5`,
		`cobro_unknown_outcomes_total{operation="authorize"} 1`,
	} {
		require.Contains(t, body, line+"\n")
	}
}

func TestGatewayCallsAreCounted(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.ProgramWorker)
	m.GatewayCalled(athmovil.Call{Op: athmovil.OpAuthorize, Duration: 3 * time.Second, Waited: time.Second})
	m.GatewayCalled(athmovil.Call{Op: athmovil.OpAuthorize, Kind: athmovil.KindUnknown, HTTPStatus: 500})
	body := scrape(t, m)
	for _, line := range []string{
		`cobro_gateway_calls_total{operation="authorize",outcome="ok"} 1`,
		`cobro_gateway_calls_total{operation="authorize",outcome="unknown"} 1`,
		`cobro_gateway_calls_total{operation="refund",outcome="unknown"} 0`,
		`cobro_gateway_call_seconds_sum{operation="authorize"} 2`,
		`cobro_gateway_wait_seconds_sum{lane="money"} 1`,
	} {
		require.Contains(t, body, line+"\n")
	}
}
