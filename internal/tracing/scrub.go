package tracing

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of spans. What is not in allowed never leaves the process.
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

// allowed reports whether an attribute may leave the process: those above, and
// the ids that the SDK's interceptor sets, which histories hold in clear too.
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

// scrubber hands spans on without what must not leave, and keeps an exporter
// that fails from OpenTelemetry's global error handler.
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

// scrubbed is a span as it leaves.
type scrubbed struct{ sdktrace.ReadOnlySpan }

// strange names the spans that a receiver begins, and where they come from.
const strange = "receiver"

// ours reports whether we began the span, or the SDK's interceptor with our
// tracer. A receiver begins spans of its own by its context's provider, and may
// name them after a customer.
func (s scrubbed) ours() bool { return s.ReadOnlySpan.InstrumentationScope().Name == scope }

// Name is a fixed word for a receiver's span.
func (s scrubbed) Name() string {
	if !s.ours() {
		return strange
	}
	return s.ReadOnlySpan.Name()
}

// InstrumentationScope leaves out everything but our own name.
func (s scrubbed) InstrumentationScope() instrumentation.Scope {
	if !s.ours() {
		return instrumentation.Scope{Name: strange}
	}
	return instrumentation.Scope{Name: scope}
}

// Attributes leaves out those that are not allowed, and all of a receiver's,
// which may use a name of ours for anything.
func (s scrubbed) Attributes() []attribute.KeyValue {
	if !s.ours() {
		return nil
	}
	return allowedOf(s.ReadOnlySpan.Attributes())
}

// Events leaves all out: the SDK puts the texts and stacks of errors there.
func (s scrubbed) Events() []sdktrace.Event { return nil }

// Status leaves out the description, which is an error's text.
func (s scrubbed) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

// Links leaves out what is said of them.
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
