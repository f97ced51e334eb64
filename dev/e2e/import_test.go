package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// oldSale sells for $7.00 and refunds $2.00, as django-athm did before Cobro was
// installed. It returns the rows of the sale and of the refund, as manage.py
// dumpdata writes them.
func (c *cobro) oldSale(t *testing.T) (ecommerceID string, sold, given m) {
	t.Helper()
	created := time.Now().UTC()
	ecommerceID, got := c.sellAtGateway(t, "orden 1060")
	paid := as[struct {
		Data struct {
			ReferenceNumber    string      `json:"referenceNumber"`
			DailyTransactionID string      `json:"dailyTransactionId"`
			Fee                json.Number `json:"fee"`
			NetAmount          json.Number `json:"netAmount"`
			TransactionDate    string      `json:"transactionDate"`
		}
	}](t, got).Data
	c.fault(t, m{"op": "webhook", "fault": "webhook_lost", "ecommerce_id": ecommerceID, "times": 1}) // django-athm had it
	got = send(t, http.MethodPost, c.at.Gateway+"/api/business-transaction/ecommerce/refund", m{
		"publicToken": athmovilsim.DefaultPublicToken, "privateToken": athmovilsim.DefaultPrivateToken,
		"referenceNumber": paid.ReferenceNumber, "amount": "2.00", "message": "Faltó un artículo",
	}, nil)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	refunded := as[struct {
		Data struct {
			Refund struct {
				ReferenceNumber string `json:"referenceNumber"`
			}
		}
	}](t, got).Data.Refund

	fee, err := money.ParseNoisy(string(paid.Fee)) // Django's columns have two decimals
	require.NoError(t, err)
	net, err := money.ParseNoisy(string(paid.NetAmount))
	require.NoError(t, err)
	naive, err := time.Parse(time.DateTime, paid.TransactionDate) // Django takes it for UTC
	require.NoError(t, err)
	now := time.Now().UTC()
	sold = m{"model": "django_athm.payment", "pk": ecommerceID, "fields": m{
		"reference_number": paid.ReferenceNumber, "daily_transaction_id": paid.DailyTransactionID, "status": "COMPLETED",
		"created_at": created, "updated_at": now, "transaction_date": naive, "total": "7.00", "subtotal": "0.00", "tax": "0.00",
		"fee": fee, "net_amount": net, "total_refunded_amount": "2.00", "customer_name": "María Ñeco",
		"customer_phone": "7875551234", "customer_email": "", "client": nil, "metadata_1": "orden 1060", "metadata_2": nil,
	}}
	given = m{"model": "django_athm.refund", "pk": "9b7d2c10-6a51-4f0e-8c77-000000000001", "fields": m{
		"payment": ecommerceID, "reference_number": refunded.ReferenceNumber, "daily_transaction_id": "2", "amount": "2.00",
		"message": "Faltó un artículo", "status": "COMPLETED", "transaction_date": naive.Add(time.Second), "created_at": now,
	}}
	return ecommerceID, sold, given
}

func TestImportedPaymentCanBeRefunded(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	program := buildCobro(t)
	listener := c.listen(t, "imported")
	ecommerceID, sold, given := c.oldSale(t)

	dump := filepath.Join(t.TempDir(), "dump.json")
	content, err := json.Marshal([]m{sold, given})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dump, content, 0o600))
	for range 2 { // a second import changes nothing
		cmd := exec.CommandContext(t.Context(), program, "import", "django-athm", dump)
		cmd.Env = append(os.Environ(), "COBRO_DATA="+c.data)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}

	got := c.merchant(t, http.MethodGet, "/v1/payments?metadata1=orden%201060", nil)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	listed := as[struct{ Payments []sale }](t, got).Payments
	require.Len(t, listed, 1)
	old := listed[0]
	require.Equal(t, ledger.DeriveID("default", "django-athm:"+ecommerceID), old.ID)
	require.Equal(t, "completed", old.Status)
	require.Equal(t, "2.00", old.RefundedAmount)
	require.Equal(t, "María Ñeco", *old.Customer.Name)
	require.WithinDuration(t, time.Now(), *old.CompletedAt, time.Minute)

	refunds := "/v1/payments/" + old.ID + "/refunds"
	got = c.merchant(t, http.MethodPost, refunds, m{"amount": "6.00"}, "Idempotency-Key", "too-much")
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	for range 2 { // the same key refunds once
		got = c.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "return-1")
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		require.Equal(t, "completed", as[refund](t, got).Status)
	}
	c.requireBooks(t, ecommerceID, []string{"7.00"}, []string{"2.00", "1.00"})

	// A refund in the ATH Business app finds the payment by its event.
	got = send(t, http.MethodPost, c.at.GatewayControl+"/_sim/external-refunds", m{"ecommerce_id": ecommerceID, "amount": "0.50"}, nil)
	require.Less(t, got.status, 300, "%s", got.body)
	require.Eventually(t, func() bool { return c.show(t, old.ID).RefundedAmount == "3.50" }, timeout, interval)
	sources := []string{}
	for _, r := range as[struct{ Refunds []refund }](t, c.merchant(t, http.MethodGet, refunds, nil)).Refunds {
		sources = append(sources, r.Source)
	}
	require.Equal(t, []string{"imported", "api", "external"}, sources)
	// The sale and the old refund have no notifications; the new ones have one each.
	listener.requireEvents(t, old.ID, payment.EventRefundCompleted, payment.EventRefundCompleted)

	code, said := c.reconcile(t, program)
	require.Zero(t, code, "%+v", said)
	require.Equal(t, 1, said.Days[0].Matched)
	require.Zero(t, said.Days[0].Booked)
	require.Empty(t, c.mismatches(t))
}
