package worker_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

// A whole program: it prints a line for each completed payment until it is
// stopped.
func ExampleRun() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	n := activities.NewNotifications()
	n.On(payment.EventCompleted, "send-receipt", func(_ context.Context, e payment.Notification) error {
		fmt.Printf("%s was paid: $%s\n", e.Payment.Reference, e.Payment.Total)
		return nil
	})

	cfg, err := worker.ConfigFromEnv(os.Getenv)
	if err != nil {
		log.Print(err)
		return
	}
	cfg.Host = "shop"
	if err := worker.Run(ctx, cfg, n); err != nil {
		log.Print(err)
	}
}
