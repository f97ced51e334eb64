package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// refunds makes the workflow settle the refund as given.
func (w *world) refunds(status payment.RefundStatus) {
	w.flows.refund = func(ctx context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
		reserved, err := w.store.ReserveRefund(ctx, reservation(in))
		if err != nil {
			return workflows.RefundOutcome{}, err
		}
		r := reserved.Refund
		r.Status = status
		switch status {
		case payment.RefundCompleted:
			at := start.Add(time.Minute)
			r.CompletedAt, r.ReferenceNumber = &at, "refund-reference"
		case payment.RefundFailed:
			r.Failure = &payment.Failure{Code: "BTRA_0043", Message: "refused"}
		case payment.RefundPending:
			r.NeedsReview = true
		}
		_, err = w.store.RecordRefund(ctx, ledger.RefundChange{
			Record: ledger.RefundRecord{Refund: r, Revision: 1, Fingerprint: in.Fingerprint},
		})
		return workflows.RefundOutcome{Refund: &r}, err
	}
}

func reservation(in workflows.RefundPaymentInput) ledger.Reservation {
	return ledger.Reservation{
		RefundID: in.RefundID, PaymentID: in.PaymentID, Amount: in.Amount, Message: in.Message, Fingerprint: in.Fingerprint, At: in.CreatedAt,
	}
}

func TestCreateRefund(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *configs) {
		cfg.app.Timing = workflows.Timing{Settle: time.Minute}
	})
	p := w.completed("refunds")
	path := "/v1/payments/" + p.ID + "/refunds"
	w.refunds(payment.RefundCompleted)
	refunds := w.flows.refund
	var in workflows.RefundPaymentInput
	w.flows.refund = func(ctx context.Context, got workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
		in = got
		return refunds(ctx, got)
	}
	got := w.do("POST", path, `{"amount":"10","message":"sorry"}`, "Idempotency-Key", "part")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	requireGolden(t, "refund.completed", got.body)
	require.Equal(t, path, got.header.Get("Location"))
	require.Equal(t, ledger.DeriveRefundID(p.ID, "part"), in.RefundID)
	require.Equal(t, time.Minute, in.Timing.Settle)

	t.Run("a replay says the same and asks nobody", func(t *testing.T) {
		w.flows.refund = nil
		again := w.do("POST", path, `{"amount":"10.00","message":"sorry"}`, "Idempotency-Key", `"part"`)
		require.Equal(t, http.StatusCreated, again.status)
		require.JSONEq(t, got.body, again.body)
	})
	t.Run("the key stands for one refund", func(t *testing.T) {
		for _, other := range []string{`{"amount":"10.01","message":"sorry"}`, `{"amount":"10"}`, `{"amount":"all"}`} {
			w.requireProblem(w.do("POST", path, other, "Idempotency-Key", "part"), 422, "idempotency_key_reused")
		}
	})
	t.Run("all that is left", func(t *testing.T) {
		w.refunds(payment.RefundCompleted)
		rest := w.refund(w.do("POST", path, `{"amount":"all"}`, "Idempotency-Key", "rest"))
		require.Equal(t, money.MustParse("15.00"), rest.Amount)
	})
	t.Run("the list", func(t *testing.T) {
		var list struct {
			Refunds []payment.Refund `json:"refunds"`
		}
		require.NoError(t, json.Unmarshal([]byte(w.do("GET", path, "").body), &list))
		require.Len(t, list.Refunds, 2)
		require.ElementsMatch(t, []string{in.RefundID, ledger.DeriveRefundID(p.ID, "rest")},
			[]string{list.Refunds[0].ID, list.Refunds[1].ID})
		require.Equal(t, money.MustParse("25.00"), w.payment(w.do("GET", "/v1/payments/"+p.ID, "")).RefundedAmount)
	})
}

func TestRefundOutcomes(t *testing.T) {
	t.Parallel()
	left := money.MustParse("3.00")
	refused := func(r payment.RefundRefusal) workflows.RefundOutcome { return workflows.RefundOutcome{Refusal: &r} }
	tests := []struct {
		name    string
		outcome workflows.RefundOutcome
		err     error
		status  int
		code    string
	}{
		{name: "no payment", outcome: refused(payment.RefundRefusal{Code: payment.RefusedNoPayment}), status: 404, code: "payment_not_found"},
		{name: "not completed", outcome: refused(payment.RefundRefusal{Code: payment.RefusedNotCompleted, Status: payment.StatusOpen}), status: 409, code: "payment_not_completed"},
		{name: "in progress", outcome: refused(payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: ledger.DeriveRefundID("p", "other")}), status: 409, code: "refund_in_progress"},
		{name: "exceeds", outcome: refused(payment.RefundRefusal{Code: payment.RefusedExceeds, Left: left}), status: 409, code: "refund_exceeds_balance"},
		{name: "key reused", outcome: refused(payment.RefundRefusal{Code: payment.RefusedKeyReused}), status: 422, code: "idempotency_key_reused"},
		{name: "held", outcome: refused(payment.RefundRefusal{Code: payment.RefusedHeld}), status: 409, code: "refund_in_progress"},
		{name: "unheard of", outcome: refused(payment.RefundRefusal{Code: "new"}), status: 500, code: "internal"},
		{name: "temporal is away", err: flows.ErrUnavailable, status: 503, code: "temporarily_unavailable"},
		{name: "the workflow was terminated", err: flows.ErrAlreadyEnded, status: 202},
		{name: "still working", err: flows.ErrStillWorking, status: 202},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := w.completed("refunds")
			w.flows.refund = func(context.Context, workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
				return tt.outcome, tt.err
			}
			got := w.do("POST", "/v1/payments/"+p.ID+"/refunds", `{"amount":"all"}`, "Idempotency-Key", "k")
			if tt.code == "" {
				require.Equal(t, tt.status, got.status, got.body)
				r := w.refund(got)
				require.Equal(t, payment.RefundPending, r.Status)
				require.Equal(t, p.Total, r.Amount)
				require.Equal(t, ledger.DeriveRefundID(p.ID, "k"), r.ID)
				return
			}
			refusal := w.requireProblem(got, tt.status, tt.code)
			switch tt.name {
			case "exceeds":
				require.Equal(t, "3.00", refusal.Left)
			case "in progress":
				require.Equal(t, ledger.DeriveRefundID("p", "other"), refusal.RefundID)
			case "not completed":
				require.Equal(t, payment.StatusOpen, refusal.PaymentStatus)
			}
		})
	}
}

func TestRefundsThatDoNotComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.completed("refunds")
	path := "/v1/payments/" + p.ID + "/refunds"

	w.refunds(payment.RefundFailed)
	declined := w.do("POST", path, `{"amount":"1"}`, "Idempotency-Key", "declined")
	require.Equal(t, http.StatusCreated, declined.status, "it was made, and it failed")
	require.Equal(t, payment.RefundFailed, w.refund(declined).Status)
	require.Equal(t, "BTRA_0043", w.refund(declined).Failure.Code)

	w.refunds(payment.RefundPending)
	review := w.do("POST", path, `{"amount":"1"}`, "Idempotency-Key", "unknown")
	require.Equal(t, http.StatusAccepted, review.status)
	require.True(t, w.refund(review).NeedsReview)

	joined := w.do("POST", path, `{"amount":"1"}`, "Idempotency-Key", "unknown")
	require.Equal(t, http.StatusAccepted, joined.status, "a replay of a pending refund joins it")
}

func TestRefundWaitsForAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.completed("refunds")
	path := "/v1/payments/" + p.ID + "/refunds"
	other := workflows.RefundPaymentInput{RefundID: ledger.DeriveRefundID(p.ID, "other"), PaymentID: p.ID, CreatedAt: start}
	one := money.MustParse("1.00")
	other.Amount = &one
	reserved, err := w.store.ReserveRefund(t.Context(), reservation(other))
	require.NoError(t, err)

	got := w.do("POST", path, `{"amount":"2"}`, "Idempotency-Key", "mine")
	require.Equal(t, other.RefundID, w.requireProblem(got, 409, "refund_in_progress").RefundID)

	var settled atomic.Bool
	w.refunds(payment.RefundCompleted)
	refunds := w.flows.refund
	w.flows.refund = func(ctx context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
		if !settled.Load() {
			t.Error("the refund was not waited for")
		}
		return refunds(ctx, in)
	}
	answered := make(chan reply)
	go func() { answered <- w.do("POST", path, `{"amount":"2"}`, "Idempotency-Key", "mine") }()
	reserved.Refund.Status = payment.RefundFailed
	settled.Store(true)
	_, err = w.store.RecordRefund(t.Context(), ledger.RefundChange{Record: ledger.RefundRecord{Refund: reserved.Refund, Revision: 1}})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, (<-answered).status)
}

func TestBadRefunds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paid, open := w.completed("paid"), w.open("open")
	path := "/v1/payments/" + paid.ID + "/refunds"
	tests := []struct {
		name, path, body, key string
		status                int
		code, field           string
	}{
		{"no key", path, `{}`, "", 400, "idempotency_key_required", ""},
		{"malformed key", path, `{}`, `"open`, 400, "idempotency_key_malformed", ""},
		{"zero", path, `{"amount":"0"}`, "k", 422, "validation_failed", "amount"},
		{"negative", path, `{"amount":"-1"}`, "k", 422, "validation_failed", "amount"},
		{"number", path, `{"amount":1}`, "k", 422, "validation_failed", "amount"},
		{"three decimals", path, `{"amount":"1.005"}`, "k", 422, "validation_failed", "amount"},
		{"no amount", path, `{}`, "k", 422, "validation_failed", "amount"},
		{"no text", path, `{"amount":null}`, "k", 422, "validation_failed", "amount"},
		{"everything", path, `{"amount":"everything"}`, "k", 422, "validation_failed", "amount"},
		{"long message", path, `{"amount":"all","message":"` + strings.Repeat("m", 51) + `"}`, "k", 422, "validation_failed", "message"},
		{"unknown field", path, `{"amount":"all","reason":"x"}`, "k", 422, "validation_failed", "reason"},
		{"no object", path, `[]`, "k", 400, "body_malformed", "body"},
		{"no payment", "/v1/payments/" + ledger.DeriveID("default", "none") + "/refunds", `{"amount":"all"}`, "k", 404, "payment_not_found", ""},
		{"no id", "/v1/payments/x/refunds", `{"amount":"all"}`, "k", 404, "payment_not_found", ""},
		{"not paid", "/v1/payments/" + open.ID + "/refunds", `{"amount":"all"}`, "k", 409, "payment_not_completed", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := w.requireProblem(w.do("POST", tt.path, tt.body, "Idempotency-Key", tt.key), tt.status, tt.code)
			if tt.field != "" {
				require.Equal(t, tt.field, got.Errors[0].Field)
			}
		})
	}
	w.requireProblem(w.do("GET", "/v1/payments/x/refunds", ""), 404, "payment_not_found")
	w.requireProblem(w.do("GET", path+"?status=open", ""), 400, "parameter_invalid")
	require.JSONEq(t, `{"refunds":[]}`, w.do("GET", path, "").body)
}
