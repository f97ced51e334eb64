// Command receivers is an example of a merchant's program. It writes a receipt for
// each completed payment and logs the other events. Start it next to a running
// dev; it needs no settings.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Getenv); err != nil {
		slog.Error("receivers stopped", "error", err)
		os.Exit(1) //nolint:gocritic // the deferred stop is not needed anymore
	}
}

func run(ctx context.Context, getenv func(string) string) error {
	cfg, err := worker.ConfigFromEnv(getenv)
	if err != nil {
		return err
	}
	if cfg.Host == "" {
		cfg.Host = "receivers"
	}
	cfg.Started = func() {
		slog.Info("receivers started; once you are done with them, remove them, or later payments wait for them", "command", "cobro receiver remove "+cfg.Host)
	}

	receipts := receipts{folder: getenv("RECEIPTS")}
	n := activities.NewNotifications()
	n.On(payment.EventCreated, "log-created", logEvent)
	n.On(payment.EventCompleted, "write-receipt", receipts.write)
	n.On(payment.EventFailed, "log-failed", logEvent)
	n.On(payment.EventExpired, "log-expired", logEvent)
	n.On(payment.EventRefundCompleted, "log-refund", logEvent)
	return worker.Run(ctx, cfg, n)
}

// logEvent logs a notification, which prints without personal data.
func logEvent(ctx context.Context, n payment.Notification) error {
	slog.InfoContext(ctx, "notification received", "notification", n)
	return nil
}

// receipts writes one file for each completed payment.
type receipts struct{ folder string }

// write may get a notification more than once. It then writes the same file again,
// because the file is named after the payment.
func (r receipts) write(ctx context.Context, n payment.Notification) error {
	folder := r.folder
	if folder == "" {
		folder = "receipts"
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, n.Payment.ID+".json")
	slog.InfoContext(ctx, "receipt written", "path", path, "notification", n.ID)
	return os.WriteFile(path, data, 0o600)
}
