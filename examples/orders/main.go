// Command orders keeps the status of each order in the merchant's own database:
// PostgreSQL where ORDERS_DSN is postgres://…, else the SQLite file that it names.
// Start it beside a running dev; a payment's reference is its order.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
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
		cfg.Host = "orders"
		err = worker.Run(ctx, cfg, orders.receivers())
	}
	if err != nil {
		log.Fatal(err)
	}
}

// orders is the merchant's table. The shop inserts an order, with its id alone,
// before it asks for a payment.
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
		CREATE TABLE IF NOT EXISTS orders (
			id            TEXT PRIMARY KEY,
			status        TEXT NOT NULL DEFAULT 'new',
			paid_by       TEXT NOT NULL DEFAULT '', -- the payment, once there is one
			asked_at      BIGINT NOT NULL DEFAULT 0, -- when that payment was asked for, in microseconds
			last_sequence BIGINT NOT NULL DEFAULT 0  -- of the last event of that payment
		)`)
	return orders{db}, err
}

func (o orders) receivers() *activities.Notifications {
	n := activities.NewNotifications()
	for event, status := range map[payment.Event]string{
		payment.EventCreated: "awaiting payment", payment.EventCompleted: "paid",
		payment.EventFailed: "not paid", payment.EventExpired: "not paid", payment.EventRefundCompleted: "refunded",
	} {
		n.On(event, "set-status", func(ctx context.Context, e payment.Notification) error { return o.set(ctx, e, status) })
	}
	return n
}

// set writes a status unless the order has heard of something later. An event
// that comes again, or that another one has overtaken, changes nothing, so there
// is nothing to remember of those that came.
func (o orders) set(ctx context.Context, e payment.Notification, status string) error {
	p := e.Payment
	if p.Reference == "" {
		return nil // not of an order
	}
	if e.Refund != nil && p.RefundedAmount != p.Total {
		status = "partly refunded"
	}
	result, err := o.db.ExecContext(ctx, `
		UPDATE orders SET status = $1, paid_by = $2, asked_at = $3, last_sequence = $4
		WHERE id = $5 AND (asked_at, last_sequence) < ($3, $4)`, status, p.ID, p.CreatedAt.UnixMicro(), e.Sequence, p.Reference)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n > 0 || err != nil {
		return err
	}
	if o.db.QueryRowContext(ctx, `SELECT 1 FROM orders WHERE id = $1`, p.Reference).Scan(new(int)) != nil {
		return fmt.Errorf("order %s is not there; tried again, in case the shop is late", p.Reference)
	}
	return nil
}
