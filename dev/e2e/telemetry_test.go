package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
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
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

// collector keeps the spans that it receives.
type collector struct {
	mu    sync.Mutex
	raw   bytes.Buffer        // guarded by mu
	named map[string][]string // names by trace id; guarded by mu
	from  map[string]bool     // services; guarded by mu
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, resource := range sent.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				c.from[a.GetValue().GetStringValue()] = true
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := trace.TraceID(span.GetTraceId()).String()
				c.named[id] = append(c.named[id], span.GetName())
			}
		}
	}
}

// of returns the names of a trace's spans.
func (c *collector) of(traceID string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.named[traceID])
}

func (c *collector) hasService(service string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.from[service]
}

func (c *collector) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.raw.Bytes())
}

// traceOf is the trace of the merchant's own request.
const traceOf = "0af7651916cd43dd8448eb211c80319c"

// leaky is a receiver whose first error contains personal data. It keeps the
// trace that each call is part of.
type leaky struct {
	mu     sync.Mutex
	calls  int
	traces []string
}

func (l *leaky) receive(ctx context.Context, n payment.Notification) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.traces = append(l.traces, trace.SpanContextFromContext(ctx).TraceID().String())
	if l.calls == 1 {
		return errors.New("no ink for " + string(n.Payment.Customer.Name) + " at " + string(n.Payment.PhoneNumber))
	}
	return nil
}

// TestTraceAndMetricsFollowPayment follows one trace from the merchant's request
// through the workflow to ATH Móvil and to a receiver in another process, and reads
// the metrics. Neither has personal data: scanner looks at them at the end.
func TestTraceAndMetricsFollowPayment(t *testing.T) {
	t.Parallel()
	traceparents := make(chan string, 10) // of outbound webhooks
	endpoint := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { traceparents <- r.Header.Get("Traceparent") }))
	defer endpoint.Close()
	file := filepath.Join(t.TempDir(), "endpoints.yaml")
	require.NoError(t, os.WriteFile(file, []byte("allow_private_addresses: true\nendpoints:\n"+
		"  - {name: shop, url: \""+endpoint.URL+"/"+canary+"-path\", events: [payment_completed], secrets: [\"env:SHOP_SECRET\"]}\n"), 0o600))
	c := newCobro(t, "COBRO_ENDPOINTS="+file, "SHOP_SECRET="+testcluster.EndpointSecret)
	receiver := &leaky{}
	n := activities.NewNotifications()
	n.Add(activities.Receiver{
		Event: payment.EventCompleted, Name: "count", Func: receiver.receive, Retry: payment.Retry{First: 100 * time.Millisecond},
	})
	hostLog := c.runHost(t, "leaky", n, append([]string{"COBRO_OPS_LISTEN=127.0.0.1:0"}, traced...)...)
	logged := func() string {
		log, err := os.ReadFile(hostLog)
		require.NoError(t, err)
		return string(log)
	}
	found := operationsAt.FindStringSubmatch(logged())
	require.NotNil(t, found, logged())
	ops := found[1]

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
	}, timeout, interval)
	got := c.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/refunds", m{"amount": "5.00", "message": canary + "-message"},
		"Idempotency-Key", canary+"-refund")
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)

	wanted := []string{
		"POST /v1/payments", "UpdateWithStartWorkflow:AwaitTicket", "RunWorkflow:ProcessPayment",
		"RunActivity:CreateTicket", "athmovil create", "athmovil find", "RunActivity:Authorize", "athmovil authorize",
		"RunActivity:payment_completed/count",
	}
	require.Eventually(t, func() bool {
		for _, name := range wanted {
			if !slices.Contains(spans.of(traceOf), name) {
				return false
			}
		}
		return true
	}, timeout, interval, "the trace has %v", spans.of(traceOf))
	require.Contains(t, <-traceparents, "-"+traceOf+"-", "the trace goes on to outbound webhooks")
	receiver.mu.Lock()
	require.Equal(t, []string{traceOf, traceOf}, receiver.traces, "both attempts are part of the merchant's trace")
	receiver.mu.Unlock()
	require.True(t, spans.hasService("cobro-api") && spans.hasService("cobro-worker"))

	var exposed string
	ended := regexp.MustCompile(`temporal_workflow_completed_total\{.*workflow_type="ProcessPayment".*\} 1`)
	require.Eventually(t, func() bool {
		exposed = string(send(t, http.MethodGet, c.at.Ops+"/metrics", nil, nil).body)
		return strings.Contains(exposed, `outcome="ok",receiver="log"`) && ended.MatchString(exposed)
	}, timeout, interval)
	hosts := string(send(t, http.MethodGet, ops+"/metrics", nil, nil).body)
	require.NoError(t, collectMetrics(ops))
	for _, line := range []string{
		`cobro_payments_total{status="completed"} 1`, `cobro_payment_confirm_seconds_count 1`, `cobro_payment_complete_seconds_count 1`,
		`cobro_gateway_calls_total{operation="authorize",outcome="ok"} 1`, `cobro_store_up 1`, `cobro_reviews_open{subject="payment"} 0`,
		`cobro_http_requests_total{method="POST",route="/v1/payments",status="201"} 1`,
	} {
		require.Contains(t, exposed, line+"\n")
	}
	require.Regexp(t, `cobro_build_info\{.*program="api".*\} 1`, exposed)
	require.Regexp(t, `cobro_build_info\{.*program="worker".*\} 1`, exposed)
	require.Contains(t, hosts, `cobro_notification_attempts_total{event="payment_completed",host="leaky",outcome="error",receiver="count"} 1`+"\n")
	require.Contains(t, hosts, `cobro_notification_attempts_total{event="payment_completed",host="leaky",outcome="ok",receiver="count"} 1`+"\n")
	for _, path := range []string{"/healthz", "/readyz"} {
		require.Equal(t, http.StatusOK, send(t, http.MethodGet, ops+path, nil, nil).status, path)
	}

	log, err := os.ReadFile(filepath.Join(c.data, "dev.log"))
	require.NoError(t, err)
	require.Regexp(t, `"route":"/v1/payments",.*"payment_id":"`+opened.ID+`".*"trace_id":"`+traceOf+`"`, string(log))
	require.Contains(t, logged(), `"payment_id":"`+opened.ID+`"`)
	for what, request := range map[string]m{
		"a phone number": {"total": "25.00", "phone_number": canary}, "a reference": {"total": "25.00", "reference": canary + "@example.com"},
		"an unknown field": {"total": "25.00", "metadata1": canary, "metadata3": "x"},
	} {
		refused := c.merchant(t, http.MethodPost, "/v1/payments", request)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, "%s: %s", what, refused.body)
	}
}
