package records_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/records"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

const refundID = "ref_01hzzzzzzzzzzzzzzzzzzzzzzz"

// fakeStore is a store that answers one thing, and breaks a test that asks
// another.
type fakeStore struct {
	records.Store
	booked    payment.Refund
	record    ledger.Record
	filled    bool
	reserved  ledger.Reserved
	announced ledger.Announced
	err       error
}

func (r fakeStore) RecordPayment(context.Context, ledger.Change) (ledger.Announced, error) {
	return r.announced, r.err
}

func (r fakeStore) ReserveRefund(context.Context, ledger.Reservation) (ledger.Reserved, error) {
	return r.reserved, r.err
}

func (r fakeStore) RecordRefund(context.Context, ledger.RefundChange) (ledger.Announced, error) {
	return r.announced, r.err
}

func (r fakeStore) BookExternalRefund(context.Context, ledger.ExternalRefund) (ledger.Announced, payment.Refund, error) {
	return r.announced, r.booked, r.err
}

func (r fakeStore) FillPayer(context.Context, string, payment.Customer) (bool, error) {
	return r.filled, r.err
}

func (r fakeStore) Payment(context.Context, string) (ledger.Record, error) { return r.record, r.err }

// tickets is what a poller was told.
type tickets []string

func (w *tickets) Watch(t ledger.OpenTicket) {
	*w = append(*w, fmt.Sprintf("watch %s, %s until %s", t.PaymentID, t.EcommerceID, t.ExpiresAt.Format(time.TimeOnly)))
}

func (w *tickets) Forget(paymentID string) { *w = append(*w, "forget "+paymentID) }

// The poller needs no store: it is told before the row is written, and also where
// that fails.
func TestTicketIsWatchedWhateverBecomesOfItsRow(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	watched := &tickets{}
	r := &records.Records{Store: fakeStore{err: errors.New("the disk is full")}, Tickets: watched}
	for _, status := range payment.Statuses() {
		p := payment.Payment{ID: "pay_" + string(status), Status: status, EcommerceID: "ticket", ExpiresAt: until}
		_, err := r.RecordPayment(t.Context(), ledger.Change{Record: ledger.Record{Payment: p}})
		require.Error(t, err)
	}
	_, err := r.WatchTicket(t.Context(), activity.WatchTicketInput{PaymentID: "pay_1", EcommerceID: "ticket", Until: until})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"forget pay_pending", "watch pay_open, ticket until 12:00:00", "forget pay_confirmed", "forget pay_completed", "forget pay_cancelled",
		"forget pay_expired", "forget pay_failed", "watch pay_1, ticket until 12:00:00",
	}, *watched)
}

func TestRecords(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	receivers := []ledger.Receiver{{Host: "shop", Name: "books"}}
	reserved := ledger.Reserved{Refund: payment.Refund{ID: refundID}}
	inUse := fmt.Errorf("record payment: %w", &ledger.ReferenceInUseError{PaymentID: "pay_other"})
	refused := &payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: "ref_other"}

	t.Run("a payment", func(t *testing.T) {
		t.Parallel()
		result, err := (&records.Records{Tickets: &tickets{}, Store: fakeStore{announced: ledger.Announced{Sequence: 2, Receivers: receivers}}}).RecordPayment(t.Context(), ledger.Change{})
		require.NoError(t, err)
		require.Equal(t, activity.RecordPaymentResult{Sequence: 2, Receivers: receivers}, result)

		result, err = (&records.Records{Tickets: &tickets{}, Store: fakeStore{err: inUse}}).RecordPayment(t.Context(), ledger.Change{})
		require.NoError(t, err, "a reference in use is an answer")
		require.Equal(t, activity.RecordPaymentResult{InUseBy: "pay_other"}, result)

		_, err = (&records.Records{Tickets: &tickets{}, Store: fakeStore{err: broken}}).RecordPayment(t.Context(), ledger.Change{})
		require.ErrorIs(t, err, broken)
	})

	t.Run("a reservation", func(t *testing.T) {
		t.Parallel()
		result, err := (&records.Records{Store: fakeStore{reserved: reserved}}).ReserveRefund(t.Context(), ledger.Reservation{})
		require.NoError(t, err)
		require.Equal(t, activity.ReserveRefundResult{Reserved: &reserved}, result)

		result, err = (&records.Records{Store: fakeStore{err: fmt.Errorf("reserve: %w", refused)}}).ReserveRefund(t.Context(), ledger.Reservation{})
		require.NoError(t, err, "a refusal is an answer")
		require.Equal(t, activity.ReserveRefundResult{Refusal: refused}, result)

		result, err = (&records.Records{Store: fakeStore{reserved: reserved, err: broken}}).ReserveRefund(t.Context(), ledger.Reservation{})
		require.ErrorIs(t, err, broken)
		require.Zero(t, result, "nothing is reserved")
	})

	t.Run("a refund", func(t *testing.T) {
		t.Parallel()
		announced := ledger.Announced{Sequence: 3, Receivers: receivers}
		result, err := (&records.Records{Store: fakeStore{announced: announced}}).RecordRefund(t.Context(), ledger.RefundChange{})
		require.NoError(t, err)
		require.Equal(t, announced, result)

		_, err = (&records.Records{Store: fakeStore{err: broken}}).RecordRefund(t.Context(), ledger.RefundChange{})
		require.ErrorIs(t, err, broken)
	})

	t.Run("a refund made elsewhere", func(t *testing.T) {
		t.Parallel()
		announced, booked := ledger.Announced{Sequence: 3}, payment.Refund{ID: refundID}
		result, err := (&records.Records{Store: fakeStore{announced: announced, booked: booked}}).BookExternalRefund(t.Context(), ledger.ExternalRefund{})
		require.NoError(t, err)
		require.Equal(t, activity.BookExternalRefundResult{Refund: &booked, Announced: announced}, result)

		result, err = (&records.Records{Store: fakeStore{err: refused}}).BookExternalRefund(t.Context(), ledger.ExternalRefund{})
		require.NoError(t, err, "a refusal is an answer")
		require.Equal(t, activity.BookExternalRefundResult{Refusal: refused}, result)

		_, err = (&records.Records{Store: fakeStore{err: broken}}).BookExternalRefund(t.Context(), ledger.ExternalRefund{})
		require.ErrorIs(t, err, broken)
	})

	t.Run("a payer", func(t *testing.T) {
		t.Parallel()
		result, err := (&records.Records{Store: fakeStore{filled: true}}).FillPayer(t.Context(), activity.FillPayerInput{})
		require.NoError(t, err)
		require.True(t, result.Filled)
	})

	t.Run("a look-up", func(t *testing.T) {
		t.Parallel()
		known := payment.Payment{ID: "pay_known"}
		result, err := (&records.Records{Store: fakeStore{record: ledger.Record{Payment: known}}}).LookUpPayment(t.Context(), activity.LookUpPaymentInput{})
		require.NoError(t, err)
		require.Equal(t, &known, result.Payment)

		result, err = (&records.Records{Store: fakeStore{err: ledger.ErrNotFound}}).LookUpPayment(t.Context(), activity.LookUpPaymentInput{})
		require.NoError(t, err, "nobody is an answer")
		require.Nil(t, result.Payment)

		_, err = (&records.Records{Store: fakeStore{err: broken}}).LookUpPayment(t.Context(), activity.LookUpPaymentInput{})
		require.ErrorIs(t, err, broken)
	})
}

// A write that can never succeed must not be repeated for ever: it fails the
// workflow task, where people see it. The activities of this package are local, so
// that their input is handed over as it is, and only the store has something to
// decode.
func TestAStoredPayloadThatDoesNotDecodeFailsTheWorkflowTask(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]string{"no JSON": `{"id":`, "JSON of another shape": `{"id":7}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cause := json.Unmarshal([]byte(stored), &payment.Payment{})
			require.Error(t, cause)
			store := &countingStore{fakeStore: fakeStore{err: fmt.Errorf("payment: %w", cause)}}
			var suite testsuite.WorkflowTestSuite
			suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
			env := suite.NewTestWorkflowEnvironment()
			activity.Register(env, (&records.Records{Store: store}).Bindings()...)
			env.ExecuteWorkflow(func(ctx workflow.Context) error {
				_, err := activity.LookUpPayment.Do(ctx, activity.LookUpPaymentInput{PaymentID: "pay_known"})
				return err
			})
			require.ErrorContains(t, env.GetWorkflowError(), "something stored cannot be read")
			require.Equal(t, 1, store.tries)
		})
	}
}

// countingStore counts how often a payment was asked for.
type countingStore struct {
	fakeStore
	tries int
}

func (c *countingStore) Payment(ctx context.Context, id string) (ledger.Record, error) {
	c.tries++
	return c.fakeStore.Payment(ctx, id)
}
