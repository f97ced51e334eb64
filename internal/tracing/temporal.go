package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
)

// Interceptors returns the tracing interceptors for a client and its workers, and
// none if tracing is off. A workflow that was started without a trace, or with
// another kind of trace, still runs.
func (t *Tracing) Interceptors() ([]interceptor.ClientInterceptor, error) {
	if t == nil {
		return nil, nil
	}
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: t.tracer, TextMapPropagator: propagator(), DisableBaggage: true, AllowInvalidParentSpans: true,
		SpanStarter: func(ctx context.Context, tracer trace.Tracer, name string, options ...trace.SpanStartOption) trace.Span {
			_, span := tracer.Start(ctx, name, options...)
			return scrubbedSpan{span}
		},
	})
	if err != nil {
		return nil, err
	}
	return []interceptor.ClientInterceptor{tracing}, nil
}

// scrubbedSpan records the kind of an error instead of its text, and ignores a new
// name: a receiver may name a customer in either.
type scrubbedSpan struct{ trace.Span }

// RecordError records the kind of the error.
func (s scrubbedSpan) RecordError(err error, _ ...trace.EventOption) {
	if err != nil {
		s.SetAttributes(attrErrorType.String(errorType(err)))
	}
}

// SetName does nothing.
func (s scrubbedSpan) SetName(string) {}

// SetStatus drops the description.
func (s scrubbedSpan) SetStatus(code codes.Code, _ string) { s.Span.SetStatus(code, "") }

// errorType returns the kind of an error.
func errorType(err error) string {
	var (
		application *temporal.ApplicationError
		timeout     *temporal.TimeoutError
		panicked    *temporal.PanicError
	)
	switch {
	case temporal.IsCanceledError(err), errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &panicked):
		return "panic"
	case errors.As(err, &application):
		return "application"
	default:
		return "other"
	}
}
