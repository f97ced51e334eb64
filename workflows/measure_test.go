package workflows_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/workflows"
)

// tally is what workflows counted, by operation.
type tally struct {
	mu     sync.Mutex
	counts map[string]int64
}

// of returns a count.
func (t *tally) of(operation string) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[operation]
}

// counting is a client.MetricsHandler that keeps the one counter of ours.
type counting struct {
	client.MetricsHandler
	tally     *tally
	operation string
}

func (c counting) WithTags(tags map[string]string) client.MetricsHandler {
	if operation, ok := tags["operation"]; ok {
		c.operation = operation
	}
	return c
}

func (c counting) Counter(name string) client.MetricsCounter {
	if name != workflows.MetricUnknownOutcomes {
		return client.MetricsNopHandler.Counter(name)
	}
	return increment{c}
}

func (counting) Gauge(name string) client.MetricsGauge { return client.MetricsNopHandler.Gauge(name) }
func (counting) Timer(name string) client.MetricsTimer { return client.MetricsNopHandler.Timer(name) }

type increment struct{ c counting }

func (i increment) Inc(n int64) {
	i.c.tally.mu.Lock()
	defer i.c.tally.mu.Unlock()
	if i.c.tally.counts == nil {
		i.c.tally.counts = make(map[string]int64)
	}
	i.c.tally.counts[i.c.operation] += n
}

// An outcome that is not known is counted whoever failed to tell it, and a
// definite one is not.
func TestUnknownOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer answer
		want   int64
	}{
		"done":            {answer{}, 0},
		"declined":        {answer{err: declined("BTRA_0044")}, 0},
		"the answer lost": {answer{err: unknown(), executes: true}, 1},
		"the worker died": {answer{err: workerDied(), executes: true, after: 35 * time.Second}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sale := newFixture(t)
			if tt.answer.err != nil {
				sale.gateway.script(activity.Authorize.Name(), tt.answer)
			}
			sale.at(20*time.Second, sale.confirms)
			sale.process()
			require.Equal(t, tt.want, sale.counted.of("authorize"))

			back := newFixture(t)
			back.paid()
			if tt.answer.err != nil {
				back.gateway.script(activity.Refund.Name(), tt.answer)
			}
			back.refund()
			require.Equal(t, tt.want, back.counted.of("refund"))
		})
	}
}
