package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// elsewhere returns a refund that was made in the ATH Business app; the origin
// tells them apart.
func elsewhere(paymentID, origin string, cents, total int64) ledger.ExternalRefund {
	return ledger.ExternalRefund{
		RefundID: ledger.DeriveExternalRefundID(paymentID, origin), PaymentID: paymentID,
		Amount: money.FromCents(cents), Total: money.FromCents(total), Source: payment.SourceExternal,
		ReferenceNumber: "rr " + origin, Message: "sorry", At: noon(),
	}
}

func bookings(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	shop := receiver("shop", payment.EventRefundCompleted, "book")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{shop}))
	refuse := func(want payment.RefundRefusal, external ledger.ExternalRefund) {
		t.Helper()
		_, _, err := s.BookExternalRefund(ctx, external)
		require.Equal(t, want, *refusal(t, err))
	}
	refuse(payment.RefundRefusal{Code: payment.RefusedNoPayment}, elsewhere(newID(t), "a", 1_00, 1_00))
	unpaid := pending(t)
	record(ctx, t, s, unpaid)
	refuse(payment.RefundRefusal{Code: payment.RefusedNotCompleted, Status: payment.StatusPending},
		elsewhere(unpaid.Payment.ID, "a", 1_00, 1_00))

	paid := completed(t)
	record(ctx, t, s, paid)
	id := paid.Payment.ID
	refuse(payment.RefundRefusal{Code: payment.RefusedExplained}, elsewhere(id, "a", 4_00, 3_99))
	refuse(payment.RefundRefusal{Code: payment.RefusedExceeds, Left: money.FromCents(10_00)}, elsewhere(id, "a", 10_01, 10_01))
	_, _, err := s.BookExternalRefund(ctx, elsewhere(id, "a", 0, 10_00))
	require.ErrorContains(t, err, "must be positive")

	first := elsewhere(id, "a", 4_00, 4_00)
	for range 2 {
		announced, booked, err := s.BookExternalRefund(ctx, first)
		require.NoError(t, err)
		require.Equal(t, payment.RefundCompleted, booked.Status)
		require.Equal(t, payment.SourceExternal, booked.Source)
		require.Equal(t, private.Text("sorry"), booked.Message)
		require.Equal(t, []ledger.Receiver{shop}, announced.Receivers)
		require.Equal(t, 1, announced.Sequence, "a repetition is the same event")
		require.Equal(t, money.FromCents(4_00), announced.Payment.RefundedAmount)
	}
	refuse(payment.RefundRefusal{Code: payment.RefusedExplained}, elsewhere(id, "b", 4_00, 7_99))

	ours := ask(id, "k", amount(1_00))
	_, err = s.ReserveRefund(ctx, ours)
	require.NoError(t, err)
	second := elsewhere(id, "b", 4_00, 8_00)
	refuse(payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: ours.RefundID}, second)
	second.For = ours.RefundID
	_, _, err = s.BookExternalRefund(ctx, second)
	require.NoError(t, err, "our own refund wants the books right before it is sent")
	completed, reserved := books(ctx, t, s, id)
	require.Equal(t, money.FromCents(8_00), completed)
	require.Equal(t, money.FromCents(1_00), reserved)
}

// bookingRace lets many events claim the same rise of the gateway's total.
func bookingRace(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	ctx := t.Context()
	paid := completed(t)
	record(ctx, t, stores[0], paid)
	errs := make([]error, 20)
	var all sync.WaitGroup
	for i := range errs {
		one := elsewhere(paid.Payment.ID, fmt.Sprint(i), 2_00, 5_00)
		all.Go(func() { _, _, errs[i] = stores[i%len(stores)].BookExternalRefund(ctx, one) })
	}
	all.Wait()
	booked := 0
	for _, err := range errs {
		if err == nil {
			booked++
			continue
		}
		require.Equal(t, payment.RefusedExplained, refusal(t, err).Code)
	}
	require.Equal(t, 2, booked, "two of $2.00 fit into a rise of $5.00")
}

func refundContexts(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	older, newer := filled(t), filled(t)
	later := noon().Add(time.Hour)
	newer.Payment.CompletedAt = &later
	for _, r := range []ledger.Record{older, newer} {
		record(ctx, t, s, r)
	}
	unpaid := pending(t)
	unpaid.Payment.PhoneNumber = older.Payment.PhoneNumber
	record(ctx, t, s, unpaid)
	ours := ask(older.Payment.ID, "k", amount(3_00))
	_, err := s.ReserveRefund(ctx, ours)
	require.NoError(t, err)

	find := func(claim ledger.RefundClaim) ledger.RefundContext {
		t.Helper()
		found, err := s.RefundContext(ctx, claim)
		require.NoError(t, err)
		return found
	}
	ids := func(found ledger.RefundContext) []string {
		var ids []string
		for _, c := range found.Candidates {
			ids = append(ids, c.Payment.ID)
		}
		return ids
	}
	three := money.FromCents(3_00)
	echo := ledger.RefundClaim{Amount: three, Message: private.Text("sorry #" + ledger.ShortRefundID(ours.RefundID))}
	require.Equal(t, ledger.RefundContext{EchoOf: ours.RefundID, EchoStatus: payment.RefundPending}, find(echo))
	echo.Amount = money.FromCents(3_01)
	require.Empty(t, find(echo), "another amount is another refund")

	for _, claim := range []ledger.RefundClaim{
		{PaymentID: older.Payment.ID}, {EcommerceID: older.Payment.EcommerceID}, {ReferenceNumber: older.Payment.ReferenceNumber},
		{ReferenceNumber: older.Payment.ReferenceNumber, PhoneNumber: newer.Payment.PhoneNumber},
	} {
		claim.Amount = three
		found := find(claim)
		require.True(t, found.Named)
		require.Equal(t, []string{older.Payment.ID}, ids(found))
		require.Equal(t, ours.RefundID, found.Candidates[0].Unsettled)
	}
	require.Empty(t, find(ledger.RefundClaim{PaymentID: unpaid.Payment.ID, Amount: three}), "it is not completed")

	for _, phone := range []private.Text{older.Payment.PhoneNumber, older.Payment.Customer.PhoneNumber} {
		found := find(ledger.RefundClaim{PhoneNumber: phone, Amount: three, CompletedAfter: noon()})
		require.False(t, found.Named)
		require.Equal(t, []string{newer.Payment.ID, older.Payment.ID}, ids(found), "newest first, and only completed ones")
	}
	require.Equal(t, []string{newer.Payment.ID},
		ids(find(ledger.RefundClaim{PhoneNumber: older.Payment.PhoneNumber, Amount: three, CompletedAfter: later})))
	require.Empty(t, find(ledger.RefundClaim{PhoneNumber: older.Payment.PhoneNumber, Amount: money.FromCents(10_01)}), "too little is left")
	require.Empty(t, find(ledger.RefundClaim{PhoneNumber: "7875559999", Amount: three}))

	r, err := s.Refund(ctx, ours.RefundID)
	require.NoError(t, err)
	done := settled(r, payment.RefundCompleted)
	done.Refund.ReferenceNumber = "rr-own"
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: done})
	require.NoError(t, err)
	own := ledger.RefundClaim{ReferenceNumber: "rr-own", Amount: three}
	require.Equal(t, ledger.RefundContext{EchoOf: ours.RefundID, EchoStatus: payment.RefundCompleted}, find(own))

	// One that we hold for failed, until what it was executed as is booked.
	failing := ask(newer.Payment.ID, "k", amount(2_00))
	_, err = s.ReserveRefund(ctx, failing)
	require.NoError(t, err)
	r, err = s.Refund(ctx, failing.RefundID)
	require.NoError(t, err)
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: settled(r, payment.RefundFailed)})
	require.NoError(t, err)
	two := money.FromCents(2_00)
	echo = ledger.RefundClaim{Amount: two, Message: private.Text("#" + ledger.ShortRefundID(failing.RefundID))}
	found := find(echo)
	require.Equal(t, payment.RefundFailed, found.EchoStatus)
	require.Equal(t, failing.RefundID, found.EchoOf)
	require.Equal(t, []string{newer.Payment.ID}, ids(found))
	_, _, err = s.BookExternalRefund(ctx, ledger.ExternalRefund{
		RefundID: ledger.DeriveEchoedRefundID(failing.RefundID), PaymentID: newer.Payment.ID, Amount: two, Total: two,
		Source: payment.SourceExternal, At: noon(), BookedAt: noon(),
	})
	require.NoError(t, err)
	require.Equal(t, ledger.RefundContext{EchoOf: failing.RefundID, EchoStatus: payment.RefundCompleted}, find(echo))
}

func payers(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	payer := payment.Customer{Name: "Valeria", PhoneNumber: "7875551234", Email: "v@example.com"}
	fill := func(id string, want bool) {
		t.Helper()
		filled, err := s.FillPayer(ctx, id, payer)
		require.NoError(t, err)
		require.Equal(t, want, filled)
	}
	_, err := s.FillPayer(ctx, newID(t), payer)
	require.ErrorIs(t, err, ledger.ErrNotFound)
	unpaid := pending(t)
	record(ctx, t, s, unpaid)
	fill(unpaid.Payment.ID, false)

	paid := completed(t)
	record(ctx, t, s, paid)
	fill(paid.Payment.ID, true)
	fill(paid.Payment.ID, false)
	known, err := s.Customer(ctx, payer.PhoneNumber)
	require.NoError(t, err)
	require.Equal(t, payer, known)
	found, _, err := s.Payments(ctx, ledger.PaymentFilter{PhoneNumber: payer.PhoneNumber})
	require.NoError(t, err)
	require.Len(t, found, 1)

	paid.Revision++ // a late write of a workflow that never heard who paid
	record(ctx, t, s, paid)
	r, err := s.Payment(ctx, paid.Payment.ID)
	require.NoError(t, err)
	require.Equal(t, payer, r.Payment.Customer)
}

func reviews(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	paid := filled(t)
	id := paid.Payment.ID
	review := payment.Review{
		ID: ledger.DeriveReviewID(id, 1), PaymentID: id, Cause: payment.CauseUndecided, OpenedAt: noon(),
		Evidence: []payment.Evidence{{At: noon(), What: "the ticket is PAUSED"}},
	}
	put := func(r payment.Review) {
		t.Helper()
		_, err := s.RecordPayment(ctx, ledger.Change{Record: paid, Review: &r})
		require.NoError(t, err)
	}
	open1, closed := true, false
	list := func(filter ledger.ReviewFilter) []payment.Review {
		t.Helper()
		var all []payment.Review
		for {
			found, next, err := s.Reviews(ctx, filter)
			require.NoError(t, err)
			all = append(all, found...)
			if next == (ledger.Cursor{}) {
				return all
			}
			require.Len(t, found, filter.Limit, "only the last page is shorter")
			filter.After = next
		}
	}
	put(review)
	review.Evidence = append(review.Evidence, payment.Evidence{At: noon().Add(time.Hour), What: "no answer"})
	put(review)
	require.Equal(t, []payment.Review{review}, list(ledger.ReviewFilter{Open: &open1}))
	require.Empty(t, list(ledger.ReviewFilter{Open: &closed}))

	asked := ask(id, "k", amount(1_00))
	granted, err := s.ReserveRefund(ctx, asked)
	require.NoError(t, err)
	ofRefund := review
	ofRefund.ID, ofRefund.RefundID, ofRefund.OpenedAt = ledger.DeriveReviewID(asked.RefundID, 1), asked.RefundID, noon().Add(time.Minute)
	ofRefund.Cause = payment.CauseRefundUnknown
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: ledger.RefundRecord{Refund: granted.Refund, Revision: 1}, Review: &ofRefund})
	require.NoError(t, err)
	require.Equal(t, []payment.Review{ofRefund, review}, list(ledger.ReviewFilter{}), "newest first")
	require.Equal(t, []payment.Review{ofRefund}, list(ledger.ReviewFilter{RefundID: asked.RefundID}))
	require.Equal(t, []payment.Review{ofRefund, review}, list(ledger.ReviewFilter{PaymentID: id, Limit: 1}), "page by page")

	decided := review
	decided.Decision = &payment.Decision{
		Verdict: payment.VerdictNotExecuted, Source: payment.DecidedByPerson, By: "till", Reason: "asked Valeria", At: noon().Add(2 * time.Hour),
	}
	put(decided)
	other := decided
	other.Decision = &payment.Decision{Verdict: payment.VerdictCompleted, Source: payment.DecidedByGateway, At: noon().Add(3 * time.Hour)}
	put(other)
	put(review)
	require.Equal(t, []payment.Review{decided}, list(ledger.ReviewFilter{Open: &closed}), "what was decided stays")

	twin := review // opened at the same moment: the ids decide
	twin.ID = ledger.DeriveReviewID(id, 2)
	put(twin)
	require.ElementsMatch(t, []payment.Review{ofRefund, decided, twin}, list(ledger.ReviewFilter{Limit: 1}))
	require.ElementsMatch(t, []payment.Review{ofRefund, twin}, list(ledger.ReviewFilter{Open: &open1, PaymentID: id, Limit: 1}))
}

func mismatches(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	shop := receiver("shop", payment.EventReconciliationMismatch, "page")
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{shop}))
	paid := filled(t)
	record(ctx, t, s, paid)
	m := payment.Mismatch{
		ID: ledger.DeriveMismatchID(payment.MismatchFee, paid.Payment.ID), Kind: payment.MismatchFee, PaymentID: paid.Payment.ID,
		ReferenceNumber: "rn", Ours: "0.25", Theirs: "0.26", Source: payment.FoundByReconciliation, FoundBy: "run 1", FoundAt: noon(),
	}
	for range 2 {
		announced, err := s.RecordMismatch(ctx, m, "")
		require.NoError(t, err)
		require.Equal(t, 1, announced.Sequence)
		require.Equal(t, []ledger.Receiver{shop}, announced.Receivers)
		require.Equal(t, paid.Payment.ID, announced.Payment.ID)
	}
	again := m
	again.FoundBy, again.FoundAt = "run 2", noon().Add(time.Hour)
	announced, err := s.RecordMismatch(ctx, again, "")
	require.NoError(t, err)
	require.Empty(t, announced.Receivers, "the first run tells of it")
	strange := payment.Mismatch{
		ID: ledger.DeriveMismatchID(payment.MismatchMissingHere, "rn-9"), Kind: payment.MismatchMissingHere, ReferenceNumber: "rn-9",
		Theirs: "5.00", Source: payment.FoundByReconciliation, FoundAt: noon().Add(time.Hour),
	}
	for range 2 {
		announced, err := s.RecordMismatch(ctx, strange, "")
		require.NoError(t, err)
		require.Equal(t, 1, announced.Sequence)
		require.Equal(t, []ledger.Receiver{shop}, announced.Receivers)
		require.Empty(t, announced.Payment.ID)
	}
	quiet := strange
	quiet.ID, quiet.Kind = ledger.DeriveMismatchID(payment.MismatchUnsolicited, "rn-10"), payment.MismatchUnsolicited
	quiet.FoundAt = noon().Add(2 * time.Hour)
	announced, err = s.RecordMismatch(ctx, quiet, "")
	require.NoError(t, err)
	require.Empty(t, announced.Receivers)

	list := func(filter ledger.MismatchFilter) []payment.Mismatch {
		t.Helper()
		found, err := s.Mismatches(ctx, filter)
		require.NoError(t, err)
		return found
	}
	require.Equal(t, []payment.Mismatch{quiet, strange, m}, list(ledger.MismatchFilter{}), "newest first")
	require.Equal(t, []payment.Mismatch{m}, list(ledger.MismatchFilter{PaymentID: paid.Payment.ID}))
	require.Equal(t, []payment.Mismatch{strange}, list(ledger.MismatchFilter{Kind: payment.MismatchMissingHere}))
	require.Equal(t, []payment.Mismatch{strange}, list(ledger.MismatchFilter{
		FoundFrom: noon().Add(time.Hour), FoundTo: noon().Add(2 * time.Hour),
	}))
}
