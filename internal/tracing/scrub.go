package tracing

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Span attributes. An attribute that [allowed] does not list never leaves the
// process.
const (
	attrMethod    = attribute.Key("http.request.method")
	attrRoute     = attribute.Key("http.route")
	attrStatus    = attribute.Key("http.response.status_code")
	attrErrorType = attribute.Key("error.type")
	attrPayment   = attribute.Key("cobro.payment_id")
	attrProblem   = attribute.Key("cobro.problem") // the code of a problem document
	attrOperation = attribute.Key("cobro.gateway.operation")
	attrOutcome   = attribute.Key("cobro.gateway.outcome")
	attrCode      = attribute.Key("cobro.gateway.code")
	attrWaited    = attribute.Key("cobro.gateway.waited_ms")
	attrEvent     = attribute.Key("cobro.webhook.event_id")
	attrKind      = attribute.Key("cobro.webhook.kind")
	attrVerdict   = attribute.Key("cobro.webhook.verdict")
)

// allowed reports whether an attribute may leave the process. Besides the ones
// above, these are the ids from the SDK's interceptor, which are not encrypted in
// histories either.
func allowed(key attribute.Key) bool {
	switch key {
	case attrMethod, attrRoute, attrStatus, attrErrorType, attrPayment, attrProblem,
		attrOperation, attrOutcome, attrCode, attrWaited, attrEvent, attrKind, attrVerdict,
		"temporalWorkflowID", "temporalRunID", "temporalActivityID", "temporalUpdateID":
		return true
	default:
		return false
	}
}

// scrubber exports spans without private data. It logs export errors itself, so
// that they do not reach OpenTelemetry's global error handler.
type scrubber struct {
	next   sdktrace.SpanExporter
	logger *slog.Logger
}

// ExportSpans implements sdktrace.SpanExporter.
func (s *scrubber) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	scrubbedSpans := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		scrubbedSpans[i] = scrubbed{span}
	}
	if err := s.next.ExportSpans(ctx, scrubbedSpans); err != nil {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "spans lost", slog.Int("spans", len(spans)), slog.Any("error", err))
	}
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (s *scrubber) Shutdown(ctx context.Context) error { return s.next.Shutdown(ctx) }

// scrubbed is a span as it is exported.
type scrubbed struct{ sdktrace.ReadOnlySpan }

// receiverSpan replaces the name and scope of spans that a receiver starts.
const receiverSpan = "receiver"

// ours reports whether the span comes from our tracer, which the SDK's interceptor
// uses too. A receiver can start its own spans through the provider of its context,
// and may name them after a customer.
func (s scrubbed) ours() bool { return s.ReadOnlySpan.InstrumentationScope().Name == scope }

// Name replaces the name of a receiver's span.
func (s scrubbed) Name() string {
	if !s.ours() {
		return receiverSpan
	}
	return s.ReadOnlySpan.Name()
}

// InstrumentationScope drops everything but our own name.
func (s scrubbed) InstrumentationScope() instrumentation.Scope {
	if !s.ours() {
		return instrumentation.Scope{Name: receiverSpan}
	}
	return instrumentation.Scope{Name: scope}
}

// Attributes drops attributes that are not allowed, and all of a receiver's span,
// which may use one of our names for anything.
func (s scrubbed) Attributes() []attribute.KeyValue {
	if !s.ours() {
		return nil
	}
	return allowedOf(s.ReadOnlySpan.Attributes())
}

// Events drops all events: the SDK puts error texts and stack traces there.
func (s scrubbed) Events() []sdktrace.Event { return nil }

// Status drops the description, which is an error text.
func (s scrubbed) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

// Links drops their attributes and trace state.
func (s scrubbed) Links() []sdktrace.Link {
	links := make([]sdktrace.Link, 0, len(s.ReadOnlySpan.Links()))
	for _, link := range s.ReadOnlySpan.Links() {
		links = append(links, sdktrace.Link{SpanContext: link.SpanContext.WithTraceState(trace.TraceState{})})
	}
	return links
}

func allowedOf(attributes []attribute.KeyValue) []attribute.KeyValue {
	kept := make([]attribute.KeyValue, 0, len(attributes))
	for _, a := range attributes {
		if allowed(a.Key) {
			kept = append(kept, a)
		}
	}
	return kept
}
