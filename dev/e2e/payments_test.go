package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

func TestPaymentCompletesAndIsRefundedInParts(t *testing.T) {
	t.Parallel()
	first, second := system.listen(t, "happy-one"), system.listen(t, "happy-two")
	opened := system.open(t, m{
		"total": "25.00", "subtotal": "22.42", "tax": "2.58", "phone_number": "(787) 555-0999", "reference": "happy-1",
		"metadata1": "table 4", "items": []m{{"name": "Café", "description": "hot", "quantity": 2, "price": "11.21", "tax": "1.29", "metadata": "x"}},
	})
	require.Equal(t, "7875550999", *opened.PhoneNumber)
	system.phone(t, "confirm", opened.EcommerceID)
	done := system.await(t, opened.ID, "completed")
	require.Equal(t, "0.56", *done.Fee)
	require.Equal(t, "24.44", *done.NetAmount)
	require.NotEmpty(t, *done.ReferenceNumber)
	require.NotNil(t, done.CompletedAt)
	require.Equal(t, "table 4", *done.Metadata1, "the merchant's own values are shown, not what the gateway was given")
	require.Nil(t, done.Metadata2)
	system.requireBooks(t, opened.EcommerceID, []string{"25.00"}, nil)

	refunds := "/v1/payments/" + opened.ID + "/refunds"
	for i, amount := range []string{"10.00", "5.00"} {
		got := system.merchant(t, http.MethodPost, refunds, m{"amount": amount, "message": "sorry"}, "Idempotency-Key", "happy-"+amount)
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		given := as[refund](t, got)
		require.Equal(t, "completed", given.Status)
		require.Equal(t, amount, given.Amount)
		require.Equal(t, []string{"10.00", "15.00"}[i], system.show(t, opened.ID).RefundedAmount)
	}
	got := system.merchant(t, http.MethodPost, refunds, m{"amount": "10.01"}, "Idempotency-Key", "happy-too-much")
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	system.requireBooks(t, opened.EcommerceID, []string{"25.00"}, []string{"10.00", "5.00"})

	listed := as[struct{ Refunds []refund }](t, system.merchant(t, http.MethodGet, refunds, nil))
	require.Len(t, listed.Refunds, 2)

	for _, host := range []*received{first, second} {
		notifications := host.requireEvents(t, opened.ID,
			payment.EventCreated, payment.EventCompleted, payment.EventRefundCompleted, payment.EventRefundCompleted)
		sequences := map[int]bool{}
		for _, n := range notifications {
			sequences[n.Sequence] = true
			if n.Event == payment.EventCompleted {
				require.Equal(t, payment.StatusCompleted, n.Payment.Status)
				require.NotEmpty(t, n.Payment.Customer.Name, "the final details are in the notification")
			}
		}
		require.Len(t, sequences, 4, "each event of a payment has a place in their order")
	}
	require.NotEqual(t, first.of(opened.ID)[0].ID, second.of(opened.ID)[0].ID, "each receiver has an id of its own")
}

func TestPaymentCompletesWithoutWebhookOrClient(t *testing.T) {
	t.Parallel()
	listener := system.listen(t, "no-webhook")
	opened := system.open(t, m{"total": "3.00"})
	system.fault(t, m{"op": "webhook", "fault": "webhook_lost", "ecommerce_id": opened.EcommerceID, "times": 10})
	system.phone(t, "confirm", opened.EcommerceID)
	// No client calls the API; the simulator's ledger shows the debit.
	require.Eventually(t, func() bool {
		debits, _ := system.booked(t, opened.EcommerceID)
		return len(debits) == 1
	}, timeout, interval)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted)
	done := system.show(t, opened.ID)
	require.Equal(t, "completed", done.Status)
	require.Nil(t, done.Customer.Name, "no webhook named the payer")
	system.requireBooks(t, opened.EcommerceID, []string{"3.00"}, nil)
}

func TestCustomerCancelsPayment(t *testing.T) {
	t.Parallel()
	listener := system.listen(t, "customer-cancels")
	opened := system.open(t, m{"total": "4.00", "phone_number": "7875550999"})
	system.phone(t, "cancel", opened.EcommerceID)
	done := system.await(t, opened.ID, "cancelled")
	require.Equal(t, "cancelled_by_customer", done.Failure.Code)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventFailed)
	system.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestMerchantCancelsPayment(t *testing.T) {
	t.Parallel()
	listener := system.listen(t, "merchant-cancels")
	opened := system.open(t, m{"total": "4.00", "phone_number": "7875550999"})
	for range 2 { // the second finds it canceled already
		got := system.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/cancel", nil)
		require.Equal(t, http.StatusOK, got.status, "%s", got.body)
		cancelled := as[sale](t, got)
		require.Equal(t, "cancelled", cancelled.Status)
		require.Equal(t, "cancelled_by_merchant", cancelled.Failure.Code)
	}
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventFailed)
	system.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestUnconfirmedPaymentExpires(t *testing.T) {
	t.Parallel()
	listener := system.listen(t, "expires")
	opened := system.open(t, m{"total": "4.00", "phone_number": "7875550200", "expires_in": 2})
	done := system.await(t, opened.ID, "expired")
	require.False(t, done.NeedsReview)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventExpired)
	system.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestCompletedPaymentRejectsCancel(t *testing.T) {
	t.Parallel()
	opened := system.open(t, m{"total": "6.00"})
	system.phone(t, "confirm", opened.EcommerceID)
	system.await(t, opened.ID, "completed")
	got := system.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/cancel", nil)
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Contains(t, string(got.body), "completed", "the answer has the status")
	system.requireBooks(t, opened.EcommerceID, []string{"6.00"}, nil)
}

func TestPhoneNumberCanBeSetLater(t *testing.T) {
	t.Parallel()
	opened := system.open(t, m{"total": "5.00"})
	require.Nil(t, opened.PhoneNumber)
	path := "/v1/payments/" + opened.ID + "/phone-number"
	got := system.merchant(t, http.MethodPut, path, m{"phone_number": "787-555-0999"})
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	require.Equal(t, "7875550999", *as[sale](t, got).PhoneNumber)

	got = system.merchant(t, http.MethodPut, path, m{"phone_number": "7875550998"})
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Contains(t, string(got.body), "BTRA_0041", "the answer has the gateway's code")
	require.Equal(t, "7875550999", *system.show(t, opened.ID).PhoneNumber)
	system.phone(t, "confirm", opened.EcommerceID)
	system.await(t, opened.ID, "completed")
	system.requireBooks(t, opened.EcommerceID, []string{"5.00"}, nil)
}

func TestIdempotencyKeyCreatesOnePaymentAndRefund(t *testing.T) {
	t.Parallel()
	opened := system.open(t, m{"total": "7.00"}, "Idempotency-Key", "same-key-1")
	again := system.merchant(t, http.MethodPost, "/v1/payments", m{"total": "7.0"}, "Idempotency-Key", `"same-key-1"`)
	require.Equal(t, http.StatusCreated, again.status, "%s", again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, opened.ID, as[sale](t, again).ID)
	other := system.merchant(t, http.MethodPost, "/v1/payments", m{"total": "8.00"}, "Idempotency-Key", "same-key-1")
	require.Equal(t, http.StatusUnprocessableEntity, other.status)
	require.Equal(t, "idempotency_key_reused", as[problem](t, other).Code)

	system.phone(t, "confirm", opened.EcommerceID)
	system.await(t, opened.ID, "completed")
	refunds := "/v1/payments/" + opened.ID + "/refunds"
	ids := map[string]string{}
	for _, key := range []string{"A", "B", "A"} {
		got := system.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", key)
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		given := as[refund](t, got)
		require.Equal(t, "completed", given.Status)
		if known, ok := ids[key]; ok {
			require.Equal(t, known, given.ID)
			require.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
		}
		ids[key] = given.ID
	}
	got := system.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, "idempotency_key_required", as[problem](t, got).Code)
	system.requireBooks(t, opened.EcommerceID, []string{"7.00"}, []string{"1.00", "1.00"})
}

// captured is the production webhook of docs/athmovil.md §4.2 with the ids and
// amounts of a running ticket.
func captured(t *testing.T, of sale, reference string) []byte {
	t.Helper()
	data, err := os.ReadFile("../../athmovil/testdata/wire/webhook.completed.captured.json")
	require.NoError(t, err)
	var event map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(data, &event))
	set := func(key string, value any) {
		require.Contains(t, event, key, "the captured event has this key")
		raw, err := json.Marshal(value)
		require.NoError(t, err)
		event[key] = raw
	}
	set("ecommerceId", of.EcommerceID)
	set("referenceNumber", reference)
	set("metadata2", of.ID)
	body, err := json.Marshal(event)
	require.NoError(t, err)
	return body
}

func TestWebhookAppliedOnce(t *testing.T) {
	t.Parallel()
	listener := system.listen(t, "captured")
	opened := system.open(t, m{"total": "3.00"}) // as in the captured event
	system.fault(t, m{"op": "webhook", "fault": "webhook_lost", "ecommerce_id": opened.EcommerceID, "times": 10})
	system.phone(t, "confirm", opened.EcommerceID)
	reference := *system.await(t, opened.ID, "completed").ReferenceNumber
	event := captured(t, opened, reference)
	for range 2 {
		require.Equal(t, http.StatusOK, system.webhook(t, event).status)
	}
	require.Eventually(t, func() bool { return system.show(t, opened.ID).Customer.PhoneNumber != nil }, timeout, interval)
	done := system.show(t, opened.ID)
	require.Equal(t, "7875551234", *done.Customer.PhoneNumber)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted)
	system.requireBooks(t, opened.EcommerceID, []string{"3.00"}, nil)
}

func TestForgedWebhookChangesNothing(t *testing.T) {
	t.Parallel()
	opened := system.open(t, m{"total": "3.00", "phone_number": "7875550999"})
	forged := bytes.ReplaceAll(captured(t, opened, "1111111111-deadbeefdeadbeefdeadbeefdeadbeef"), []byte("7875551234"), []byte("7875550666"))
	require.Equal(t, http.StatusOK, system.webhook(t, forged).status)
	require.Eventually(t, func() bool { return calls(t, system, opened.EcommerceID) > 0 }, timeout, interval)
	still := system.show(t, opened.ID)
	require.Equal(t, "open", still.Status)
	require.Nil(t, still.Customer.PhoneNumber)
	system.requireBooks(t, opened.EcommerceID, nil, nil)

	system.phone(t, "confirm", opened.EcommerceID)
	system.await(t, opened.ID, "completed")
	require.Eventually(t, func() bool { return system.show(t, opened.ID).Customer.PhoneNumber != nil }, timeout, interval)
	require.NotEqual(t, "7875550666", *system.show(t, opened.ID).Customer.PhoneNumber, "nothing of the forged details is kept")
	system.requireBooks(t, opened.EcommerceID, []string{"3.00"}, nil)
}

// calls counts the calls to the gateway about a ticket.
func calls(t *testing.T, c *cobro, ecommerceID string) int {
	t.Helper()
	list := as[struct {
		Requests []struct {
			EcommerceID string `json:"ecommerce_id"`
		} `json:"requests"`
	}](t, send(t, http.MethodGet, c.at.GatewayControl+"/_sim/requests", nil, nil))
	count := 0
	for _, r := range list.Requests {
		if r.EcommerceID == ecommerceID {
			count++
		}
	}
	return count
}

func TestKilledBeforeAuthorizeStillCompletes(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	opened := c.open(t, m{"total": "12.00"})
	// Authorize hangs before any effect, so that the process dies between
	// the confirmation and the debit.
	c.fault(t, m{"op": "authorize", "fault": "delay", "delay_ms": 60_000, "ecommerce_id": opened.EcommerceID, "times": 1})
	c.phone(t, "confirm", opened.EcommerceID)
	require.Eventually(t, func() bool { return faultsLeft(t, c) == 0 }, timeout, interval, "the authorization was never sent")
	c.requireBooks(t, opened.EcommerceID, nil, nil)
	c.kill()

	require.NoError(t, c.start())
	listener := c.listen(t, "after-the-kill")
	done := c.await(t, opened.ID, "completed")
	require.Equal(t, opened.EcommerceID, done.EcommerceID)
	listener.requireEvents(t, opened.ID, payment.EventCompleted)
	c.requireBooks(t, opened.EcommerceID, []string{"12.00"}, nil)
	require.NoError(t, c.stop(), "a graceful stop ends with code 0")
}

// faultsLeft counts the injected faults that wait for their call.
func faultsLeft(t *testing.T, c *cobro) int {
	t.Helper()
	list := as[struct {
		Faults []json.RawMessage `json:"faults"`
	}](t, send(t, http.MethodGet, c.at.GatewayControl+"/_sim/faults", nil, nil))
	return len(list.Faults)
}

func TestDeclineFailsPaymentWithItsCode(t *testing.T) {
	t.Parallel()
	opened := system.open(t, m{"total": "9.00"})
	system.fault(t, m{"op": "authorize", "fault": "error_code", "code": "BTRA_0044", "ecommerce_id": opened.EcommerceID, "times": 1})
	system.phone(t, "confirm", opened.EcommerceID)
	done := system.await(t, opened.ID, "failed")
	require.Equal(t, "BTRA_0044", done.Failure.Code)
	system.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestLostAuthorizeResponseIsLookedUp(t *testing.T) {
	t.Parallel()
	opened := system.open(t, m{"total": "9.00"})
	system.fault(t, m{"op": "authorize", "fault": "drop_after", "ecommerce_id": opened.EcommerceID, "times": 1})
	system.phone(t, "confirm", opened.EcommerceID)
	system.await(t, opened.ID, "completed")
	system.requireBooks(t, opened.EcommerceID, []string{"9.00"}, nil)
}

func TestLostRefundResponseIsNotRetried(t *testing.T) {
	t.Parallel()
	opened := system.open(t, m{"total": "9.00"})
	system.phone(t, "confirm", opened.EcommerceID)
	system.await(t, opened.ID, "completed")
	system.fault(t, m{"op": "refund", "fault": "drop_after", "ecommerce_id": opened.EcommerceID, "times": 1})
	got := system.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/refunds", m{"amount": "2.00"}, "Idempotency-Key", "lost")
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	require.Equal(t, "completed", as[refund](t, got).Status)
	system.requireBooks(t, opened.EcommerceID, []string{"9.00"}, []string{"2.00"})
}

func TestInvalidRequestOpensNoTicket(t *testing.T) {
	t.Parallel()
	before := calls(t, system, "")
	long := string(bytes.Repeat([]byte("é"), 41))
	for name, tt := range map[string]struct {
		body  string
		field string
	}{
		"three decimals":   {`{"total":"1.005"}`, "total"},
		"exponent":         {`{"total":"1e3"}`, "total"},
		"negative":         {`{"total":"-1"}`, "total"},
		"below the least":  {`{"total":"0.99"}`, "total"},
		"above the most":   {`{"total":"1500.01"}`, "total"},
		"not a number":     {`{"total":"NaN"}`, "total"},
		"number, exponent": {`{"total":1e3}`, "total"},
		"number":           {`{"total":25.00}`, "total"},
		"phone":            {`{"total":"5.00","phone_number":"12345"}`, "phone_number"},
		"metadata":         {`{"total":"5.00","metadata1":"` + long + `"}`, "metadata1"},
		"item":             {`{"total":"5.00","items":[{"name":"","quantity":1,"price":"1.00"}]}`, "items[0].name"},
		"unknown field":    {`{"total":"5.00","totl":"6.00"}`, "totl"},
		"e-mail":           {`{"total":"5.00","reference":"ana@example.com"}`, "reference"},
	} {
		got := system.merchant(t, http.MethodPost, "/v1/payments", []byte(tt.body))
		require.Equal(t, http.StatusUnprocessableEntity, got.status, "%s: %s", name, got.body)
		require422(t, got, tt.field)
	}
	for name, body := range map[string]string{"an array": `[]`, "nothing": ``, "cut": `{"total":`} {
		got := system.merchant(t, http.MethodPost, "/v1/payments", []byte(body))
		require.Equal(t, http.StatusBadRequest, got.status, "%s: %s", name, got.body)
	}
	require.Equal(t, before, calls(t, system, ""), "the gateway was not called")
	require.Equal(t, http.StatusNotFound, system.merchant(t, http.MethodGet, "/v1/payments/pay_00000000000000000000000000", nil).status)
	require.Equal(t, http.StatusNotFound, send(t, http.MethodPost, system.at.API+"/webhooks/athmovil/wrong-secret-wrong", []byte(`{}`), nil).status)
	require.Equal(t, http.StatusBadRequest, system.webhook(t, []byte(`not json`)).status)
	require.Equal(t, http.StatusUnauthorized, send(t, http.MethodGet, system.at.API+"/v1/payments", nil, nil).status)
}

func TestGatewayOutageReturns503(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	c.fault(t, m{"op": "create", "fault": "error_9998", "times": 10})
	began := time.Now()
	got := c.merchant(t, http.MethodPost, "/v1/payments", m{"total": "5.00"}, "Idempotency-Key", "away")
	require.Equal(t, http.StatusServiceUnavailable, got.status, "%s after %s", got.body, time.Since(began))
	require.NotEmpty(t, got.header.Get("Retry-After"))
	listed := as[struct{ Payments []sale }](t, c.merchant(t, http.MethodGet, "/v1/payments", nil))
	require.Len(t, listed.Payments, 1)
	require.Equal(t, "failed", listed.Payments[0].Status)
}

// The largest sale that the API accepts, of characters that JSON escapes six times
// as long: its webhook is accepted, and so its payer is known.
func TestLargestSaleIsToldByItsWebhook(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10 // bytes of a request
	request := m{"total": "25.00", "phone_number": "7875550100", "items": []m{}}
	size := func() int {
		body, err := json.Marshal(request)
		require.NoError(t, err)
		return len(strings.ReplaceAll(string(body), `\u003c`, "<"))
	}
	var items []m
	for range payment.MaxItems {
		items = append(items, m{"name": "<", "description": "", "metadata": "", "quantity": 1, "price": "0.25"})
	}
	request["items"] = items
	for i, left := 0, limit-size(); left > 0; i++ {
		for _, field := range []string{"name", "description", "metadata"} {
			text := items[i][field].(string)
			more := min(left, payment.MaxItemText-len(text))
			items[i][field] = text + strings.Repeat("<", more)
			left -= more
		}
	}
	require.Equal(t, limit, size())
	body, err := json.Marshal(request)
	require.NoError(t, err)
	got := system.merchant(t, http.MethodPost, "/v1/payments", bytes.ReplaceAll(body, []byte(`\u003c`), []byte("<")))
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	paid := system.await(t, as[sale](t, got).ID, "completed")
	require.Eventually(t, func() bool {
		name := system.show(t, paid.ID).Customer.Name
		return name != nil && *name == "Alma Rosario"
	}, timeout, interval, "the webhook said who paid")
	sent := as[struct {
		Webhooks []struct {
			EcommerceID string `json:"ecommerce_id"`
			Body        string `json:"body"`
		} `json:"webhooks"`
	}](t, send(t, http.MethodGet, system.at.GatewayControl+"/_sim/webhooks", nil, nil))
	longest := 0
	for _, webhook := range sent.Webhooks {
		if webhook.EcommerceID == paid.EcommerceID {
			longest = max(longest, len(webhook.Body))
		}
	}
	require.Greater(t, longest, 5*limit, "it was far longer than a request may be")
}
