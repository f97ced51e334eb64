package tracing_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/workflows"
)

var silent = slog.New(slog.DiscardHandler)

// collected keeps spans as they are exported.
type collected struct{ spans []tracetest.SpanStub }

func (c *collected) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	c.spans = append(c.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (c *collected) Shutdown(context.Context) error { return nil }

// tracer returns a Tracing, and a function that closes it and returns its spans by
// name.
func tracer(t testing.TB) (*tracing.Tracing, func() map[string]tracetest.SpanStub) {
	t.Helper()
	c := &collected{}
	traces, err := tracing.Open(t.Context(), tracing.Options{Exporter: c, Service: "test"}, silent)
	require.NoError(t, err)
	return traces, func() map[string]tracetest.SpanStub {
		require.NoError(t, traces.Close(t.Context()))
		named := map[string]tracetest.SpanStub{}
		for _, span := range c.spans {
			named[span.Name] = span
		}
		return named
	}
}

// Private values that must never be in a span.
const (
	phone = "7875550199"
	name  = "Canaria Rivera"
	email = "canaria@example.com"
	token = "canary-token-5f0c2a"
)

// requireClean requires that no part of the spans contains a private value.
func requireClean(t *testing.T, spans map[string]tracetest.SpanStub) {
	t.Helper()
	require.NotEmpty(t, spans)
	for _, span := range spans {
		var said []string
		said = append(said, span.Name, span.Status.Description, span.SpanContext.TraceState().String(), span.InstrumentationScope.Name,
			span.InstrumentationScope.Version, span.InstrumentationScope.SchemaURL)
		for _, a := range span.Attributes {
			said = append(said, string(a.Key), a.Value.String())
		}
		for _, a := range span.InstrumentationScope.Attributes.ToSlice() {
			said = append(said, string(a.Key), a.Value.String())
		}
		for _, e := range span.Events {
			said = append(said, e.Name)
			for _, a := range e.Attributes {
				said = append(said, string(a.Key), a.Value.String())
			}
		}
		for _, l := range span.Links {
			for _, a := range l.Attributes {
				said = append(said, string(a.Key), a.Value.String())
			}
		}
		for _, a := range span.Resource.Attributes() {
			said = append(said, string(a.Key), a.Value.String())
		}
		for _, canary := range []string{phone, name, email, token} {
			require.NotContains(t, strings.Join(said, "\n"), canary, span.Name)
		}
	}
}

func values(span tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range span.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestLoadOptionsReadsOTelVariables(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
		says string
	}{
		"nothing":           {nil, "", ""},
		"an endpoint":       {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces", ""},
		"a traces endpoint": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/x"}, "https://c/x", ""},
		"only an exporter":  {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces", ""},
		"none":              {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "", ""},
		"disabled":          {map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "", ""},
		"another exporter":  {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, "", "use otlp"},
		"grpc": {
			map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "", "4318",
		},
		"grpc for other signals": {
			map[string]string{
				"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317",
				"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces",
			}, "http://c:4318/v1/traces", "",
		},
		"grpc for traces": {
			map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
				"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
			}, "", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is",
		},
		"no scheme":     {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "", "OTEL_EXPORTER_OTLP_ENDPOINT is not a URL like http://localhost:4318"},
		"bad port":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:port"}, "", "OTEL_EXPORTER_OTLP_ENDPOINT is not"},
		"no traces URL": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "c:4318", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not"},
	} {
		got, err := tracing.LoadOptions(func(name string) string { return tt.env[name] })
		require.Equal(t, tt.want, got.Endpoint, name)
		if tt.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, tt.says, name)
		}
	}
}

// The exporter prints headers that it cannot parse, and they may contain the
// collector's key.
func TestLoadOptionsRejectsInvalidHeaders(t *testing.T) {
	t.Parallel()
	for _, variable := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		load := func(headers string) error {
			_, err := tracing.LoadOptions(func(name string) string {
				return map[string]string{"OTEL_TRACES_EXPORTER": "otlp", variable: headers}[name]
			})
			return err
		}
		for _, good := range []string{"", " ", "x-key=" + token, " x-key = Bearer%20" + token + ", tenant=7", "x-key=a=b"} {
			require.NoError(t, load(good), good)
		}
		for _, bad := range []string{token, "tenant=7," + token, "x key=" + token, "=" + token, "x-key=%zz" + token, "x-key: " + token, "ñ=" + token, "x-key=" + token + ","} {
			err := load(bad)
			require.ErrorContains(t, err, variable+" is not a list", bad)
			require.NotContains(t, err.Error(), token)
		}
	}
}

// The span of a request is a child of the caller's and shows the route pattern, not
// the path.
func TestRequestSpanContinuesCallersTrace(t *testing.T) {
	t.Parallel()
	traces, end := tracer(t)
	header := http.Header{
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "Tracestate": {"shop=7"},
		"Baggage": {"customer=" + phone}, "Authorization": {"Bearer " + token},
	}
	ctx, span := traces.StartRequest(t.Context(), header, "POST", "/webhooks/athmovil/:secret")
	out := http.Header{}
	tracing.Inject(ctx, out)
	require.Equal(t, "shop=7", out.Get("Tracestate"))
	require.Empty(t, out.Get("Baggage"))
	span.EndRequest(503, "unavailable", "pay_1")
	spans := end()
	requireClean(t, spans)
	got := spans["POST /webhooks/athmovil/:secret"]
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", got.SpanContext.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", got.Parent.SpanID().String())
	require.Equal(t, trace.SpanKindServer, got.SpanKind)
	require.Equal(t, codes.Error, got.Status.Code)
	require.Equal(t, map[string]string{
		"http.request.method": "POST", "http.route": "/webhooks/athmovil/:secret", "http.response.status_code": "503",
		"cobro.problem": "unavailable", "cobro.payment_id": "pay_1",
	}, values(got))
	require.Contains(t, out.Get("Traceparent"), got.SpanContext.SpanID().String())
}

// An outgoing request carries its trace context, and the caller's request is not
// modified.
func TestTransportSendsTraceContext(t *testing.T) {
	t.Parallel()
	var received http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received = r.Header
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	traces, end := tracer(t)
	ctx, parent := traces.StartRelay(t.Context())
	request, err := http.NewRequestWithContext(ctx, "POST", server.URL+"/"+token+"?phone="+phone, strings.NewReader(name))
	require.NoError(t, err)
	response, err := traces.Transport(server.Client().Transport).RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Empty(t, request.Header.Get("Traceparent"))
	request, err = http.NewRequestWithContext(ctx, "PUT", "http://127.0.0.1:1/"+token, nil)
	require.NoError(t, err)
	_, err = traces.Transport(server.Client().Transport).RoundTrip(request)
	require.Error(t, err)
	parent.EndRelay("whe_1", "refund", "late", "pay_1")
	spans := end()
	requireClean(t, spans)
	require.Equal(t, spans["relay webhook event"].SpanContext.SpanID(), spans["POST"].Parent.SpanID())
	require.Contains(t, received.Get("Traceparent"), spans["POST"].SpanContext.SpanID().String())
	require.Equal(t, "418", values(spans["POST"])["http.response.status_code"])
	require.Equal(t, "other", values(spans["PUT"])["error.type"])

	var off *tracing.Tracing
	require.Same(t, http.DefaultTransport, off.Transport(http.DefaultTransport))
}

// receive is a merchant's receiver that leaks private data in every way.
func receive(ctx context.Context) error {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(attribute.String("customer.email", email))
	span.AddEvent(name, trace.WithAttributes(attribute.String("phone", phone)))
	span.SetName("receipt for " + name)
	tracer := span.TracerProvider().Tracer("shop of "+name, trace.WithInstrumentationVersion(email),
		trace.WithSchemaURL("https://shop/"+email), trace.WithInstrumentationAttributes(attribute.String("phone", phone)))
	_, own := tracer.Start(ctx, "GET /customers/"+email, trace.WithAttributes(attribute.String("name", name), attribute.String("http.route", "/"+email)),
		trace.WithLinks(trace.Link{SpanContext: span.SpanContext(), Attributes: []attribute.KeyValue{attribute.String("e", email)}}))
	own.RecordError(errors.New(email))
	own.SetStatus(codes.Error, name)
	own.End()
	return temporal.NewNonRetryableApplicationError("no ink for "+name+" at "+phone, "receiver", errors.New(email))
}

// A workflow, its activities and its calls to ATH Móvil form one trace, which
// contains no text of their errors.
func TestWorkflowIsOneTraceWithoutPrivateData(t *testing.T) {
	t.Parallel()
	traces, end := tracer(t)
	interceptors, err := traces.Interceptors()
	require.NoError(t, err)
	gateway := func(ctx context.Context) error {
		traces.GatewayCalled(ctx, athmovil.Call{
			Op: athmovil.OpAuthorize, Kind: athmovil.KindDeclined, Code: "BTRA_0044", HTTPStatus: 409,
			Waited: 20 * time.Millisecond, Duration: time.Second,
		}, time.Now())
		return nil
	}
	sale := func(ctx workflow.Context) error {
		options := workflow.ActivityOptions{StartToCloseTimeout: time.Minute}
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), "receive").Get(ctx, nil)
		require.Error(t, err)
		workflow.GetLogger(ctx).Info("said")
		return errors.Join(workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), "Authorize").Get(ctx, nil), err)
	}
	var suite testsuite.WorkflowTestSuite
	var logs bytes.Buffer
	logger, err := telemetry.NewLogger(&logs, telemetry.FormatJSON, slog.LevelInfo, false)
	require.NoError(t, err)
	suite.SetLogger(log.NewStructuredLogger(temporalclient.Logger(logger, ledger.IsID)))
	env := suite.NewTestWorkflowEnvironment()
	var worked []interceptor.WorkerInterceptor
	for _, i := range interceptors {
		worked = append(worked, i.(interceptor.WorkerInterceptor))
	}
	env.SetWorkerOptions(worker.Options{Interceptors: worked})
	env.RegisterWorkflowWithOptions(sale, workflow.RegisterOptions{Name: "Sale"})
	env.RegisterActivityWithOptions(receive, activity.RegisterOptions{Name: "receive"})
	env.RegisterActivityWithOptions(gateway, activity.RegisterOptions{Name: "Authorize"})
	env.ExecuteWorkflow("Sale")
	require.ErrorContains(t, env.GetWorkflowError(), name, "the history contains it, encrypted")

	spans := end()
	requireClean(t, spans)
	run := spans["RunWorkflow:Sale"]
	for _, child := range []string{"StartActivity:receive", "RunActivity:receive", "receiver", "RunActivity:Authorize", "athmovil authorize"} {
		require.Equal(t, run.SpanContext.TraceID(), spans[child].SpanContext.TraceID(), child)
	}
	require.Equal(t, codes.Error, spans["RunActivity:receive"].Status.Code)
	require.Equal(t, "application", values(spans["RunActivity:receive"])["error.type"])
	call := spans["athmovil authorize"]
	require.Equal(t, spans["RunActivity:Authorize"].SpanContext.SpanID(), call.Parent.SpanID())
	require.Equal(t, time.Second, call.EndTime.Sub(call.StartTime))
	require.Equal(t, map[string]string{
		"cobro.gateway.operation": "authorize", "cobro.gateway.outcome": "declined", "cobro.gateway.code": "BTRA_0044",
		"http.response.status_code": "409", "cobro.gateway.waited_ms": "20",
	}, values(call))

	require.Contains(t, logs.String(), `"msg":"said"`)
	require.Contains(t, logs.String(), `"trace_id":"`+run.SpanContext.TraceID().String()+`"`)
	require.Contains(t, logs.String(), `"workflow_id":"`)
	require.NotContains(t, logs.String(), "WorkflowID")
}

// A payment that started without tracing continues with it.
func TestHistoriesReplayWithTracing(t *testing.T) {
	t.Parallel()
	traces, end := tracer(t)
	interceptors, err := traces.Interceptors()
	require.NoError(t, err)
	files, err := filepath.Glob("../../workflows/testdata/histories/c*.json")
	require.NoError(t, err)
	require.Greater(t, len(files), 5)
	for _, file := range files {
		options := worker.WorkflowReplayerOptions{DisableDeadlockDetection: true}
		for _, i := range interceptors {
			options.Interceptors = append(options.Interceptors, i.(interceptor.WorkerInterceptor))
		}
		replayer, err := worker.NewWorkflowReplayerWithOptions(options)
		require.NoError(t, err)
		workflows.Register(replayer)
		data, err := os.Open(file)
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(data, client.HistoryJSONOptions{})
		require.NoError(t, errors.Join(err, data.Close()))
		started := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
		require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(log.NewStructuredLogger(silent), history,
			worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{
				ID: started.GetWorkflowId(), RunID: started.GetOriginalExecutionRunId(),
			}}), file)
	}
	end()
}

func TestLogLinesNameTheirTrace(t *testing.T) {
	t.Parallel()
	traces, _ := tracer(t)
	var out bytes.Buffer
	logger := traces.Logger(slog.New(slog.NewJSONHandler(&out, nil))).With("request_id", "req_1")
	ctx, span := traces.StartRelay(t.Context())
	logger.InfoContext(ctx, "with a span")
	logger.InfoContext(t.Context(), "without one")
	span.EndRelay("", "", "", "")
	lines := strings.Split(out.String(), "\n")
	require.Regexp(t, `"request_id":"req_1","trace_id":"[0-9a-f]{32}","span_id":"[0-9a-f]{16}"`, lines[0])
	require.NotContains(t, lines[1], "trace_id")
}

// failing is a collector that is down.
type failing struct{ collected }

func (*failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("connection refused")
}

// A collector that is down costs a log line and does not touch OpenTelemetry's global
// state.
func TestFailingCollectorIsLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	traces, err := tracing.Open(t.Context(), tracing.Options{Exporter: &failing{}}, slog.New(slog.NewTextHandler(&out, nil)))
	require.NoError(t, err)
	ctx, span := traces.StartRequest(t.Context(), http.Header{}, "GET", "/")
	span.EndRequest(200, "", "")
	require.NoError(t, traces.Close(t.Context()))
	require.Contains(t, out.String(), "spans lost")

	_, global := otel.GetTracerProvider().Tracer("x").Start(ctx, "x")
	require.False(t, global.IsRecording(), "OpenTelemetry's globals are not set")
}

// With tracing off, no hook allocates and nothing is installed.
func TestOffCostsNothing(t *testing.T) {
	off, err := tracing.Open(t.Context(), tracing.Options{}, silent)
	require.NoError(t, err)
	require.Nil(t, off)
	interceptors, err := off.Interceptors()
	require.NoError(t, err)
	require.Empty(t, interceptors)
	require.Same(t, silent, off.Logger(silent))
	require.NoError(t, off.Close(t.Context()))
	header := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		same, span := off.StartRequest(ctx, header, "POST", "/v1/payments")
		if same != ctx {
			panic("the context was wrapped")
		}
		span.EndRequest(201, "", "pay_1")
		_, span = off.StartRelay(ctx)
		span.EndRelay("whe_1", "refund", "late", "pay_1")
		off.GatewayCalled(ctx, athmovil.Call{Op: athmovil.OpFind}, time.Time{})
	}))
}

// BenchmarkRequest measures the hooks of a request: off, on, and on for a trace that
// the caller does not sample.
func BenchmarkRequest(b *testing.B) {
	on, end := tracer(b)
	defer end()
	for _, bench := range []struct {
		name    string
		traces  *tracing.Tracing
		sampled string
	}{{"off", nil, "01"}, {"unsampled", on, "00"}, {"sampled", on, "01"}} {
		b.Run(bench.name, func(b *testing.B) {
			header := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-" + bench.sampled}}
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				_, span := bench.traces.StartRequest(ctx, header, "POST", "/v1/payments")
				span.EndRequest(201, "", "pay_1")
			}
		})
	}
}
