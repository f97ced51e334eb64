// Command stock releases the stock held for a payment that failed or expired, and
// sells the stock held for one that completed. Each hold ends once, however often
// the notification arrives. Start it next to a running dev. STOCK_DB is the shop's
// SQLite file.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := worker.ConfigFromEnv(os.Getenv)
	stock, openErr := open(ctx, cmp.Or(os.Getenv("STOCK_DB"), "stock.db"))
	if err = errors.Join(err, openErr); err == nil {
		cfg.Host = "stock"
		cfg.Started = func() {
			slog.Info("stock started; once you are done with it, \"cobro receiver remove stock\" keeps later payments from waiting for it")
		}
		err = worker.Run(ctx, cfg, stock.receivers())
	}
	if err != nil {
		log.Fatal(err)
	}
}

// stock is the shop's inventory. Before it requests a payment, the checkout moves
// items from a shelf to a hold with the payment's reference. A second attempt to
// pay needs its own hold, with a reference such as order-1042-2.
type stock struct{ db *sql.DB }

func open(ctx context.Context, path string) (stock, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		return stock{}, err
	}
	_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS shelves (sku TEXT PRIMARY KEY, free INT NOT NULL CHECK (free >= 0), sold INT NOT NULL DEFAULT 0);
		CREATE TABLE IF NOT EXISTS holds (
			reference TEXT NOT NULL, sku TEXT NOT NULL, quantity INT NOT NULL,
			state TEXT NOT NULL DEFAULT 'held', -- then 'released' or 'sold', which is final
			PRIMARY KEY (reference, sku)
		)`)
	return stock{db}, err
}

// The two ways to end a hold.
const (
	release = `UPDATE shelves SET free = free + quantity FROM holds WHERE reference = $1 AND holds.sku = shelves.sku`
	sell    = `UPDATE shelves SET sold = sold + quantity FROM holds WHERE reference = $1 AND holds.sku = shelves.sku`
)

func (s stock) receivers() *activities.Notifications {
	n := activities.NewNotifications()
	n.On(payment.EventFailed, "release-stock", s.end("released", release))
	n.On(payment.EventExpired, "release-stock", s.end("released", release))
	n.On(payment.EventCompleted, "sell-stock", s.end("sold", sell))
	return n
}

// end ends a hold and moves its items in one transaction. A repeated notification
// finds the hold ended and does nothing.
func (s stock) end(state, move string) activities.ReceiverFunc {
	return func(ctx context.Context, e payment.Notification) error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // does nothing after a commit
		ended, err := tx.ExecContext(ctx, `UPDATE holds SET state = $2 WHERE reference = $1 AND state = 'held'`, e.Payment.Reference, state)
		if err != nil {
			return err
		}
		if n, err := ended.RowsAffected(); n == 0 || err != nil {
			return err // nothing was held, or the hold has ended already
		}
		if _, err := tx.ExecContext(ctx, move, e.Payment.Reference); err != nil {
			return err
		}
		return tx.Commit()
	}
}
