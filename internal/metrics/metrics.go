// Package metrics counts and times what Cobro does, for Prometheus.
//
// It uses Prometheus' library instead of OpenTelemetry's. The exposed names are
// exactly those in docs/metrics.md, the store is queried only at a scrape, and a
// worker gets one dependency instead of four. Traces do use OpenTelemetry: see
// internal/tracing.
//
// Workflow code measures nothing, because it runs again at every replay. The store
// counts a payment's steps in the transaction that writes each one once
// ([Metrics] is a store.Observer), and the gateway client counts its calls. The
// one exception is outcomes that are unknown because a worker died: they go
// through the SDK's own handler, which is silent during a replay.
//
// No label contains text that a merchant or customer typed.
package metrics

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Values of the label program of cobro_build_info.
const (
	ProgramAPI       = "api"
	ProgramWorker    = "worker"    // processes payments
	ProgramReceivers = "receivers" // a merchant's worker, for receivers only
)

// outcomeOK is the outcome of a successful call. The others are the kinds of
// athmovil.Error.
const outcomeOK = "ok"

// Metrics holds the metrics of one process. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	build    *prometheus.GaugeVec
	requests *prometheus.CounterVec
	answers  *prometheus.HistogramVec
	payments *prometheus.CounterVec
	confirm  prometheus.Histogram
	complete prometheus.Histogram
	verdicts *prometheus.CounterVec
	attempts *prometheus.CounterVec
	calls    *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	waits    *prometheus.HistogramVec
	unknown  *prometheus.CounterVec
	tickets  prometheus.Gauge
	looks    *prometheus.CounterVec
	late     prometheus.Histogram
	sdk      *sdkMetrics
	backlog  *backlog
	creates  *creates
}

// Buckets in seconds. People take seconds or minutes, machines take milliseconds.
var (
	peopleBuckets  = []float64{1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200}
	machineBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
)

// New returns the metrics of a process that runs these programs. Counters with
// known labels start at zero, so that Prometheus sees the first increase.
func New(programs ...string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		build: gauges("cobro_build_info", "Always 1; the labels say what runs.",
			"program", "version", "revision", "go_version"),
		requests: counters("cobro_http_requests_total", "Requests that the API answered.", "method", "route", "status"),
		answers:  histograms("cobro_http_request_seconds", "How long the API took to answer.", machineBuckets, "route"),
		payments: counters("cobro_payments_total", "Payments that reached a status.", "status"),
		confirm: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cobro_payment_confirm_seconds", Help: "From a payment's request to the customer's confirmation.", Buckets: peopleBuckets,
		}),
		complete: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cobro_payment_complete_seconds", Help: "From a payment's request to its debit.", Buckets: peopleBuckets,
		}),
		verdicts: counters("cobro_webhook_verdicts_total", "Verdicts that webhook events were given.", "verdict"),
		attempts: counters("cobro_notification_attempts_total", "Calls of receivers.", "host", "event", "receiver", "outcome"),
		calls:    counters("cobro_gateway_calls_total", "Calls to ATH Móvil.", "operation", "outcome"),
		latency: histograms("cobro_gateway_call_seconds", "How long calls to ATH Móvil took, without the wait for their turn.",
			machineBuckets, "operation"),
		waits: histograms("cobro_gateway_wait_seconds", "How long calls to ATH Móvil waited for their turn.",
			machineBuckets, "lane"),
		unknown: counters(unknownOutcomes+"_total", "Calls that may have moved money or made a ticket, with an outcome that is not known.", "operation"),
		tickets: prometheus.NewGauge(prometheus.GaugeOpts{Name: "cobro_poller_tickets", Help: "Open tickets that this process looks at."}),
		looks:   counters("cobro_poller_looks_total", "Looks at open tickets.", "outcome"),
		late: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cobro_poller_late_seconds", Help: "How late looks at open tickets began.", Buckets: machineBuckets,
		}),
		sdk:     newSDKMetrics(),
		backlog: newBacklog(),
		creates: newCreates(),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.build, m.requests, m.answers, m.payments, m.confirm, m.complete, m.verdicts, m.attempts,
		m.calls, m.latency, m.waits, m.unknown, m.tickets, m.looks, m.late, m.sdk, m.backlog, m.creates,
	)
	m.startAtZero(programs)
	return m
}

func (m *Metrics) startAtZero(programs []string) {
	version, revision, compiler := buildInfo()
	for _, program := range programs {
		m.build.WithLabelValues(program, version, revision, compiler).Set(1)
	}
	if slices.Contains(programs, ProgramAPI) {
		// An alert must see the first webhook that is refused.
		for _, status := range []string{"500", "503"} {
			m.requests.WithLabelValues(http.MethodPost, "/webhooks/athmovil/:secret", status)
		}
	}
	for _, status := range payment.Statuses() {
		if status != payment.StatusPending { // every payment starts there, so it is not a step
			m.payments.WithLabelValues(string(status))
		}
	}
	for _, verdict := range []ledger.EventVerdict{
		ledger.EventSignalled, ledger.EventLate, ledger.EventApplied, ledger.EventKnown, ledger.EventRefuted,
		ledger.EventUnmatched, ledger.EventIgnored, ledger.EventMalformed, ledger.EventTooLarge,
	} {
		m.verdicts.WithLabelValues(string(verdict))
	}
	for _, op := range athmovil.Ops() {
		for _, outcome := range []string{
			outcomeOK, string(athmovil.KindDeclined), string(athmovil.KindInvalid), string(athmovil.KindAuthentication),
			string(athmovil.KindUnavailable), string(athmovil.KindUnknown),
		} {
			m.calls.WithLabelValues(string(op), outcome)
		}
		m.waits.WithLabelValues(op.Lane())
	}
	for _, op := range []athmovil.Op{athmovil.OpCreate, athmovil.OpAuthorize, athmovil.OpRefund} {
		m.unknown.WithLabelValues(string(op))
	}
}

// buildInfo returns the version, the commit and the Go version.
func buildInfo() (version, revision, compiler string) {
	version, revision = "unknown", "unknown"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version, revision, "unknown"
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			revision = setting.Value
		}
	}
	return version, revision, info.GoVersion
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// Handler serves the metrics in Prometheus' text format. It logs and leaves out
// what it cannot collect.
func (m *Metrics) Handler(logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: errorLog{logger}, ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true,
	})
}

// errorLog is promhttp's logger.
type errorLog struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (l errorLog) Println(v ...any) {
	l.logger.Warn("metrics incomplete", slog.Any("error", v))
}

// Temporal returns the handler of the SDK's metrics, for a client and its
// workers.
func (m *Metrics) Temporal() client.MetricsHandler {
	return &sdkHandler{to: m.sdk, domain: map[string]*prometheus.CounterVec{unknownOutcomes: m.unknown}}
}

// PaymentMoved implements store.Observer.
func (m *Metrics) PaymentMoved(step ledger.Transition, askedAt time.Time) {
	m.payments.WithLabelValues(string(step.To)).Inc()
	took := max(0, step.At.Sub(askedAt)).Seconds()
	switch step.To { //nolint:exhaustive // nobody waits for the other statuses
	case payment.StatusConfirmed:
		m.confirm.Observe(took)
	case payment.StatusCompleted:
		m.complete.Observe(took)
	}
}

// EventSettled implements store.Observer.
func (m *Metrics) EventSettled(verdict ledger.EventVerdict) {
	m.verdicts.WithLabelValues(string(verdict)).Inc()
}

// ReceiverCalled implements store.Observer.
func (m *Metrics) ReceiverCalled(r ledger.Receiver, failed bool) {
	outcome := outcomeOK
	if failed {
		outcome = "error"
	}
	m.attempts.WithLabelValues(r.Host, string(r.Event), r.Name, outcome).Inc()
}

// GatewayCalled counts a call. It is for the Observe hook of athmovil.Config.
func (m *Metrics) GatewayCalled(call athmovil.Call) {
	outcome := outcomeOK
	if call.Kind != "" {
		outcome = string(call.Kind)
	}
	m.calls.WithLabelValues(string(call.Op), outcome).Inc()
	m.latency.WithLabelValues(string(call.Op)).Observe(max(0, call.Duration-call.Waited).Seconds())
	m.waits.WithLabelValues(call.Op.Lane()).Observe(call.Waited.Seconds())
}

// TicketsWatched implements poller.Observer.
func (m *Metrics) TicketsWatched(tickets int) { m.tickets.Set(float64(tickets)) }

// TicketLooked implements poller.Observer.
func (m *Metrics) TicketLooked(outcome string, late time.Duration) {
	m.looks.WithLabelValues(outcome).Inc()
	m.late.Observe(late.Seconds())
}

// RequestAnswered counts a request. method and route must come from the API's own
// list, never from the client.
func (m *Metrics) RequestAnswered(method, route, status string, took time.Duration) {
	m.requests.WithLabelValues(method, route, status).Inc()
	m.answers.WithLabelValues(route).Observe(took.Seconds())
}
