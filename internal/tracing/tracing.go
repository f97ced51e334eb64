// Package tracing follows a payment from the merchant's request through its
// workflow to ATH Móvil and to the receivers, as OpenTelemetry spans.
//
// It is off, and then costs nothing, unless the standard variables name where
// spans go ([LoadOptions]). A nil [*Tracing] is off: all of its methods may be
// called. Nothing of OpenTelemetry's is global: providers are handed over, so
// that a merchant's own program keeps its own.
//
// What leaves the process is decided in one place, by a list of what may
// (scrub.go): a span loses every attribute that is not on it, the texts of errors
// and all events; one that a merchant's receiver begins, its name too. So a span
// tells what happened, when, and of which payment, and never to whom.
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

// scope names our spans' origin.
const scope = "github.com/cobropay/cobro"

// Options say whether and where spans go. The zero value is off.
type Options struct {
	// Endpoint is the URL that spans are posted to, such as
	// "http://127.0.0.1:4318/v1/traces". Empty means off, unless Exporter is set.
	Endpoint string
	// Service names the program, unless OTEL_SERVICE_NAME does.
	Service string
	// Exporter takes the spans in a test instead of an endpoint.
	Exporter sdktrace.SpanExporter
}

// defaultEndpoint is OpenTelemetry's own.
const defaultEndpoint = "http://localhost:4318"

// LoadOptions reads OpenTelemetry's variables. Spans are exported where
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, or
// OTEL_TRACES_EXPORTER is "otlp"; never where that is "none" or
// OTEL_SDK_DISABLED is "true". The exporter itself reads the other
// OTEL_EXPORTER_OTLP_… variables, and the sampler OTEL_TRACES_SAMPLER.
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
		problems = append(problems, fmt.Errorf("%s is %q: use http/protobuf, which collectors take at port 4318", name, protocol))
	}
	endpoint = cmp.Or(endpoint, defaultEndpoint)
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		problems = append(problems, fmt.Errorf("%s is not an address like %s", endpointName, defaultEndpoint))
	}
	if endpointName != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" { // which is a whole URL
		endpoint = strings.TrimRight(endpoint, "/") + "/v1/traces"
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		if !headers(strings.TrimSpace(getenv(name))) {
			problems = append(problems, fmt.Errorf("%s is no list like name=value,name=value with values as in URLs", name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return Options{}, err
	}
	return Options{Endpoint: endpoint}, nil
}

// first returns the first of two variables that is set, and its name: what is
// said of traces goes before what is said of all.
func first(getenv func(string) string, traces, all string) (name, value string) {
	if value := getenv(traces); value != "" {
		return traces, value
	}
	return all, getenv(all)
}

// headers reports whether the exporter can read a list of headers. It prints
// what it cannot read, which may be the collector's key, and goes on without.
func headers(list string) bool {
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

// Open returns nil where the options are off. Spans that cannot be delivered are
// lost, with a line in the log, and hold up nobody. The caller calls
// [Tracing.Close].
func Open(ctx context.Context, o Options, logger *slog.Logger) (*Tracing, error) {
	exporter := o.Exporter
	if exporter == nil {
		if o.Endpoint == "" {
			return nil, nil //nolint:nilnil // a nil Tracing is off, which is no error
		}
		var err error
		if exporter, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(o.Endpoint)); err != nil {
			return nil, fmt.Errorf("export traces: %w (mend OTEL_EXPORTER_OTLP_…)", err)
		}
	}
	// Later detectors win: what the environment says of the service stays.
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", o.Service)), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the service: %w (mend OTEL_RESOURCE_ATTRIBUTES)", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(about),
		sdktrace.WithBatcher(&scrubber{next: exporter, logger: logger}),
	)
	return &Tracing{provider: provider, tracer: provider.Tracer(scope)}, nil
}

// closeTimeout bounds the delivery of the last spans.
const closeTimeout = 5 * time.Second

// Close delivers what was not delivered yet. Nothing is traced from then on.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// propagator takes the W3C trace context in and out. Baggage is left alone: it
// may hold anything, and would travel on to ATH Móvil's neighbours and stand in
// histories in clear.
func propagator() propagation.TextMapPropagator { return propagation.TraceContext{} }
