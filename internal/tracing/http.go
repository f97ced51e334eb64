package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Request begins the span of a request that came in, as a child of the one that
// its traceparent names. The caller ends it. route is a pattern: a path may hold
// a secret, and so the usual instrumentations of HTTP, which note paths,
// addresses and agents, are not used.
func (t *Tracing) Request(ctx context.Context, header http.Header, method, route string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx = propagator().Extract(ctx, propagation.HeaderCarrier(header))
	ctx, span := t.tracer.Start(ctx, method+" "+route, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attrMethod.String(method), attrRoute.String(route)))
	return ctx, Span{span}
}

// Handover begins the span of a webhook event on its way to a workflow. The
// gateway's own request ended when the event was stored.
func (t *Tracing) Handover(ctx context.Context) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, "relay webhook event", trace.WithSpanKind(trace.SpanKindConsumer))
	return ctx, Span{span}
}

// Span is a span of ours; the zero value is none.
type Span struct{ span trace.Span }

// Answered ends a request's span. problem and paymentID may be empty.
func (s Span) Answered(status int, problem, paymentID string) {
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

// HandedOver ends a handover's span. An empty verdict means that the event has
// to be tried again.
func (s Span) HandedOver(eventID, kind, verdict, paymentID string) {
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

// Transport gives each request that goes out a span and the W3C trace context
// of the one that it belongs to. A nil Tracing returns next itself. Neither the
// address nor the headers are noted: a merchant's endpoint may have a secret in
// either.
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
	sent := r.Clone(ctx) // a RoundTripper leaves the request as it is
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

// CloseIdleConnections lets http.Client close what lies below.
func (t *transport) CloseIdleConnections() {
	if below, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		below.CloseIdleConnections()
	}
}

// Inject writes the W3C trace context of ctx into the header of a request that
// goes out; nothing where ctx has none. It needs no Tracing, so that a sender
// need not know whether there is one.
func Inject(ctx context.Context, header http.Header) {
	propagator().Inject(ctx, propagation.HeaderCarrier(header))
}
