package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	gin.SetMode(gin.TestMode)
	goleak.VerifyTestMain(suite{m})
}

// Secrets and personal data that no test may ever see in a log.
const (
	apiKey        = "canary-key-5f0c2a9d41"
	webhookSecret = "canary-secret-93b1e7d20c"
	phone         = "7875550199"
	typedPhone    = "(787) 555-0199"
	payerName     = "Canaria Rivera"
	payerEmail    = "canaria@example.com"
	metadata      = "canary-metadata"
)

var canaries = []string{apiKey, webhookSecret, phone, typedPhone, payerName, payerEmail, metadata}

// start is when every test without a clock of its own happens.
var start = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// flowFuncs reaches workflows that are functions; calling one that is missing
// fails the test.
type flowFuncs struct {
	t      *testing.T
	open   func(context.Context, workflows.ProcessPaymentInput) (workflows.TicketOutcome, error)
	cancel func(context.Context, string) (workflows.CancelOutcome, error)
	phone  func(context.Context, string, string, workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error)
	refund func(context.Context, workflows.RefundPaymentInput) (workflows.RefundOutcome, error)
	relay  func(context.Context, string, workflows.GatewayEvent) error
	late   func(context.Context, workflows.ApplyLateEventInput) error
	again  func(context.Context, payment.Delivery) (ledger.Redelivery, error)
	settle func(ctx context.Context, updateID string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error)
	review func(ctx context.Context, id, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error)
}

func (f *flowFuncs) OpenPayment(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
	if f.open == nil {
		f.t.Error("a payment was opened")
		return workflows.TicketOutcome{}, flows.ErrUnavailable
	}
	return f.open(ctx, in)
}

func (f *flowFuncs) CancelPayment(ctx context.Context, id string) (workflows.CancelOutcome, error) {
	if f.cancel == nil {
		f.t.Error("a payment was canceled")
		return workflows.CancelOutcome{}, flows.ErrUnavailable
	}
	return f.cancel(ctx, id)
}

func (f *flowFuncs) SetPhoneNumber(
	ctx context.Context, id, updateID string, in workflows.SetPhoneNumberRequest,
) (workflows.PhoneNumberOutcome, error) {
	if f.phone == nil {
		f.t.Error("a phone was rung")
		return workflows.PhoneNumberOutcome{}, flows.ErrUnavailable
	}
	return f.phone(ctx, id, updateID, in)
}

func (f *flowFuncs) RefundPayment(ctx context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
	if f.refund == nil {
		f.t.Error("a payment was refunded")
		return workflows.RefundOutcome{}, flows.ErrUnavailable
	}
	return f.refund(ctx, in)
}

func (f *flowFuncs) RelayEvent(ctx context.Context, id string, event workflows.GatewayEvent) error {
	if f.relay == nil {
		f.t.Error("an event was relayed")
		return flows.ErrUnavailable
	}
	return f.relay(ctx, id, event)
}

func (f *flowFuncs) ApplyLateEvent(ctx context.Context, in workflows.ApplyLateEventInput) error {
	if f.late == nil {
		f.t.Error("a late event was applied")
		return flows.ErrUnavailable
	}
	return f.late(ctx, in)
}

func (f *flowFuncs) BacklogAge(context.Context) (time.Duration, error) { return 0, nil }

func (f *flowFuncs) Redeliver(ctx context.Context, d payment.Delivery) (ledger.Redelivery, error) {
	if f.again == nil {
		f.t.Error("a notification was sent again")
		return "", flows.ErrUnavailable
	}
	return f.again(ctx, d)
}

func (f *flowFuncs) ReviewPayment(ctx context.Context, id, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
	if f.review == nil {
		f.t.Error("a payment was reviewed")
		return workflows.ReviewOutcome{}, flows.ErrUnavailable
	}
	return f.review(ctx, id, updateID, in)
}

func (f *flowFuncs) ReviewRefund(ctx context.Context, id, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
	return f.ReviewPayment(ctx, id, updateID, in)
}

// Drop and ReconcileDay are asked by the command line alone.
func (f *flowFuncs) Drop(context.Context, string, []string) error { panic("unreachable over HTTP") }

func (f *flowFuncs) ReconcileDay(context.Context, workflows.ReconcileDayInput) (workflows.ReconcileDayResult, error) {
	panic("unreachable over HTTP")
}

func (f *flowFuncs) SettleRefund(ctx context.Context, updateID string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error) {
	if f.settle == nil {
		f.t.Error("a refund was settled")
		return workflows.ReviewOutcome{}, flows.ErrUnavailable
	}
	return f.settle(ctx, updateID, in)
}

// world is a server over a real store, with functions for its workflows.
type world struct {
	t     *testing.T
	flows *flowFuncs
	store *store.Store
	api   *api.Server
	relay *relay.Relay
	http  *httptest.Server
	logs  *telemetrytest.LogBuffer

	// differs is told where openapi.yaml and the server differ.
	differs func(format string, args ...any)
}

func (w *world) complain(format string, args ...any) { w.differs(format, args...) }

// newStore returns an empty store in a file, and the ring that seals it.
func newStore(t *testing.T, now func() time.Time) (*store.Store, *seal.Ring) {
	t.Helper()
	ring, err := seal.New()
	require.NoError(t, err)
	cfg := store.Config{DSN: filepath.Join(t.TempDir(), "cobro.db"), Sealer: ring, Now: now}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, ring
}

// database is everything that a server works on.
type database interface {
	app.Store
	relay.Store
}

// configs are those of a server, of its use cases and of its relay.
type configs struct {
	app   app.Config
	relay relay.Config
	api   api.Config
}

func (c *configs) store(s database) { c.app.Store, c.relay.Store = s, s }

// serve makes the server.
func (c *configs) serve(t *testing.T) *api.Server {
	t.Helper()
	var err error
	c.api.Relay, err = relay.New(c.relay)
	require.NoError(t, err)
	c.api.App, err = app.New(c.app)
	require.NoError(t, err)
	server, err := api.New(c.api)
	require.NoError(t, err)
	return server
}

// config is a complete configuration over a store.
func config(s database, f *flowFuncs, ring *seal.Ring, logs io.Writer, now func() time.Time) *configs {
	logger := slog.New(slog.NewJSONHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &configs{app: app.Config{
		Store: s, Flows: f, MerchantID: "default", Fingerprint: ring.Digest, Wait: 2 * time.Second, Now: now,
	}, relay: relay.Config{
		Store: s, Flows: f, Now: now, Logger: logger,
	}, api: api.Config{
		Keys: []api.APIKey{
			{Name: "old", Digest: api.DigestAPIKey(private.NewToken("another-key"))},
			{Name: "shop", Digest: api.DigestAPIKey(private.NewToken(apiKey))},
		},
		WebhookSecret: private.NewToken(webhookSecret),
		Now:           now,
		Logger:        logger,
	}}
}

func newWorld(t *testing.T, change ...func(*configs)) *world {
	t.Helper()
	now := func() time.Time { return start }
	s, ring := newStore(t, now)
	w := &world{t: t, flows: &flowFuncs{t: t}, store: s, logs: &telemetrytest.LogBuffer{}, differs: t.Errorf}
	cfg := config(s, w.flows, ring, w.logs, now)
	for _, c := range change {
		c(cfg)
	}
	w.api = cfg.serve(t)
	w.relay = cfg.api.Relay
	w.http = httptest.NewServer(contract{reference(t, cfg.app.MinExpiresIn), w.complain}.watched(w.api.Handler()))
	t.Cleanup(func() {
		w.http.Close()
		requireNoCanaries(t, w.logs.String())
	})
	return w
}

func requireNoCanaries(t *testing.T, logs string) {
	t.Helper()
	for _, canary := range canaries {
		require.NotContains(t, logs, canary, "the log tells what it must not")
	}
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   string
}

// problem is a problem document as a client sees it.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string                         `json:"request_id"`
	Errors                    []struct{ Field, Rule string } `json:"errors"`
	PaymentID                 string                         `json:"payment_id"`
	PaymentStatus             payment.Status                 `json:"payment_status"`
	RefundID                  string                         `json:"refund_id"`
	Left                      string                         `json:"left"`
	GatewayCode               string                         `json:"gateway_code"`
	GatewayMessage            string                         `json:"gateway_message"`
}

// do sends a request with the API key, a JSON body unless it is empty, and
// headers given as name, value, name, value. An empty value removes a header.
func (w *world) do(method, path, body string, headers ...string) reply {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, strings.NewReader(body))
	require.NoError(w.t, err)
	request.Header.Set("Authorization", "Bearer "+apiKey)
	request.Header.Set("X-Request-Id", "req-of-the-test")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Del(headers[i])
		if headers[i+1] != "" {
			request.Header.Set(headers[i], headers[i+1])
		}
	}
	response, err := w.http.Client().Do(request)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, response.Body.Close()) }()
	read, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	require.NotContains(w.t, string(read), apiKey)
	require.NotContains(w.t, string(read), webhookSecret)
	if strings.HasSuffix(response.Header.Get("Content-Type"), "json") && method != http.MethodHead {
		require.Equal(w.t, "\n", string(read[len(read)-1:]), "a terminal shows the prompt on a line of its own")
	}
	return reply{status: response.StatusCode, header: response.Header, body: string(read)}
}

func (w *world) payment(r reply) payment.Payment {
	w.t.Helper()
	var p payment.Payment
	require.NoError(w.t, json.Unmarshal([]byte(r.body), &p), r.body)
	return p
}

func (w *world) refund(r reply) payment.Refund {
	w.t.Helper()
	var refund payment.Refund
	require.NoError(w.t, json.Unmarshal([]byte(r.body), &refund), r.body)
	return refund
}

// requireProblem demands a problem document with that status and code.
func (w *world) requireProblem(r reply, status int, code string) problem {
	w.t.Helper()
	require.Equal(w.t, status, r.status, r.body)
	require.Equal(w.t, "application/problem+json", r.header.Get("Content-Type"), r.body)
	var p problem
	require.NoError(w.t, json.Unmarshal([]byte(r.body), &p), r.body)
	require.Equal(w.t, code, p.Code, r.body)
	require.Equal(w.t, status, p.Status)
	require.NotEmpty(w.t, p.Title)
	require.NotEmpty(w.t, p.Detail)
	require.Equal(w.t, "urn:cobro:problem:"+code, p.Type)
	require.Equal(w.t, r.header.Get("X-Request-Id"), p.RequestID)
	return p
}

// record writes a payment as its workflow does. It may be called from any
// goroutine.
func (w *world) record(p payment.Payment, revision int64, fingerprint string) {
	w.t.Helper()
	_, err := w.store.RecordPayment(w.t.Context(), ledger.Change{
		Record: ledger.Record{Payment: p, Revision: revision, Fingerprint: fingerprint},
	})
	if err != nil {
		w.t.Error(err)
	}
}

// asked is the payment that an input asks for, as its workflow begins it.
func asked(in workflows.ProcessPaymentInput, status payment.Status) payment.Payment {
	return payment.Payment{
		ID: in.PaymentID, Status: status, Request: in.Request, CreatedAt: in.CreatedAt, UpdatedAt: in.CreatedAt,
		ExpiresAt: in.CreatedAt.Add(in.Request.ExpiresIn),
	}
}

// opens makes the workflow open a ticket.
func (w *world) opens() {
	w.flows.open = func(_ context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		p := asked(in, payment.StatusOpen)
		p.EcommerceID = "5f0c2a9d-" + in.PaymentID
		w.record(p, 1, in.Fingerprint)
		return workflows.TicketOutcome{}, nil
	}
}

// fails makes the workflow end without a ticket.
func (w *world) fails(code string) {
	w.flows.open = func(_ context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		p := asked(in, payment.StatusFailed)
		p.Failure = &payment.Failure{Code: code, Message: "what the gateway said"}
		w.record(p, 1, in.Fingerprint)
		return workflows.TicketOutcome{}, nil
	}
}

// completed records a payment of $25.00 that was paid, with every field filled.
func (w *world) completed(key string) payment.Payment {
	w.t.Helper()
	captured, subtotal, tax, fee, net := money.MustParse("25.00"), money.MustParse("22.42"), money.MustParse("2.58"), money.MustParse("0.60"), money.MustParse("24.40")
	at := start.Add(30 * time.Second)
	p := payment.Payment{
		ID: ledger.DeriveID("default", key), Status: payment.StatusCompleted,
		Request: payment.Request{
			Reference: "order-" + key, Total: money.MustParse("25.00"), Subtotal: &subtotal, Tax: &tax,
			PhoneNumber: phone, Metadata1: metadata,
			Items: []payment.Item{{
				Name: "Café", Description: "Yauco", Quantity: 2, Price: money.MustParse("11.21"), Tax: &tax, Metadata: "sku-1",
			}},
			ExpiresIn: 10 * time.Minute,
		},
		EcommerceID: "ticket-" + key, ReferenceNumber: "reference-" + key, DailyTransactionID: "0007",
		Captured: &captured, Fee: &fee, NetAmount: &net,
		Customer:  payment.Customer{Name: payerName, PhoneNumber: phone, Email: payerEmail},
		ExpiresAt: start.Add(10 * time.Minute), CreatedAt: start, UpdatedAt: at, CompletedAt: &at,
	}
	w.record(p, 3, "fingerprint")
	return p
}

// open records a payment of $10.00 that waits for its customer.
func (w *world) open(key string, change ...func(*payment.Payment)) payment.Payment {
	w.t.Helper()
	p := payment.Payment{
		ID: ledger.DeriveID("default", key), Status: payment.StatusOpen,
		Request:     payment.Request{Total: money.MustParse("10.00"), ExpiresIn: 10 * time.Minute},
		EcommerceID: "ticket-" + key, ExpiresAt: start.Add(10 * time.Minute), CreatedAt: start, UpdatedAt: start,
	}
	for _, c := range change {
		c(&p)
	}
	w.record(p, 1, "fingerprint")
	return p
}

// requireGolden compares JSON with a file of testdata.
func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden.json")
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, []byte(strings.TrimSuffix(got, "\n")), "", "  "), got)
	indented.WriteByte('\n')
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, indented.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the tests with -update")
	require.Equal(t, string(want), indented.String())
}

func TestConfigNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := api.New(api.Config{MaxBody: -1, Ready: []api.ReadyCheck{{}}})
	for _, want := range []string{"App", "Relay", "Keys", "WebhookSecret", "MaxBody", "Ready"} {
		require.ErrorContains(t, err, want)
	}
	_, err = app.New(app.Config{MinExpiresIn: time.Hour, Wait: -1})
	for _, want := range []string{"Store", "Flows", "MerchantID", "Fingerprint", "MinExpiresIn", "Wait"} {
		require.ErrorContains(t, err, want)
	}
	_, err = api.New(api.Config{Keys: []api.APIKey{{Name: "shop"}}, WebhookSecret: private.NewToken("short")})
	require.ErrorContains(t, err, "the API key shop has no digest")
	require.ErrorContains(t, err, "16 characters")
	require.NotContains(t, err.Error(), "short")
}
