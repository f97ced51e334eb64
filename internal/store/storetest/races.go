package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// processes is how many stores of their own take part in a race.
const processes = 4

// openAll opens the stores of a race.
func openAll(open Opener) []*store.Store {
	stores := make([]*store.Store, processes)
	for i := range stores {
		stores[i] = open(nil)
	}
	return stores
}

// atOnce calls do from n callers at once, spread over the stores, and returns
// what each of them got.
func atOnce[T any](stores []*store.Store, n int, do func(i int, s *store.Store) (T, error)) ([]T, []error) {
	results, errs := make([]T, n), make([]error, n)
	start := make(chan struct{})
	var ready, all sync.WaitGroup
	for i := range n {
		ready.Add(1)
		all.Go(func() {
			ready.Done()
			<-start
			results[i], errs[i] = do(i, stores[i%len(stores)])
		})
	}
	ready.Wait()
	close(start)
	all.Wait()
	return results, errs
}

// allWell fails where one of them has an error.
func allWell(t *testing.T, errs []error) {
	t.Helper()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// onlyOne returns who had no error, and fails unless it is one, and the others
// were told what wanted says.
func onlyOne(t *testing.T, errs []error, wanted func(error) bool) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, winner, "two have won")
			winner = i
			continue
		}
		require.True(t, wanted(err), "%v", err)
	}
	require.NotEqual(t, -1, winner, "nobody has won")
	return winner
}

// firstWriteRace writes the beginning of a payment from everywhere.
func firstWriteRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	require.NoError(t, stores[0].AnnounceReceivers(ctx, "shop", []ledger.Receiver{receiver("shop", payment.EventCreated, "note")}))
	for round := range 5 {
		first := pending(t)
		first.Payment.Reference = fmt.Sprint("order ", round)
		change := ledger.Change{
			Record: first, Announce: payment.EventCreated, Workflow: first.Payment.ID,
			Transitions: []ledger.Transition{{PaymentID: first.Payment.ID, Sequence: 1, To: payment.StatusPending, At: noon()}},
		}
		announced, errs := atOnce(stores, 12, func(_ int, s *store.Store) (ledger.Announced, error) { return s.RecordPayment(ctx, change) })
		allWell(t, errs)
		for _, one := range announced {
			require.Equal(t, announced[0], one, "each has the same answer")
		}
		require.Equal(t, 1, announced[0].Sequence)
		deliveries, err := stores[0].Deliveries(ctx, first.Payment.ID)
		require.NoError(t, err)
		require.Len(t, deliveries, 1)
		got, err := stores[0].Payment(ctx, first.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, 1, got.Sequence)
	}
}

// freedReferenceRace ends a payment in the moment in which the next one with its
// reference begins.
func freedReferenceRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	for round := range 40 {
		first := pending(t)
		first.Payment.Reference = fmt.Sprint("order ", round)
		record(ctx, t, stores[0], first)
		_, errs := atOnce(stores, processes, func(i int, s *store.Store) (ledger.Announced, error) {
			r := first
			if i > 0 {
				r.Payment.ID = newID(t)
			} else {
				r.Revision, r.Payment.Status = 2, payment.StatusExpired
			}
			return s.RecordPayment(ctx, ledger.Change{Record: r})
		})
		require.NoError(t, errs[0])
		for _, err := range errs[1:] {
			if err == nil {
				continue
			}
			_, refused := errors.AsType[*ledger.ReferenceInUseError](err)
			require.True(t, refused, "%v", err)
		}
	}
}

// revisionRace writes a payment's whole life at once.
func revisionRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	for range 10 {
		base := pending(t)
		_, errs := atOnce(stores, 12, func(i int, s *store.Store) (ledger.Announced, error) {
			r := base
			r.Revision = int64(1 + i)
			r.Payment.Metadata1 = private.Text(fmt.Sprint("revision ", r.Revision))
			return s.RecordPayment(ctx, ledger.Change{Record: r})
		})
		allWell(t, errs)
		got, err := stores[0].Payment(ctx, base.Payment.ID)
		require.NoError(t, err)
		require.EqualValues(t, 12, got.Revision)
		require.Equal(t, private.Text("revision 12"), got.Payment.Metadata1, "the newest is never overwritten")
	}
}

// announceRace lets many events of one payment ask for their place.
func announceRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	paid := completed(t)
	id := paid.Payment.ID
	record(ctx, t, stores[0], paid)
	const events = 24
	announced, errs := atOnce(stores, events, func(i int, s *store.Store) (ledger.Announced, error) {
		if i%2 == 0 {
			return s.RecordMismatch(ctx, payment.Mismatch{
				ID: ledger.DeriveMismatchID(payment.MismatchFee, fmt.Sprint(id, i)), Kind: payment.MismatchFee, PaymentID: id,
				Source: payment.FoundByReconciliation, FoundBy: "run", FoundAt: noon(),
			}, "workflow")
		}
		return s.RecordRefund(ctx, ledger.RefundChange{Announce: payment.EventRefundCompleted, Record: settled(ledger.RefundRecord{
			Refund: payment.Refund{
				ID: ledger.DeriveRefundID(id, fmt.Sprint(i)), PaymentID: id, Amount: *amount(1),
				Source: payment.SourceExternal, CreatedAt: noon(),
			},
		}, payment.RefundCompleted)})
	})
	allWell(t, errs)
	var sequences []int
	for _, one := range announced {
		sequences = append(sequences, one.Sequence)
	}
	slices.Sort(sequences)
	for i, sequence := range sequences {
		require.Equal(t, i+1, sequence, "each event has a place of its own: %v", sequences)
	}
}

// refundRace lets many ask for the larger part of a payment: whoever is granted
// one has it, and nobody else does, not even after that one is settled.
func refundRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	for range 6 {
		paid := completed(t)
		record(ctx, t, stores[0], paid)
		_, errs := atOnce(stores, 12, func(i int, s *store.Store) (struct{}, error) {
			one := ask(paid.Payment.ID, fmt.Sprint(i), amount(6_00))
			granted, err := s.ReserveRefund(ctx, one)
			if err != nil {
				return struct{}{}, err
			}
			_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: settled(
				ledger.RefundRecord{Refund: granted.Refund, Fingerprint: one.Fingerprint}, payment.RefundCompleted)})
			if err != nil {
				err = fmt.Errorf("granted, and then not: %v", err) //nolint:errorlint // it shall not pass for a refusal
			}
			return struct{}{}, err
		})
		onlyOne(t, errs, func(err error) bool { _, refused := errors.AsType[*payment.RefundRefusal](err); return refused })
		books(ctx, t, stores[0], paid.Payment.ID)
	}
}

// reopenRace lets many workflows ask to send one notification again.
func reopenRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	require.NoError(t, stores[0].AnnounceReceivers(ctx, "shop", []ledger.Receiver{receiver("shop", payment.EventCompleted, "book")}))
	ended := noon()
	for range 6 {
		paid := completed(t)
		_, err := stores[0].RecordPayment(ctx, ledger.Change{Record: paid, Announce: payment.EventCompleted, Workflow: paid.Payment.ID})
		require.NoError(t, err)
		id := ledger.NotificationID(paid.Payment.ID, payment.EventCompleted, 1, "shop", "book")
		require.NoError(t, stores[0].RecordDeliveries(ctx, []payment.Delivery{{ID: id, Status: payment.DeliveryFailed, EndedAt: &ended}}))
		_, errs := atOnce(stores, 8, func(i int, s *store.Store) (ledger.Reopened, error) {
			return s.ReopenDelivery(ctx, id, fmt.Sprint("workflow ", i), "")
		})
		winner := onlyOne(t, errs, func(err error) bool { _, busy := errors.AsType[*ledger.DeliveryPendingError](err); return busy })
		d, err := stores[0].Delivery(ctx, id)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint("workflow ", winner), d.WorkflowID)
	}
}

// deliveryRace notes both ends of deliveries at once, each list in another order.
func deliveryRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	paid := completed(t)
	record(ctx, t, stores[0], paid)
	ended := noon()
	var all []payment.Delivery
	for i := range 5 {
		all = append(all, expected(paid.Payment.ID, payment.Delivery{
			PaymentID: paid.Payment.ID, Event: payment.EventCompleted, Sequence: 1, Host: "shop", Receiver: fmt.Sprint(i),
		}))
	}
	_, errs := atOnce(stores, 8, func(i int, s *store.Store) (struct{}, error) {
		mine := slices.Clone(all)
		if i%2 == 0 {
			slices.Reverse(mine)
		}
		status := []payment.DeliveryStatus{payment.DeliveryPending, payment.DeliveryFailed, payment.DeliveryDropped, payment.DeliveryDelivered}[i/2]
		for j := range mine {
			mine[j].Status = status
			if status != payment.DeliveryPending {
				mine[j].EndedAt = &ended
			}
		}
		return struct{}{}, s.RecordDeliveries(ctx, mine)
	})
	allWell(t, errs)
	got, err := stores[0].Deliveries(ctx, paid.Payment.ID)
	require.NoError(t, err)
	require.Len(t, got, len(all))
	for _, d := range got {
		require.Equal(t, payment.DeliveryDelivered, d.Status, "what was delivered stays so")
	}
}

// reviewRace lets many decide one review: what any of them saw as decided stays.
func reviewRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	for range 5 {
		paid := completed(t)
		id := paid.Payment.ID
		review := payment.Review{ID: ledger.DeriveReviewID(id, 1), PaymentID: id, Cause: payment.CauseUndecided, OpenedAt: noon()}
		_, err := stores[0].RecordPayment(ctx, ledger.Change{Record: paid, Review: &review})
		require.NoError(t, err)
		seen, errs := atOnce(stores, 8, func(i int, s *store.Store) (string, error) {
			mine := review
			mine.Decision = &payment.Decision{
				Verdict: payment.VerdictCompleted, Source: payment.DecidedByPerson, By: fmt.Sprint("till ", i), At: noon(),
			}
			if _, err := s.RecordPayment(ctx, ledger.Change{Record: paid, Review: &mine}); err != nil {
				return "", err
			}
			found, _, err := s.Reviews(ctx, ledger.ReviewFilter{PaymentID: id})
			if err != nil || len(found) != 1 || found[0].Decision == nil {
				return "", fmt.Errorf("%d reviews: %w", len(found), err)
			}
			return found[0].Decision.By, nil
		})
		allWell(t, errs)
		for _, by := range seen {
			require.Equal(t, seen[0], by)
		}
	}
}

// payerRace lets many fill in who paid.
func payerRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	for range 5 {
		paid := completed(t)
		record(ctx, t, stores[0], paid)
		filled, errs := atOnce(stores, 8, func(i int, s *store.Store) (bool, error) {
			return s.FillPayer(ctx, paid.Payment.ID, payment.Customer{Name: private.Text(fmt.Sprint("payer ", i)), PhoneNumber: "7875551234"})
		})
		allWell(t, errs)
		winner := slices.Index(filled, true)
		require.NotEqual(t, -1, winner)
		require.NotContains(t, filled[winner+1:], true, "it is filled in once")
		got, err := stores[0].Payment(ctx, paid.Payment.ID)
		require.NoError(t, err)
		require.Equal(t, private.Text(fmt.Sprint("payer ", winner)), got.Payment.Customer.Name)
	}
}

// customerRace lets many payments of one customer complete at once.
func customerRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	const payments = 12
	_, errs := atOnce(stores, payments, func(i int, s *store.Store) (ledger.Announced, error) {
		r := completed(t)
		at := noon().Add(time.Duration(i) * time.Minute)
		r.Payment.CompletedAt = &at
		r.Payment.Customer = payment.Customer{Name: private.Text(fmt.Sprint("name ", i)), PhoneNumber: "7875550005"}
		return s.RecordPayment(ctx, ledger.Change{Record: r})
	})
	allWell(t, errs)
	got, err := stores[0].Customer(ctx, "7875550005")
	require.NoError(t, err)
	require.Equal(t, private.Text(fmt.Sprint("name ", payments-1)), got.Name)
}

func merchantRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	_, errs := atOnce(stores, 8, func(i int, s *store.Store) (struct{}, error) {
		return struct{}{}, s.ClaimMerchant(ctx, fmt.Sprint("tienda-", i))
	})
	winner := onlyOne(t, errs, func(err error) bool { return err != nil })
	for _, err := range slices.Delete(errs, winner, winner+1) {
		require.ErrorContains(t, err, fmt.Sprint("COBRO_MERCHANT_ID=tienda-", winner))
	}
}

// twinRace imports two payments with one reference number at once: one of them
// contradicts the other, whichever comes first.
func twinRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	require.NoError(t, stores[0].ClaimMerchant(ctx, "default"))
	for round := range 6 {
		done, errs := atOnce(stores, 6, func(_ int, s *store.Store) (store.Imported, error) {
			in := old(t)
			in.Payment.ReferenceNumber = fmt.Sprint("twin ", round)
			return s.Import(ctx, in)
		})
		allWell(t, errs)
		written := 0
		for _, one := range done {
			if one.Payment.Outcome == store.ImportWritten {
				written++
			}
		}
		require.Equal(t, 1, written)
	}
}

// receiverRace lets hosts announce themselves in different orders at once.
func receiverRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	var all []ledger.Receiver
	for i := range 10 {
		all = append(all, receiver("shop", payment.EventCompleted, fmt.Sprint("receiver ", i)))
	}
	for range 5 {
		_, errs := atOnce(stores, 8, func(i int, s *store.Store) (struct{}, error) {
			mine := slices.Clone(all)
			if i%2 == 0 {
				slices.Reverse(mine)
			}
			return struct{}{}, s.AnnounceReceivers(ctx, "shop", mine)
		})
		allWell(t, errs)
	}
	got, err := stores[0].Receivers(ctx)
	require.NoError(t, err)
	require.Equal(t, all, got)
	removed, errs := atOnce(stores, 8, func(_ int, s *store.Store) ([]ledger.Receiver, error) {
		return s.RemoveReceivers(ctx, "shop", "", "")
	})
	allWell(t, errs)
	require.ElementsMatch(t, all, slices.Concat(removed...), "each is removed by one")
}

// eventRace lets the gateway send one event many times at once.
func eventRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	const copies = 20
	digest := event(0).Digest
	added, errs := atOnce(stores, copies, func(i int, s *store.Store) (bool, error) {
		e := event(i)
		e.Digest = digest
		return s.AddGatewayEvent(ctx, e)
	})
	allWell(t, errs)
	winner := slices.Index(added, true)
	require.NotEqual(t, -1, winner)
	require.NotContains(t, added[winner+1:], true)
	require.Equal(t, copies, only(t, stores[0]).Deliveries)
}

// crowdedLeases lets many lease the same events in the same moment.
func crowdedLeases(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	for round := range 10 {
		var want []string
		for i := range 10 {
			want = append(want, add(t, stores[0], event(100*round+i)).ID)
		}
		leased, errs := atOnce(stores, 8, func(_ int, s *store.Store) ([]ledger.GatewayEvent, error) {
			return s.LeaseGatewayEvents(ctx, 100, time.Hour)
		})
		allWell(t, errs)
		require.ElementsMatch(t, want, ids(slices.Concat(leased...)), "each event exactly once")
	}
}

// ticketRace records a ticket in the moment in which its event is given up.
func ticketRace(t *testing.T, open Opener) {
	stores, ctx := openAll(open), t.Context()
	for round := range 20 {
		sale := pending(t)
		record(ctx, t, stores[0], sale)
		e := event(round)
		e.EcommerceID = fmt.Sprint("ticket ", round)
		_, errs := atOnce(stores, 2, func(i int, s *store.Store) (bool, error) {
			if i == 0 {
				opened := sale
				opened.Revision, opened.Payment.Status, opened.Payment.EcommerceID = 2, payment.StatusOpen, e.EcommerceID
				_, err := s.RecordPayment(ctx, ledger.Change{Record: opened})
				return false, err
			}
			if _, err := s.AddGatewayEvent(ctx, e); err != nil {
				return false, err
			}
			return false, s.SettleGatewayEvent(ctx, e.ID, ledger.EventUnmatched, "", "")
		})
		allWell(t, errs)
		events, _, err := stores[0].GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventPending, Limit: 100})
		require.NoError(t, err)
		require.Contains(t, ids(events), e.ID, "the event has a payment and waits for the relay")
	}
}

// strangeTexts sends what strangers send.
func strangeTexts(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	strange := "a\x00b\xffc"
	e := event(1)
	e.Kind, e.EcommerceID, e.ReferenceNumber, e.PaymentID, e.Body = strange, strange, strange, strange, private.Text(strange)
	add(t, s, e)
	got := only(t, s)
	require.Equal(t, e.ID, got.ID)
	require.Equal(t, e.Body, got.Body, "what is sealed is kept byte by byte")
	_, err := s.MatchGatewayEvent(ctx, e)
	require.ErrorIs(t, err, ledger.ErrNotFound)
	_, err = s.RefundContext(ctx, ledger.RefundClaim{
		EcommerceID: strange, ReferenceNumber: strange, PaymentID: strange, Message: private.Text("#" + strange), Amount: *amount(1),
	})
	require.NoError(t, err)
	found, _, err := s.Payments(ctx, ledger.PaymentFilter{Reference: strange, Status: payment.Status(strange)})
	require.NoError(t, err)
	require.Empty(t, found)
	_, err = s.Payment(ctx, strange)
	require.ErrorIs(t, err, ledger.ErrNotFound)
}

// byteOrder looks for a database that orders by the rules of a language, where
// "a" comes before "B".
func byteOrder(t *testing.T, open Opener) {
	s, ctx := open(nil), t.Context()
	want := []string{"pay_b", "pay_a-1", "pay_a", "pay_B1", "pay_B"} // as Go compares them, the last first
	for _, id := range want {
		r := pending(t)
		r.Payment.ID = id
		record(ctx, t, s, r)
	}
	var got []string
	for filter := (ledger.PaymentFilter{Limit: 2}); ; {
		page, next, err := s.Payments(ctx, filter)
		require.NoError(t, err)
		for _, p := range page {
			got = append(got, p.ID)
		}
		if next == (ledger.Cursor{}) {
			break
		}
		filter.After = next
	}
	require.Equal(t, want, got)
}

// repeatedWrites does again what a store does by itself after a commit whose
// answer was lost.
func repeatedWrites(t *testing.T, open Opener) {
	s := open(nil)
	e := event(1)
	for range 2 {
		add(t, s, e)
	}
	require.Equal(t, 1, only(t, s).Deliveries)
}
