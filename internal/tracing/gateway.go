package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/cobropay/cobro/athmovil"
)

// GatewayCalled makes the span of a call to ATH Móvil, which has just ended, as
// the Observe hook of athmovil.Config: the library itself knows nothing of
// OpenTelemetry. No trace context goes to ATH Móvil, which did not ask for one.
func (t *Tracing) GatewayCalled(ctx context.Context, call athmovil.Call, ended time.Time) {
	if t == nil {
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
		span.SetAttributes(attrCode.String(call.Code)) // of a form that the client has checked
	}
	if call.Kind != "" {
		span.SetStatus(codes.Error, "")
	}
	span.End(trace.WithTimestamp(ended))
}
