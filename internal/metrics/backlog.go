package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/payment"
)

const (
	// backlogTTL is how long a result is reused, so that several Prometheus servers
	// cost the store no more than one.
	backlogTTL = 5 * time.Second
	// backlogTimeout is well below Prometheus' scrape timeout of ten seconds.
	backlogTimeout = 3 * time.Second
)

// BacklogSource counts pending work. The store implements it.
type BacklogSource interface {
	// Ping returns an error if the store cannot be written.
	Ping(ctx context.Context) error
	Backlog(ctx context.Context) (store.Backlog, error)
}

// backlog queries the store at a scrape. Every process exposes the same numbers,
// so PromQL should use max, not sum.
type backlog struct {
	up, payments, reviews, notifications, webhooks, oldest, reconciled *prometheus.Desc

	mu     sync.Mutex
	ctx    context.Context // of the process; a collector gets none
	source BacklogSource   // nil until the store is open
	logger *slog.Logger
	now    func() time.Time
	known  store.Backlog
	asked  time.Time // of the last query
	down   error     // from Ping
	err    error     // from Backlog
}

func newBacklog() *backlog {
	gauge := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &backlog{
		up:            gauge("cobro_store_up", "1 where the store answered the last question and took a write, 0 where it did not."),
		payments:      gauge("cobro_payments_open", "Payments that are not terminal.", "status"),
		reviews:       gauge("cobro_reviews_open", "Reviews that wait for a person or for the gateway's word.", "subject"),
		notifications: gauge("cobro_notifications", "Notifications that were not delivered.", "host", "event", "receiver", "status"),
		webhooks:      gauge("cobro_webhooks_pending", "Webhook events that no workflow has yet."),
		oldest:        gauge("cobro_webhooks_oldest_pending_seconds", "Age of the oldest of them; 0 where there is none."),
		reconciled:    gauge("cobro_last_reconciliation_timestamp_seconds", "When the latest reconciliation ended; absent where there was none."),
	}
}

// WatchStore exposes the pending work of a store. Only the first call counts: an
// API and a worker in one process share a store. If source is closed before the
// last scrape, that scrape shows cobro_store_up 0. Queries use the values of ctx,
// but not its cancellation. A nil now means time.Now.
func (m *Metrics) WatchStore(ctx context.Context, source BacklogSource, logger *slog.Logger, now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	b := m.backlog
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.source == nil {
		b.ctx, b.source, b.logger, b.now = context.WithoutCancel(ctx), source, logger, now
	}
}

// Describe implements prometheus.Collector.
func (b *backlog) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{b.up, b.payments, b.reviews, b.notifications, b.webhooks, b.oldest, b.reconciled} {
		out <- desc
	}
}

// Collect implements prometheus.Collector. It leaves out unknown numbers, because a
// zero would look healthy.
func (b *backlog) Collect(out chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.source == nil {
		return
	}
	now := b.now()
	if b.asked.IsZero() || now.Sub(b.asked) >= backlogTTL {
		b.query(now)
	}
	show := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	up := 0.
	if b.down == nil && b.err == nil {
		up = 1
	}
	show(b.up, up)
	if b.err != nil {
		return
	}
	for _, status := range payment.Statuses() {
		if !status.Terminal() {
			show(b.payments, float64(b.known.Payments[status]), string(status))
		}
	}
	show(b.reviews, float64(b.known.PaymentReviews), "payment")
	show(b.reviews, float64(b.known.RefundReviews), "refund")
	for _, n := range b.known.Notifications {
		show(b.notifications, float64(n.Count), n.Host, string(n.Event), n.Receiver, string(n.Status))
	}
	show(b.webhooks, float64(b.known.Events))
	var age time.Duration
	if !b.known.OldestEvent.IsZero() {
		age = max(0, now.Sub(b.known.OldestEvent))
	}
	show(b.oldest, age.Seconds())
	if !b.known.ReconciledAt.IsZero() {
		show(b.reconciled, float64(b.known.ReconciledAt.UnixMilli())/1e3)
	}
}

// query queries the store.
func (b *backlog) query(now time.Time) {
	ctx, cancel := context.WithTimeout(b.ctx, backlogTimeout)
	defer cancel()
	b.asked = now
	b.known, b.err = b.source.Backlog(ctx)
	if b.err != nil {
		b.logger.LogAttrs(ctx, slog.LevelWarn, "backlog not counted", slog.Any("error", b.err))
	}
	if b.down = b.source.Ping(ctx); b.down != nil {
		b.logger.LogAttrs(ctx, slog.LevelWarn, "store not writable", slog.Any("error", b.down))
	}
}
