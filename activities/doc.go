// Package activities holds what a merchant writes: the receivers that Cobro
// notifies of a payment's life.
//
//	n := activities.NewNotifications()
//	n.On(payment.EventCompleted, "send-receipt", sendReceipt)
//
// Each receiver becomes a Temporal activity of its own, such as
// "payment_completed/send-receipt", and is retried on its own: one that fails
// never delays or repeats another. It is called at least once for each event,
// always with the same Notification.ID. Give the list to worker.Run.
package activities
