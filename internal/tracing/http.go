package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// StartRequest starts the span of an incoming request, as a child of the span in its
// traceparent header. End it with [Span.EndRequest]. route is a pattern such as
// "/v1/payments/:id". A path may contain a secret, which is why we do not use the
// usual HTTP instrumentation: it records paths, addresses and user agents.
func (t *Tracing) StartRequest(ctx context.Context, header http.Header, method, route string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx = propagator().Extract(ctx, propagation.HeaderCarrier(header))
	ctx, span := t.tracer.Start(ctx, method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attrMethod.String(method), attrRoute.String(route)))
	return ctx, Span{span}
}

// StartRelay starts the span of handing a stored webhook event to a workflow. End it
// with [Span.EndRelay]. The span of ATH Móvil's request ended when the event was
// stored.
func (t *Tracing) StartRelay(ctx context.Context) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, "relay webhook event", trace.WithSpanKind(trace.SpanKindConsumer))
	return ctx, Span{span}
}

// Span is a started span. The zero value does nothing.
type Span struct{ span trace.Span }

// EndRequest ends the span of a request. problem and paymentID may be empty.
func (s Span) EndRequest(status int, problem, paymentID string) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attrStatus.Int(status))
	if problem != "" {
		s.span.SetAttributes(attrProblem.String(problem))
	}
	if paymentID != "" {
		s.span.SetAttributes(attrPayment.String(paymentID))
	}
	if status >= http.StatusInternalServerError {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// EndRelay ends the span of a relay. An empty verdict means that the event will be
// tried again.
func (s Span) EndRelay(eventID, kind, verdict, paymentID string) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attrEvent.String(eventID), attrKind.String(kind), attrVerdict.String(verdict))
	if paymentID != "" {
		s.span.SetAttributes(attrPayment.String(paymentID))
	}
	if verdict == "" {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Transport gives each outgoing request a span and sends its W3C trace context. A
// nil Tracing returns next itself. The span records neither the URL nor headers,
// because either may contain a merchant's secret.
func (t *Tracing) Transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return &transport{tracing: t, next: next}
}

type transport struct {
	tracing *Tracing
	next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := t.tracing.tracer.Start(r.Context(), r.Method, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attrMethod.String(r.Method)))
	defer span.End()
	sent := r.Clone(ctx) // a RoundTripper must not modify the request
	Inject(ctx, sent.Header)
	response, err := t.next.RoundTrip(sent)
	if err != nil {
		span.SetAttributes(attrErrorType.String(errorType(err)))
		span.SetStatus(codes.Error, "")
		return response, err
	}
	span.SetAttributes(attrStatus.Int(response.StatusCode))
	if response.StatusCode >= http.StatusBadRequest {
		span.SetStatus(codes.Error, "")
	}
	return response, nil
}

// CloseIdleConnections lets http.Client close connections of the wrapped transport.
func (t *transport) CloseIdleConnections() {
	if next, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		next.CloseIdleConnections()
	}
}

// Inject writes the W3C trace context of ctx, if it has one, into the header of an
// outgoing request. It needs no Tracing, so it works whether tracing is on or off.
func Inject(ctx context.Context, header http.Header) {
	propagator().Inject(ctx, propagation.HeaderCarrier(header))
}
