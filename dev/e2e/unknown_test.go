package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

// TestARefundThatNobodyKnows: it died on its way, so a person is asked, and his
// word counts as far as the gateway does not contradict it.
func TestARefundThatNobodyKnows(t *testing.T) {
	t.Parallel()
	listener := world.listen(t, "doubtful-refund")
	opened := world.open(t, m{"total": "8.00", "phone_number": "7875550404"})
	world.await(t, opened.ID, "completed")
	refunds := "/v1/payments/" + opened.ID + "/refunds"
	got := world.merchant(t, http.MethodPost, refunds, m{"amount": "3.00"}, "Idempotency-Key", "doubtful")
	require.Equal(t, http.StatusAccepted, got.status, "%s", got.body)
	doubtful := as[refund](t, got)
	require.Equal(t, "pending", doubtful.Status)

	got = world.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Equal(t, "refund_in_progress", as[problem](t, got).Code)

	asked := as[struct{ Reviews []payment.Review }](t, world.merchant(t, http.MethodGet, "/v1/reviews?payment_id="+opened.ID, nil))
	require.Len(t, asked.Reviews, 1)
	require.Equal(t, doubtful.ID, asked.Reviews[0].RefundID)
	require.NotEmpty(t, asked.Reviews[0].Evidence)

	review := refunds + "/" + doubtful.ID + "/review"
	got = world.merchant(t, http.MethodPost, review, m{"verdict": "completed", "reason": "I think so"})
	require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
	require.Equal(t, "review_contradicted", as[problem](t, got).Code)
	got = world.merchant(t, http.MethodPost, review, m{"verdict": "not_executed", "reason": "not in the app"})
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	require.Equal(t, "failed", as[refund](t, got).Status)
	got = world.merchant(t, http.MethodPost, review, m{"verdict": "not_executed", "reason": "again"})
	require.Equal(t, "not_in_review", as[problem](t, got).Code)

	got = world.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
	require.Equal(t, http.StatusCreated, got.status, "the way is free: %s", got.body)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted,
		payment.EventNeedsReview, payment.EventRefundFailed, payment.EventRefundCompleted)
	world.requireBooks(t, opened.EcommerceID, []string{"8.00"}, []string{"1.00"})
	decided := as[struct{ Reviews []payment.Review }](t, world.merchant(t, http.MethodGet, "/v1/reviews?state=decided&payment_id="+opened.ID, nil))
	require.Equal(t, payment.DecidedByPerson, decided.Reviews[0].Decision.Source)
}

// TestARefundWhoseWorkflowIsGone runs what docs/operations.md says to do where a
// Temporal was restored that would send a refund again: terminate its workflow,
// and say what the ATH Business app shows.
func TestARefundWhoseWorkflowIsGone(t *testing.T) {
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
			opened := world.open(t, m{"total": "8.00", "phone_number": "7875550404"}) // whose first refund dies on its way
			world.await(t, opened.ID, "completed")
			refunds := "/v1/payments/" + opened.ID + "/refunds"
			got := world.merchant(t, http.MethodPost, refunds, m{"amount": "3.00"}, "Idempotency-Key", "gone")
			require.Equal(t, http.StatusAccepted, got.status, "%s", got.body)
			gone := as[refund](t, got)
			world.terminate(t, "refund/"+gone.ID)
			if tt.made {
				got := send(t, http.MethodPost, world.at.GatewayControl+"/_sim/external-refunds", m{"ecommerce_id": opened.EcommerceID, "amount": "3.00"}, nil)
				require.Less(t, got.status, 300, "%s", got.body)
			}
			got = world.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
			require.Equal(t, "refund_in_progress", as[problem](t, got).Code)

			review := refunds + "/" + gone.ID + "/review"
			got = world.merchant(t, http.MethodPost, review, m{"verdict": tt.wrong, "reason": "I think so"})
			require.Equal(t, http.StatusConflict, got.status, "%s", got.body)
			require.Equal(t, "review_contradicted", as[problem](t, got).Code)
			got = world.merchant(t, http.MethodPost, review, m{"verdict": tt.right, "reason": "looked it up"})
			require.Equal(t, http.StatusOK, got.status, "%s", got.body)
			require.Equal(t, tt.becomes, as[refund](t, got).Status)
			got = world.merchant(t, http.MethodPost, refunds, m{"amount": "1.00"}, "Idempotency-Key", "next")
			require.Equal(t, http.StatusCreated, got.status, "the way is free: %s", got.body)
			world.requireBooks(t, opened.EcommerceID, []string{"8.00"}, tt.refunded)
			require.Equal(t, tt.books, world.show(t, opened.ID).RefundedAmount)
		})
	}
}

// terminate ends a workflow as a person does in the Temporal UI.
func (c *cobro) terminate(t *testing.T, workflowID string) {
	t.Helper()
	temporal, _ := c.dial(t)
	require.NoError(t, temporal.TerminateWorkflow(t.Context(), workflowID, "", "looked up in the app"))
}

// TestRefundsMadeElsewhere: two equal ones, made in the ATH Business app, beside
// one of ours.
func TestRefundsMadeElsewhere(t *testing.T) {
	t.Parallel()
	listener := world.listen(t, "elsewhere")
	opened := world.open(t, m{"total": "8.00", "phone_number": "7875553131"})
	world.phone(t, "confirm", opened.EcommerceID)
	world.await(t, opened.ID, "completed")
	for range 2 {
		got := send(t, http.MethodPost, world.at.GatewayControl+"/_sim/external-refunds", m{"ecommerce_id": opened.EcommerceID, "amount": "2.00"}, nil)
		require.Less(t, got.status, 300, "%s", got.body)
	}
	require.Eventually(t, func() bool { return world.show(t, opened.ID).RefundedAmount == "4.00" }, patience, glance)
	got := world.merchant(t, http.MethodPost, "/v1/payments/"+opened.ID+"/refunds", m{"amount": "2.00"}, "Idempotency-Key", "ours")
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	listener.requireEvents(t, opened.ID, payment.EventCreated, payment.EventCompleted,
		payment.EventRefundCompleted, payment.EventRefundCompleted, payment.EventRefundCompleted)
	require.Equal(t, "6.00", world.show(t, opened.ID).RefundedAmount, "the echo of ours is no fourth one")
	world.requireBooks(t, opened.EcommerceID, []string{"8.00"}, []string{"2.00", "2.00", "2.00"})
	sources := map[string]int{}
	for _, r := range as[struct{ Refunds []refund }](t, world.merchant(t, http.MethodGet, "/v1/payments/"+opened.ID+"/refunds", nil)).Refunds {
		sources[r.Source]++
	}
	require.Equal(t, map[string]int{"external": 2, "api": 1}, sources)
}
