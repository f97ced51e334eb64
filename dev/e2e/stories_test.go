package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

func TestACustomerPaysAndIsPartlyRefunded(t *testing.T) {
	t.Parallel()
	first, second := world.listen(t, "happy-one"), world.listen(t, "happy-two")
	opened := world.open(t, m{
		"total": "25.00", "subtotal": "22.42", "tax": "2.58", "phone_number": "(787) 555-0999", "reference": "happy-1",
		"metadata1": "table 4", "items": []m{{"name": "Café", "description": "hot", "quantity": 2, "price": "11.21", "tax": "1.29", "metadata": "x"}},
	})
	require.Equal(t, "7875550999", *opened.PhoneNumber)
	world.phone(t, "confirm", opened.EcommerceID)
	done := world.await(t, opened.ID, "completed")
	require.Equal(t, "0.56", *done.Fee)
	require.Equal(t, "24.44", *done.NetAmount)
	require.NotEmpty(t, *done.ReferenceNumber)
	require.NotNil(t, done.CompletedAt)
	require.Equal(t, "table 4", *done.Metadata1, "the merchant's own values are shown, not what the gateway was given")
	require.Nil(t, done.Metadata2)
	world.requireBooks(t, opened.EcommerceID, []string{"25.00"}, nil)

	refunds := "/v1/payments/" + opened.ID + "/refunds"
	for i, amount := range []string{"10.00", "5.00"} {
		got := world.merchant(t, http.MethodPost, refunds, m{"amount": amount, "message": "sorry"}, "Idempotency-Key", "happy-"+amount)
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		given := as[refund](t, got)
		require.Equal(t, "completed", given.Status)
		require.Equal(t, amount, given.Amount)
		require.Equal(t, []string{"10.00", "15.00"}[i], world.show(t, opened.ID).RefundedAmount)
	}
	got := world.merchant(t, http.MethodPost, refunds, m{"amount": "10.01"}, "Idempotency-Key", "happy-too-much")
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	world.requireBooks(t, opened.EcommerceID, []string{"25.00"}, []string{"10.00", "5.00"})

	listed := as[struct{ Refunds []refund }](t, world.merchant(t, http.MethodGet, refunds, nil))
	require.Len(t, listed.Refunds, 2)

	for _, host := range []*heard{first, second} {
		told := host.requireEvents(t, opened.ID,
			payment.EventCreated, payment.EventCompleted, payment.EventRefundCompleted, payment.EventRefundCompleted)
		sequences := map[int]bool{}
		for _, n := range told {
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

func TestASaleCompletesWithNoWebhookAndWithNobodyConnected(t *testing.T) {
	t.Parallel()
	listener := world.listen(t, "no-webhook")
	opened := world.open(t, m{"total": "3.00"})
	world.fault(t, m{"op": "webhook", "fault": "webhook_lost", "ecommerce_id": opened.EcommerceID, "times": 10})
	world.phone(t, "confirm", opened.EcommerceID)
	// Nobody asks the API; the books alone tell that the sale was made.
	require.Eventually(t, func() bool {
		debits, _ := world.booked(t, opened.EcommerceID)
		return len(debits) == 1
	}, patience, glance)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted)
	done := world.show(t, opened.ID)
	require.Equal(t, "completed", done.Status)
	require.Nil(t, done.Customer.Name, "nobody said who paid")
	world.requireBooks(t, opened.EcommerceID, []string{"3.00"}, nil)
}

func TestACustomerCancels(t *testing.T) {
	t.Parallel()
	listener := world.listen(t, "customer-cancels")
	opened := world.open(t, m{"total": "4.00", "phone_number": "7875550999"})
	world.phone(t, "cancel", opened.EcommerceID)
	done := world.await(t, opened.ID, "cancelled")
	require.Equal(t, "cancelled_by_customer", done.Failure.Code)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventFailed)
	world.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestAMerchantCancels(t *testing.T) {
	t.Parallel()
	listener := world.listen(t, "merchant-cancels")
	opened := world.open(t, m{"total": "4.00", "phone_number": "7875550999"})
	for range 2 { // the second finds it cancelled already
		got := world.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/cancel", nil)
		require.Equal(t, http.StatusOK, got.status, "%s", got.body)
		cancelled := as[sale](t, got)
		require.Equal(t, "cancelled", cancelled.Status)
		require.Equal(t, "cancelled_by_merchant", cancelled.Failure.Code)
	}
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventFailed)
	world.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestAPaymentExpires(t *testing.T) {
	t.Parallel()
	listener := world.listen(t, "expires")
	opened := world.open(t, m{"total": "4.00", "phone_number": "7875550200", "expires_in": 2})
	done := world.await(t, opened.ID, "expired")
	require.False(t, done.NeedsReview)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventExpired)
	world.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestACompletedPaymentCannotBeCancelled(t *testing.T) {
	t.Parallel()
	opened := world.open(t, m{"total": "6.00"})
	world.phone(t, "confirm", opened.EcommerceID)
	world.await(t, opened.ID, "completed")
	got := world.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/cancel", nil)
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Contains(t, string(got.body), "completed", "the answer tells the truth")
	world.requireBooks(t, opened.EcommerceID, []string{"6.00"}, nil)
}

func TestAPhoneNumberIsGivenLater(t *testing.T) {
	t.Parallel()
	opened := world.open(t, m{"total": "5.00"})
	require.Nil(t, opened.PhoneNumber)
	path := "/v1/payments/" + opened.ID + "/phone-number"
	got := world.merchant(t, http.MethodPut, path, m{"phone_number": "787-555-0999"})
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	require.Equal(t, "7875550999", *as[sale](t, got).PhoneNumber)

	got = world.merchant(t, http.MethodPut, path, m{"phone_number": "7875550998"})
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Contains(t, string(got.body), "BTRA_0041", "the gateway's reason is told")
	require.Equal(t, "7875550999", *world.show(t, opened.ID).PhoneNumber)
	world.phone(t, "confirm", opened.EcommerceID)
	world.await(t, opened.ID, "completed")
	world.requireBooks(t, opened.EcommerceID, []string{"5.00"}, nil)
}

func TestTheSameKeyTwiceIsOnePayment(t *testing.T) {
	t.Parallel()
	opened := world.open(t, m{"total": "7.00"}, "Idempotency-Key", "same-key-1")
	again := world.merchant(t, http.MethodPost, "/v1/payments", m{"total": "7.0"}, "Idempotency-Key", `"same-key-1"`)
	require.Equal(t, http.StatusCreated, again.status, "%s", again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	require.Equal(t, opened.ID, as[sale](t, again).ID)
	other := world.merchant(t, http.MethodPost, "/v1/payments", m{"total": "8.00"}, "Idempotency-Key", "same-key-1")
	require.Equal(t, http.StatusUnprocessableEntity, other.status)
	require.Equal(t, "idempotency_key_reused", as[problem](t, other).Code)

	world.phone(t, "confirm", opened.EcommerceID)
	world.await(t, opened.ID, "completed")
	refunds := "/v1/payments/" + opened.ID + "/refunds"
	ids := map[string]string{}
	for _, key := range []string{"A", "B", "A"} {
		got := world.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", key)
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		given := as[refund](t, got)
		require.Equal(t, "completed", given.Status)
		if known, ok := ids[key]; ok {
			require.Equal(t, known, given.ID)
			require.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
		}
		ids[key] = given.ID
	}
	got := world.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Equal(t, "idempotency_key_required", as[problem](t, got).Code)
	world.requireBooks(t, opened.EcommerceID, []string{"7.00"}, []string{"1.00", "1.00"})
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

func TestTheCapturedWebhookIsAppliedOnce(t *testing.T) {
	t.Parallel()
	listener := world.listen(t, "captured")
	opened := world.open(t, m{"total": "3.00"}) // as in the captured event
	world.fault(t, m{"op": "webhook", "fault": "webhook_lost", "ecommerce_id": opened.EcommerceID, "times": 10})
	world.phone(t, "confirm", opened.EcommerceID)
	reference := *world.await(t, opened.ID, "completed").ReferenceNumber
	event := captured(t, opened, reference)
	for range 2 {
		require.Equal(t, http.StatusOK, world.webhook(t, event).status)
	}
	require.Eventually(t, func() bool { return world.show(t, opened.ID).Customer.PhoneNumber != nil }, patience, glance)
	done := world.show(t, opened.ID)
	require.Equal(t, "7875551234", *done.Customer.PhoneNumber)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted)
	world.requireBooks(t, opened.EcommerceID, []string{"3.00"}, nil)
}

func TestAForgedWebhookMovesNothing(t *testing.T) {
	t.Parallel()
	opened := world.open(t, m{"total": "3.00", "phone_number": "7875550999"})
	forged := bytes.ReplaceAll(captured(t, opened, "1111111111-deadbeefdeadbeefdeadbeefdeadbeef"), []byte("7875551234"), []byte("7875550666"))
	require.Equal(t, http.StatusOK, world.webhook(t, forged).status)
	require.Eventually(t, func() bool { return asked(t, world, opened.EcommerceID) > 0 }, patience, glance)
	still := world.show(t, opened.ID)
	require.Equal(t, "open", still.Status)
	require.Nil(t, still.Customer.PhoneNumber)
	world.requireBooks(t, opened.EcommerceID, nil, nil)

	world.phone(t, "confirm", opened.EcommerceID)
	world.await(t, opened.ID, "completed")
	require.Eventually(t, func() bool { return world.show(t, opened.ID).Customer.PhoneNumber != nil }, patience, glance)
	require.NotEqual(t, "7875550666", *world.show(t, opened.ID).Customer.PhoneNumber, "the forger's details leave no trace")
	world.requireBooks(t, opened.EcommerceID, []string{"3.00"}, nil)
}

// asked counts the looks at a ticket.
func asked(t *testing.T, c *cobro, ecommerceID string) int {
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

func TestKilledBetweenConfirmationAndAuthorisation(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	opened := c.open(t, m{"total": "12.00"})
	// Authorisations hang before any effect, so the process surely dies between
	// the confirmation and the debit.
	c.fault(t, m{"op": "authorize", "fault": "delay", "delay_ms": 60_000, "ecommerce_id": opened.EcommerceID, "times": 1})
	c.phone(t, "confirm", opened.EcommerceID)
	require.Eventually(t, func() bool { return faultsLeft(t, c) == 0 }, patience, glance, "the authorisation was never sent")
	c.requireBooks(t, opened.EcommerceID, nil, nil)
	c.kill()

	require.NoError(t, c.start())
	listener := c.listen(t, "after-the-kill")
	done := c.await(t, opened.ID, "completed")
	require.Equal(t, opened.EcommerceID, done.EcommerceID)
	told := listener.requireEvents(t, opened.ID, payment.EventCompleted)
	require.Len(t, told, 1)
	c.requireBooks(t, opened.EcommerceID, []string{"12.00"}, nil)
	require.NoError(t, c.stop(), "a graceful stop ends with code 0")
}

// faultsLeft counts the orders to go wrong that wait for their call.
func faultsLeft(t *testing.T, c *cobro) int {
	t.Helper()
	list := as[struct {
		Faults []json.RawMessage `json:"faults"`
	}](t, send(t, http.MethodGet, c.at.GatewayControl+"/_sim/faults", nil, nil))
	return len(list.Faults)
}

func TestADeclineIsTold(t *testing.T) {
	t.Parallel()
	opened := world.open(t, m{"total": "9.00"})
	world.fault(t, m{"op": "authorize", "fault": "error_code", "code": "BTRA_0044", "ecommerce_id": opened.EcommerceID, "times": 1})
	world.phone(t, "confirm", opened.EcommerceID)
	done := world.await(t, opened.ID, "failed")
	require.Equal(t, "BTRA_0044", done.Failure.Code)
	world.requireBooks(t, opened.EcommerceID, nil, nil)
}

func TestALostAuthorisationAnswerIsLookedUp(t *testing.T) {
	t.Parallel()
	opened := world.open(t, m{"total": "9.00"})
	world.fault(t, m{"op": "authorize", "fault": "drop_after", "ecommerce_id": opened.EcommerceID, "times": 1})
	world.phone(t, "confirm", opened.EcommerceID)
	world.await(t, opened.ID, "completed")
	world.requireBooks(t, opened.EcommerceID, []string{"9.00"}, nil)
}

func TestALostRefundAnswerIsNeverSentAgain(t *testing.T) {
	t.Parallel()
	opened := world.open(t, m{"total": "9.00"})
	world.phone(t, "confirm", opened.EcommerceID)
	world.await(t, opened.ID, "completed")
	world.fault(t, m{"op": "refund", "fault": "drop_after", "ecommerce_id": opened.EcommerceID, "times": 1})
	got := world.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/refunds", m{"amount": "2.00"}, "Idempotency-Key", "lost")
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	require.Equal(t, "completed", as[refund](t, got).Status)
	world.requireBooks(t, opened.EcommerceID, []string{"9.00"}, []string{"2.00"})
}

func TestBadInputMakesNoTicket(t *testing.T) {
	t.Parallel()
	before := asked(t, world, "")
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
		got := world.merchant(t, http.MethodPost, "/v1/payments", []byte(tt.body))
		require.Equal(t, http.StatusUnprocessableEntity, got.status, "%s: %s", name, got.body)
		require422(t, got, tt.field)
	}
	for name, body := range map[string]string{"an array": `[]`, "nothing": ``, "cut": `{"total":`} {
		got := world.merchant(t, http.MethodPost, "/v1/payments", []byte(body))
		require.Equal(t, http.StatusBadRequest, got.status, "%s: %s", name, got.body)
	}
	require.Equal(t, before, asked(t, world, ""), "the gateway was not asked")
	require.Equal(t, http.StatusNotFound, world.merchant(t, http.MethodGet, "/v1/payments/pay_00000000000000000000000000", nil).status)
	require.Equal(t, http.StatusNotFound, send(t, http.MethodPost, world.at.API+"/webhooks/athmovil/wrong-secret-wrong", []byte(`{}`), nil).status)
	require.Equal(t, http.StatusBadRequest, world.webhook(t, []byte(`not json`)).status)
	require.Equal(t, http.StatusUnauthorized, send(t, http.MethodGet, world.at.API+"/v1/payments", nil, nil).status)
}

func TestAGatewayThatIsAwayIsSaidSo(t *testing.T) {
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
