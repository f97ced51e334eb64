// Package tracing follows a payment from the merchant's request through its
// workflow to ATH Móvil and to the receivers, as OpenTelemetry spans.
//
// Tracing is off, and costs nothing, unless the standard variables set an exporter
// ([LoadOptions]). A nil [*Tracing] is off, and all its methods work. It sets
// none of OpenTelemetry's globals, so that a merchant's program can use its own.
//
// An allowlist in scrub.go decides what leaves the process. An exported span has no
// other attributes, no error texts and no events. The span of a merchant's
// receiver loses its name too. So a span tells what happened, when and to which
// payment, but never who paid.
package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope is the instrumentation scope of our spans.
const scope = "github.com/cobropay/cobro"

// Options say where spans go. The zero value is off.
type Options struct {
	// Endpoint is the URL that spans are posted to, such as
	// "http://127.0.0.1:4318/v1/traces". Empty means off, unless Exporter is set.
	Endpoint string
	// Service is the service name, unless OTEL_SERVICE_NAME is set.
	Service string
	// Exporter receives the spans in tests, instead of the endpoint.
	Exporter sdktrace.SpanExporter
}

// defaultEndpoint is OpenTelemetry's default.
const defaultEndpoint = "http://localhost:4318"

// LoadOptions reads OpenTelemetry's variables. Tracing is on if
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, or
// OTEL_TRACES_EXPORTER is "otlp". It is off if that is "none" or OTEL_SDK_DISABLED
// is "true". The exporter itself reads the other OTEL_EXPORTER_OTLP_… variables,
// and the sampler reads OTEL_TRACES_SAMPLER.
func LoadOptions(getenv func(string) string) (Options, error) {
	exporter := getenv("OTEL_TRACES_EXPORTER")
	endpointName, endpoint := first(getenv, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" {
		return Options{}, nil
	}
	if exporter == "" && endpoint == "" {
		return Options{}, nil
	}
	var problems []error
	if exporter != "" && exporter != "otlp" {
		problems = append(problems, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: use otlp, or none for no traces", exporter))
	}
	name, protocol := first(getenv, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	if protocol != "" && protocol != "http/protobuf" {
		problems = append(problems, fmt.Errorf("%s is %q: use http/protobuf, which collectors accept on port 4318", name, protocol))
	}
	endpoint = cmp.Or(endpoint, defaultEndpoint)
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		problems = append(problems, fmt.Errorf("%s is not a URL like %s", endpointName, defaultEndpoint))
	}
	if endpointName != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" { // the traces endpoint is a complete URL already
		endpoint = strings.TrimRight(endpoint, "/") + "/v1/traces"
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		if !validHeaders(strings.TrimSpace(getenv(name))) {
			problems = append(problems, fmt.Errorf("%s is not a list like name=value,name=value with URL-encoded values", name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return Options{}, err
	}
	return Options{Endpoint: endpoint}, nil
}

// first returns the name and value of the first variable that is set. The one for
// traces takes precedence over the one for all signals.
func first(getenv func(string) string, traces, all string) (name, value string) {
	if value := getenv(traces); value != "" {
		return traces, value
	}
	return all, getenv(all)
}

// validHeaders reports whether the exporter can parse a list of headers. We check
// first, because the exporter prints what it cannot parse, which may be the
// collector's key.
func validHeaders(list string) bool {
	if list == "" {
		return true
	}
	for _, pair := range strings.Split(list, ",") {
		name, value, found := strings.Cut(pair, "=")
		_, err := url.PathUnescape(value)
		if !found || err != nil || !headerName.MatchString(strings.TrimSpace(name)) {
			return false
		}
	}
	return true
}

// headerName is a token by RFC 9110.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// Tracing makes spans. It is safe for concurrent use; nil is off.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// Open returns nil if the options are off. Spans that cannot be delivered are logged
// and dropped, and never block the caller. Call [Tracing.Close] at the end.
func Open(ctx context.Context, o Options, logger *slog.Logger) (*Tracing, error) {
	exporter := o.Exporter
	if exporter == nil {
		if o.Endpoint == "" {
			return nil, nil //nolint:nilnil // a nil Tracing is off, which is no error
		}
		var err error
		if exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.Endpoint)); err != nil {
			return nil, fmt.Errorf("export traces: %w (fix OTEL_EXPORTER_OTLP_…)", err)
		}
	}
	// Later detectors win, so the environment overrides the service name.
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", o.Service)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the service: %w (fix OTEL_RESOURCE_ATTRIBUTES)", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithBatcher(&scrubber{next: exporter, logger: logger}),
	)
	return &Tracing{provider: provider, tracer: provider.Tracer(scope)}, nil
}

// closeTimeout limits the delivery of the last spans.
const closeTimeout = 5 * time.Second

// Close delivers the remaining spans. Nothing is traced afterwards.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// propagator handles the W3C trace context only. Baggage may contain anything: it
// would travel on to other services and end up unencrypted in histories.
func propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }
