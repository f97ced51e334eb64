// Package worker runs a merchant's own code when payments change.
//
// # Write receivers
//
// A receiver is a function that Cobro calls for one event, such as
// payment_completed. Package activities collects them:
//
//	n := activities.NewNotifications()
//	n.On(payment.EventCompleted, "send-receipt", sendReceipt)
//
// Cobro calls each receiver at least once for each event, and again, for a week,
// while it returns an error. The second call for the same event has the same
// Notification.ID, so a receiver can tell that it has done its work already.
// Receivers do not wait for each other.
//
// # Run them
//
// [Run] connects to Cobro's database and to Temporal, announces the receivers and
// works until its context ends:
//
//	cfg, err := worker.ConfigFromEnv(os.Getenv)
//	if err != nil {
//		log.Fatal(err)
//	}
//	cfg.Host = "shop"
//	if err := worker.Run(ctx, cfg, n); err != nil {
//		log.Fatal(err)
//	}
//
// [Config].Host names the program. Copies of one program share their Host and
// divide the work. Programs with different receivers need different names.
//
// # Settings
//
// Next to a running dev the program needs no settings: [ConfigFromEnv] reads dev's
// data folder. In production set COBRO_STORE and COBRO_KEY_FILE to the database
// and the keys of "cobro worker", and TEMPORAL_ADDRESS to the same Temporal.
//
// # Deploy and remove
//
// Stop the program with the context, for example on SIGTERM: Run finishes the
// calls in progress first. While the program is down, notifications wait for it.
// A receiver that is gone for good is removed by "cobro receiver remove".
//
// # Payments
//
// Most programs leave the payments themselves to "cobro worker". With
// [Config].Payments the same process also runs the payment workflows and the
// calls to ATH Móvil.
//
// Package cobrotest tests receivers without a server.
package worker
