package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

// spans is a collector that keeps what it is sent.
type spans struct {
	mu    sync.Mutex
	raw   bytes.Buffer
	named map[string][]string // names by trace id
	from  map[string]bool     // services
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.Write(body)
	for _, resource := range sent.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				s.from[a.GetValue().GetStringValue()] = true
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := trace.TraceID(span.GetTraceId()).String()
				s.named[id] = append(s.named[id], span.GetName())
			}
		}
	}
}

func (s *spans) of(traceID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.named[traceID])
}

// lines is a log that many goroutines write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// traceOf is what the merchant's own request belongs to.
const traceOf = "0af7651916cd43dd8448eb211c80319c"

// clumsy is a receiver that says at first what nobody should hear, and notes
// the trace that it is part of.
type clumsy struct {
	mu     sync.Mutex
	calls  int
	traces []string
}

func (c *clumsy) receive(ctx context.Context, n payment.Notification) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.traces = append(c.traces, trace.SpanContextFromContext(ctx).TraceID().String())
	if c.calls == 1 {
		return errors.New("no ink for " + string(n.Payment.Customer.Name) + " at " + string(n.Payment.PhoneNumber))
	}
	return nil
}

// clumsyHost runs the receiver in this process and returns the address of its
// operations and its log.
func (c *cobro) clumsyHost(t *testing.T, receiver *clumsy, endpoint string) (ops string, logs *lines) {
	t.Helper()
	env := map[string]string{
		"COBRO_STORE": c.at.Store, "COBRO_KEY_FILE": c.at.KeyFile, "COBRO_RECEIVER_HOST": "clumsy",
		"TEMPORAL_ADDRESS": c.at.Temporal, "TEMPORAL_NAMESPACE": c.at.Namespace,
		"COBRO_OPS_LISTEN": "127.0.0.1:0", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
	}
	cfg, err := worker.ConfigFromEnv(func(name string) string { return env[name] })
	require.NoError(t, err)
	logs = &lines{}
	cfg.Logger = slog.New(slog.NewJSONHandler(logs, nil))
	started := make(chan struct{})
	cfg.Started = func() { close(started) }
	n := activities.NewNotifications()
	n.Add(activities.Receiver{
		Event: payment.EventCompleted, Name: "hear", Func: receiver.receive, Retry: payment.Retry{First: 100 * time.Millisecond},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx, cfg, n) }() // received by the cleanup
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	select {
	case <-started:
	case err := <-ended:
		ended <- nil
		require.NoError(t, err)
	}
	found := regexp.MustCompile(`"ops":"(http://[^"]+)"`).FindStringSubmatch(logs.String())
	require.NotNil(t, found, logs.String())
	return found[1], logs
}

// One trace goes from the merchant's request through the workflow to ATH Móvil
// and to a receiver in another process; metrics count what happened; and neither
// spans, metrics nor logs tell of whom.
func TestTelemetryTellsWhatHappenedAndNotToWhom(t *testing.T) {
	t.Parallel()
	kept := &spans{named: map[string][]string{}, from: map[string]bool{}}
	server := httptest.NewServer(kept)
	defer server.Close()
	told := make(chan string, 10) // the traceparents of outbound webhooks
	endpoint := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("Traceparent") }))
	defer endpoint.Close()
	const canary = "canary-7c1f"
	file := filepath.Join(t.TempDir(), "endpoints.yaml")
	require.NoError(t, os.WriteFile(file, []byte("allow_private_addresses: true\nendpoints:\n"+
		"  - {name: till, url: \""+endpoint.URL+"/"+canary+"-path\", events: [payment_completed], secrets: [\"env:TILL_SECRET\"]}\n"), 0o600))
	c := newCobro(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_BSP_SCHEDULE_DELAY=100",
		"COBRO_ENDPOINTS="+file, "TILL_SECRET="+endpointSecret)
	receiver := &clumsy{}
	ops, logs := c.clumsyHost(t, receiver, server.URL)

	opened := c.open(t, m{
		"total": "25.00", "phone_number": "7875550999", "reference": "telemetry-1", "metadata1": canary + "-metadata",
		"items": []m{{"name": canary + "-item", "quantity": 1, "price": "25.00"}},
	}, "Traceparent", "00-"+traceOf+"-b7ad6b7169203331-01", "Baggage", "customer="+canary+"-baggage", "Idempotency-Key", canary+"-key")
	forged := `{"transactionType":"ecommerce","ecommerceStatus":"CANCEL","ecommerceId":"` + opened.EcommerceID + `","name":"` + canary + `-name"}`
	require.Equal(t, http.StatusOK, c.webhook(t, []byte(forged)).status)
	c.phone(t, "confirm", opened.EcommerceID)
	c.await(t, opened.ID, "completed")
	var done sale
	require.Eventually(t, func() bool {
		done = c.show(t, opened.ID)
		return done.Customer.Name != nil
	}, patience, glance)
	got := c.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/refunds", m{"amount": "5.00", "message": canary + "-message"},
		"Idempotency-Key", canary+"-refund")
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)

	wanted := []string{
		"POST /v1/payments", "UpdateWithStartWorkflow:AwaitTicket", "RunWorkflow:ProcessPayment",
		"RunActivity:CreateTicket", "athmovil create", "athmovil find", "RunActivity:Authorize", "athmovil authorize",
		"RunActivity:payment_completed/hear",
	}
	require.Eventually(t, func() bool {
		for _, name := range wanted {
			if !slices.Contains(kept.of(traceOf), name) {
				return false
			}
		}
		return true
	}, patience, glance, "the trace has %v", kept.of(traceOf))
	require.Contains(t, <-told, "-"+traceOf+"-", "the trace goes on to outbound webhooks")
	receiver.mu.Lock()
	require.Equal(t, []string{traceOf, traceOf}, receiver.traces, "both attempts are part of the merchant's trace")
	receiver.mu.Unlock()
	kept.mu.Lock()
	require.True(t, kept.from["cobro-api"] && kept.from["cobro-worker"])
	raw := kept.raw.String()
	kept.mu.Unlock()

	var metrics string
	require.Eventually(t, func() bool {
		metrics = string(send(t, http.MethodGet, c.at.Ops+"/metrics", nil, nil).body)
		return strings.Contains(metrics, `outcome="ok",receiver="log"`)
	}, patience, glance)
	hosts := string(send(t, http.MethodGet, ops+"/metrics", nil, nil).body)
	for _, line := range []string{
		`cobro_payments_total{status="completed"} 1`, `cobro_payment_confirm_seconds_count 1`, `cobro_payment_complete_seconds_count 1`,
		`cobro_gateway_calls_total{operation="authorize",outcome="ok"} 1`, `cobro_store_up 1`, `cobro_reviews_open{subject="payment"} 0`,
		`cobro_http_requests_total{method="POST",route="/v1/payments",status="201"} 1`,
	} {
		require.Contains(t, metrics, line+"\n")
	}
	require.Regexp(t, `cobro_build_info\{.*program="api".*\} 1`, metrics)
	require.Regexp(t, `cobro_build_info\{.*program="worker".*\} 1`, metrics)
	require.Regexp(t, `temporal_workflow_completed_total\{.*workflow_type="ProcessPayment".*\} 1`, metrics)
	require.Contains(t, hosts, `cobro_notification_attempts_total{event="payment_completed",host="clumsy",outcome="error",receiver="hear"} 1`+"\n")
	require.Contains(t, hosts, `cobro_notification_attempts_total{event="payment_completed",host="clumsy",outcome="ok",receiver="hear"} 1`+"\n")
	for _, path := range []string{"/healthz", "/readyz"} {
		require.Equal(t, http.StatusOK, send(t, http.MethodGet, ops+path, nil, nil).status, path)
	}

	log, err := os.ReadFile(filepath.Join(c.data, "dev.log"))
	require.NoError(t, err)
	require.Regexp(t, `"route":"/v1/payments",.*"payment_id":"`+opened.ID+`".*"trace_id":"`+traceOf+`"`, string(log))
	require.Contains(t, logs.String(), `"payment_id":"`+opened.ID+`"`)
	texts := map[string]string{
		"spans": raw, "metrics": metrics, "the host's metrics": hosts, "the log": string(log), "the host's log": logs.String(),
	}
	for name, bytes := range c.databases(t) { // as whoever steals the disk reads them
		texts[name] = bytes
	}
	for what, request := range map[string]m{
		"a phone number": {"total": "25.00", "phone_number": canary}, "a reference": {"total": "25.00", "reference": canary + "@example.com"},
		"an unknown field": {"total": "25.00", "metadata1": canary, "metadata3": "x"},
	} {
		refused := c.merchant(t, http.MethodPost, "/v1/payments", request)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, "%s: %s", what, refused.body)
		texts["the answer to "+what] = string(refused.body)
	}
	for where, text := range texts {
		for _, secret := range []string{
			canary, "7875550999", "(787) 555-0999", *done.Customer.Name, *done.Customer.PhoneNumber, *done.Customer.Email,
		} {
			require.NotContains(t, text, secret, where)
		}
	}
	secret := c.at.WebhookURL[strings.LastIndex(c.at.WebhookURL, "/")+1:]
	for where, text := range map[string]string{"spans": raw, "metrics": metrics, "the host's log": logs.String()} {
		require.NotContains(t, text, secret, where)
		require.NotContains(t, text, c.at.APIKey, where)
	}
}

// databases reads the raw bytes of ours and of Temporal's.
func (c *cobro) databases(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.data, "*.db*"))
	require.NoError(t, err)
	found := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		found[filepath.Base(file)] = string(data)
	}
	require.Contains(t, found["cobro.db"]+found["cobro.db-wal"], "payment_completed", "what is not personal is found")
	require.Contains(t, found["temporal.db"]+found["temporal.db-wal"], "ProcessPayment", "what is not personal is found")
	return found
}
