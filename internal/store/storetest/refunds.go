package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// ask returns a reservation of a payment's refund; the key tells refunds apart.
func ask(paymentID, key string, cents *money.Amount) ledger.Reservation {
	return ledger.Reservation{
		RefundID: ledger.DeriveRefundID(paymentID, key), PaymentID: paymentID, Amount: cents,
		Message: "sorry", Fingerprint: "print of " + key, At: noon(),
	}
}

// settled returns the next revision of a refund.
func settled(r ledger.RefundRecord, status payment.RefundStatus) ledger.RefundRecord {
	r.Revision++
	r.Refund.Status = status
	if status == payment.RefundCompleted {
		at := noon().Add(time.Hour)
		r.Refund.CompletedAt = &at
	}
	return r
}

func settle(ctx context.Context, t require.TestingT, s *store.Store, id string, status payment.RefundStatus) {
	r, err := s.Refund(ctx, id)
	require.NoError(t, err)
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: settled(r, status)})
	require.NoError(t, err)
}

// refusal returns the refusal in an error, and its code.
func refusal(t require.TestingT, err error) *payment.RefundRefusal {
	var refused *payment.RefundRefusal
	require.ErrorAs(t, err, &refused)
	return refused
}

func reservations(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	paid := filled(t)
	record(ctx, t, s, paid)
	first := ask(paid.Payment.ID, "k1", amount(3_00))

	granted, err := s.ReserveRefund(ctx, first)
	require.NoError(t, err)
	require.Equal(t, ledger.Reserved{
		Payment: paid.Payment,
		Refund: payment.Refund{
			ID: first.RefundID, PaymentID: paid.Payment.ID, Amount: money.FromCents(3_00), Status: payment.RefundPending,
			Message: "sorry", Source: payment.SourceAPI, CreatedAt: noon(),
		},
	}, granted)

	again, err := open(nil).ReserveRefund(ctx, first)
	require.NoError(t, err)
	require.Equal(t, granted, again)

	settle(ctx, t, s, first.RefundID, payment.RefundCompleted)
	again, err = s.ReserveRefund(ctx, first)
	require.NoError(t, err, "who asks again is told what became of it")
	require.Equal(t, payment.RefundCompleted, again.Refund.Status)
	require.Equal(t, money.FromCents(3_00), again.Payment.RefundedAmount)

	rest, err := s.ReserveRefund(ctx, ask(paid.Payment.ID, "k2", nil))
	require.NoError(t, err)
	require.Equal(t, money.FromCents(7_00), rest.Refund.Amount, "no amount means all that is left")
}

func reservationRefusals(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	refuse := func(want payment.RefundRefusal, r ledger.Reservation) {
		t.Helper()
		_, err := s.ReserveRefund(ctx, r)
		require.Equal(t, want, *refusal(t, err))
	}
	refuse(payment.RefundRefusal{Code: payment.RefusedNoPayment}, ask(newID(t), "k", nil))

	unpaid := pending(t)
	record(ctx, t, s, unpaid)
	refuse(payment.RefundRefusal{Code: payment.RefusedNotCompleted, Status: payment.StatusPending}, ask(unpaid.Payment.ID, "k", nil))

	paid := completed(t)
	record(ctx, t, s, paid)
	id := paid.Payment.ID
	refuse(payment.RefundRefusal{Code: payment.RefusedExceeds, Left: money.FromCents(10_00)}, ask(id, "k", amount(10_01)))
	for _, cents := range []int64{0, -1} {
		_, err := s.ReserveRefund(ctx, ask(id, "k", amount(cents)))
		require.ErrorContains(t, err, "must be positive")
	}

	first := ask(id, "k1", amount(4_00))
	_, err := s.ReserveRefund(ctx, first)
	require.NoError(t, err)
	other := first
	other.Fingerprint = "another"
	refuse(payment.RefundRefusal{Code: payment.RefusedKeyReused}, other)

	inTheWay := payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: first.RefundID}
	refuse(inTheWay, ask(id, "k2", amount(1)))
	refuse(inTheWay, ask(id, "k2", amount(99_00)))

	r, err := s.Refund(ctx, first.RefundID)
	require.NoError(t, err)
	review := settled(r, payment.RefundFailed)
	review.Refund.NeedsReview = true
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: review})
	require.NoError(t, err)
	refuse(inTheWay, ask(id, "k2", amount(1)))

	done := settled(review, payment.RefundCompleted)
	done.Refund.NeedsReview = false
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: done})
	require.NoError(t, err)
	refuse(payment.RefundRefusal{Code: payment.RefusedExceeds, Left: money.FromCents(6_00)}, ask(id, "k2", amount(6_01)))

	_, err = s.ReserveRefund(ctx, ask(id, "k2", nil))
	require.NoError(t, err)
	settle(ctx, t, s, ask(id, "k2", nil).RefundID, payment.RefundCompleted)
	refuse(payment.RefundRefusal{Code: payment.RefusedExceeds}, ask(id, "k3", nil))

	refunds, err := s.Refunds(ctx, id)
	require.NoError(t, err)
	require.Len(t, refunds, 2, "a refusal writes nothing")
}

// books returns what a payment's refunds add up to, and fails where they
// exceed what was captured.
func books(ctx context.Context, t require.TestingT, s *store.Store, paymentID string) (completed, pending money.Amount) {
	r, err := s.Payment(ctx, paymentID)
	require.NoError(t, err)
	refunds, err := s.Refunds(ctx, paymentID)
	require.NoError(t, err)
	for _, refund := range refunds {
		switch refund.Status {
		case payment.RefundCompleted:
			completed = completed.Add(refund.Amount)
		case payment.RefundPending:
			pending = pending.Add(refund.Amount)
		case payment.RefundFailed:
		}
	}
	require.Equal(t, completed, r.Payment.RefundedAmount)
	require.False(t, r.Payment.Total.Sub(completed).Sub(pending).IsNegative(), "%s + %s of %s", completed, pending, r.Payment.Total)
	return completed, pending
}

func reservationRace(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	ctx := t.Context()
	paid := completed(t)
	record(ctx, t, stores[0], paid)

	const workers = 50
	errs := make([]error, workers)
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			s := stores[i%len(stores)]
			one := ask(paid.Payment.ID, fmt.Sprint(i), amount(3_00))
			granted, err := s.ReserveRefund(ctx, one)
			if err == nil {
				_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: settled(
					ledger.RefundRecord{Refund: granted.Refund, Fingerprint: one.Fingerprint}, payment.RefundCompleted)})
			}
			errs[i] = err
		})
	}
	all.Wait()
	granted := 0
	for _, err := range errs {
		if err == nil {
			granted++
			continue
		}
		require.Contains(t, []payment.RefundRefusalCode{payment.RefusedInProgress, payment.RefusedExceeds}, refusal(t, err).Code)
	}
	refunded, left := books(ctx, t, stores[1], paid.Payment.ID)
	require.Zero(t, left)
	require.Equal(t, money.FromCents(int64(granted)*3_00), refunded)
	require.GreaterOrEqual(t, granted, 1)
	require.LessOrEqual(t, granted, 3)
}

func claimRace(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	ctx := t.Context()
	paid := completed(t)
	record(ctx, t, stores[0], paid)
	one := ask(paid.Payment.ID, "k", nil)
	require.ErrorIs(t, stores[0].ClaimRefund(ctx, one.RefundID, 1, "run 1"), ledger.ErrNotFound)
	_, err := stores[0].ReserveRefund(ctx, one)
	require.NoError(t, err)

	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = stores[i%len(stores)].ClaimRefund(ctx, one.RefundID, 1, fmt.Sprint("run ", i)) })
	}
	all.Wait()
	sender := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, sender, "two runs may send")
			sender = i
			continue
		}
		require.Equal(t, payment.RefusedHeld, refusal(t, err).Code)
	}
	first := fmt.Sprint("run ", sender)
	held := func(try int, by, why string) {
		t.Helper()
		require.Equal(t, payment.RefusedHeld, refusal(t, stores[1].ClaimRefund(ctx, one.RefundID, try, by)).Code, why)
	}
	require.NoError(t, stores[1].ClaimRefund(ctx, one.RefundID, 1, first), "the answer was lost")
	held(1, first+", again", "a Temporal that was restored from a backup runs it again")
	require.NoError(t, stores[1].ClaimRefund(ctx, one.RefundID, 3, "a later try"), "the claim of the second was lost with the store")
	held(2, "an earlier try", "it does not know of the third")

	settle(ctx, t, stores[0], one.RefundID, payment.RefundCompleted)
	held(4, "a later try", "it is settled")
}

func takenRefund(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	paid, other := completed(t), completed(t)
	record(ctx, t, s, paid)
	record(ctx, t, s, other)
	asked := ask(paid.Payment.ID, "k", amount(2_50))
	granted, err := s.ReserveRefund(ctx, asked)
	require.NoError(t, err)
	require.NoError(t, s.ClaimRefund(ctx, asked.RefundID, 1, "run 1"))

	for range 2 {
		taken, err := s.TakeRefund(ctx, paid.Payment.ID, asked.RefundID, "settle")
		require.NoError(t, err)
		require.Equal(t, granted.Refund, taken.Refund)
		require.Equal(t, granted.Payment, taken.Payment)
	}
	for try := range 3 {
		require.Equal(t, payment.RefusedHeld, refusal(t, s.ClaimRefund(ctx, asked.RefundID, 1+try, "run 1")).Code)
	}
	_, err = s.TakeRefund(ctx, other.Payment.ID, asked.RefundID, "settle")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	_, err = s.TakeRefund(ctx, paid.Payment.ID, ledger.DeriveRefundID(paid.Payment.ID, "none"), "settle")
	require.ErrorIs(t, err, ledger.ErrNotFound)

	settle(ctx, t, s, asked.RefundID, payment.RefundFailed)
	_, err = s.TakeRefund(ctx, paid.Payment.ID, asked.RefundID, "settle")
	require.Equal(t, payment.RefusedHeld, refusal(t, err).Code)
}

func refundLife(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	paid := completed(t)
	record(ctx, t, s, paid)
	asked := ask(paid.Payment.ID, "k", amount(2_50))
	granted, err := s.ReserveRefund(ctx, asked)
	require.NoError(t, err)

	done := settled(ledger.RefundRecord{Refund: granted.Refund, Fingerprint: asked.Fingerprint}, payment.RefundCompleted)
	done.Refund.ReferenceNumber, done.Refund.Message = "rr-1", "sorry #abc"
	done.Refund.Failure = &payment.Failure{Code: payment.FailureGatewayRefused, Message: "at first"}
	for range 2 {
		_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: done})
		require.NoError(t, err)
	}
	got, err := s.Refund(ctx, asked.RefundID)
	require.NoError(t, err)
	require.Equal(t, done, got)

	late := settled(ledger.RefundRecord{Refund: granted.Refund}, payment.RefundFailed)
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: late})
	require.NoError(t, err)
	got, err = s.Refund(ctx, asked.RefundID)
	require.NoError(t, err)
	require.Equal(t, done, got, "an equal revision changes nothing")

	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: settled(done, payment.RefundFailed)})
	require.ErrorContains(t, err, "settled as completed cannot be reopened as failed", "money that went back stays counted")
	dearer := settled(done, payment.RefundCompleted)
	dearer.Refund.Amount = money.FromCents(2_51)
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: dearer})
	require.ErrorContains(t, err, "2.50 and cannot become 2.51")

	r, err := s.Payment(ctx, paid.Payment.ID)
	require.NoError(t, err)
	require.Equal(t, money.FromCents(2_50), r.Payment.RefundedAmount)
	page, _, err := s.Payments(ctx, ledger.PaymentFilter{})
	require.NoError(t, err)
	require.Equal(t, []payment.Payment{r.Payment}, page, "lists count refunds too")

	second := ask(paid.Payment.ID, "k2", amount(1))
	second.At = noon().Add(time.Second)
	_, err = s.ReserveRefund(ctx, second)
	require.NoError(t, err)
	refunds, err := s.Refunds(ctx, paid.Payment.ID)
	require.NoError(t, err)
	require.Equal(t, []string{asked.RefundID, second.RefundID}, []string{refunds[0].ID, refunds[1].ID}, "oldest first")
}

// refundSteps tries every step from one state of a refund to another. What is
// settled is never unsettled, except that a review may still find that a refund
// was completed which had been recorded as failed.
func refundSteps(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	type state struct {
		status payment.RefundStatus
		review bool
	}
	pending, completed, failed := payment.RefundPending, payment.RefundCompleted, payment.RefundFailed
	all := []state{{pending, false}, {pending, true}, {completed, false}, {completed, true}, {failed, false}, {failed, true}}
	allowed := map[state][]state{
		{pending, false}:   all,
		{pending, true}:    all,
		{completed, false}: {{completed, false}},
		{completed, true}:  {{completed, false}, {completed, true}},
		{failed, false}:    {{failed, false}},
		{failed, true}:     {{failed, false}, {failed, true}, {completed, false}, {completed, true}},
	}
	for _, was := range all {
		for _, is := range all {
			paid := filled(t)
			record(ctx, t, s, paid)
			granted, err := s.ReserveRefund(ctx, ask(paid.Payment.ID, "k", nil))
			require.NoError(t, err)
			before := settled(ledger.RefundRecord{Refund: granted.Refund}, was.status)
			before.Refund.NeedsReview = was.review
			_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: before})
			require.NoError(t, err)

			after := settled(before, is.status)
			after.Refund.NeedsReview = is.review
			_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: after})
			if slices.Contains(allowed[was], is) {
				require.NoError(t, err, "%v to %v", was, is)
				continue
			}
			var refused *payment.RefundTransitionError
			require.ErrorAs(t, err, &refused, "%v to %v", was, is)
			got, err := s.Refund(ctx, granted.Refund.ID)
			require.NoError(t, err)
			require.Equal(t, was.status, got.Refund.Status, "a refused step changes nothing")
			require.Equal(t, was.review, got.Refund.NeedsReview)
		}
	}
}

func externalRefunds(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	paid := completed(t)
	record(ctx, t, s, paid)
	external := func(key string, cents int64) ledger.RefundRecord {
		return settled(ledger.RefundRecord{Refund: payment.Refund{
			ID: ledger.DeriveRefundID(paid.Payment.ID, key), PaymentID: paid.Payment.ID, Amount: money.FromCents(cents),
			Source: payment.SourceExternal, CreatedAt: noon(),
		}}, payment.RefundCompleted)
	}
	want := external("e1", 6_00)
	_, err := s.RecordRefund(ctx, ledger.RefundChange{Record: want})
	require.NoError(t, err)
	got, err := s.Refund(ctx, want.Refund.ID)
	require.NoError(t, err)
	require.Equal(t, want, got)

	_, err = s.ReserveRefund(ctx, ask(paid.Payment.ID, "k", amount(4_01)))
	require.Equal(t, money.FromCents(4_00), refusal(t, err).Left)

	tooMuch := external("e2", 4_01)
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: tooMuch})
	require.Equal(t, payment.RefundRefusal{Code: payment.RefusedExceeds, Left: money.FromCents(4_00)}, *refusal(t, err))
	_, err = s.Refund(ctx, tooMuch.Refund.ID)
	require.ErrorIs(t, err, ledger.ErrNotFound, "nothing was written")
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: external("e3", 0)})
	require.ErrorContains(t, err, "must be positive")

	asked := ask(paid.Payment.ID, "k", amount(1_00))
	_, err = s.ReserveRefund(ctx, asked)
	require.NoError(t, err)
	unsettled := external("e4", 1)
	unsettled.Refund.Status = payment.RefundPending
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: unsettled})
	require.Equal(t, payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: asked.RefundID}, *refusal(t, err))
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: external("e5", 4_00)})
	require.NoError(t, err, "what happened is booked, even where it leaves nothing for a pending one")
	r, err := s.Refund(ctx, asked.RefundID)
	require.NoError(t, err)
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: settled(r, payment.RefundCompleted)})
	require.Equal(t, payment.RefusedExceeds, refusal(t, err).Code)
}

// neverTooMuch throws reservations, outcomes, retries and refunds made
// elsewhere at one payment and checks the books after each.
func neverTooMuch(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		paid := completed(rt)
		record(ctx, rt, stores[0], paid)
		id := paid.Payment.ID
		for step := range rapid.IntRange(1, 12).Draw(rt, "steps") {
			s := stores[step%len(stores)]
			key := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key")
			cents := rapid.SampledFrom([]int64{1, 2_50, 5_00, 9_99, 10_00, 10_01}).Draw(rt, "cents")
			spent, reserved := books(ctx, rt, s, id)
			before, err := s.Refund(ctx, ask(id, key, nil).RefundID)
			exists := err == nil
			if !exists {
				require.ErrorIs(rt, err, ledger.ErrNotFound)
			}
			switch rapid.IntRange(0, 2).Draw(rt, "what") {
			case 0:
				left, blocked := paid.Payment.Total.Sub(spent), unsettled(ctx, rt, s, id)
				_, err := s.ReserveRefund(ctx, ask(id, key, amount(cents)))
				switch {
				case exists:
					require.NoError(rt, err)
				case blocked:
					require.Equal(rt, payment.RefusedInProgress, refusal(rt, err).Code)
				case left.Cmp(money.FromCents(cents)) < 0:
					require.Equal(rt, payment.RefundRefusal{Code: payment.RefusedExceeds, Left: left}, *refusal(rt, err))
				default:
					require.NoError(rt, err)
				}
			case 1:
				if !exists {
					continue
				}
				next := settled(before, rapid.SampledFrom([]payment.RefundStatus{payment.RefundCompleted, payment.RefundFailed}).Draw(rt, "status"))
				next.Refund.NeedsReview = rapid.Bool().Draw(rt, "review")
				want := next
				if _, err := s.RecordRefund(ctx, ledger.RefundChange{Record: next}); err != nil {
					want = before
				}
				got, err := s.Refund(ctx, before.Refund.ID)
				require.NoError(rt, err)
				require.Equal(rt, want.Revision, got.Revision)
				require.Equal(rt, want.Refund.Status, got.Refund.Status)
			case 2:
				if !reserved.IsZero() {
					continue // such an event is parked while a refund is unsettled
				}
				_, err := s.RecordRefund(ctx, ledger.RefundChange{Record: settled(ledger.RefundRecord{Refund: payment.Refund{
					ID: ledger.DeriveRefundID(id, fmt.Sprint("external ", step)), PaymentID: id, Amount: money.FromCents(cents),
					Source: payment.SourceExternal, CreatedAt: noon(),
				}}, payment.RefundCompleted)})
				fits := spent.Add(money.FromCents(cents)).Cmp(paid.Payment.Total) <= 0
				require.Equal(rt, fits, err == nil, "%v", err)
			}
			books(ctx, rt, s, id)
		}
	})
}

// unsettled reports whether a refund of the payment is pending or in review.
func unsettled(ctx context.Context, t require.TestingT, s *store.Store, paymentID string) bool {
	refunds, err := s.Refunds(ctx, paymentID)
	require.NoError(t, err)
	return slices.ContainsFunc(refunds, func(r payment.Refund) bool {
		return r.Status == payment.RefundPending || r.NeedsReview
	})
}
