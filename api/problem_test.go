package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func TestProblemsInSpanish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := []struct {
		accept  string
		spanish bool
	}{
		{"es", true},
		{"es-PR", true},
		{"ES-pr, en;q=0.8", true},
		{"en;q=0.5, es;q=0.9", true},
		{"fr, es;q=0.5", true},
		{"es;q=0.900, en;q=0.85", true},
		{"", false},
		{"en", false},
		{"en, es", false},
		{"en-US,en;q=0.9,es;q=0.8", false},
		{"es;q=0", false},
		{"fr", false},
		{"*", false},
		{"esperanto", false},
		{";;;,,q=", false},
	}
	for _, tt := range tests {
		t.Run(tt.accept, func(t *testing.T) {
			got := w.do("POST", "/v1/payments", `{"total":"0.99"}`, "Accept-Language", tt.accept)
			p := w.requireProblem(got, 422, "validation_failed")
			require.Equal(t, "Accept-Language", got.header.Get("Vary"))
			if tt.spanish {
				require.Equal(t, "es", got.header.Get("Content-Language"))
				require.Equal(t, "La solicitud no cumple una regla", p.Title)
				return
			}
			require.Equal(t, "en", got.header.Get("Content-Language"))
			require.Equal(t, "The request breaks a rule", p.Title)
		})
	}
	got := w.do("POST", "/v1/payments", `{"total":1}`, "Accept-Language", "es-PR")
	requireGolden(t, "problem.spanish", got.body)
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := ledger.DeriveID("default", "k")
	tests := []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/", 404, "not_found", ""},
		{"GET", "/v1", 404, "not_found", ""},
		{"GET", "/v1/payments/", 404, "not_found", ""},
		{"GET", "/v1/payments/" + id + "/", 404, "not_found", ""},
		{"GET", "/v1/payments/" + id + "/cancel/now", 404, "not_found", ""},
		{"GET", "/healthz", 404, "not_found", ""},
		{"GET", "/nowhere?reference=" + strings.Repeat("x", 33<<10), 431, "headers_too_large", ""},
		{"DELETE", "/v1/payments", 405, "method_not_allowed", "POST, GET"},
		{"GET", "/v1/payments/" + id + "/cancel", 405, "method_not_allowed", "POST"},
		{"POST", "/v1/payments/" + id + "/phone-number", 405, "method_not_allowed", "PUT"},
		{"BREW", "/v1/payments/" + id + "/refunds", 405, "method_not_allowed", "POST, GET"},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			got := w.do(tt.method, tt.path, "")
			w.requireProblem(got, tt.status, tt.code)
			require.Equal(t, tt.allow, got.header.Get("Allow"))
		})
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, "mine-7", w.do("GET", "/v1/payments", "", "X-Request-Id", "mine-7").header.Get("X-Request-Id"))
	for _, bad := range []string{"", strings.Repeat("x", 129), "é"} {
		got := w.do("GET", "/v1/payments", "", "X-Request-Id", bad).header.Get("X-Request-Id")
		require.True(t, strings.HasPrefix(got, "req_"), got)
		require.Len(t, got, 30)
	}
}

// TestUnexpectedErrors: what nobody foresaw is 500, and the log has the cause
// under the id that the document names.
func TestUnexpectedErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.flows.open = func(context.Context, workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		return workflows.TicketOutcome{}, errors.New("a gear is missing")
	}
	got := w.do("POST", "/v1/payments", `{"total":"10"}`, "X-Request-Id", "broken-1")
	w.requireProblem(got, 500, "internal")
	require.NotContains(t, got.body, "gear")
	require.Contains(t, w.logs.String(), `"request_id":"broken-1"`)
	require.Contains(t, w.logs.String(), "a gear is missing")
	require.Contains(t, w.logs.String(), `"level":"ERROR"`)
}

func TestPanics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.flows.open = func(context.Context, workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		panic("the phone is " + phone)
	}
	w.requireProblem(w.do("POST", "/v1/payments", `{"total":"10"}`, "X-Request-Id", "panic-1"), 500, "internal")
	logs := w.logs.String()
	require.Contains(t, logs, `"msg":"panic","request_id":"panic-1","panic":"string"`)
	require.Contains(t, logs, "problem_test.go", "the stack says where")

	w.flows.open = func(context.Context, workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		var none *workflows.TicketOutcome
		return *none, nil
	}
	w.requireProblem(w.do("POST", "/v1/payments", `{"total":"10"}`), 500, "internal")
	require.Contains(t, w.logs.String(), "nil pointer dereference", "the runtime's own words are safe")

	w.opens()
	require.Equal(t, http.StatusCreated, w.do("POST", "/v1/payments", `{"total":"10"}`).status, "and life goes on")
}

// away is a store that cannot be reached.
type away struct{ app.Store }

func (away) Payment(context.Context, string) (ledger.Record, error) {
	return ledger.Record{}, errDisk
}

func (away) ReservePayment(context.Context, ledger.Record) (ledger.Record, error) {
	return ledger.Record{}, errDisk
}

func (away) ReserveRefund(context.Context, ledger.Reservation) (ledger.Reserved, error) {
	return ledger.Reserved{}, errDisk
}

func (away) Payments(context.Context, ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error) {
	return nil, ledger.Cursor{}, errDisk
}

func TestStoreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *configs) { cfg.app.Store = away{cfg.app.Store} })
	path := "/v1/payments/" + ledger.DeriveID("default", "k")
	for _, got := range []reply{
		w.do("GET", path, ""),
		w.do("GET", "/v1/payments", ""),
		w.do("POST", "/v1/payments", `{"total":"10"}`, "Idempotency-Key", "k"),
		w.do("POST", path+"/cancel", ""),
		w.do("PUT", path+"/phone-number", `{"phone_number":"`+phone+`"}`),
		w.do("POST", path+"/refunds", `{"amount":"all"}`, "Idempotency-Key", "k"),
		w.do("GET", path+"/refunds", ""),
	} {
		w.requireProblem(got, 503, "temporarily_unavailable")
		require.NotEmpty(t, got.header.Get("Retry-After"))
	}
}

// TestLogLines: one line for each request, without the path's secret, the
// query's values, headers or bodies. That no canary is in it, every test of
// this package checks when it ends.
func TestLogLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens()
	w.do("POST", "/v1/payments", fullRequest, "Idempotency-Key", "canary-of-a-key")
	w.do("POST", "/v1/payments", strings.Replace(fullRequest, "total", phone, 1))
	w.do("GET", "/v1/payments?phone_number="+phone+"&metadata1="+metadata+"&stauts="+phone, "")
	w.do("GET", "/v1/payments/"+phone, "")
	w.do("POST", webhookPath, completedEvent("ticket-1", "3"))
	w.do("POST", "/webhooks/athmovil/wrong-"+webhookSecret, completedEvent("ticket-1", "3"))
	w.do("GET", "/nowhere/"+phone, "")
	w.do("GET", "/v1/payments", "", "Authorization", "Bearer "+apiKey+"x")
	logs := w.logs.String()
	require.Equal(t, 8, strings.Count(logs, `"msg":"request"`))
	require.Equal(t, 8, strings.Count(logs, "\n"))
	require.Contains(t, logs, `"route":"/webhooks/athmovil/:secret","status":200`)
	require.NotContains(t, logs, "canary-of-a-key")
}
