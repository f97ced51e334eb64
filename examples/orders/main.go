// Command orders keeps the status of each order in the merchant's own database:
// PostgreSQL if ORDERS_DSN is a postgres:// URL, or else the SQLite file that it
// names. Start it next to a running dev. A payment's reference is the order id; the
// orders that the command line names are inserted, as the shop would.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := worker.ConfigFromEnv(os.Getenv)
	orders, openErr := open(ctx, cmp.Or(os.Getenv("ORDERS_DSN"), "orders.db"))
	if err = errors.Join(err, openErr); err == nil {
		err = orders.insert(ctx, os.Args[1:]...)
	}
	if err == nil {
		cfg.Host = "orders"
		cfg.Started = func() {
			slog.Info("orders started; once you are done with it, \"cobro receiver remove orders\" keeps later payments from waiting for it")
		}
		err = worker.Run(ctx, cfg, orders.receivers())
	}
	if err != nil {
		log.Fatal(err)
	}
}

// orders is the merchant's database. The shop inserts an order, with just its id,
// before it requests a payment, and reads its status.
type orders struct{ db *sql.DB }

func open(ctx context.Context, dsn string) (orders, error) {
	driver := "pgx"
	if !strings.HasPrefix(dsn, "postgres://") {
		driver, dsn = "sqlite", "file:"+dsn+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return orders{}, err
	}
	_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, status TEXT NOT NULL DEFAULT 'new');
		CREATE TABLE IF NOT EXISTS order_payments ( -- every attempt to pay an order
			id            TEXT PRIMARY KEY,
			order_id      TEXT NOT NULL REFERENCES orders (id),
			status        TEXT NOT NULL,    -- the order's status if this payment decides
			standing      INTEGER NOT NULL, -- 2: has the customer's money; 1: fully refunded; 0: never paid
			asked_at      BIGINT NOT NULL,  -- Unix microseconds
			last_sequence BIGINT NOT NULL   -- of the latest event of this payment
		)`)
	return orders{db}, err
}

// insert adds new orders; those that are there stay as they are.
func (o orders) insert(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if _, err := o.db.ExecContext(ctx, `INSERT INTO orders (id) VALUES ($1) ON CONFLICT DO NOTHING`, id); err != nil {
			return err
		}
	}
	return nil
}

func (o orders) receivers() *activities.Notifications {
	n := activities.NewNotifications()
	for _, event := range []payment.Event{
		payment.EventCreated, payment.EventCompleted, payment.EventFailed, payment.EventExpired, payment.EventRefundCompleted,
	} {
		n.On(event, "set-status", o.setStatus)
	}
	return n
}

// statusOf returns the order status that follows from a payment, and how much that
// payment counts among several.
func statusOf(p payment.Payment) (status string, standing int) {
	switch {
	case p.Status == payment.StatusOpen:
		return "awaiting payment", 0
	case p.Status != payment.StatusCompleted:
		return "not paid", 0
	case p.Left().IsZero():
		return "refunded", 1
	case p.RefundedAmount.IsZero():
		return "paid", 2
	default:
		return "partly refunded", 2
	}
}

// setStatus stores the status of a payment, unless a later event is stored already,
// and then updates its order. A payment that has the customer's money decides the
// order's status. Among equals, the latest request decides.
func (o orders) setStatus(ctx context.Context, e payment.Notification) error {
	p := e.Payment
	if p.Reference == "" {
		return nil // not for an order
	}
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	// Lock the order, so that two of its payments do not update it at once.
	found, err := tx.ExecContext(ctx, `UPDATE orders SET status = status WHERE id = $1`, p.Reference)
	if err != nil {
		return err
	}
	if n, err := found.RowsAffected(); n == 0 || err != nil {
		return cmp.Or(err, fmt.Errorf("order %s does not exist yet; trying again later", p.Reference))
	}
	status, standing := statusOf(p)
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO order_payments AS p (id, order_id, status, standing, asked_at, last_sequence) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, standing = excluded.standing, last_sequence = excluded.last_sequence
		WHERE p.last_sequence < excluded.last_sequence`,
		p.ID, p.Reference, status, standing, p.CreatedAt.UnixMicro(), e.Sequence); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `
		UPDATE orders SET status =
			(SELECT status FROM order_payments WHERE order_id = $1 ORDER BY standing DESC, asked_at DESC LIMIT 1)
		WHERE id = $1`, p.Reference); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return o.reportPaidTwice(ctx, p.Reference)
}

// paidTwice lists the extra payments of orders that are paid more than once. They
// should be refunded.
const paidTwice = `
	SELECT order_id, id FROM order_payments AS p WHERE standing = 2 AND EXISTS
		(SELECT 1 FROM order_payments AS f WHERE f.order_id = p.order_id AND f.standing = 2 AND (f.asked_at, f.id) < (p.asked_at, p.id))
	ORDER BY order_id, asked_at`

// reportPaidTwice logs an error at every event of such an order, until the extra
// payment is refunded.
func (o orders) reportPaidTwice(ctx context.Context, order string) error {
	rows, err := o.db.QueryContext(ctx, `SELECT id FROM (`+paidTwice+`) AS twice WHERE order_id = $1`, order)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		slog.ErrorContext(ctx, "an order is paid twice: refund this payment", "order", order, "payment", id)
	}
	return rows.Err()
}
