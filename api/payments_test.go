package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

const fullRequest = `{
	"reference": "order-1042", "total": "25.00", "subtotal": "22.42", "tax": "2.58",
	"phone_number": "` + typedPhone + `", "metadata1": "` + metadata + `", "metadata2": null,
	"items": [{"name": "Café", "description": "Yauco", "quantity": 2, "price": "11.21", "tax": "2.58", "metadata": "sku-1"}],
	"expires_in": 300
}`

func TestCreatePayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *configs) { cfg.app.Timing = workflows.Timing{Grace: time.Minute} })
	var asked workflows.ProcessPaymentInput
	var bounded bool
	w.opens()
	opens := w.flows.open
	w.flows.open = func(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		_, bounded = ctx.Deadline()
		asked = in
		return opens(ctx, in)
	}
	got := w.do("POST", "/v1/payments", fullRequest, "Idempotency-Key", "golden")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	requireGolden(t, "payment.open", got.body)
	p := w.payment(got)
	require.Equal(t, ledger.DeriveID("default", "golden"), p.ID)
	require.Equal(t, "/v1/payments/"+p.ID, got.header.Get("Location"))
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))
	require.Empty(t, got.header.Get("Idempotency-Replayed"))

	require.True(t, bounded, "the wait has an end")
	require.Equal(t, p.ID, asked.PaymentID)
	require.Equal(t, start, asked.CreatedAt)
	require.Equal(t, time.Minute, asked.Timing.Grace)
	require.Len(t, asked.Fingerprint, 64)
	require.EqualValues(t, phone, asked.Request.PhoneNumber, "a typed number is normalised")
	require.Equal(t, 5*time.Minute, asked.Request.ExpiresIn)
	require.Empty(t, asked.Request.Metadata2)
	require.Contains(t, w.logs.String(), `"route":"/v1/payments","status":201`)
	require.Contains(t, w.logs.String(), `"payment_id":"`+p.ID+`","api_key":"shop"`)
}

func TestCreatePaymentWithoutAKeyIsAlwaysANewOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens()
	first := w.payment(w.do("POST", "/v1/payments", `{"total":"10"}`))
	second := w.payment(w.do("POST", "/v1/payments", `{"total":"10"}`))
	require.NotEqual(t, first.ID, second.ID)
	require.True(t, ledger.IsID(first.ID))
	require.Equal(t, payment.DefaultExpiresIn, first.ExpiresIn)
}

// english finds words that no Spanish text has.
var english = regexp.MustCompile(`\b(must|is|the|of|and|least|most|between|such|characters)\b`)

// TestBadPayments covers every way to ask for a payment wrongly. None of them
// may reach a workflow: the flows of this world fail the test when they are
// called.
func TestBadPayments(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 41)
	item := func(members string) string { return `{"total":"10.00","items":[` + members + `]}` }
	tests := []struct {
		name, body   string
		status       int
		code         string
		field, rule  string
		headerValues []string
	}{
		{name: "less than nothing", body: `{"total":"10.00","tax":"-0"}`, field: "tax", rule: "an amount like"},
		{name: "three decimals", body: `{"total":"1.005"}`, field: "total", rule: "two decimals"},
		{name: "exponent", body: `{"total":"1e3"}`, field: "total", rule: "an amount like"},
		{name: "negative", body: `{"total":"-1"}`, field: "total", rule: "must be between 1.00 and 1500.00"},
		{name: "below the least", body: `{"total":"0.99"}`, field: "total", rule: "must be between"},
		{name: "above the most", body: `{"total":"1500.01"}`, field: "total", rule: "must be between"},
		{name: "not a number", body: `{"total":"NaN"}`, field: "total", rule: "an amount like"},
		{name: "JSON number", body: `{"total":25.00}`, field: "total", rule: "must be a string"},
		{name: "JSON number with exponent", body: `{"total":1e3}`, field: "total", rule: "must be a string"},
		{name: "boolean", body: `{"total":true}`, field: "total", rule: "must be a string"},
		{name: "empty amount", body: `{"total":""}`, field: "total", rule: "an amount like"},
		{name: "no total", body: `{}`, field: "total", rule: "is required"},
		{name: "null total", body: `{"total":null}`, field: "total", rule: "is required"},
		{name: "subtotal and tax do not add up", body: `{"total":"10.00","subtotal":"9.00","tax":"0.50"}`, field: "total", rule: "subtotal plus tax"},
		{name: "negative tax", body: `{"total":"10.00","tax":"-0.01"}`, field: "tax", rule: "must be between"},
		{name: "short phone", body: `{"total":"10.00","phone_number":"555-0199"}`, field: "phone_number", rule: "ten digits"},
		{name: "phone of letters", body: `{"total":"10.00","phone_number":"787555ATHM"}`, field: "phone_number", rule: "ten digits"},
		{name: "phone as a number", body: `{"total":"10.00","phone_number":7875550199}`, field: "phone_number", rule: "must be a string"},
		{name: "long metadata1", body: `{"total":"10.00","metadata1":"` + long + `"}`, field: "metadata1", rule: "at most 40"},
		{name: "long metadata2", body: `{"total":"10.00","metadata2":"` + long + `"}`, field: "metadata2", rule: "at most 40"},
		{name: "invisible character", body: `{"total":"10.00","reference":"order\u200b-1042"}`, field: "reference", rule: "are invisible"},
		{name: "order number of ten digits that looks like a phone's", body: `{"total":"10.00","reference":"787-555-0199"}`, field: "reference", rule: "a phone number"},
		{name: "control character", body: `{"total":"10.00","metadata1":"a\u0000b"}`, field: "metadata1", rule: "printable"},
		{name: "long reference", body: `{"total":"10.00","reference":"` + long + `"}`, field: "reference", rule: "at most 40"},
		{name: "e-mail as reference", body: `{"total":"10.00","reference":"canaria@example.com"}`, field: "reference", rule: "email"},
		{name: "reference as a number", body: `{"total":"10.00","reference":7}`, field: "reference", rule: "must be a string"},
		{name: "short life", body: `{"total":"10.00","expires_in":119}`, field: "expires_in", rule: "between 120 and 600"},
		{name: "long life", body: `{"total":"10.00","expires_in":601}`, field: "expires_in", rule: "between 120 and 600"},
		{name: "life of a text", body: `{"total":"10.00","expires_in":"300"}`, field: "expires_in", rule: "whole number"},
		{name: "life with a fraction", body: `{"total":"10.00","expires_in":300.5}`, field: "expires_in", rule: "whole number"},
		{name: "life that overflows a duration", body: `{"total":"10.00","expires_in":18446744374}`, field: "expires_in", rule: "between"},
		{name: "life that overflows an integer", body: `{"total":"10.00","expires_in":99999999999999999999}`, field: "expires_in", rule: "between"},
		{name: "unknown field", body: `{"total":"10.00","totl":"10.00"}`, field: "totl", rule: "is not a known field"},
		{name: "unknown null field", body: `{"total":"10.00","colour":null}`, field: "colour", rule: "is not a known field"},
		{name: "items is no list", body: `{"total":"10.00","items":{}}`, field: "items", rule: "a list"},
		{name: "item is no object", body: item(`"Café"`), field: "items", rule: "a list of objects"},
		{name: "item without a name", body: item(`{"quantity":1,"price":"1.00"}`), field: "items[0].name", rule: "1 to 255"},
		{name: "item without a quantity", body: item(`{"name":"a","price":"1.00"}`), field: "items[0].quantity", rule: "is required"},
		{name: "item with no pieces", body: item(`{"name":"a","quantity":0,"price":"1.00"}`), field: "items[0].quantity", rule: "between 1"},
		{name: "item with half a piece", body: item(`{"name":"a","quantity":0.5,"price":"1.00"}`), field: "items[0].quantity", rule: "whole number"},
		{name: "item without a price", body: item(`{"name":"a","quantity":1}`), field: "items[0].price", rule: "is required"},
		{name: "item with a float for a price", body: item(`{"name":"a","quantity":1,"price":1.5}`), field: "items[0].price", rule: "must be a string"},
		{name: "second item with a bad tax", body: item(`{"name":"a","quantity":1,"price":"1"},{"name":"b","quantity":1,"price":"1","tax":"x"}`), field: "items[1].tax", rule: "an amount like"},
		{name: "unknown field of an item", body: item(`{"name":"a","quantity":1,"price":"1","sku":"x"}`), field: "items[0].sku", rule: "is not a known field"},

		{name: "empty body", body: " ", status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "list", body: `[]`, status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "half a character", body: `{"total":"10.00","metadata1":"\\ud83d\ud83d"}`, status: 400, code: "body_malformed", field: "body", rule: "half of a character"},
		{name: "the other half", body: `{"total":"10.00","metadata1":"\ude00"}`, status: 400, code: "body_malformed", field: "body", rule: "half of a character"},
		{name: "halves the wrong way round", body: `{"total":"10.00","metadata1":"\ude00\ud83d"}`, status: 400, code: "body_malformed", field: "body", rule: "half of a character"},
		{name: "half a character in a name", body: `{"total":"10.00","\ud83dx":"a"}`, status: 400, code: "body_malformed", field: "body", rule: "half of a character"},
		{name: "text", body: `"total"`, status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "null", body: `null`, status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "cut off", body: `{"total":"10.00"`, status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "trailing comma", body: `{"total":"10.00",}`, status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "trailing data", body: `{"total":"10.00"}{}`, status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "NaN literal", body: `{"total":NaN}`, status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "not UTF-8", body: "{\"total\":\"10.00\",\"reference\":\"\xff\"}", status: 400, code: "body_malformed", field: "body", rule: "JSON object"},
		{name: "field twice", body: `{"total":"10.00","total":"99.00"}`, status: 400, code: "body_malformed", field: "total", rule: "must appear once"},
		{name: "field of an item twice", body: item(`{"name":"a","name":"b"}`), status: 400, code: "body_malformed", field: "items[0].name", rule: "must appear once"},
		{name: "nested deeply", body: `{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, status: 400, code: "body_malformed", rule: "nested less deeply"},
		{name: "over the cap", body: `{"total":"10.00","reference":"` + strings.Repeat("a", 64<<10) + `"}`, status: 413, code: "body_too_large", field: "body", rule: "65536 bytes"},

		{name: "form", body: "total=10.00", status: 415, code: "unsupported_media_type", headerValues: []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{name: "no content type", body: `{"total":"10.00"}`, status: 415, code: "unsupported_media_type", headerValues: []string{"Content-Type", ""}},
		{name: "no key", body: `{"total":"10.00"}`, status: 401, code: "unauthorized", headerValues: []string{"Authorization", ""}},
		{name: "wrong key", body: `{"total":"10.00"}`, status: 401, code: "unauthorized", headerValues: []string{"Authorization", "Bearer canary"}},
		{name: "other scheme", body: `{"total":"10.00"}`, status: 401, code: "unauthorized", headerValues: []string{"Authorization", "Basic " + apiKey}},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.status == 0 {
				tt.status, tt.code = http.StatusUnprocessableEntity, "validation_failed"
			}
			got := w.do("POST", "/v1/payments", tt.body, tt.headerValues...)
			p := w.requireProblem(got, tt.status, tt.code)
			require.Equal(t, "en", got.header.Get("Content-Language"))
			if tt.status == http.StatusUnauthorized {
				require.Contains(t, got.header.Get("WWW-Authenticate"), "Bearer")
			}
			if tt.rule == "" {
				require.Empty(t, p.Errors)
				return
			}
			require.Len(t, p.Errors, 1, got.body)
			translated := w.requireProblem(w.do("POST", "/v1/payments", tt.body, append(tt.headerValues, "Accept-Language", "es")...), tt.status, tt.code)
			require.Len(t, translated.Errors, 1)
			require.Equal(t, p.Errors[0].Field, translated.Errors[0].Field)
			require.NotRegexp(t, english, translated.Errors[0].Rule)
			if tt.field != "" {
				require.Equal(t, tt.field, p.Errors[0].Field)
			}
			require.Contains(t, p.Errors[0].Rule, tt.rule)
		})
	}
	payments, _, err := w.store.Payments(t.Context(), ledger.PaymentFilter{})
	require.NoError(t, err)
	require.Empty(t, payments)
}

func TestBadPaymentReportsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.do("POST", "/v1/payments",
		`{"total":1,"phone_number":"1","metadata1":"`+strings.Repeat("é", 41)+`","items":[{"name":"a","quantity":1,"price":"1","x":1}],"y":2}`)
	p := w.requireProblem(got, 422, "validation_failed")
	var fields []string
	for _, e := range p.Errors {
		fields = append(fields, e.Field)
	}
	require.ElementsMatch(t, []string{"total", "phone_number", "metadata1", "items[0].x", "y"}, fields)
	requireGolden(t, "problem.validation", got.body)
}

func TestASimulatorTakesShortLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *configs) { cfg.app.MinExpiresIn = time.Second })
	w.opens()
	require.Equal(t, 201, w.do("POST", "/v1/payments", `{"total":"10","expires_in":1}`).status)
	require.Equal(t, 201, w.do("POST", "/v1/payments", `{"total":"10","expires_in":1.0}`).status, "as some languages write it")
	w.requireProblem(w.do("POST", "/v1/payments", `{"total":"10","expires_in":0}`), 422, "validation_failed")
}

func TestPaymentsThatNeverOpened(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code   string
		status int
		want   string
	}{
		{payment.FailureGatewayUnavailable, 503, "gateway_unavailable"},
		{payment.FailureGatewayNoAnswer, 503, "gateway_unavailable"},
		{payment.FailureStale, 503, "gateway_unavailable"},
		{payment.FailureGatewayRefused, 422, "gateway_declined"},
		{"BTRA_0044", 422, "gateway_declined"},
	}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.fails(tt.code)
			first := w.do("POST", "/v1/payments", `{"total":"10"}`, "Idempotency-Key", "k")
			p := w.requireProblem(first, tt.status, tt.want)
			if tt.status == 503 {
				require.NotEmpty(t, first.header.Get("Retry-After"))
			}
			if tt.want == "gateway_declined" {
				require.Equal(t, tt.code, p.GatewayCode)
				require.Equal(t, "what the gateway said", p.GatewayMessage)
			}
			require.Equal(t, ledger.DeriveID("default", "k"), p.PaymentID)
			require.Equal(t, payment.StatusFailed, p.PaymentStatus)

			w.flows.open = nil // a replay repeats the answer and asks nobody
			again := w.do("POST", "/v1/payments", `{"total":"10"}`, "Idempotency-Key", "k")
			require.Equal(t, first.status, again.status)
			require.JSONEq(t, first.body, again.body)
		})
	}
}

func TestPaymentStillBeingMade(t *testing.T) {
	t.Parallel()
	clock := start
	w := newWorld(t, func(cfg *configs) {
		cfg.app.Wait, cfg.app.Now = 10*time.Millisecond, func() time.Time { return clock }
	})
	w.flows.open = func(ctx context.Context, _ workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		<-ctx.Done()
		return workflows.TicketOutcome{}, flows.ErrStillWorking
	}
	t.Run("no worker runs", func(t *testing.T) {
		got := w.do("POST", "/v1/payments", fullRequest, "Idempotency-Key", "slow")
		require.Equal(t, http.StatusAccepted, got.status, got.body)
		requireGolden(t, "payment.pending", got.body)
		require.Equal(t, "/v1/payments/"+ledger.DeriveID("default", "slow"), got.header.Get("Location"))
	})
	t.Run("a replay joins, and the deadline counts from the first request", func(t *testing.T) {
		open := w.flows.open
		w.flows.open = func(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
			require.Equal(t, start, in.CreatedAt)
			return open(ctx, in)
		}
		defer func() { clock = start }()
		for range 2 {
			got := w.do("POST", "/v1/payments", `{"total":"10"}`, "Idempotency-Key", "slower")
			require.Equal(t, http.StatusAccepted, got.status, got.body)
			require.Equal(t, payment.StatusPending, w.payment(got).Status)
			require.Equal(t, clock.After(start), got.header.Get("Idempotency-Replayed") == "true")
			clock = clock.Add(time.Second)
		}
	})
	t.Run("the ticket is made while the wait ends", func(t *testing.T) {
		w.opens()
		opens := w.flows.open
		w.flows.open = func(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
			_, _ = opens(ctx, in) // never fails
			return workflows.TicketOutcome{}, flows.ErrStillWorking
		}
		require.Equal(t, http.StatusCreated, w.do("POST", "/v1/payments", `{"total":"10"}`).status)
	})
	t.Run("temporal is away", func(t *testing.T) {
		w.flows.open = func(context.Context, workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
			return workflows.TicketOutcome{}, flows.ErrUnavailable
		}
		got := w.do("POST", "/v1/payments", `{"total":"10"}`, "Idempotency-Key", "away")
		p := w.requireProblem(got, 503, "temporarily_unavailable")
		require.NotEmpty(t, got.header.Get("Retry-After"))
		require.Equal(t, ledger.DeriveID("default", "away"), p.PaymentID)
		require.Contains(t, w.logs.String(), flows.ErrUnavailable.Error())
	})
}

func TestOneUnfinishedPaymentPerReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens()
	first := w.payment(w.do("POST", "/v1/payments", `{"total":"10","reference":"order-7"}`, "Idempotency-Key", "a"))

	w.flows.open = nil
	got := w.do("POST", "/v1/payments", `{"total":"10","reference":"order-7"}`, "Idempotency-Key", "b")
	require.Equal(t, first.ID, w.requireProblem(got, 409, "payment_in_progress").PaymentID)

	got = w.do("POST", "/v1/payments", `{"total":"10","reference":"order-7"}`, "Idempotency-Key", "a")
	require.Equal(t, 201, got.status, "a replay of the first is not in its own way")
}

// TestTwoAtOnceJoin has many requests with one key at once. The workflow's id is
// the lock, which the map stands for.
func TestTwoAtOnceJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens()
	opens := w.flows.open
	var mu sync.Mutex
	started := map[string]int{}
	w.flows.open = func(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		mu.Lock()
		defer mu.Unlock()
		if started[in.PaymentID]++; started[in.PaymentID] > 1 {
			return workflows.TicketOutcome{}, nil
		}
		return opens(ctx, in)
	}
	bodies := []string{`{"total":"25"}`, `{"total":"25.00"}`, `{"total":"26.00"}`}
	replies := make([]reply, 12)
	var all sync.WaitGroup
	for i := range replies {
		all.Go(func() { replies[i] = w.do("POST", "/v1/payments", bodies[i%3], "Idempotency-Key", "same") })
	}
	all.Wait()
	made, refused := map[string]int{}, 0
	for _, r := range replies {
		if r.status == http.StatusCreated {
			made[w.payment(r).ID]++
			continue
		}
		w.requireProblem(r, 422, "idempotency_key_reused")
		refused++
	}
	require.Len(t, made, 1, "one payment")
	require.Contains(t, []int{4, 8}, refused, "whoever comes first decides what the key stands for")
	require.Len(t, started, 1)
}

func TestShowPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.completed("golden")
	got := w.do("GET", "/v1/payments/"+p.ID, "")
	require.Equal(t, 200, got.status)
	requireGolden(t, "payment.completed", got.body)

	w.requireProblem(w.do("GET", "/v1/payments/"+ledger.DeriveID("default", "other"), ""), 404, "payment_not_found")
	w.requireProblem(w.do("GET", "/v1/payments/7875550199", ""), 404, "payment_not_found")
	for _, wait := range []string{"61s", "-1s", "soon", "30"} {
		refused := w.requireProblem(w.do("GET", "/v1/payments/"+p.ID+"?wait="+wait, ""), 400, "parameter_invalid")
		require.Equal(t, "wait", refused.Errors[0].Field)
	}
	w.requireProblem(w.do("GET", "/v1/payments/"+p.ID+"?wiat=30s", ""), 400, "parameter_invalid")
}

func TestShowPaymentWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open("waits")
	require.Equal(t, payment.StatusOpen, w.payment(w.do("GET", "/v1/payments/"+p.ID+"?wait=10ms", "")).Status)

	answered := make(chan reply)
	go func() { answered <- w.do("GET", "/v1/payments/"+p.ID+"?wait=30s", "") }()
	p.Status = payment.StatusExpired
	w.record(p, 2, "fingerprint")
	require.Equal(t, payment.StatusExpired, w.payment(<-answered).Status)
}

func TestADrainingServerDoesNotWait(t *testing.T) {
	t.Parallel()
	stopping := make(chan struct{})
	close(stopping)
	w := newWorld(t, func(cfg *configs) { cfg.app.Stopping = stopping })
	p := w.open("draining")
	require.Equal(t, payment.StatusOpen, w.payment(w.do("GET", "/v1/payments/"+p.ID+"?wait=60s", "")).Status)
}

func TestCancelPayment(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		before payment.Status
		after  payment.Status // what the workflow makes of it; "" asks nobody
		err    error
		status int
		code   string
	}{
		{name: "open", before: payment.StatusOpen, after: payment.StatusCancelled, status: 200},
		{name: "already cancelled", before: payment.StatusCancelled, status: 200},
		{name: "completed", before: payment.StatusCompleted, status: 409, code: "payment_not_cancellable"},
		{name: "expired", before: payment.StatusExpired, status: 409, code: "payment_not_cancellable"},
		{name: "failed", before: payment.StatusFailed, status: 409, code: "payment_not_cancellable"},
		{name: "the debit won", before: payment.StatusOpen, after: payment.StatusCompleted, status: 409, code: "payment_not_cancellable"},
		{name: "undecided", before: payment.StatusOpen, after: payment.StatusConfirmed, err: flows.ErrStillWorking, status: 202},
		{name: "the workflow closed meanwhile", before: payment.StatusOpen, after: payment.StatusExpired, err: flows.ErrEnded, status: 409, code: "payment_not_cancellable"},
		{name: "temporal is away", before: payment.StatusOpen, after: payment.StatusOpen, err: flows.ErrUnavailable, status: 503, code: "temporarily_unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.open("cancel", func(p *payment.Payment) { p.Status = tt.before })
			var cancelled []string
			if tt.after != "" {
				w.flows.cancel = func(_ context.Context, id string) (workflows.CancelOutcome, error) {
					cancelled = append(cancelled, id)
					p.Status = tt.after
					w.record(p, 2, "fingerprint")
					return workflows.CancelOutcome{}, tt.err
				}
			}
			got := w.do("POST", "/v1/payments/"+p.ID+"/cancel", "")
			if tt.after != "" {
				require.Equal(t, []string{p.ID}, cancelled)
			}
			if tt.code != "" {
				refused := w.requireProblem(got, tt.status, tt.code)
				if tt.status == 409 {
					require.Equal(t, p.Status, refused.PaymentStatus, "the truth")
				}
				return
			}
			require.Equal(t, tt.status, got.status, got.body)
			require.Equal(t, p.Status, w.payment(got).Status)
		})
	}
}

func TestCancelPaymentBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open("bodies", func(p *payment.Payment) { p.Status = payment.StatusCancelled })
	path := "/v1/payments/" + p.ID + "/cancel"
	require.Equal(t, 200, w.do("POST", path, "{}").status)
	require.Equal(t, 200, w.do("POST", path, "", "Idempotency-Key", "k").status)
	w.requireProblem(w.do("POST", path, `{"reason":"x"}`), 422, "validation_failed")
	w.requireProblem(w.do("POST", path, `[]`), 400, "body_malformed")
	w.requireProblem(w.do("POST", path, "", "Idempotency-Key", `"`), 400, "idempotency_key_malformed")
	w.requireProblem(w.do("POST", "/v1/payments/pay_x/cancel", ""), 404, "payment_not_found")
}

func TestSetPhoneNumber(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		payment func(*payment.Payment)
		outcome *workflows.PhoneNumberOutcome // nil asks nobody
		err     error
		status  int
		code    string
	}{
		{name: "none was given", outcome: &workflows.PhoneNumberOutcome{}, status: 200},
		{name: "the same", payment: func(p *payment.Payment) { p.PhoneNumber = phone }, status: 200},
		{name: "ended", payment: func(p *payment.Payment) { p.Status = payment.StatusExpired }, status: 409, code: "payment_ended"},
		{
			name:    "ended meanwhile",
			outcome: &workflows.PhoneNumberOutcome{Failure: &payment.Failure{Code: payment.FailureEnded}},
			status:  409, code: "payment_ended",
		},
		{name: "closed meanwhile", outcome: &workflows.PhoneNumberOutcome{}, err: flows.ErrEnded, status: 409, code: "payment_ended"},
		{
			name:    "refused",
			outcome: &workflows.PhoneNumberOutcome{Failure: &payment.Failure{Code: "BTRA_0006", Message: "unknown number"}},
			status:  409, code: "gateway_declined",
		},
		{name: "undecided", outcome: &workflows.PhoneNumberOutcome{}, err: flows.ErrStillWorking, status: 202},
		{name: "temporal is away", outcome: &workflows.PhoneNumberOutcome{}, err: flows.ErrUnavailable, status: 503, code: "temporarily_unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.open("phone", func(p *payment.Payment) {
				if tt.payment != nil {
					tt.payment(p)
				}
			})
			var rung []string
			if tt.outcome != nil {
				w.flows.phone = func(_ context.Context, id, _ string, in workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error) {
					rung = append(rung, id, string(in.PhoneNumber))
					if tt.status == 200 {
						p.PhoneNumber = in.PhoneNumber
						w.record(p, 2, "fingerprint")
					}
					return *tt.outcome, tt.err
				}
			}
			got := w.do("PUT", "/v1/payments/"+p.ID+"/phone-number", `{"phone_number":"`+typedPhone+`"}`)
			if tt.outcome != nil {
				require.Equal(t, []string{p.ID, phone}, rung)
			}
			if tt.code != "" {
				refused := w.requireProblem(got, tt.status, tt.code)
				if tt.code == "gateway_declined" {
					require.Equal(t, "BTRA_0006", refused.GatewayCode)
					require.Equal(t, "unknown number", refused.GatewayMessage)
				}
				return
			}
			require.Equal(t, tt.status, got.status, got.body)
			require.Equal(t, p.PhoneNumber, w.payment(got).PhoneNumber)
		})
	}
}

func TestSetPhoneNumberBodiesAndKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open("phone")
	path := "/v1/payments/" + p.ID + "/phone-number"
	for body, rule := range map[string]string{
		`{}`:                               "is required",
		`{"phone_number":null}`:            "is required",
		`{"phone_number":""}`:              "ten digits",
		`{"phone_number":"123"}`:           "ten digits",
		`{"phone_number":7875550199}`:      "must be a string",
		`{"phone_number":"+1 787 555 01"}`: "ten digits",
	} {
		refused := w.requireProblem(w.do("PUT", path, body), 422, "validation_failed")
		require.Len(t, refused.Errors, 1, body)
		require.Equal(t, "phone_number", refused.Errors[0].Field)
		require.Contains(t, refused.Errors[0].Rule, rule, body)
	}
	var ids []string
	w.flows.phone = func(_ context.Context, _, updateID string, _ workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error) {
		ids = append(ids, updateID)
		return workflows.PhoneNumberOutcome{}, nil
	}
	for _, key := range []string{"key-a", "key-a", "key-b", "", ""} {
		require.Equal(t, 200, w.do("PUT", path, `{"phone_number":"`+phone+`"}`, "Idempotency-Key", key).status)
	}
	require.NotContains(t, ids[0], "key-a", "an update's id is not encrypted")
	require.NotContains(t, ids[0], phone)
	require.Equal(t, ids[0], ids[1], "one key joins the try before")
	require.NotEqual(t, ids[0], ids[2])
	require.NotEqual(t, ids[3], ids[4], "without a key every request is its own try")
}

func TestListPayments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.open(fmt.Sprintf("listed-%d", i), func(p *payment.Payment) {
			p.CreatedAt = start.Add(time.Duration(i) * time.Second)
			p.Reference = fmt.Sprintf("order-%d", i)
			p.Metadata1 = metadata
		})
	}
	w.completed("paid")

	type page struct {
		Payments []payment.Payment `json:"payments"`
		Next     *string           `json:"next_cursor"`
	}
	list := func(query string) page {
		got := w.do("GET", "/v1/payments?"+query, "")
		require.Equal(t, 200, got.status, got.body)
		var p page
		require.NoError(t, json.Unmarshal([]byte(got.body), &p))
		require.NotNil(t, p.Payments, "an empty list is no null")
		return p
	}
	tests := []struct {
		query string
		want  int
	}{
		{"", 6},
		{"status=open", 5},
		{"status=completed", 1},
		{"status=cancelled", 0},
		{"reference=order-3", 1},
		{"phone_number=" + url.QueryEscape(typedPhone), 1},
		{"metadata1=" + metadata, 6},
		{"metadata2=" + metadata, 0},
		{"needs_review=false", 6},
		{"needs_review=true", 0},
		{"created_from=2026-01-15T12:00:01Z", 4},
		{"created_to=2026-01-15T08:00:01-04:00", 2},
		{"limit=100", 6},
	}
	for _, tt := range tests {
		require.Len(t, list(tt.query).Payments, tt.want, tt.query)
	}

	var seen []string
	for cursor, pages := "", 1; ; pages++ {
		p := list("status=open&limit=2" + cursor)
		for _, one := range p.Payments {
			seen = append(seen, one.Reference)
		}
		if p.Next == nil {
			require.Equal(t, 3, pages)
			break
		}
		cursor = "&cursor=" + *p.Next
	}
	require.Equal(t, []string{"order-4", "order-3", "order-2", "order-1", "order-0"}, seen, "newest first")
}

func TestBadLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for query, field := range map[string]string{
		"status=paid":                         "status",
		"phone_number=123":                    "phone_number",
		"needs_review=yes":                    "needs_review",
		"created_from=yesterday":              "created_from",
		"created_to=2026-01-15":               "created_to",
		"limit=0":                             "limit",
		"limit=101":                           "limit",
		"limit=x":                             "limit",
		"cursor=!":                            "cursor",
		"cursor=bm90IGEgY3Vyc29y":             "cursor",
		"cursor=MjAyNi0wMS0xNVQxMjowMDowMFog": "cursor",
		"stauts=open":                         "stauts",
		"status=open&status=failed":           "status",
		"status=%zz":                          "query",
	} {
		refused := w.requireProblem(w.do("GET", "/v1/payments?"+query, ""), 400, "parameter_invalid")
		require.Equal(t, field, refused.Errors[0].Field, query)
	}
}

func TestAmountsSurviveTheWayThroughTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens()
	for _, total := range []string{"1", "1.1", "1.10", "1500", "0001.00", "999.99"} {
		got := w.payment(w.do("POST", "/v1/payments", `{"total":"`+total+`"}`))
		require.Equal(t, money.MustParse(total), got.Total)
	}
}
