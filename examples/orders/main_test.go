package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/cobrotest"
	"github.com/cobropay/cobro/payment"
)

// onEachDatabase runs a test on SQLite and, if ORDERS_TEST_DSN is the URL of an
// empty database, on PostgreSQL.
func onEachDatabase(t *testing.T, test func(t *testing.T, o orders)) {
	t.Helper()
	run := func(name, dsn string) {
		t.Run(name, func(t *testing.T) {
			o, err := open(t.Context(), dsn)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, o.db.Close()) })
			o.clear(t)
			test(t, o)
		})
	}
	run("sqlite", filepath.Join(t.TempDir(), "orders.db"))
	if dsn := os.Getenv("ORDERS_TEST_DSN"); dsn != "" {
		run("postgres", dsn)
	}
}

func (o orders) clear(t *testing.T) {
	t.Helper()
	_, err := o.db.ExecContext(t.Context(), `DELETE FROM order_payments; DELETE FROM orders`)
	require.NoError(t, err)
}

// place inserts orders, as the shop does.
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

// toRefund lists the payments that should be refunded.
func (o orders) toRefund(t *testing.T) []string {
	t.Helper()
	rows, err := o.db.QueryContext(t.Context(), paidTwice)
	require.NoError(t, err)
	defer rows.Close()
	var all []string
	for rows.Next() {
		var order, id string
		require.NoError(t, rows.Scan(&order, &id))
		all = append(all, id)
	}
	require.NoError(t, rows.Err())
	return all
}

func TestOrderStatusFollowsItsPayments(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, o orders) {
		o.place(t, "paid", "given-back", "one-back", "cancelled", "expired", "declined", "second-try", "then-expired", "twice", "anew")
		shop := cobrotest.NewShop(t, o.receivers())
		shop.Pay("25.00", cobrotest.Order("paid"))
		shop.Refund(shop.Pay("25.00", cobrotest.Order("given-back")), "25.00")
		shop.Refund(shop.Pay("25.00", cobrotest.Order("one-back")), "5.00")
		shop.Cancel("3.00", cobrotest.Order("cancelled"))
		shop.Expire("3.00", cobrotest.Order("expired"))
		shop.Decline("3.00", cobrotest.Order("declined"))
		shop.Expire("3.00", cobrotest.Order("second-try"))
		shop.Pay("3.00", cobrotest.Order("second-try"))
		shop.Pay("3.00", cobrotest.Order("then-expired"))
		shop.Expire("3.00", cobrotest.Order("then-expired"))
		shop.Pay("3.00", cobrotest.Order("twice"))
		second := shop.Pay("3.00", cobrotest.Order("twice"))
		shop.Refund(shop.Pay("3.00", cobrotest.Order("anew")), "3.00")
		shop.Pay("3.00", cobrotest.Order("anew"))
		for id, want := range map[string]string{
			"paid": "paid", "given-back": "refunded", "one-back": "partly refunded", "cancelled": "not paid", "expired": "not paid", "declined": "not paid", "second-try": "paid",
			"then-expired": "paid", "twice": "paid", "anew": "paid",
		} {
			require.Equal(t, want, o.status(t, id), id)
		}
		require.Equal(t, []string{second.ID}, o.toRefund(t))
		shop.Refund(second, "3.00")
		require.Equal(t, "paid", o.status(t, "twice"), "by the first payment")
		require.Empty(t, o.toRefund(t))
	})
}

// TestEventsInAnyOrderGiveSameStatus delivers the events of two payments of one
// order, each event twice, in every possible order.
func TestEventsInAnyOrderGiveSameStatus(t *testing.T) {
	first := time.Date(2026, time.November, 2, 13, 0, 0, 0, time.UTC)
	of := func(paymentID string, event payment.Event, sequence int) payment.Notification {
		return cobrotest.Notification(event, func(n *payment.Notification) {
			n.Payment.ID, n.Payment.Reference, n.Sequence = paymentID, "order-7", sequence
			n.Payment.CreatedAt = first
			if paymentID == "pay_2" {
				n.Payment.CreatedAt = first.Add(time.Hour)
			}
		})
	}
	refundedWhole := of("pay_2", payment.EventRefundCompleted, 3)
	refundedWhole.Payment.RefundedAmount = refundedWhole.Payment.Total
	for name, tt := range map[string]struct {
		events   []payment.Notification
		status   string
		toRefund []string
	}{
		"expired, then paid": {[]payment.Notification{
			of("pay_1", payment.EventExpired, 2),
			of("pay_2", payment.EventCreated, 1), of("pay_2", payment.EventCompleted, 2), of("pay_2", payment.EventRefundCompleted, 3),
		}, "partly refunded", nil},
		"paid, then expired": {[]payment.Notification{
			of("pay_1", payment.EventCreated, 1), of("pay_1", payment.EventCompleted, 2),
			of("pay_2", payment.EventCreated, 1), of("pay_2", payment.EventExpired, 2),
		}, "paid", nil},
		"paid, then being paid": {[]payment.Notification{
			of("pay_1", payment.EventCreated, 1), of("pay_1", payment.EventCompleted, 2), of("pay_2", payment.EventCreated, 1),
		}, "paid", nil},
		"paid twice": {[]payment.Notification{
			of("pay_1", payment.EventCompleted, 2), of("pay_2", payment.EventCreated, 1), of("pay_2", payment.EventCompleted, 2),
		}, "paid", []string{"pay_2"}},
		"paid twice, and refunded once": {[]payment.Notification{
			of("pay_1", payment.EventCompleted, 2), of("pay_2", payment.EventCompleted, 2), refundedWhole,
		}, "paid", nil},
	} {
		t.Run(name, func(t *testing.T) {
			onEachDatabase(t, func(t *testing.T, o orders) {
				for _, order := range permutations(len(tt.events)) {
					o.clear(t)
					o.place(t, "order-7")
					for _, i := range order {
						for range 2 {
							require.NoError(t, o.setStatus(t.Context(), tt.events[i]))
						}
					}
					require.Equal(t, tt.status, o.status(t, "order-7"), "%v", order)
					require.Equal(t, tt.toRefund, o.toRefund(t), "%v", order)
				}
			})
		})
	}
}

func TestReadmeHasPaidTwiceQuery(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	require.Contains(t, strings.Join(strings.Fields(string(readme)), " "), strings.Join(strings.Fields(paidTwice), " ")+";")
}

// A repeated event logs the error again, because the first log line may have been
// lost with its process.
func TestPaidTwiceIsLoggedEveryTime(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	onEachDatabase(t, func(t *testing.T, o orders) {
		o.place(t, "order-7")
		paid := func(id string, at int64) payment.Notification {
			return cobrotest.Notification(payment.EventCompleted, func(n *payment.Notification) {
				n.Payment.ID, n.Payment.Reference, n.Payment.CreatedAt = id, "order-7", time.Unix(at, 0)
			})
		}
		require.NoError(t, o.setStatus(t.Context(), paid("pay_1", 1)))
		require.Empty(t, log.String())
		for range 2 {
			require.NoError(t, o.setStatus(t.Context(), paid("pay_2", 2)))
			require.Contains(t, log.String(), `level=ERROR msg="an order is paid twice: refund this payment" order=order-7 payment=pay_2`)
			log.Reset()
		}
	})
}

// permutations lists the permutations of 0 to n-1.
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

// TestLateOrderStillGetsPaid: the shop may insert the order after its payment.
func TestLateOrderStillGetsPaid(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, o orders) {
		n, tries := o.receivers(), 0
		n.On(payment.EventCreated, "shop", func(context.Context, payment.Notification) error {
			if tries++; tries < 4 {
				return errors.New("the shop's transaction is still open")
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

func TestPaymentWithoutReferenceIsIgnored(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, o orders) {
		cobrotest.Deliver(t, o.receivers(), func(n *payment.Notification) { n.Payment.Reference = "" })
	})
}
