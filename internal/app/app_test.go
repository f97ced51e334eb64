package app_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// workflow answers as functions do; one that is missing panics.
type workflow struct {
	app.Flows
	open    func(workflows.ProcessPaymentInput) (workflows.TicketOutcome, error)
	cancel  func() (workflows.CancelOutcome, error)
	phone   func() (workflows.PhoneNumberOutcome, error)
	refund  func(workflows.RefundPaymentInput) (workflows.RefundOutcome, error)
	review  func() (workflows.ReviewOutcome, error)
	drop    func(workflowID string, ids []string) error
	resend  func(payment.Delivery) (ledger.Redelivery, error)
	day     func(workflows.ReconcileDayInput) (workflows.ReconcileDayResult, error)
	settled []workflows.SettleRefundInput
}

func (w *workflow) OpenPayment(_ context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
	return w.open(in)
}

func (w *workflow) CancelPayment(context.Context, string) (workflows.CancelOutcome, error) {
	return w.cancel()
}

func (w *workflow) SetPhoneNumber(context.Context, string, string, workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error) {
	return w.phone()
}

func (w *workflow) RefundPayment(_ context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
	return w.refund(in)
}

func (w *workflow) ReviewPayment(context.Context, string, string, workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
	return w.review()
}

func (w *workflow) ReviewRefund(context.Context, string, string, workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
	return w.review()
}

func (w *workflow) SettleRefund(_ context.Context, _ string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error) {
	w.settled = append(w.settled, in)
	return workflows.ReviewOutcome{}, nil
}

func (w *workflow) Drop(_ context.Context, workflowID string, ids []string) error {
	return w.drop(workflowID, ids)
}

func (w *workflow) Redeliver(_ context.Context, d payment.Delivery) (ledger.Redelivery, error) {
	return w.resend(d)
}

func (w *workflow) ReconcileDay(_ context.Context, in workflows.ReconcileDayInput) (workflows.ReconcileDayResult, error) {
	return w.day(in)
}

// once is a store that may be asked for a payment or a refund only so often.
type once struct {
	app.Store
	left int
}

func (o *once) Payment(ctx context.Context, id string) (ledger.Record, error) {
	if o.left--; o.left < 0 {
		return ledger.Record{}, errors.New("the payment was read again")
	}
	return o.Store.Payment(ctx, id)
}

func (o *once) Refund(ctx context.Context, id string) (ledger.RefundRecord, error) {
	if o.left--; o.left < 0 {
		return ledger.RefundRecord{}, errors.New("the refund was read again")
	}
	return o.Store.Refund(ctx, id)
}

func newStore(t *testing.T) (*store.Store, *seal.Ring) {
	t.Helper()
	ring, err := seal.New()
	require.NoError(t, err)
	cfg := store.Config{DSN: filepath.Join(t.TempDir(), "cobro.db"), Sealer: ring, Now: func() time.Time { return start }}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, ring
}

func newApp(t *testing.T, s app.Store, f *workflow, ring *seal.Ring, change ...func(*app.Config)) *app.App {
	t.Helper()
	cfg := app.Config{
		Store: s, Flows: f, MerchantID: "default", Fingerprint: ring.Digest, Wait: time.Second, Now: func() time.Time { return start },
	}
	for _, c := range change {
		c(&cfg)
	}
	a, err := app.New(cfg)
	require.NoError(t, err)
	return a
}

func recorded(t *testing.T, s *store.Store, key string, status payment.Status) payment.Payment {
	t.Helper()
	p := payment.Payment{
		ID: ledger.DeriveID("default", key), Status: status, EcommerceID: "ticket-" + key, ReferenceNumber: "reference-" + key,
		Request:   payment.Request{Total: money.MustParse("10.00"), ExpiresIn: 10 * time.Minute},
		ExpiresAt: start.Add(10 * time.Minute), CreatedAt: start, UpdatedAt: start,
	}
	if status == payment.StatusCompleted {
		p.Captured = &p.Total
	}
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: ledger.Record{Payment: p, Revision: 1, Fingerprint: "f"}})
	require.NoError(t, err)
	return p
}

func requireKind(t *testing.T, err error, kind app.Kind) *app.Error {
	t.Helper()
	var refusal *app.Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, kind, refusal.Kind, err)
	return refusal
}

func request() payment.Request {
	return payment.Request{Total: money.MustParse("10.00"), ExpiresIn: 10 * time.Minute}
}

// The update answers with the payment, so that a database that fails right after
// it costs no answer.
func TestAnUpdatesPaymentIsNotReadAgain(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	p := recorded(t, s, "asked", payment.StatusOpen)
	f := &workflow{}
	a := newApp(t, &once{s, 1}, f, ring)
	f.open = func(in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		opened := payment.Payment{ID: in.PaymentID, Status: payment.StatusOpen, Request: in.Request, CreatedAt: in.CreatedAt, EcommerceID: "t"}
		return workflows.TicketOutcome{Payment: &opened}, nil
	}
	opened, err := a.OpenPayment(t.Context(), app.OpenPaymentInput{Key: "k", Request: request()})
	require.NoError(t, err)
	require.Equal(t, payment.StatusOpen, opened.Payment.Status)
	require.False(t, opened.Replayed)

	f.cancel = func() (workflows.CancelOutcome, error) {
		cancelled := p
		cancelled.Status = payment.StatusCancelled
		return workflows.CancelOutcome{Payment: &cancelled}, nil
	}
	cancelled, err := newApp(t, &once{s, 1}, f, ring).CancelPayment(t.Context(), p.ID)
	require.NoError(t, err)
	require.Equal(t, payment.StatusCancelled, cancelled.Status)

	f.phone = func() (workflows.PhoneNumberOutcome, error) {
		rung := p
		rung.PhoneNumber = "7875550199"
		return workflows.PhoneNumberOutcome{Payment: &rung}, nil
	}
	set, err := newApp(t, &once{s, 1}, f, ring).SetPhoneNumber(t.Context(), app.SetPhoneNumberInput{PaymentID: p.ID, PhoneNumber: "7875550199"})
	require.NoError(t, err)
	require.EqualValues(t, "7875550199", set.Payment.PhoneNumber)

	f.phone = func() (workflows.PhoneNumberOutcome, error) {
		earlier := p
		earlier.PhoneNumber, earlier.UpdatedAt = "7875550199", start.Add(-time.Minute)
		return workflows.PhoneNumberOutcome{Payment: &earlier}, nil
	}
	set, err = newApp(t, s, f, ring).SetPhoneNumber(t.Context(), app.SetPhoneNumberInput{PaymentID: p.ID, PhoneNumber: "7875550199"})
	require.NoError(t, err)
	require.Equal(t, p.PhoneNumber, set.Payment.PhoneNumber, "the answer of an earlier request is no news")

	f.review = func() (workflows.ReviewOutcome, error) {
		completed := p
		completed.Status = payment.StatusCompleted
		return workflows.ReviewOutcome{Payment: &completed}, nil
	}
	decided, err := newApp(t, &once{s, 1}, f, ring).DecidePayment(t.Context(), app.Decision{
		PaymentID: p.ID, Verdict: payment.VerdictCompleted, Reason: "seen",
	})
	require.NoError(t, err)
	require.Equal(t, payment.StatusCompleted, decided.Payment.Status)
}

func TestAnUpdatesRefundIsNotReadAgain(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	p := recorded(t, s, "paid", payment.StatusCompleted)
	f := &workflow{refund: func(in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
		done := payment.Refund{ID: in.RefundID, PaymentID: in.PaymentID, Status: payment.RefundCompleted, CreatedAt: in.CreatedAt}
		return workflows.RefundOutcome{Refund: &done}, nil
	}}
	refunded, err := newApp(t, &once{s, 1}, f, ring).Refund(t.Context(), app.RefundInput{PaymentID: p.ID, Key: "k"})
	require.NoError(t, err)
	require.Equal(t, payment.RefundCompleted, refunded.Refund.Status)
	require.False(t, refunded.Replayed)
}

func TestARepeatedRequestIsReplayed(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	clock := start
	f := &workflow{open: func(in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error) {
		_, err := s.RecordPayment(t.Context(), ledger.Change{Record: ledger.Record{Revision: 1, Fingerprint: in.Fingerprint, Payment: payment.Payment{
			ID: in.PaymentID, Status: payment.StatusFailed, Request: in.Request, CreatedAt: in.CreatedAt, UpdatedAt: in.CreatedAt,
			Failure: &payment.Failure{Code: "BTRA_0044", Message: "refused"},
		}}})
		return workflows.TicketOutcome{}, err
	}}
	a := newApp(t, s, f, ring, func(cfg *app.Config) { cfg.Now = func() time.Time { return clock } })
	first, err := a.OpenPayment(t.Context(), app.OpenPaymentInput{Key: "k", Request: request()})
	requireKind(t, err, app.KindDeclined)
	require.False(t, first.Replayed)

	clock, f.open = clock.Add(time.Hour), nil // asks nobody
	again, err := a.OpenPayment(t.Context(), app.OpenPaymentInput{Key: "k", Request: request()})
	refusal := requireKind(t, err, app.KindDeclined)
	require.True(t, again.Replayed, "of a refusal too")
	require.Equal(t, &app.Error{
		Kind: app.KindDeclined, PaymentID: first.Payment.ID, Status: payment.StatusFailed, GatewayCode: "BTRA_0044", GatewayMessage: "refused",
	}, refusal)
}

// Rules are the use cases' own: HTTP is not the only one who asks.
func TestEveryUseCaseValidates(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	a := newApp(t, s, &workflow{}, ring)
	p := recorded(t, s, "paid", payment.StatusCompleted)
	_, err := a.OpenPayment(t.Context(), app.OpenPaymentInput{Request: payment.Request{Total: money.MustParse("0.50"), ExpiresIn: time.Minute}})
	require.Len(t, requireKind(t, err, app.KindInvalid).Fields, 2)
	_, err = a.Refund(t.Context(), app.RefundInput{PaymentID: p.ID})
	requireKind(t, err, app.KindKeyRequired)
	zero := money.FromCents(0)
	_, err = a.Refund(t.Context(), app.RefundInput{PaymentID: p.ID, Key: "k", Amount: &zero})
	require.Equal(t, "amount", requireKind(t, err, app.KindInvalid).Fields[0].Field)
	_, err = a.DecidePayment(t.Context(), app.Decision{PaymentID: p.ID, Verdict: "maybe"})
	require.Len(t, requireKind(t, err, app.KindInvalid).Fields, 2)
}

func TestWaitingEndsWithThePaymentTheWaitOrTheProcess(t *testing.T) {
	t.Parallel()
	_, ring := newStore(t)
	const after = 10 * time.Second
	for _, tt := range []struct {
		name     string
		happens  func(p *changing, stop func()) // after a while
		takes    time.Duration
		terminal bool
	}{
		{"the payment ends", func(p *changing, _ func()) { p.ended.Store(true) }, after, true},
		{"the process stops", func(_ *changing, stop func()) { stop() }, after, false},
		{"the wait is over", func(*changing, func()) {}, time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, stopping, s := time.Now(), make(chan struct{}), &changing{}
				a := newApp(t, s, &workflow{}, ring, func(cfg *app.Config) { cfg.Stopping = stopping })
				time.AfterFunc(after, func() { tt.happens(s, func() { close(stopping) }) })
				got, err := a.Payment(t.Context(), ledger.DeriveID("default", "k"), time.Minute)
				require.NoError(t, err)
				require.Equal(t, tt.terminal, got.Status.Terminal())
				require.Equal(t, tt.takes, time.Since(began).Truncate(time.Second))
			})
		})
	}
}

// changing is a store of one payment.
type changing struct {
	app.Store
	ended atomic.Bool
}

func (c *changing) Payment(context.Context, string) (ledger.Record, error) {
	status := payment.StatusOpen
	if c.ended.Load() {
		status = payment.StatusCancelled
	}
	return ledger.Record{Payment: payment.Payment{Status: status}}, nil
}

// A store that hangs has bounded its call, and the caller is told to come again.
func TestAStoreThatHangsIsUnavailable(t *testing.T) {
	t.Parallel()
	_, ring := newStore(t)
	a := newApp(t, hanging{}, &workflow{}, ring)
	id := ledger.DeriveID("default", "k")
	_, opening := a.OpenPayment(t.Context(), app.OpenPaymentInput{Key: "k", Request: request()})
	_, canceling := a.CancelPayment(t.Context(), id)
	_, reading := a.Timeline(t.Context(), id)
	for _, err := range []error{opening, canceling, reading} {
		refusal := requireKind(t, err, app.KindUnavailable)
		require.NotZero(t, refusal.RetryAfter)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

type hanging struct{ app.Store }

func (hanging) ReservePayment(context.Context, ledger.Record) (ledger.Record, error) {
	return ledger.Record{}, context.DeadlineExceeded
}

func (hanging) Payment(context.Context, string) (ledger.Record, error) {
	return ledger.Record{}, context.DeadlineExceeded
}

func TestADecisionSettlesARefundWithoutAWorkflow(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	p := recorded(t, s, "paid", payment.StatusCompleted)
	reserved, err := s.ReserveRefund(t.Context(), ledger.Reservation{RefundID: ledger.DeriveRefundID(p.ID, "k"), PaymentID: p.ID, Fingerprint: "f", At: start})
	require.NoError(t, err)
	f := &workflow{review: func() (workflows.ReviewOutcome, error) { return workflows.ReviewOutcome{}, flows.ErrEnded }}
	a := newApp(t, s, f, ring)
	decision := app.Decision{PaymentID: p.ID, RefundID: reserved.Refund.ID, Verdict: payment.VerdictNotExecuted, Reason: "not in the app", By: "ana"}
	decided, err := a.DecideRefund(t.Context(), decision)
	require.NoError(t, err)
	require.Equal(t, reserved.Refund.ID, decided.Refund.ID)
	require.Equal(t, "ana", f.settled[0].Word.By)

	f.review = func() (workflows.ReviewOutcome, error) {
		return workflows.ReviewOutcome{Refused: workflows.ReviewContradicted, Says: "refunded in all: $10.00"}, nil
	}
	_, err = a.DecideRefund(t.Context(), decision)
	refusal := requireKind(t, err, app.KindReviewContradicted)
	require.Equal(t, reserved.Refund.ID, refusal.RefundID)
	require.Equal(t, "refunded in all: $10.00", refusal.GatewayMessage)
	require.Len(t, f.settled, 1)
}

// Receivers are removed with what is on its way to them: running workflows are
// asked, and what ended ones left is noted.
func TestRemovedReceiversDropTheirDeliveries(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	require.NoError(t, s.AnnounceReceivers(t.Context(), "shop", []ledger.Receiver{
		{Host: "shop", Event: payment.EventCompleted, Name: "book", Timeout: time.Second},
		{Host: "shop", Event: payment.EventCompleted, Name: "print", Timeout: time.Second},
	}))
	for _, key := range []string{"running", "ended"} {
		p := recorded(t, s, key, payment.StatusConfirmed)
		p.Status = payment.StatusCompleted
		_, err := s.RecordPayment(t.Context(), ledger.Change{
			Record: ledger.Record{Payment: p, Revision: 2, Fingerprint: "f"}, Announce: payment.EventCompleted, Workflow: "workflow-" + key,
		})
		require.NoError(t, err)
	}
	asked := map[string]int{}
	f := &workflow{drop: func(workflowID string, ids []string) error {
		asked[workflowID] += len(ids)
		if workflowID == "workflow-ended" {
			return flows.ErrEnded
		}
		return nil
	}}
	a := newApp(t, s, f, ring)
	removed, err := a.RemoveReceivers(t.Context(), app.RemoveReceiversInput{Host: "shop", Name: "book"})
	require.NoError(t, err)
	require.Len(t, removed.Receivers, 1)
	require.Equal(t, 2, removed.Dropped)
	require.Equal(t, map[string]int{"workflow-running": 1, "workflow-ended": 1}, asked)
	dropped, err := a.Notifications(t.Context(), ledger.DeliveryFilter{Status: payment.DeliveryDropped})
	require.NoError(t, err)
	require.Len(t, dropped.Items, 1, "the running workflow notes its own")
	require.Equal(t, "workflow-ended", dropped.Items[0].WorkflowID)

	f.resend = func(payment.Delivery) (ledger.Redelivery, error) { return "", flows.ErrUnavailable }
	_, err = a.RedeliverAll(t.Context(), ledger.DeliveryFilter{Status: payment.DeliveryDropped}, false)
	requireKind(t, err, app.KindUnavailable)
	require.ErrorContains(t, err, dropped.Items[0].ID)
	listed, err := a.RedeliverAll(t.Context(), ledger.DeliveryFilter{Status: payment.DeliveryDropped}, true)
	require.NoError(t, err)
	require.Equal(t, []app.Redelivered{{Delivery: dropped.Items[0]}}, listed, "a dry run sends nothing")

	f.resend = func(payment.Delivery) (ledger.Redelivery, error) { return ledger.SentAgain, nil }
	sent, err := a.RedeliverAll(t.Context(), ledger.DeliveryFilter{Status: payment.DeliveryDropped}, false)
	require.NoError(t, err)
	require.Equal(t, []app.Redelivered{{Delivery: dropped.Items[0], Redelivery: ledger.SentAgain}}, sent)
}

func TestDaysAreReconciledOneAfterAnother(t *testing.T) {
	t.Parallel()
	s, ring := newStore(t)
	var asked []workflows.ReconcileDayInput
	f := &workflow{day: func(in workflows.ReconcileDayInput) (workflows.ReconcileDayResult, error) {
		asked = append(asked, in)
		return workflows.ReconcileDayResult{Reconciliation: payment.Reconciliation{Day: in.Day, RunID: "run-" + in.Day}}, nil
	}}
	timing := workflows.Timing{Call: time.Second, Grace: time.Minute}
	a := newApp(t, s, f, ring, func(cfg *app.Config) { cfg.Timing = timing })
	days := app.Days{From: start, To: start.AddDate(0, 0, 1)}
	out, err := a.Reconcile(t.Context(), days)
	require.NoError(t, err)
	require.Len(t, out.Days, 2)
	call := workflows.Timing{Call: time.Second}
	require.Equal(t, []workflows.ReconcileDayInput{{Day: "2026-01-15", Timing: call}, {Day: "2026-01-16", Timing: call}}, asked)
	_, err = a.CompareDays(t.Context(), days)
	require.ErrorContains(t, err, "Comparer")
}
