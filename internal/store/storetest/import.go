package storetest

import (
	"context"
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

// old returns a completed payment of $10.00 of another system, with refunds of
// so many cents each.
func old(t require.TestingT, refunds ...int64) store.Import {
	r := filled(t)
	r.Payment.Failure, r.Payment.NeedsReview = nil, false
	p := r.Payment
	in := store.Import{Merchant: "default", Origin: "old", Payment: p, Transitions: []ledger.Transition{
		{PaymentID: p.ID, Sequence: 1, From: payment.StatusPending, To: payment.StatusOpen, At: p.CreatedAt},
		{PaymentID: p.ID, Sequence: 2, From: payment.StatusOpen, To: payment.StatusConfirmed, At: *p.CompletedAt},
		{PaymentID: p.ID, Sequence: 3, From: payment.StatusConfirmed, To: payment.StatusCompleted, At: *p.CompletedAt},
	}}
	for i, cents := range refunds {
		at := p.CompletedAt.Add(time.Duration(i+1) * time.Hour)
		in.Refunds = append(in.Refunds, payment.Refund{
			ID: ledger.DeriveRefundID(p.ID, at.String()), PaymentID: p.ID, Amount: money.FromCents(cents),
			Status: payment.RefundCompleted, Source: payment.SourceImported, ReferenceNumber: "rr " + at.String(),
			Message: "devolución", CreatedAt: at, CompletedAt: &at,
		})
	}
	return in
}

// importing imports and returns the outcomes, the payment's first.
func importing(ctx context.Context, t require.TestingT, s *store.Store, in store.Import) []store.ImportOutcome {
	done, err := s.Import(ctx, in)
	require.NoError(t, err)
	require.Len(t, done.Refunds, len(in.Refunds))
	outcomes := []store.ImportOutcome{done.Payment.Outcome}
	for _, refund := range done.Refunds {
		outcomes = append(outcomes, refund.Outcome)
	}
	return outcomes
}

func imports(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	shop := []ledger.Receiver{
		receiver("shop", payment.EventCreated, "note"), receiver("shop", payment.EventCompleted, "note"),
		receiver("shop", payment.EventRefundCompleted, "note"),
	}
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", shop))
	in := old(t, 2_00, 3_00)
	require.Equal(t, []store.ImportOutcome{store.ImportWritten, store.ImportWritten, store.ImportWritten}, importing(ctx, t, s, in))

	want := ledger.Record{Payment: in.Payment, Revision: 1, Fingerprint: "old"}
	want.Payment.RefundedAmount = money.FromCents(5_00)
	reads := func() {
		t.Helper()
		got, err := s.Payment(ctx, in.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		steps, err := s.Transitions(ctx, in.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, in.Transitions, steps)
		refunds, err := s.Refunds(ctx, in.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, in.Refunds, refunds)
		told, err := s.Deliveries(ctx, in.Payment.ID)
		require.NoError(t, err)
		require.Empty(t, told, "nobody is told of old sales")
	}
	reads()
	require.Equal(t, []store.ImportOutcome{store.ImportKnown, store.ImportKnown, store.ImportKnown}, importing(ctx, t, s, in))
	reads()

	known, err := s.Customer(ctx, in.Payment.Customer.PhoneNumber)
	require.NoError(t, err)
	require.Equal(t, in.Payment.Customer, known)
	found, _, err := s.Payments(ctx, ledger.PaymentFilter{Metadata1: in.Payment.Metadata1})
	require.NoError(t, err)
	require.Equal(t, []payment.Payment{want.Payment}, found)

	// A later dump has one refund more.
	grown := in
	more := in.Refunds[1]
	at := more.CreatedAt.Add(time.Hour)
	more.ID, more.CreatedAt, more.CompletedAt = ledger.DeriveRefundID(in.Payment.ID, "more"), at, &at
	grown.Refunds = append(grown.Refunds[:2:2], more)
	require.Equal(t, []store.ImportOutcome{store.ImportKnown, store.ImportKnown, store.ImportKnown, store.ImportWritten}, importing(ctx, t, s, grown))
	in, want.Payment.RefundedAmount = grown, money.FromCents(8_00)
	reads()

	unfinished := old(t)
	unfinished.Payment.Status = payment.StatusOpen
	_, err = s.Import(ctx, unfinished)
	require.ErrorContains(t, err, "has not ended")
	ours := old(t, 1_00)
	ours.Refunds[0].Source = payment.SourceAPI
	_, err = s.Import(ctx, ours)
	require.ErrorContains(t, err, "its own source")
	_, err = s.Payment(ctx, ours.Payment.ID)
	require.ErrorIs(t, err, ledger.ErrNotFound, "all or nothing")
	strange := old(t)
	strange.Merchant = "otra"
	_, err = s.Import(ctx, strange)
	require.ErrorContains(t, err, "COBRO_MERCHANT_ID=default")
}

func importContradictions(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	first := old(t, 2_00)
	importing(ctx, t, s, first)
	before, err := s.Payment(ctx, first.Payment.ID)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		change func(*payment.Payment)
		says   string
	}{
		"status":    {func(p *payment.Payment) { p.Status = payment.StatusExpired }, "imported as completed and is expired"},
		"total":     {func(p *payment.Payment) { p.Total = money.FromCents(10_01) }, "total of $10.00 and has $10.01"},
		"reference": {func(p *payment.Payment) { p.ReferenceNumber = "another" }, "another reference number"},
		"fee":       {func(p *payment.Payment) { p.Fee = amount(26) }, "fee of $0.25 and has $0.26"},
		"net":       {func(p *payment.Payment) { p.NetAmount = amount(9_74) }, "net amount of $9.75 and has $9.74"},
	} {
		changed := first
		tt.change(&changed.Payment)
		done, err := s.Import(ctx, changed)
		require.NoError(t, err, name)
		require.Equal(t, store.ImportContradicts, done.Payment.Outcome, name)
		require.Contains(t, done.Payment.Reason, tt.says, name)
		require.Equal(t, store.ImportContradicts, done.Refunds[0].Outcome, name)
		after, err := s.Payment(ctx, first.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, before, after, name)
	}
	quiet := first
	quiet.Payment.Fee, quiet.Payment.NetAmount, quiet.Payment.Customer = nil, nil, payment.Customer{}
	require.Equal(t, store.ImportKnown, importing(ctx, t, s, quiet)[0], "what it does not know contradicts nothing")

	changed := first
	changed.Refunds = []payment.Refund{first.Refunds[0]}
	changed.Refunds[0].Amount = money.FromCents(2_01)
	require.Equal(t, []store.ImportOutcome{store.ImportKnown, store.ImportContradicts}, importing(ctx, t, s, changed))
	twin := old(t)
	twin.Payment.ReferenceNumber = first.Payment.ReferenceNumber
	require.Equal(t, store.ImportContradicts, importing(ctx, t, s, twin)[0], "a reference number is of one payment")
	foreign := first
	foreign.Origin = "older still"
	require.Equal(t, store.ImportContradicts, importing(ctx, t, s, foreign)[0])
	refunds, err := s.Refunds(ctx, first.Payment.ID)
	require.NoError(t, err)
	require.Equal(t, first.Refunds, refunds)
}

func importOwn(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	ours := filled(t)
	record(ctx, t, s, ours)
	told := old(t, 1_00) // the gateway told the other system of our ticket
	told.Payment.EcommerceID, told.Payment.ReferenceNumber = ours.Payment.EcommerceID, ours.Payment.ReferenceNumber
	require.Equal(t, []store.ImportOutcome{store.ImportOwn, store.ImportOwn}, importing(ctx, t, s, told))
	_, err := s.Payment(ctx, told.Payment.ID)
	require.ErrorIs(t, err, ledger.ErrNotFound)

	// From our first refund on, the books of a payment are compared with the
	// gateway's total, and a refund of the other system's is in it.
	in := old(t, 1_00, 2_00)
	later := in.Refunds[1]
	in.Refunds = in.Refunds[:1]
	importing(ctx, t, s, in)
	external := elsewhere(in.Payment.ID, "a", 2_00, 3_00)
	_, _, err = s.BookExternalRefund(ctx, external)
	require.NoError(t, err)
	in.Refunds = append(in.Refunds, later)
	done, err := s.Import(ctx, in)
	require.NoError(t, err)
	require.Equal(t, store.ImportKnown, done.Refunds[0].Outcome)
	require.Equal(t, store.ImportOwn, done.Refunds[1].Outcome)
	require.Contains(t, done.Refunds[1].Reason, external.RefundID)
	completed, _ := books(ctx, t, s, in.Payment.ID)
	require.Equal(t, money.FromCents(3_00), completed)
}

func importRehearsals(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	in := old(t, 2_00)
	in.Merchant = "tienda"
	other := in
	other.Payment.ID, other.Payment.EcommerceID, other.Refunds = ledger.DeriveID("tienda", "other"), "another ticket", nil
	customer := store.CustomerImport{Merchant: "tienda", Customer: payment.Customer{PhoneNumber: "7875550007", Name: "Ana"}, At: noon()}
	for range 2 {
		done, kept, err := s.RehearseImport(ctx, []store.Import{in, in, other}, []store.CustomerImport{customer, customer})
		require.NoError(t, err)
		require.Equal(t, store.ImportWritten, done[0].Payment.Outcome)
		require.Equal(t, []store.ImportResult{{Outcome: store.ImportWritten}}, done[0].Refunds)
		require.Equal(t, store.ImportKnown, done[1].Payment.Outcome, "the one before was brought in")
		require.Contains(t, done[2].Payment.Reason, "its reference number belongs to "+in.Payment.ID)
		require.Equal(t, []store.ImportOutcome{store.ImportWritten, store.ImportKnown}, kept)
	}
	_, err := s.Payment(ctx, in.Payment.ID)
	require.ErrorIs(t, err, ledger.ErrNotFound)
	_, err = s.Customer(ctx, in.Payment.Customer.PhoneNumber)
	require.ErrorIs(t, err, ledger.ErrNotFound)
	_, err = s.Customer(ctx, "7875550007")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	require.NoError(t, s.ClaimMerchant(ctx, "otra"), "not even the merchant")
}

func importRace(t *testing.T, open Opener) {
	stores := []*store.Store{open(nil), open(nil)}
	in := old(t, 4_00, 6_00)
	done, errs := make([]store.Imported, 10), make([]error, 10)
	var all sync.WaitGroup
	for i := range done {
		all.Go(func() { done[i], errs[i] = stores[i%len(stores)].Import(t.Context(), in) })
	}
	all.Wait()
	for i := range done {
		require.NoError(t, errs[i])
		require.Contains(t, []store.ImportOutcome{store.ImportWritten, store.ImportKnown}, done[i].Payment.Outcome)
	}
	completed, _ := books(t.Context(), t, stores[0], in.Payment.ID)
	require.Equal(t, money.FromCents(10_00), completed)
}

func importNeverTooMuch(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		in := old(rt, rapid.SliceOfN(rapid.Int64Range(1, 8_00), 0, 5).Draw(rt, "refunds")...)
		outcomes := importing(ctx, rt, s, in)[1:]
		sum := money.Amount{}
		for i, refund := range in.Refunds {
			after := sum.Add(refund.Amount)
			fits := after.Cmp(in.Payment.Total) <= 0
			require.Equal(rt, fits, outcomes[i] == store.ImportWritten)
			if fits {
				sum = after
			}
		}
		got, err := s.Payment(ctx, in.Payment.ID)
		require.NoError(rt, err)
		require.Equal(rt, sum, got.Payment.RefundedAmount)
	})
	cancelled := old(t, 1_00)
	cancelled.Payment.Status, cancelled.Payment.CompletedAt = payment.StatusCancelled, nil
	require.Equal(t, []store.ImportOutcome{store.ImportWritten, store.ImportContradicts}, importing(ctx, t, s, cancelled))
}

func importedCustomers(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	keep := func(name string, after time.Duration, want store.ImportOutcome) {
		t.Helper()
		c := payment.Customer{Name: "Ana", PhoneNumber: "7875550008"}
		if name != "" {
			c.Email = "ana@example.com"
		}
		got, err := s.ImportCustomer(ctx, store.CustomerImport{Merchant: "default", Customer: c, At: noon().Add(after)})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	keep("", 0, store.ImportWritten)
	keep("", 0, store.ImportKnown)
	keep("email", time.Minute, store.ImportWritten)
	keep("email", time.Minute, store.ImportKnown)
	paid := completed(t)
	at := noon().Add(time.Hour)
	paid.Payment.CompletedAt, paid.Payment.Customer = &at, payment.Customer{Name: "Ana Ruiz", PhoneNumber: "7875550008"}
	record(ctx, t, s, paid)
	keep("email", time.Minute, store.ImportKnown)
	got, err := s.Customer(ctx, "7875550008")
	require.NoError(t, err)
	require.Equal(t, payment.Customer{Name: "Ana Ruiz", PhoneNumber: "7875550008", Email: "ana@example.com"}, got)
	_, err = s.ImportCustomer(ctx, store.CustomerImport{Merchant: "default", Customer: payment.Customer{Name: "Ana"}, At: noon()})
	require.Error(t, err)
}

func importedLater(t *testing.T, open Opener) {
	s, ctx := open(newClock().now), t.Context()
	in := old(t, 2_00)
	early := ledger.GatewayEvent{ID: "whe_early", Digest: "early", EcommerceID: in.Payment.EcommerceID, ReceivedAt: noon()}
	_, err := s.AddGatewayEvent(ctx, early)
	require.NoError(t, err)
	require.NoError(t, s.SettleGatewayEvent(ctx, early.ID, ledger.EventUnmatched, "", "no payment"))
	importing(ctx, t, s, in)
	waiting, _, err := s.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventPending, Limit: 10})
	require.NoError(t, err)
	require.Len(t, waiting, 1, "an event that came first is taken up again")
	id, err := s.MatchGatewayEvent(ctx, early)
	require.NoError(t, err)
	require.Equal(t, in.Payment.ID, id)

	p, err := s.PaymentByReference(ctx, in.Payment.ReferenceNumber)
	require.NoError(t, err)
	require.Equal(t, in.Payment.ID, p.ID)
	day, err := s.CompletedPayments(ctx, noon(), noon().Add(time.Hour), ledger.Cursor{}, 10)
	require.NoError(t, err)
	require.Len(t, day, 1)

	echo := ledger.RefundClaim{Amount: money.FromCents(2_00), ReferenceNumber: in.Refunds[0].ReferenceNumber}
	found, err := s.RefundContext(ctx, echo)
	require.NoError(t, err)
	require.Equal(t, ledger.RefundContext{EchoOf: in.Refunds[0].ID, EchoStatus: payment.RefundCompleted}, found, "an event that comes late tells of the imported refund")
	found, err = s.RefundContext(ctx, ledger.RefundClaim{Amount: money.FromCents(1_00), ReferenceNumber: in.Payment.ReferenceNumber})
	require.NoError(t, err)
	require.True(t, found.Named)

	asked := ask(in.Payment.ID, "k", nil)
	granted, err := s.ReserveRefund(ctx, asked)
	require.NoError(t, err)
	require.Equal(t, money.FromCents(8_00), granted.Refund.Amount, "all that is left")
	require.Equal(t, in.Payment.EcommerceID, granted.Payment.EcommerceID)
	require.Equal(t, in.Payment.ReferenceNumber, granted.Payment.ReferenceNumber)
	_, err = s.ReserveRefund(ctx, ask(in.Payment.ID, "k2", amount(1)))
	require.Equal(t, payment.RefusedInProgress, refusal(t, err).Code)
}
