package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/cobrotest"
	"github.com/cobropay/cobro/payment"
)

// each runs a test on SQLite and, where ORDERS_TEST_DSN names an empty
// database, on PostgreSQL.
func each(t *testing.T, test func(t *testing.T, o orders)) {
	t.Helper()
	run := func(name, dsn string) {
		t.Run(name, func(t *testing.T) {
			o, err := open(t.Context(), dsn)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, o.db.Close()) })
			_, err = o.db.ExecContext(t.Context(), `DELETE FROM orders`)
			require.NoError(t, err)
			test(t, o)
		})
	}
	run("sqlite", filepath.Join(t.TempDir(), "orders.db"))
	if dsn := os.Getenv("ORDERS_TEST_DSN"); dsn != "" {
		run("postgres", dsn)
	}
}

// place puts orders into the books, as the shop does.
func (o orders) place(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := o.db.ExecContext(t.Context(), `INSERT INTO orders (id) VALUES ($1)`, id)
		require.NoError(t, err)
	}
}

func (o orders) status(t *testing.T, id string) string {
	t.Helper()
	var status string
	require.NoError(t, o.db.QueryRowContext(t.Context(), `SELECT status FROM orders WHERE id = $1`, id).Scan(&status))
	return status
}

func TestLives(t *testing.T) {
	each(t, func(t *testing.T, o orders) {
		o.place(t, "paid", "given-back", "one-back", "cancelled", "expired", "declined", "second-try")
		shop := cobrotest.NewShop(t, o.receivers())
		shop.Pay("25.00", cobrotest.Order("paid"))
		shop.Refund(shop.Pay("25.00", cobrotest.Order("given-back")), "25.00")
		shop.Refund(shop.Pay("25.00", cobrotest.Order("one-back")), "5.00")
		shop.Cancel("3.00", cobrotest.Order("cancelled"))
		shop.Expire("3.00", cobrotest.Order("expired"))
		shop.Decline("3.00", cobrotest.Order("declined"))
		shop.Expire("3.00", cobrotest.Order("second-try"))
		shop.Pay("3.00", cobrotest.Order("second-try"))
		for id, want := range map[string]string{
			"paid": "paid", "given-back": "refunded", "one-back": "partly refunded", "cancelled": "not paid", "expired": "not paid", "declined": "not paid", "second-try": "paid",
		} {
			require.Equal(t, want, o.status(t, id), id)
		}
	})
}

// TestAnyOrder delivers the events of two payments of one order, each twice, in
// every order in which they can come.
func TestAnyOrder(t *testing.T) {
	each(t, func(t *testing.T, o orders) {
		of := func(paymentID string, asked time.Time, event payment.Event, sequence int) payment.Notification {
			return cobrotest.Notification(event, func(n *payment.Notification) {
				n.Payment.ID, n.Payment.Reference, n.Payment.CreatedAt, n.Sequence = paymentID, "order-7", asked, sequence
			})
		}
		first := time.Date(2026, time.November, 2, 13, 0, 0, 0, time.UTC)
		events := []payment.Notification{
			of("pay_1", first, payment.EventExpired, 2),
			of("pay_2", first.Add(time.Hour), payment.EventCreated, 1),
			of("pay_2", first.Add(time.Hour), payment.EventCompleted, 2),
			of("pay_2", first.Add(time.Hour), payment.EventRefundCompleted, 3),
		}
		statuses := map[payment.Event]string{
			payment.EventCreated: "awaiting payment", payment.EventExpired: "not paid", payment.EventCompleted: "paid",
			payment.EventRefundCompleted: "partly refunded",
		}
		for _, order := range permutations(len(events)) {
			_, err := o.db.ExecContext(t.Context(), `DELETE FROM orders`)
			require.NoError(t, err)
			o.place(t, "order-7")
			latest := -1
			for _, i := range order {
				for range 2 {
					require.NoError(t, o.set(t.Context(), events[i], statuses[events[i].Event]))
				}
				latest = max(latest, i)
				require.Equal(t, statuses[events[latest].Event], o.status(t, "order-7"), "%v", order)
			}
		}
	})
}

// permutations lists the orders of n things.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for at := range n {
			all = append(all, slices.Insert(slices.Clone(shorter), at, n-1))
		}
	}
	return all
}

// TestTheShopIsLate says that an order which comes after its payment still
// learns of it.
func TestTheShopIsLate(t *testing.T) {
	each(t, func(t *testing.T, o orders) {
		n, tries := o.receivers(), 0
		n.On(payment.EventCreated, "shop", func(context.Context, payment.Notification) error {
			if tries++; tries < 4 {
				return errors.New("the shop's transaction goes on")
			}
			o.place(t, "order-8")
			return nil
		})
		shop := cobrotest.NewShop(t, n)
		paid := shop.Pay("25.00", cobrotest.Order("order-8"))
		require.Equal(t, "paid", o.status(t, "order-8"))
		for _, d := range shop.Deliveries(paid) {
			require.Equal(t, payment.DeliveryDelivered, d.Status)
		}
	})
}

func TestNotOfAnOrder(t *testing.T) {
	each(t, func(t *testing.T, o orders) {
		cobrotest.Deliver(t, o.receivers(), func(n *payment.Notification) { n.Payment.Reference = "" })
	})
}
