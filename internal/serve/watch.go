package serve

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/internal/tracing"
)

// watcher measures and traces what the API does.
type watcher struct {
	metrics *metrics.Metrics
	tracing *tracing.Tracing

	mu    sync.Mutex
	under map[string]int // requests under way, by route; guarded by mu
}

func newWatcher(m *metrics.Metrics, t *tracing.Tracing) *watcher {
	return &watcher{metrics: m, tracing: t, under: map[string]int{}}
}

// begin counts a request as under way until done.
func (w *watcher) begin(route string) (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under[route]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.under[route]--; w.under[route] == 0 {
			delete(w.under, route)
		}
	}
}

// underWay returns how many requests are under way, and their routes.
func (w *watcher) underWay() (requests int, routes []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for route, number := range w.under {
		requests += number
		routes = append(routes, route)
	}
	slices.Sort(routes)
	return requests, routes
}

// Request implements api.Watcher.
func (w *watcher) Request(r *http.Request, route string) (context.Context, func(api.Answered)) {
	method := known(r.Method)
	ctx, span := w.tracing.StartRequest(r.Context(), r.Header, method, route)
	done := w.begin(method + " " + route)
	return ctx, func(a api.Answered) {
		done()
		w.metrics.RequestAnswered(method, route, strconv.Itoa(a.Status), a.Took)
		span.EndRequest(a.Status, a.Code, a.PaymentID)
	}
}

// Handover implements relay.Watcher. Verdicts are counted by the store.
func (w *watcher) Handover(ctx context.Context) (context.Context, func(relay.HandedOver)) {
	ctx, span := w.tracing.StartRelay(ctx)
	return ctx, func(h relay.HandedOver) { span.EndRelay(h.EventID, h.Kind, string(h.Verdict), h.PaymentID) }
}

// known returns a method that HTTP knows. Anybody may make up another one, and
// each would be a label of its own.
func known(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "_OTHER"
	}
}
