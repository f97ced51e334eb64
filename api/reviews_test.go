package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// word is a person's word as a workflow got it.
type word struct {
	id, updateID string
	workflows.ReviewRequest
}

// decides makes the workflows answer people, and keeps what they were asked.
func (w *world) decides(outcome workflows.ReviewOutcome, err error) *[]word {
	all := &[]word{}
	w.flows.review = func(_ context.Context, id, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
		*all = append(*all, word{id, updateID, in})
		return outcome, err
	}
	return all
}

func TestReviewAPayment(t *testing.T) {
	t.Parallel()
	const body = `{"verdict":"not_executed","reason":"the customer says no"}`
	for _, tt := range []struct {
		name    string
		outcome workflows.ReviewOutcome
		err     error
		status  int
		code    string
	}{
		{"taken", workflows.ReviewOutcome{}, nil, http.StatusOK, ""},
		{"contradicted", workflows.ReviewOutcome{Refused: workflows.ReviewContradicted, Says: "COMPLETED"}, nil, http.StatusConflict, "review_contradicted"},
		{"not in review", workflows.ReviewOutcome{Refused: workflows.ReviewNotOpen}, nil, http.StatusConflict, "not_in_review"},
		{"ended long ago", workflows.ReviewOutcome{}, fmt.Errorf("%w: closed", flows.ErrEnded), http.StatusConflict, "not_in_review"},
		{"still looking", workflows.ReviewOutcome{}, flows.ErrStillWorking, http.StatusAccepted, ""},
		{"Temporal is away", workflows.ReviewOutcome{}, flows.ErrUnavailable, http.StatusServiceUnavailable, "temporarily_unavailable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.open("review")
			all := w.decides(tt.outcome, tt.err)
			path := "/v1/payments/" + p.ID + "/review"
			got := w.do("POST", path, body)
			if tt.code != "" {
				problem := w.requireProblem(got, tt.status, tt.code)
				require.Equal(t, tt.outcome.Says, problem.GatewayMessage)
			} else {
				require.Equal(t, tt.status, got.status, got.body)
				require.Equal(t, p.ID, w.payment(got).ID)
			}
			w.do("POST", path, body)
			w.do("POST", path, body, "Idempotency-Key", "another")
			require.Len(t, *all, 3)
			first, again, other := (*all)[0], (*all)[1], (*all)[2]
			require.Equal(t, p.ID, first.id)
			require.Equal(t, workflows.ReviewRequest{Verdict: payment.VerdictNotExecuted, Reason: "the customer says no", By: "shop"}, first.ReviewRequest)
			require.Equal(t, first.updateID, again.updateID, "a repetition joins")
			require.NotEqual(t, first.updateID, other.updateID)
		})
	}
}

func TestReviewARefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, other := w.completed("one"), w.completed("two")
	amount := money.FromCents(1_00)
	made, err := w.store.ReserveRefund(t.Context(), ledger.Reservation{
		RefundID: ledger.DeriveRefundID(p.ID, "k"), PaymentID: p.ID, Amount: &amount, Fingerprint: "f", At: start,
	})
	require.NoError(t, err)
	all := w.decides(workflows.ReviewOutcome{}, nil)
	const body = `{"verdict":"completed","reason":"seen in the app"}`
	path := func(payment, refund string) string {
		return "/v1/payments/" + payment + "/refunds/" + refund + "/review"
	}

	got := w.do("POST", path(p.ID, made.Refund.ID), body)
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, made.Refund.ID, w.refund(got).ID)
	require.Equal(t, made.Refund.ID, (*all)[0].id)

	w.requireProblem(w.do("POST", path(other.ID, made.Refund.ID), body), http.StatusNotFound, "refund_not_found")
	w.requireProblem(w.do("POST", path(p.ID, ledger.DeriveRefundID(p.ID, "none")), body), http.StatusNotFound, "refund_not_found")
	w.requireProblem(w.do("POST", path("pay_none", made.Refund.ID), body), http.StatusNotFound, "payment_not_found")
	require.Len(t, *all, 1)

	w.decides(workflows.ReviewOutcome{Refused: workflows.ReviewContradicted, Says: "refunded in all: $1.00"}, nil)
	problem := w.requireProblem(w.do("POST", path(p.ID, made.Refund.ID), body), http.StatusConflict, "review_contradicted")
	require.Equal(t, made.Refund.ID, problem.RefundID)

	w.decides(workflows.ReviewOutcome{}, flows.ErrStillWorking)
	require.Equal(t, http.StatusAccepted, w.do("POST", path(p.ID, made.Refund.ID), body).status)
}

// TestReviewARefundWithoutAWorkflow: a pending refund that nobody works on needs
// a person, and one that is settled needs nobody.
func TestReviewARefundWithoutAWorkflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.completed("one")
	refundID := ledger.DeriveRefundID(p.ID, "k")
	reserved, err := w.store.ReserveRefund(t.Context(), ledger.Reservation{RefundID: refundID, PaymentID: p.ID, Fingerprint: "f", At: start})
	require.NoError(t, err)
	w.decides(workflows.ReviewOutcome{}, fmt.Errorf("%w: terminated", flows.ErrEnded))
	var asked []workflows.SettleRefundInput
	w.flows.settle = func(_ context.Context, _ string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error) {
		asked = append(asked, in)
		return workflows.ReviewOutcome{}, nil
	}
	const body = `{"verdict":"completed","reason":"seen in the app"}`
	path := "/v1/payments/" + p.ID + "/refunds/" + refundID + "/review"
	got := w.do("POST", path, body)
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Equal(t, []workflows.SettleRefundInput{{
		PaymentID: p.ID, RefundID: refundID,
		Word: workflows.ReviewRequest{Verdict: payment.VerdictCompleted, Reason: "seen in the app", By: "shop"},
	}}, asked)

	settled := reserved.Refund
	settled.Status = payment.RefundCompleted
	_, err = w.store.RecordRefund(t.Context(), ledger.RefundChange{Record: ledger.RefundRecord{Revision: 2, Refund: settled}})
	require.NoError(t, err)
	w.requireProblem(w.do("POST", path, body), http.StatusConflict, "not_in_review")
	require.Len(t, asked, 1)
}

func TestReviewRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open("review")
	for _, tt := range []struct{ name, body, field string }{
		{"no verdict", `{"reason":"why"}`, "verdict"},
		{"no reason", `{"verdict":"completed"}`, "reason"},
		{"another verdict", `{"verdict":"maybe","reason":"why"}`, "verdict"},
		{"an empty verdict", `{"verdict":"","reason":"why"}`, "verdict"},
		{"an empty reason", `{"verdict":"completed","reason":""}`, "reason"},
		{"a long reason", `{"verdict":"completed","reason":"` + strings.Repeat("x", 501) + `"}`, "reason"},
		{"an unknown field", `{"verdict":"completed","reason":"why","force":true}`, "force"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			problem := w.requireProblem(w.do("POST", "/v1/payments/"+p.ID+"/review", tt.body), http.StatusUnprocessableEntity, "validation_failed")
			require.Len(t, problem.Errors, 1)
			require.Equal(t, tt.field, problem.Errors[0].Field)
		})
	}
	w.requireProblem(w.do("POST", "/v1/payments/pay_none/review", `{"verdict":"completed","reason":"why"}`), http.StatusNotFound, "payment_not_found")
}

func TestListReviews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := func(query string) []payment.Review {
		t.Helper()
		got := w.do("GET", "/v1/reviews"+query, "")
		require.Equal(t, http.StatusOK, got.status, got.body)
		var page struct{ Reviews []payment.Review }
		require.NoError(t, json.Unmarshal([]byte(got.body), &page))
		require.NotNil(t, page.Reviews, "a list, never null")
		return page.Reviews
	}
	require.Empty(t, list(""))
	add := func(key string, decision *payment.Decision) payment.Review {
		p := w.open(key)
		r := payment.Review{
			ID: ledger.DeriveReviewID(p.ID, 1), PaymentID: p.ID, Cause: payment.CauseUndecided, OpenedAt: start,
			Evidence: []payment.Evidence{{At: start, What: "the ticket is PAUSED"}}, Decision: decision,
		}
		_, err := w.store.RecordPayment(t.Context(), ledger.Change{Record: ledger.Record{Payment: p, Revision: 9}, Review: &r})
		require.NoError(t, err)
		return r
	}
	open := add("open", nil)
	decided := add("decided", &payment.Decision{
		Verdict: payment.VerdictCompleted, Source: payment.DecidedByPerson, By: "shop", Reason: "seen", At: start.Add(time.Hour),
	})
	require.Equal(t, []payment.Review{open}, list(""))
	require.Equal(t, []payment.Review{decided}, list("?state=decided"))
	require.Len(t, list("?state=all"), 2)
	require.Equal(t, []payment.Review{decided}, list("?state=all&payment_id="+decided.PaymentID))
	w.requireProblem(w.do("GET", "/v1/reviews?state=closed", ""), http.StatusBadRequest, "parameter_invalid")

	var found []payment.Review
	for query := "?state=all&limit=1"; query != ""; {
		got := w.do("GET", "/v1/reviews"+query, "")
		require.Equal(t, http.StatusOK, got.status, got.body)
		var page struct {
			Reviews    []payment.Review
			NextCursor *string `json:"next_cursor"`
		}
		require.NoError(t, json.Unmarshal([]byte(got.body), &page))
		require.Len(t, page.Reviews, 1)
		found = append(found, page.Reviews...)
		query = ""
		if page.NextCursor != nil {
			query = "?state=all&limit=1&cursor=" + *page.NextCursor
		}
	}
	require.ElementsMatch(t, []payment.Review{open, decided}, found)
	w.requireProblem(w.do("GET", "/v1/reviews?cursor=first", ""), http.StatusBadRequest, "parameter_invalid")
}
