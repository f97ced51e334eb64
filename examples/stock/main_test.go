package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/cobrotest"
	"github.com/cobropay/cobro/payment"
)

// stocked returns a shop with ten of everything.
func stocked(t *testing.T) stock {
	t.Helper()
	s, err := open(t.Context(), filepath.Join(t.TempDir(), "stock.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.db.Close()) })
	s.exec(t, `INSERT INTO shelves (sku, free) VALUES ('coffee', 10), ('quesito', 10)`)
	return s
}

func (s stock) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// hold does what the checkout does.
func (s stock) hold(t *testing.T, reference string) {
	t.Helper()
	s.exec(t, `UPDATE shelves SET free = free - 2 WHERE sku = 'coffee'`)
	s.exec(t, `UPDATE shelves SET free = free - 1 WHERE sku = 'quesito'`)
	s.exec(t, `INSERT INTO holds (reference, sku, quantity) VALUES ($1, 'coffee', 2), ($1, 'quesito', 1)`, reference)
}

// require checks how much coffee is free and sold, and that no item was lost.
func (s stock) require(t *testing.T, free, sold int) {
	t.Helper()
	var gotFree, gotSold, held, quesitos int
	require.NoError(t, s.db.QueryRowContext(t.Context(), `SELECT free, sold FROM shelves WHERE sku = 'coffee'`).Scan(&gotFree, &gotSold))
	require.NoError(t, s.db.QueryRowContext(t.Context(),
		`SELECT COALESCE(SUM(quantity), 0) FROM holds WHERE state = 'held' AND sku = 'coffee'`).Scan(&held))
	require.NoError(t, s.db.QueryRowContext(t.Context(), `SELECT free + sold FROM shelves WHERE sku = 'quesito'`).Scan(&quesitos))
	require.Equal(t, []int{free, sold}, []int{gotFree, gotSold}, "free and sold")
	require.Equal(t, 10, gotFree+gotSold+held, "no item is lost")
	require.Equal(t, 10-held/2, quesitos)
}

func TestHoldEndsWithItsPayment(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	shop := cobrotest.NewShop(t, s.receivers())
	for _, order := range []string{"order-1", "order-2", "order-3", "order-4"} {
		s.hold(t, order)
	}
	s.require(t, 2, 0)
	shop.Pay("25.00", cobrotest.Order("order-1"))
	s.require(t, 2, 2)
	shop.Cancel("25.00", cobrotest.Order("order-2"))
	s.require(t, 4, 2)
	shop.Expire("25.00", cobrotest.Order("order-3"))
	s.require(t, 6, 2)
	shop.Decline("25.00", cobrotest.Order("order-4"))
	s.require(t, 8, 2)

	// A second attempt has its own hold, which events of the first do not end.
	s.hold(t, "order-3-2")
	again := cobrotest.Notification(payment.EventExpired, func(n *payment.Notification) { n.Payment.Reference = "order-3" })
	require.NoError(t, s.end("released", release)(t.Context(), again))
	s.require(t, 6, 2)
	shop.Pay("25.00", cobrotest.Order("order-3-2"))
	s.require(t, 6, 4)
}

// Deliver sends every event twice.
func TestHoldEndsOnce(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	for _, event := range []payment.Event{payment.EventCompleted, payment.EventFailed, payment.EventExpired} {
		s.hold(t, cobrotest.Notification(event).Payment.Reference)
	}
	s.require(t, 4, 0)
	cobrotest.Deliver(t, s.receivers())
	s.require(t, 8, 2)
}

// The worker ends the hold, but dies before it reports success, several times.
func TestHoldEndsOnceWhenWorkerDies(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	s.hold(t, "order-1")
	n, died := s.receivers(), 0
	n.On(payment.EventExpired, "dies", func(ctx context.Context, e payment.Notification) error {
		if err := s.end("released", release)(ctx, e); err != nil {
			return err
		}
		if died++; died < 5 {
			return errors.New("the worker died")
		}
		return nil
	})
	cobrotest.NewShop(t, n).Expire("25.00", cobrotest.Order("order-1"))
	require.Equal(t, 5, died)
	s.require(t, 10, 0)
}

func TestPaymentWithoutHoldIsIgnored(t *testing.T) {
	t.Parallel()
	s := stocked(t)
	cobrotest.Deliver(t, s.receivers())
	s.require(t, 10, 0)
}
