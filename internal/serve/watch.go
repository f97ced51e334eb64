package serve

import (
	"context"
	"net/http"
	"strconv"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/tracing"
)

// watcher measures and traces what the API does.
type watcher struct {
	metrics *metrics.Metrics
	tracing *tracing.Tracing
}

// Request implements api.Watcher.
func (w watcher) Request(r *http.Request, route string) (context.Context, func(api.Answered)) {
	method := known(r.Method)
	ctx, span := w.tracing.Request(r.Context(), r.Header, method, route)
	return ctx, func(a api.Answered) {
		w.metrics.RequestAnswered(method, route, strconv.Itoa(a.Status), a.Took)
		span.Answered(a.Status, a.Code, a.PaymentID)
	}
}

// Handover implements api.Watcher. Verdicts are counted by the store.
func (w watcher) Handover(ctx context.Context) (context.Context, func(api.HandedOver)) {
	ctx, span := w.tracing.Handover(ctx)
	return ctx, func(h api.HandedOver) { span.HandedOver(h.EventID, h.Kind, string(h.Verdict), h.PaymentID) }
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
