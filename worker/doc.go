// Package worker runs Cobro's side of Temporal: the payment workflows with the
// gateway's activities, a merchant's own receivers, or both.
//
// A merchant's program that is told of payments is a few lines:
//
//	func main() {
//		n := activities.NewNotifications()
//		n.On(payment.EventCompleted, "send-receipt", sendReceipt)
//
//		cfg, err := worker.ConfigFromEnv(os.Getenv)
//		if err != nil {
//			log.Fatal(err)
//		}
//		cfg.Host = "shop"
//		if err := worker.Run(context.Background(), cfg, n); err != nil {
//			log.Fatal(err)
//		}
//	}
//
// Beside a running dev it needs no setting at all: ConfigFromEnv finds dev's
// data folder.
package worker
