package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Creates is how many payments an API may open at once, how many it opens, and
// how many it has refused to.
type Creates struct{ Limit, Opening, Refused int }

// creates shows what the API's use cases keep. It shows nothing before
// [Metrics.WatchCreates].
type creates struct {
	limit, opening, refused *prometheus.Desc
	read                    atomic.Pointer[func() Creates]
}

func newCreates() *creates {
	return &creates{
		limit: prometheus.NewDesc("cobro_payment_creates_limit",
			"How many payments this API opens at once before it refuses more.", nil, nil),
		opening: prometheus.NewDesc("cobro_payment_creates_opening", "Payments that this API is opening.", nil, nil),
		refused: prometheus.NewDesc("cobro_payment_creates_refused_total",
			"Payments that this API refused before anything was kept, because it was overloaded.", nil, nil),
	}
}

// WatchCreates exposes what read returns, which must be safe for concurrent use.
func (m *Metrics) WatchCreates(read func() Creates) { m.creates.read.Store(&read) }

// Describe implements prometheus.Collector.
func (c *creates) Describe(out chan<- *prometheus.Desc) {
	out <- c.limit
	out <- c.opening
	out <- c.refused
}

// Collect implements prometheus.Collector.
func (c *creates) Collect(out chan<- prometheus.Metric) {
	read := c.read.Load()
	if read == nil {
		return
	}
	now := (*read)()
	out <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(now.Limit))
	out <- prometheus.MustNewConstMetric(c.opening, prometheus.GaugeValue, float64(now.Opening))
	out <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(now.Refused))
}
