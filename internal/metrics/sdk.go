package metrics

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// unknownOutcomes is the counter that workflows increase through the SDK.
const unknownOutcomes = "cobro_unknown_outcomes"

// sdkBuckets range from a cached task to a waiting customer. They are few, because
// the SDK has dozens of tag combinations.
var sdkBuckets = []float64{.005, .025, .1, .5, 2.5, 10, 60, 600}

// sdkMetrics collects the metrics of Temporal's SDK. The SDK uses one name with
// different tags, which a registered description forbids, so Describe sends
// nothing. Counter names get the suffix _total, and times are in seconds.
type sdkMetrics struct {
	mu   sync.RWMutex
	vecs map[string]prometheus.Collector // by name and tag names
}

func newSDKMetrics() *sdkMetrics {
	return &sdkMetrics{vecs: make(map[string]prometheus.Collector)}
}

// Describe implements prometheus.Collector.
func (s *sdkMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *sdkMetrics) Collect(out chan<- prometheus.Metric) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, vec := range s.vecs {
		vec.Collect(out)
	}
}

// vec returns the collector of a name and a set of tags, and creates it if needed.
// It returns false if the name is in use for another kind of metric, which the
// SDK never does.
func vec[V prometheus.Collector](s *sdkMetrics, name string, tags []string, create func() V) (V, bool) {
	key := name + "{" + strings.Join(tags, ",")
	s.mu.RLock()
	known, ok := s.vecs[key]
	s.mu.RUnlock()
	if !ok {
		s.mu.Lock()
		if known, ok = s.vecs[key]; !ok {
			known = create()
			s.vecs[key] = known
		}
		s.mu.Unlock()
	}
	v, same := known.(V)
	return v, same
}

// sdkHandler is client.MetricsHandler for one set of tags.
type sdkHandler struct {
	to     *sdkMetrics
	domain map[string]*prometheus.CounterVec // our own counters, by the name that workflows use
	tags   map[string]string
	names  []string // tag names, sorted
	values []string // in the order of names
}

// WithTags implements client.MetricsHandler.
func (h *sdkHandler) WithTags(tags map[string]string) client.MetricsHandler {
	merged := make(map[string]string, len(h.tags)+len(tags))
	maps.Copy(merged, h.tags)
	maps.Copy(merged, tags)
	names := slices.Sorted(maps.Keys(merged))
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = merged[name]
	}
	return &sdkHandler{to: h.to, domain: h.domain, tags: merged, names: names, values: values}
}

// Counter implements client.MetricsHandler.
func (h *sdkHandler) Counter(name string) client.MetricsCounter {
	if own, ok := h.domain[name]; ok {
		// Our counter does not have the SDK's tags, such as the workflow type.
		return counter{own.WithLabelValues(cmp.Or(h.tags["operation"], "unknown"))}
	}
	if !strings.HasSuffix(name, "_total") {
		name += "_total"
	}
	v, ok := vec(h.to, name, h.names, func() *prometheus.CounterVec { return counters(name, sdkHelp, h.names...) })
	if !ok {
		return client.MetricsNopHandler.Counter(name)
	}
	return counter{v.WithLabelValues(h.values...)}
}

// Gauge implements client.MetricsHandler.
func (h *sdkHandler) Gauge(name string) client.MetricsGauge {
	v, ok := vec(h.to, name, h.names, func() *prometheus.GaugeVec { return gauges(name, sdkHelp, h.names...) })
	if !ok {
		return client.MetricsNopHandler.Gauge(name)
	}
	return gauge{v.WithLabelValues(h.values...)}
}

// Timer implements client.MetricsHandler.
func (h *sdkHandler) Timer(name string) client.MetricsTimer {
	name += "_seconds"
	v, ok := vec(h.to, name, h.names, func() *prometheus.HistogramVec {
		return histograms(name, sdkHelp, sdkBuckets, h.names...)
	})
	if !ok {
		return client.MetricsNopHandler.Timer(name)
	}
	return timer{v.WithLabelValues(h.values...)}
}

// sdkHelp is the help text of every SDK metric. The SDK provides none.
const sdkHelp = "Measured by Temporal's SDK: https://docs.temporal.io/references/sdk-metrics"

type counter struct{ to prometheus.Counter }

// Inc implements client.MetricsCounter.
func (c counter) Inc(n int64) {
	if n > 0 { // Add panics on a negative number
		c.to.Add(float64(n))
	}
}

type gauge struct{ to prometheus.Gauge }

// Update implements client.MetricsGauge.
func (g gauge) Update(value float64) { g.to.Set(value) }

type timer struct{ to prometheus.Observer }

// Record implements client.MetricsTimer.
func (t timer) Record(took time.Duration) { t.to.Observe(took.Seconds()) }
