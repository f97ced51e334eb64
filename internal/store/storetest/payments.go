package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

func paymentRoundTrip(t *testing.T, open Opener) {
	s := open(nil)
	require.NoError(t, s.Ping(t.Context()))
	for name, want := range map[string]ledger.Record{"every field": filled(t), "no optional field": pending(t)} {
		record(t.Context(), t, s, want)
		got, err := s.Payment(t.Context(), want.Payment.ID)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)

		other, err := open(nil).Payment(t.Context(), want.Payment.ID)
		require.NoError(t, err, name)
		require.Equal(t, want, other, "another process reads the same")
	}
}

func unknownIDs(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	_, err := s.Payment(ctx, newID(t))
	require.ErrorIs(t, err, ledger.ErrNotFound)
	_, err = s.Refund(ctx, "ref_unknown")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	_, err = s.Customer(ctx, "7875559999")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	require.ErrorIs(t, s.RecordAttempt(ctx, ledger.Attempt{DeliveryID: "ntf_unknown", Number: 1, At: noon()}), ledger.ErrNotFound)
	_, err = s.ReopenDelivery(ctx, "ntf_unknown", "redeliver/ntf_unknown", "")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	_, err = s.Delivery(ctx, "ntf_unknown")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	require.ErrorIs(t, s.SettleGatewayEvent(ctx, "whe_unknown", ledger.EventLate, "", ""), ledger.ErrNotFound)
	require.ErrorIs(t, s.SettleGatewayEvent(ctx, "whe_unknown", ledger.EventUnmatched, "", ""), ledger.ErrNotFound)
	require.ErrorIs(t, s.PostponeGatewayEvent(ctx, "whe_unknown", noon()), ledger.ErrNotFound)
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: ledger.RefundRecord{Refund: payment.Refund{ID: "ref_x", PaymentID: newID(t)}}})
	require.ErrorIs(t, err, ledger.ErrNotFound)

	transitions, err := s.Transitions(ctx, "pay_unknown")
	require.NoError(t, err)
	require.Empty(t, transitions)
	refunds, err := s.Refunds(ctx, "pay_unknown")
	require.NoError(t, err)
	require.Empty(t, refunds)
}

func olderRevisions(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	newer := filled(t)
	step := func(sequence int, from, to payment.Status) ledger.Transition {
		return ledger.Transition{PaymentID: newer.Payment.ID, Sequence: sequence, From: from, To: to, At: noon(), Reason: "why"}
	}
	last := step(3, payment.StatusConfirmed, payment.StatusCompleted)
	_, err := s.RecordPayment(ctx, ledger.Change{Record: newer, Transitions: []ledger.Transition{last}})
	require.NoError(t, err)

	older := pending(t)
	older.Payment.ID, older.Revision = newer.Payment.ID, newer.Revision-1
	first := step(1, "", payment.StatusPending)
	_, err = s.RecordPayment(ctx, ledger.Change{Record: older, Transitions: []ledger.Transition{first}})
	require.NoError(t, err)

	equal := newer
	equal.Payment.ReferenceNumber = "another"
	rewritten := last
	rewritten.Reason = "another"
	_, err = s.RecordPayment(ctx, ledger.Change{Record: equal, Transitions: []ledger.Transition{rewritten}})
	require.NoError(t, err)

	got, err := s.Payment(ctx, newer.Payment.ID)
	require.NoError(t, err)
	require.Equal(t, newer, got)
	transitions, err := s.Transitions(ctx, newer.Payment.ID)
	require.NoError(t, err)
	require.Equal(t, []ledger.Transition{first, last}, transitions, "a late write still adds its steps, and changes none")
}

func revisionsConverge(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	statuses := payment.Statuses()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		base := pending(rt)
		count := rapid.IntRange(1, 6).Draw(rt, "revisions")
		var changes []ledger.Change
		for i := range count {
			r := base
			r.Revision = int64(i + 1)
			r.Payment.Status = statuses[min(i, len(statuses)-1)]
			r.Payment.UpdatedAt = noon().Add(time.Duration(i) * time.Second)
			r.Payment.Metadata1 = private.Text(fmt.Sprintf("revision %d", i+1))
			changes = append(changes, ledger.Change{Record: r, Transitions: []ledger.Transition{{
				PaymentID: base.Payment.ID, Sequence: i + 1, To: r.Payment.Status, At: r.Payment.UpdatedAt,
			}}})
		}
		order := rapid.Permutation(append(slices.Clone(changes), changes...)).Draw(rt, "order")
		for i, change := range order {
			_, err := stores[i%len(stores)].RecordPayment(ctx, change)
			require.NoError(rt, err)
		}
		got, err := stores[0].Payment(ctx, base.Payment.ID)
		require.NoError(rt, err)
		require.Equal(rt, changes[count-1].Record, got)
		transitions, err := stores[0].Transitions(ctx, base.Payment.ID)
		require.NoError(rt, err)
		require.Len(rt, transitions, count)
		for i, change := range changes {
			require.Equal(rt, change.Transitions[0], transitions[i])
		}
	})
}

func referenceInUse(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	first := pending(t)
	first.Payment.Reference = "order 7"
	record(ctx, t, s, first)
	record(ctx, t, s, first)

	second := pending(t)
	second.Payment.Reference = "order 7"
	var refused *ledger.ReferenceInUseError
	_, err := s.ReservePayment(ctx, second)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, first.Payment.ID, refused.PaymentID)
	_, err = s.RecordPayment(ctx, ledger.Change{
		Record:      second,
		Transitions: []ledger.Transition{{PaymentID: second.Payment.ID, Sequence: 1, To: payment.StatusPending, At: noon()}},
	})
	refused = nil
	require.ErrorAs(t, err, &refused)
	require.Equal(t, first.Payment.ID, refused.PaymentID)
	_, err = s.Payment(ctx, second.Payment.ID)
	require.ErrorIs(t, err, ledger.ErrNotFound, "nothing was written")

	failed := second
	failed.Payment.Status = payment.StatusFailed
	record(ctx, t, s, failed) // a finished one needs no place

	first.Revision++
	first.Payment.Status = payment.StatusExpired
	record(ctx, t, s, first)

	third := pending(t)
	third.Payment.Reference, third.Revision = "order 7", 0
	reserved, err := s.ReservePayment(ctx, third)
	require.NoError(t, err)
	require.Equal(t, third, reserved)
	third.Revision, third.Payment.Status = 1, payment.StatusOpen
	record(ctx, t, s, third)
	other := pending(t)
	other.Payment.ID, other.Fingerprint = third.Payment.ID, "other"
	reserved, err = s.ReservePayment(ctx, other)
	require.NoError(t, err)
	require.Equal(t, third, reserved, "as it stands now, whatever is asked for")
	for range 2 {
		record(ctx, t, s, pending(t)) // no reference, no conflict
	}
}

func referenceRace(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		r := pending(t)
		r.Payment.Reference = "order 8"
		all.Go(func() {
			_, errs[i] = stores[i%len(stores)].ReservePayment(t.Context(), r)
		})
	}
	all.Wait()
	found, _, err := stores[0].Payments(t.Context(), ledger.PaymentFilter{Reference: "order 8", Limit: 100})
	require.NoError(t, err)
	require.Len(t, found, 1)
	winner := found[0].ID
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		var refused *ledger.ReferenceInUseError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, winner, refused.PaymentID)
	}
	require.Equal(t, 1, won)
}

func debits(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	ctx := t.Context()
	var all []ledger.Record
	for range 8 {
		r := pending(t)
		record(ctx, t, stores[0], r)
		r.Revision, r.Payment.Status, r.Payment.ReferenceNumber = 4, payment.StatusCompleted, "rn-once"
		r.Payment.Captured = amount(10_00)
		all = append(all, r)
	}
	owners := make([]string, len(all))
	var together sync.WaitGroup
	for i, r := range all {
		together.Go(func() {
			var taken *ledger.DebitTakenError
			for { // until the store has an answer
				_, err := stores[i%len(stores)].RecordPayment(ctx, ledger.Change{Record: r})
				if err == nil {
					owners[i] = r.Payment.ID
					return
				}
				if errors.As(err, &taken) || ctx.Err() != nil {
					return
				}
			}
		})
	}
	together.Wait()
	winner := strings.Join(owners, "")
	require.Len(t, winner, len(all[0].Payment.ID), "one of them")
	for _, r := range all {
		_, err := stores[0].RecordPayment(ctx, ledger.Change{Record: r})
		if r.Payment.ID == winner {
			require.NoError(t, err, "again is the same as once")
			continue
		}
		var taken *ledger.DebitTakenError
		require.ErrorAs(t, err, &taken)
		require.Equal(t, winner, taken.PaymentID)
		stored, err := stores[0].Payment(ctx, r.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, payment.StatusPending, stored.Payment.Status, "nothing was written")
		r.Payment.ReferenceNumber = ""
		record(ctx, t, stores[0], r) // a person's word may complete it without one
		stored, err = stores[0].Payment(ctx, r.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, money.FromCents(10_00), *stored.Payment.Captured)
	}
}

func unstarted(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	paid := completed(t)
	record(ctx, t, s, paid)
	reserved := make([]ledger.Record, 3)
	for i := range reserved {
		reserved[i] = pending(t)
		reserved[i].Revision = 0
		_, err := s.ReservePayment(ctx, reserved[i])
		require.NoError(t, err)
	}
	slices.SortFunc(reserved, func(a, b ledger.Record) int { return strings.Compare(a.Payment.ID, b.Payment.ID) }) // all at noon
	begun := pending(t)
	record(ctx, t, s, begun)

	later := noon().Add(time.Minute)
	page, err := s.UnstartedPayments(ctx, later, ledger.Cursor{}, 2)
	require.NoError(t, err)
	require.Equal(t, reserved[:2], page)
	page, err = s.UnstartedPayments(ctx, later, ledger.Cursor{CreatedAt: noon(), ID: reserved[1].Payment.ID}, 2)
	require.NoError(t, err)
	require.Equal(t, reserved[2:], page)
	page, err = s.UnstartedPayments(ctx, noon(), ledger.Cursor{}, 2)
	require.NoError(t, err)
	require.Empty(t, page, "too young")

	asked := ask(paid.Payment.ID, "k", amount(2_50))
	granted, err := s.ReserveRefund(ctx, asked)
	require.NoError(t, err)
	refunds, err := s.UnstartedRefunds(ctx, asked.At.Add(time.Minute), ledger.Cursor{}, 2)
	require.NoError(t, err)
	require.Equal(t, []ledger.RefundRecord{{Refund: granted.Refund, Fingerprint: asked.Fingerprint}}, refunds)
	settle(ctx, t, s, asked.RefundID, payment.RefundFailed)
	refunds, err = s.UnstartedRefunds(ctx, asked.At.Add(time.Minute), ledger.Cursor{}, 2)
	require.NoError(t, err)
	require.Empty(t, refunds)
}

func lists(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	var all []payment.Payment // newest first
	for i := range 7 {
		r := filled(t)
		r.Payment.CreatedAt = noon().Add(time.Duration(i/2) * time.Second) // pairs, told apart by id
		r.Payment.ExpiresIn = r.Payment.ExpiresAt.Sub(r.Payment.CreatedAt)
		r.Payment.NeedsReview = i%2 == 0
		r.Payment.Metadata2 = private.Text(fmt.Sprint("row ", i))
		if i == 3 {
			r.Payment.Status = payment.StatusFailed
			r.Payment.PhoneNumber, r.Payment.Customer = "9395550003", payment.Customer{PhoneNumber: "9395550004"}
		}
		record(ctx, t, s, r)
		all = append(all, r.Payment)
	}
	odd := all[3]
	slices.SortFunc(all, func(a, b payment.Payment) int {
		if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})

	for limit := 1; limit <= 8; limit++ {
		var got []payment.Payment
		filter := ledger.PaymentFilter{Limit: limit}
		for {
			page, next, err := s.Payments(ctx, filter)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			got = append(got, page...)
			if next == (ledger.Cursor{}) {
				break
			}
			filter.After = next
		}
		require.Equal(t, all, got, "pages of %d", limit)
	}

	yes, no := true, false
	want := func(keep func(payment.Payment) bool) []payment.Payment {
		kept := slices.Clone(all)
		return slices.DeleteFunc(kept, func(p payment.Payment) bool { return !keep(p) })
	}
	tests := []struct {
		name   string
		filter ledger.PaymentFilter
		keep   func(payment.Payment) bool
	}{
		{"none", ledger.PaymentFilter{}, func(payment.Payment) bool { return true }},
		{"status", ledger.PaymentFilter{Status: payment.StatusFailed}, func(p payment.Payment) bool { return p.ID == odd.ID }},
		{"reference", ledger.PaymentFilter{Reference: odd.Reference}, func(p payment.Payment) bool { return p.ID == odd.ID }},
		{"asked phone", ledger.PaymentFilter{PhoneNumber: "9395550003"}, func(p payment.Payment) bool { return p.ID == odd.ID }},
		{"paying phone", ledger.PaymentFilter{PhoneNumber: "7875550002"}, func(p payment.Payment) bool { return p.ID != odd.ID }},
		{"metadata1", ledger.PaymentFilter{Metadata1: odd.Metadata1}, func(p payment.Payment) bool { return p.ID == odd.ID }},
		{"metadata2", ledger.PaymentFilter{Metadata2: "row 3"}, func(p payment.Payment) bool { return p.ID == odd.ID }},
		{"metadata2 as metadata1", ledger.PaymentFilter{Metadata1: "row 3"}, func(payment.Payment) bool { return false }},
		{"in review", ledger.PaymentFilter{NeedsReview: &yes}, func(p payment.Payment) bool { return p.NeedsReview }},
		{"not in review", ledger.PaymentFilter{NeedsReview: &no}, func(p payment.Payment) bool { return !p.NeedsReview }},
		{"from, inclusive", ledger.PaymentFilter{CreatedFrom: odd.CreatedAt}, func(p payment.Payment) bool { return !p.CreatedAt.Before(odd.CreatedAt) }},
		{"to, exclusive", ledger.PaymentFilter{CreatedTo: odd.CreatedAt}, func(p payment.Payment) bool { return p.CreatedAt.Before(odd.CreatedAt) }},
		{
			"several", ledger.PaymentFilter{PhoneNumber: "7875550001", NeedsReview: &yes, CreatedFrom: odd.CreatedAt, Status: payment.StatusCompleted},
			func(p payment.Payment) bool { return p.NeedsReview && !p.CreatedAt.Before(odd.CreatedAt) },
		},
	}
	for _, tt := range tests {
		got, next, err := s.Payments(ctx, tt.filter)
		require.NoError(t, err, tt.name)
		require.Zero(t, next, tt.name)
		require.ElementsMatch(t, want(tt.keep), got, tt.name)
	}
}

func pagesDuringWrites(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	seen := map[string]int{}
	var before []string
	for range 5 {
		r := pending(t)
		record(ctx, t, s, r)
		before = append(before, r.Payment.ID)
	}
	filter := ledger.PaymentFilter{Limit: 2}
	for {
		page, next, err := s.Payments(ctx, filter)
		require.NoError(t, err)
		for _, p := range page {
			seen[p.ID]++
		}
		if next == (ledger.Cursor{}) {
			break
		}
		filter.After = next
		late := pending(t)
		late.Payment.CreatedAt = noon().Add(time.Hour)
		record(ctx, t, s, late)
	}
	require.Len(t, seen, len(before))
	for _, id := range before {
		require.Equal(t, 1, seen[id], "each payment is listed once, whatever arrives in between")
	}
}

func customers(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	paid := func(after time.Duration, name, email private.Text) {
		r := completed(t)
		at := noon().Add(after)
		r.Payment.CompletedAt = &at
		r.Payment.Customer = payment.Customer{Name: name, PhoneNumber: "7875550005", Email: email}
		record(ctx, t, s, r)
	}
	want := func(name, email private.Text) {
		t.Helper()
		got, err := s.Customer(ctx, "7875550005")
		require.NoError(t, err)
		require.Equal(t, payment.Customer{Name: name, PhoneNumber: "7875550005", Email: email}, got)
	}
	paid(2*time.Minute, "Ana", "")
	want("Ana", "")
	paid(3*time.Minute, "", "ana@example.com")
	want("Ana", "ana@example.com")
	paid(1*time.Minute, "An", "old@example.com") // written late
	want("Ana", "ana@example.com")
	paid(4*time.Minute, "Ana Ruiz", "")
	want("Ana Ruiz", "ana@example.com")

	open1 := pending(t)
	open1.Payment.Customer = payment.Customer{Name: "Nobody", PhoneNumber: "7875550006"}
	record(ctx, t, s, open1)
	_, err := s.Customer(ctx, "7875550006")
	require.ErrorIs(t, err, ledger.ErrNotFound, "only who paid is a customer")
}

func merchants(t *testing.T, open Opener) {
	require.NoError(t, open(nil).ClaimMerchant(t.Context(), "tienda"))
	s := open(nil)
	require.NoError(t, s.ClaimMerchant(t.Context(), "tienda"))
	err := s.ClaimMerchant(t.Context(), "otra")
	require.ErrorContains(t, err, "COBRO_MERCHANT_ID=tienda")
	require.Error(t, s.ClaimMerchant(t.Context(), ""))
	require.NoError(t, s.ClaimMerchant(t.Context(), "tienda"), "a refused claim changes nothing")
}

func cancelledContext(t *testing.T, open Opener) {
	s := open(nil)
	r := pending(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.RecordPayment(ctx, ledger.Change{Record: r})
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Payment(t.Context(), r.Payment.ID)
	require.ErrorIs(t, err, ledger.ErrNotFound)
}
