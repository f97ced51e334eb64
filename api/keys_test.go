package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

var errStoreAway = errors.New("the store is away")

// reserving is a store whose reservations fail: before they are written, or when
// they have been and the answer is lost.
type reserving struct {
	app.Store
	away, lost bool
}

func (r *reserving) ReservePayment(ctx context.Context, record ledger.Record) (ledger.Record, error) {
	return reserve(r, func() (ledger.Record, error) { return r.Store.ReservePayment(ctx, record) })
}

func (r *reserving) ReserveRefund(ctx context.Context, reservation ledger.Reservation) (ledger.Reserved, error) {
	return reserve(r, func() (ledger.Reserved, error) { return r.Store.ReserveRefund(ctx, reservation) })
}

func reserve[T any](r *reserving, do func() (T, error)) (none T, err error) {
	if r.away {
		return none, errStoreAway
	}
	reserved, err := do()
	if err == nil && r.lost {
		return none, errStoreAway
	}
	return reserved, err
}

// keyCase is a POST that is not answered with what it asks for, and what its key
// and other keys are answered once nothing is in the way any more.
type keyCase struct {
	name   string
	query  string
	body   string
	refuse func(w *world, s *reserving) // puts something in the way
	heal   func(w *world)               // and takes it away again, where that is not only a failure that ends
	status int
	code   string // of a problem document, or ""
	kept   bool   // the payment or refund exists all the same

	sameKey, otherBody, otherKey int // statuses
}

func (tt keyCase) world(t *testing.T) (*world, *reserving) {
	t.Helper()
	var s *reserving
	w := newWorld(t, func(cfg *configs) {
		s = &reserving{Store: cfg.app.Store}
		cfg.app.Store, cfg.app.Wait = s, time.Second
	})
	return w, s
}

// run tries each of the three in a world of its own. path and ids are those of
// the first key, "k"; fine is a body that would be taken and other is another one.
func (tt keyCase) run(t *testing.T, begin func(*world) (path string, exists func(*world) bool), works func(*world), fine, other string) {
	t.Helper()
	for _, then := range []struct {
		name, key, body string
		want            int
	}{
		{"the same key again", "k", tt.body, tt.sameKey},
		{"another body", "k", other, tt.otherBody},
		{"another key", "l", fine, tt.otherKey},
	} {
		t.Run(tt.name+"/"+then.name, func(t *testing.T) {
			t.Parallel()
			w, s := tt.world(t)
			path, exists := begin(w)
			if tt.refuse != nil {
				tt.refuse(w, s)
			}
			got := w.do("POST", path+tt.query, tt.body, "Idempotency-Key", "k")
			require.Equal(t, tt.status, got.status, got.body)
			if tt.code != "" {
				w.requireProblem(got, tt.status, tt.code)
			}
			require.Equal(t, tt.kept, exists(w), "what is kept can be read at once, and nothing else can")

			s.away, s.lost = false, false
			if tt.heal != nil {
				tt.heal(w)
			}
			works(w)
			if then.body == "" {
				then.body = fine
			}
			got = w.do("POST", path, then.body, "Idempotency-Key", then.key)
			require.Equal(t, then.want, got.status, got.body)
			if tt.kept && then.name == "another body" {
				w.requireProblem(got, 422, "idempotency_key_reused")
			}
		})
	}
}

// What is refused before anything is kept leaves the key free, and asks no
// workflow; what is kept is answered under its key for as long as it exists.
func TestKeysOfPayments(t *testing.T) {
	t.Parallel()
	const fine, other = `{"total":"10","reference":"order-7"}`, `{"total":"11","reference":"order-8"}`
	answers := func(outcome workflows.TicketOutcome, err error) func(*world, *reserving) {
		return func(w *world, _ *reserving) {
			w.flows.open = func(context.Context, workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
				return outcome, err
			}
		}
	}
	for _, tt := range []keyCase{
		{name: "before: a rule is broken", body: `{"total":"0.50"}`, status: 422, code: "validation_failed", sameKey: 422, otherBody: 201, otherKey: 201},
		{name: "before: a parameter", query: "?total=10", body: fine, status: 400, code: "parameter_invalid", sameKey: 201, otherBody: 201, otherKey: 201},
		{
			name: "before: the store is away", body: fine, refuse: func(_ *world, s *reserving) { s.away = true },
			status: 503, code: "temporarily_unavailable", sameKey: 201, otherBody: 201, otherKey: 201,
		},
		{
			name: "at: the reference is in use", body: fine,
			refuse: func(w *world, _ *reserving) {
				w.open("first", func(p *payment.Payment) { p.Reference = "order-7" })
			},
			heal: func(w *world) {
				p := w.payment(w.do("GET", "/v1/payments/"+ledger.DeriveID("default", "first"), ""))
				p.Status, p.ExpiresIn = payment.StatusExpired, 10*time.Minute
				w.record(p, 2, "fingerprint")
			},
			status: 409, code: "payment_in_progress", sameKey: 201, otherBody: 201, otherKey: 201,
		},
		{
			name: "at: the store's answer is lost", body: fine, refuse: func(_ *world, s *reserving) { s.lost = true },
			status: 503, code: "temporarily_unavailable", kept: true, sameKey: 201, otherBody: 422, otherKey: 409,
		},
		{
			name: "after: Temporal is away", body: fine, refuse: answers(workflows.TicketOutcome{}, flows.ErrUnavailable),
			status: 503, code: "temporarily_unavailable", kept: true, sameKey: 201, otherBody: 422, otherKey: 409,
		},
		{
			name: "after: no worker runs", body: fine, refuse: answers(workflows.TicketOutcome{}, flows.ErrStillWorking),
			status: 202, kept: true, sameKey: 201, otherBody: 422, otherKey: 409,
		},
		{
			name: "after: the workflow was terminated", body: fine, refuse: answers(workflows.TicketOutcome{}, flows.ErrAlreadyEnded),
			status: 202, kept: true, sameKey: 201, otherBody: 422, otherKey: 409,
		},
		{
			name: "after: the gateway declines", body: fine, refuse: func(w *world, _ *reserving) { w.fails("BTRA_0044") },
			status: 422, code: "gateway_declined", kept: true, sameKey: 422, otherBody: 422, otherKey: 201,
		},
	} {
		tt.run(t, func(*world) (string, func(*world) bool) {
			return "/v1/payments", func(w *world) bool {
				return w.do("GET", "/v1/payments/"+ledger.DeriveID("default", "k"), "").status == http.StatusOK
			}
		}, (*world).opens, fine, other)
	}
}

func TestKeysOfRefunds(t *testing.T) {
	t.Parallel()
	const fine, other = `{"amount":"5.00"}`, `{"amount":"all"}`
	answers := func(outcome workflows.RefundOutcome, err error) func(*world, *reserving) {
		return func(w *world, _ *reserving) {
			w.flows.refund = func(context.Context, workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
				return outcome, err
			}
		}
	}
	paid := ledger.DeriveID("default", "paid")
	first := func(cents int64) ledger.Reservation {
		amount := money.FromCents(cents)
		return ledger.Reservation{RefundID: ledger.DeriveRefundID(paid, "first"), PaymentID: paid, Amount: &amount, At: start}
	}
	reserveFirst := func(cents int64) func(*world, *reserving) {
		return func(w *world, _ *reserving) {
			_, err := w.store.ReserveRefund(w.t.Context(), first(cents))
			require.NoError(w.t, err)
		}
	}
	settleFirst := func(w *world) {
		record, err := w.store.Refund(w.t.Context(), first(0).RefundID)
		require.NoError(w.t, err)
		record.Refund.Status, record.Revision = payment.RefundFailed, 1
		_, err = w.store.RecordRefund(w.t.Context(), ledger.RefundChange{Record: record})
		require.NoError(w.t, err)
	}
	for _, tt := range []keyCase{
		{name: "before: no amount", body: `{}`, status: 422, code: "validation_failed", sameKey: 422, otherBody: 201, otherKey: 201},
		{name: "before: the amount is a parameter", query: "?amount=5.00", body: `{"amount":"all"}`, status: 400, code: "parameter_invalid", sameKey: 201, otherBody: 201, otherKey: 201},
		{
			name: "before: the store is away", body: fine, refuse: func(_ *world, s *reserving) { s.away = true },
			status: 503, code: "temporarily_unavailable", sameKey: 201, otherBody: 201, otherKey: 201,
		},
		{name: "at: more than is left", body: `{"amount":"25.01"}`, status: 409, code: "refund_exceeds_balance", sameKey: 409, otherBody: 201, otherKey: 201},
		{
			name: "at: another refund is not settled", body: fine, refuse: reserveFirst(1_00), heal: settleFirst,
			status: 409, code: "refund_in_progress", sameKey: 201, otherBody: 201, otherKey: 201,
		},
		{
			name: "at: the store's answer is lost", body: fine, refuse: func(_ *world, s *reserving) { s.lost = true },
			status: 503, code: "temporarily_unavailable", kept: true, sameKey: 201, otherBody: 422, otherKey: 409,
		},
		{
			name: "after: Temporal is away", body: fine, refuse: answers(workflows.RefundOutcome{}, flows.ErrUnavailable),
			status: 503, code: "temporarily_unavailable", kept: true, sameKey: 201, otherBody: 422, otherKey: 409,
		},
		{
			name: "after: no worker runs", body: fine, refuse: answers(workflows.RefundOutcome{}, flows.ErrStillWorking),
			status: 202, kept: true, sameKey: 201, otherBody: 422, otherKey: 409,
		},
		{
			name: "after: the gateway declines", body: fine, refuse: func(w *world, _ *reserving) { w.refunds(payment.RefundFailed) },
			status: 201, kept: true, sameKey: 201, otherBody: 422, otherKey: 201,
		},
	} {
		tt.run(t, func(w *world) (string, func(*world) bool) {
			path := "/v1/payments/" + w.completed("paid").ID + "/refunds"
			return path, func(w *world) bool {
				var list struct{ Refunds []payment.Refund }
				require.NoError(w.t, json.Unmarshal([]byte(w.do("GET", path, "").body), &list))
				for _, r := range list.Refunds {
					if r.ID == ledger.DeriveRefundID(paid, "k") {
						return true
					}
				}
				return false
			}
		}, func(w *world) { w.refunds(payment.RefundCompleted) }, fine, other)
	}
}

// Whoever comes first has the reference, and the others have their keys.
func TestManyKeysAtOnceForOneReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opens()
	const body = `{"total":"10","reference":"order-7"}`
	keys := []string{"a", "b", "c", "d"}
	replies := make([]reply, len(keys))
	var all sync.WaitGroup
	for i, key := range keys {
		all.Go(func() { replies[i] = w.do("POST", "/v1/payments", body, "Idempotency-Key", key) })
	}
	all.Wait()
	var opened payment.Payment
	var free []string
	for i, r := range replies {
		if r.status == http.StatusCreated {
			require.Empty(t, opened.ID, "two have the reference")
			opened = w.payment(r)
			continue
		}
		w.requireProblem(r, 409, "payment_in_progress")
		free = append(free, keys[i])
	}
	require.Len(t, free, 3)
	var list struct{ Payments []payment.Payment }
	require.NoError(t, json.Unmarshal([]byte(w.do("GET", "/v1/payments", "").body), &list))
	require.Len(t, list.Payments, 1, "nothing failed, and nobody is told that it did")

	opened.Status, opened.ExpiresIn = payment.StatusExpired, 10*time.Minute
	w.record(opened, 2, "fingerprint")
	require.Equal(t, http.StatusCreated, w.do("POST", "/v1/payments", body, "Idempotency-Key", free[0]).status)
}
