package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/cobropay/cobro/athmovil"
)

// GatewayCalled makes the span of a call to ATH Móvil that has just ended. It is for
// the Observe hook of athmovil.Config, which does not depend on OpenTelemetry. ATH
// Móvil gets no trace context. A call that belongs to no trace, such as a look of
// the poller's, has no span.
func (t *Tracing) GatewayCalled(ctx context.Context, call athmovil.Call, ended time.Time) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	outcome := string(call.Kind)
	if outcome == "" {
		outcome = "ok"
	}
	_, span := t.tracer.Start(ctx, "athmovil "+string(call.Op),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(ended.Add(-call.Duration)),
		trace.WithAttributes(
			attrOperation.String(string(call.Op)), attrOutcome.String(outcome), attrStatus.Int(call.HTTPStatus),
			attrWaited.Int64(call.Waited.Milliseconds()),
		))
	if call.Code != "" {
		span.SetAttributes(attrCode.String(call.Code)) // the client has checked its format
	}
	if call.Kind != "" {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(ended))
}
