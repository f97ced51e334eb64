package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// TestIdempotencyKeys follows the IETF draft: the quoted form is its own, the
// bare form is what most clients send.
func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens()
	tests := []struct {
		name, header string
		key          string // "" means malformed
	}{
		{"bare", "8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{"quoted", `"8e03978e-40d5-43dd-bc93-6894a57f9324"`, "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{"one character", "k", "k"},
		{"255 characters", strings.Repeat("k", 255), strings.Repeat("k", 255)},
		{"quoted 255 characters", `"` + strings.Repeat("k", 255) + `"`, strings.Repeat("k", 255)},
		{"a space inside", "order 7", "order 7"},
		{"an escaped quote", `"a\"b"`, `a"b`},
		{"an escaped backslash", `"a\\b"`, `a\b`},
		{"256 characters", strings.Repeat("k", 256), ""},
		{"nothing in quotes", `""`, ""},
		{"quote not closed", `"abc`, ""},
		{"after the quote", `"abc"d`, ""},
		{"parameters", `"abc";p=1`, ""},
		{"wrong escape", `"a\b"`, ""},
		{"escape at the end", `"abc\`, ""},
		{"not ASCII", "café", ""},
		{"tab inside", "a\tb", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := w.do("POST", "/v1/payments", `{"total":"10"}`, "Idempotency-Key", tt.header)
			if tt.key == "" {
				w.requireProblem(got, 400, "idempotency_key_malformed")
				return
			}
			require.Equal(t, http.StatusCreated, got.status, got.body)
			require.Equal(t, ledger.DeriveID("default", tt.key), w.payment(got).ID)
		})
	}
	t.Run("two headers", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+"/v1/payments", strings.NewReader(`{"total":"10"}`))
		require.NoError(t, err)
		request.Header = http.Header{
			"Authorization": {"Bearer " + apiKey}, "Content-Type": {"application/json"}, "Idempotency-Key": {"a", "b"},
		}
		response, err := w.http.Client().Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusBadRequest, response.StatusCode)
	})
}

// TestReplays has the clock run, so that a replay is later than its original.
func TestReplays(t *testing.T) {
	t.Parallel()
	clock := start
	w := newWorld(t, func(cfg *configs) {
		cfg.app.Now = func() time.Time { return clock }
	})
	w.opens()
	const body = `{"total":"25.00","phone_number":"` + phone + `","items":[]}`
	first := w.do("POST", "/v1/payments", body, "Idempotency-Key", "k")
	require.Equal(t, http.StatusCreated, first.status)
	require.Empty(t, first.header.Get("Idempotency-Replayed"))

	clock = clock.Add(time.Hour)
	w.flows.open = nil
	for _, same := range []string{
		body,
		`{"total":"25","phone_number":"` + typedPhone + `"}`,
		` { "phone_number" : "1 787 555 0199", "total" : "25.0", "expires_in" : 600, "tax" : null } `,
	} {
		again := w.do("POST", "/v1/payments", same, "Idempotency-Key", `"k"`)
		require.Equal(t, http.StatusCreated, again.status, same)
		require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
		require.Equal(t, first.header.Get("Location"), again.header.Get("Location"))
		require.JSONEq(t, first.body, again.body)
	}
	for _, other := range []string{
		`{"total":"25.01","phone_number":"` + phone + `"}`,
		`{"total":"25.00"}`,
		`{"total":"25.00","phone_number":"` + phone + `","expires_in":599}`,
		`{"total":"25.00","phone_number":"` + phone + `","metadata1":"x"}`,
	} {
		w.requireProblem(w.do("POST", "/v1/payments", other, "Idempotency-Key", "k"), 422, "idempotency_key_reused")
	}

	t.Run("what became of the payment shows", func(t *testing.T) {
		p := w.payment(first)
		record, err := w.store.Payment(t.Context(), p.ID)
		require.NoError(t, err)
		record.Payment.Status, record.Revision = payment.StatusExpired, 2
		w.record(record.Payment, record.Revision, record.Fingerprint)
		again := w.do("POST", "/v1/payments", body, "Idempotency-Key", "k")
		require.Equal(t, http.StatusCreated, again.status)
		require.Equal(t, payment.StatusExpired, w.payment(again).Status)
	})
}

// TestMerchantsDoNotShareKeys: the same key of another merchant is another
// payment.
func TestMerchantsDoNotShareKeys(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, merchant := range []string{"default", "other"} {
		w := newWorld(t, func(cfg *configs) { cfg.app.MerchantID = merchant })
		w.opens()
		ids[w.payment(w.do("POST", "/v1/payments", `{"total":"10"}`, "Idempotency-Key", "k")).ID] = true
	}
	require.Len(t, ids, 2)
}
