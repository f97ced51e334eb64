package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

// TestUnknownRefundIsReviewed loses a refund on its way to the gateway, so that a
// person decides, unless the decision contradicts the gateway.
func TestUnknownRefundIsReviewed(t *testing.T) {
	t.Parallel()
	listener := system.listen(t, "unknown-refund")
	opened := system.open(t, m{"total": "8.00", "phone_number": "7875550404"})
	system.await(t, opened.ID, "completed")
	refunds := "/v1/payments/" + opened.ID + "/refunds"
	got := system.merchant(t, http.MethodPost, refunds, m{"amount": "3.00"}, "Idempotency-Key", "unknown")
	require.Equal(t, http.StatusAccepted, got.status, "%s", got.body)
	unknown := as[refund](t, got)
	require.Equal(t, "pending", unknown.Status)

	got = system.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Equal(t, "refund_in_progress", as[problem](t, got).Code)

	asked := as[struct{ Reviews []payment.Review }](t, system.merchant(t, http.MethodGet, "/v1/reviews?payment_id="+opened.ID, nil))
	require.Len(t, asked.Reviews, 1)
	require.Equal(t, unknown.ID, asked.Reviews[0].RefundID)
	require.NotEmpty(t, asked.Reviews[0].Evidence)

	review := refunds + "/" + unknown.ID + "/review"
	got = system.merchant(t, http.MethodPost, review, m{"verdict": "completed", "reason": "I think so"})
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Equal(t, "review_contradicted", as[problem](t, got).Code)
	got = system.merchant(t, http.MethodPost, review, m{"verdict": "not_executed", "reason": "not in the app"})
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	require.Equal(t, "failed", as[refund](t, got).Status)
	got = system.merchant(t, http.MethodPost, review, m{"verdict": "not_executed", "reason": "again"})
	require.Equal(t, "not_in_review", as[problem](t, got).Code)

	got = system.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
	require.Equal(t, http.StatusCreated, got.status, "the way is free: %s", got.body)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted,
		payment.EventNeedsReview, payment.EventRefundFailed, payment.EventRefundCompleted)
	system.requireBooks(t, opened.EcommerceID, []string{"8.00"}, []string{"1.00"})
	decided := as[struct{ Reviews []payment.Review }](t, system.merchant(t, http.MethodGet, "/v1/reviews?state=decided&payment_id="+opened.ID, nil))
	require.Equal(t, payment.DecidedByPerson, decided.Reviews[0].Decision.Source)
}

// TestRefundWithoutWorkflowCanBeReviewed does what docs/operations.md says after a
// Temporal was restored that would send a refund again: terminate its workflow,
// and decide by what the ATH Business app shows.
func TestRefundWithoutWorkflowCanBeReviewed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		made         bool
		wrong, right string // verdicts
		becomes      string
		refunded     []string
		books        string // what is refunded in all
	}{
		"and that was made":  {made: true, wrong: "not_executed", right: "completed", becomes: "completed", refunded: []string{"3.00", "1.00"}, books: "4.00"},
		"and that was never": {wrong: "completed", right: "not_executed", becomes: "failed", refunded: []string{"1.00"}, books: "1.00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opened := system.open(t, m{"total": "8.00", "phone_number": "7875550404"}) // whose first refund dies on its way
			system.await(t, opened.ID, "completed")
			refunds := "/v1/payments/" + opened.ID + "/refunds"
			got := system.merchant(t, http.MethodPost, refunds, m{"amount": "3.00"}, "Idempotency-Key", "no-workflow")
			require.Equal(t, http.StatusAccepted, got.status, "%s", got.body)
			orphan := as[refund](t, got)
			system.terminate(t, "refund/"+orphan.ID)
			if tt.made {
				got := send(t, http.MethodPost, system.at.GatewayControl+"/_sim/external-refunds", m{"ecommerce_id": opened.EcommerceID, "amount": "3.00"}, nil)
				require.Less(t, got.status, 300, "%s", got.body)
			}
			got = system.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
			require.Equal(t, "refund_in_progress", as[problem](t, got).Code)

			review := refunds + "/" + orphan.ID + "/review"
			got = system.merchant(t, http.MethodPost, review, m{"verdict": tt.wrong, "reason": "I think so"})
			require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
			require.Equal(t, "review_contradicted", as[problem](t, got).Code)
			got = system.merchant(t, http.MethodPost, review, m{"verdict": tt.right, "reason": "looked it up"})
			require.Equal(t, http.StatusOK, got.status, "%s", got.body)
			require.Equal(t, tt.becomes, as[refund](t, got).Status)
			got = system.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
			require.Equal(t, http.StatusCreated, got.status, "the way is free: %s", got.body)
			system.requireBooks(t, opened.EcommerceID, []string{"8.00"}, tt.refunded)
			require.Equal(t, tt.books, system.show(t, opened.ID).RefundedAmount)
		})
	}
}

// terminate terminates a workflow, as a person does in the Temporal UI.
func (c *cobro) terminate(t *testing.T, workflowID string) {
	t.Helper()
	temporal, _ := c.dial(t)
	require.NoError(t, temporal.TerminateWorkflow(t.Context(), workflowID, "", "looked up in the app"))
}

// TestRefundsInAppAreBooked makes two equal refunds in the ATH Business app and one
// over the API.
func TestRefundsInAppAreBooked(t *testing.T) {
	t.Parallel()
	listener := system.listen(t, "in-app")
	opened := system.open(t, m{"total": "8.00", "phone_number": "7875553131"})
	system.phone(t, "confirm", opened.EcommerceID)
	system.await(t, opened.ID, "completed")
	for range 2 {
		got := send(t, http.MethodPost, system.at.GatewayControl+"/_sim/external-refunds", m{"ecommerce_id": opened.EcommerceID, "amount": "2.00"}, nil)
		require.Less(t, got.status, 300, "%s", got.body)
	}
	require.Eventually(t, func() bool { return system.show(t, opened.ID).RefundedAmount == "4.00" }, timeout, interval)
	got := system.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/refunds", m{"amount": "2.00"}, "Idempotency-Key", "ours")
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted,
		payment.EventRefundCompleted, payment.EventRefundCompleted, payment.EventRefundCompleted)
	require.Equal(t, "6.00", system.show(t, opened.ID).RefundedAmount, "the webhook of ours books no fourth one")
	system.requireBooks(t, opened.EcommerceID, []string{"8.00"}, []string{"2.00", "2.00", "2.00"})
	sources := map[string]int{}
	for _, r := range as[struct{ Refunds []refund }](t, system.merchant(t, http.MethodGet, "/v1/payments/"+opened.ID+"/refunds", nil)).Refunds {
		sources[r.Source]++
	}
	require.Equal(t, map[string]int{"external": 2, "api": 1}, sources)
}
