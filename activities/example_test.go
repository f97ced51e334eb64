package activities_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
)

func ExampleNotifications_On() {
	n := activities.NewNotifications()
	n.On(payment.EventCompleted, "send-receipt", func(_ context.Context, e payment.Notification) error {
		fmt.Printf("%s was paid: $%s\n", e.Payment.Reference, e.Payment.Total)
		return nil
	})
	n.On(payment.EventExpired, "Release Stock", func(context.Context, payment.Notification) error { return nil })
	fmt.Println(n.Err()) // worker.Run returns it
	// Output: receiver "Release Stock" of "payment_expired": the name must be 1 to 60 characters of a-z, 0-9 and hyphens, such as "send-receipt"
}

// Add takes what On has no room for: how long one call may take, and how often to
// retry.
func ExampleNotifications_Add() {
	n := activities.NewNotifications()
	n.Add(activities.Receiver{
		Event: payment.EventCompleted, Name: "book-sale",
		Func: func(context.Context, payment.Notification) error {
			return errors.New("the bookkeeping is down") // called again
		},
		Timeout: 5 * time.Second,
		Retry:   payment.Retry{First: 10 * time.Second, Most: 10 * time.Minute, For: 24 * time.Hour},
	})
	fmt.Println(n.Err())
	// Output: <nil>
}

// A receiver that fails is called again for a week. Permanent ends that where
// another call cannot help.
func ExamplePermanent() {
	errNoAddress := errors.New("the customer gave no e-mail address")
	sendReceipt := func(_ context.Context, e payment.Notification) error {
		if e.Payment.Customer.Email == "" {
			return activities.Permanent(errNoAddress)
		}
		return nil
	}
	err := sendReceipt(context.Background(), payment.Notification{})
	fmt.Println(errors.Is(err, errNoAddress))
	// Output: true
}
