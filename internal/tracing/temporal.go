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

// Interceptors follow a client and the workers made with it; none where tracing
// is off. A workflow that was started without a trace, or by a program that
// traces otherwise, goes on all the same.
func (t *Tracing) Interceptors() ([]interceptor.ClientInterceptor, error) {
	if t == nil {
		return nil, nil
	}
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: t.tracer, TextMapPropagator: propagator(), DisableBaggage: true, AllowInvalidParentSpans: true,
		SpanStarter: func(ctx context.Context, tracer trace.Tracer, name string, options ...trace.SpanStartOption) trace.Span {
			_, span := tracer.Start(ctx, name, options...)
			return taciturn{span}
		},
	})
	if err != nil {
		return nil, err
	}
	return []interceptor.ClientInterceptor{tracing}, nil
}

// taciturn is a span that says of an error what kind it is, and not what it
// says, and that keeps its name: a receiver may name a customer in both.
type taciturn struct{ trace.Span }

// RecordError notes the error's kind.
func (s taciturn) RecordError(err error, _ ...trace.EventOption) {
	if err != nil {
		s.SetAttributes(attrErrorType.String(errorType(err)))
	}
}

// SetName changes nothing.
func (s taciturn) SetName(string) {}

// SetStatus leaves the description out.
func (s taciturn) SetStatus(code codes.Code, _ string) { s.Span.SetStatus(code, "") }

// errorType sorts an error into a few kinds.
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
