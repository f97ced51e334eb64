package cobrotest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/cobrotest"
	"github.com/cobropay/cobro/payment"
)

// In a test of your own, t is the *testing.T.
func ExampleNewShop() {
	inTest(func(t testing.TB) {
		n := activities.NewNotifications()
		n.On(payment.EventCompleted, "send-receipt", func(_ context.Context, e payment.Notification) error {
			fmt.Printf("%s paid $%s for %s\n", string(e.Payment.Customer.Name), e.Payment.Total, e.Payment.Reference)
			return nil
		})
		n.On(payment.EventExpired, "release-stock", func(_ context.Context, e payment.Notification) error {
			fmt.Println("nobody paid for", e.Payment.Reference)
			return nil
		})
		n.On(payment.EventRefundCompleted, "send-receipt", func(_ context.Context, e payment.Notification) error {
			fmt.Printf("$%s of $%s went back\n", e.Refund.Amount, e.Payment.Total)
			return nil
		})

		shop := cobrotest.NewShop(t, n)
		paid := shop.Pay("25.00", cobrotest.Order("order-1042"))
		shop.Refund(paid, "5.00")
		shop.Expire("3.00", cobrotest.Order("order-1043"))
	})
	// Output:
	// Benito Cruz paid $25.00 for order-1042
	// $5.00 of $25.00 went back
	// nobody paid for order-1043
}

// A receiver that fails is tried again for a week, which passes at once.
func ExampleShop_Deliveries() {
	inTest(func(t testing.TB) {
		n := activities.NewNotifications()
		n.On(payment.EventCompleted, "send-receipt", func(_ context.Context, e payment.Notification) error {
			if e.Payment.Customer.Email == "" {
				return activities.Permanent(errors.New("nobody to write to"))
			}
			return errors.New("the mail server is away")
		})
		shop := cobrotest.NewShop(t, n)
		began := shop.Now()
		for _, d := range shop.Deliveries(shop.Pay("25.00")) {
			fmt.Println(d.Receiver, d.Status)
		}
		fmt.Println(int(shop.Now().Sub(began).Hours()/24), "days later")
	})
	// Output:
	// send-receipt failed
	// 6 days later
}

func ExampleDeliver() {
	inTest(func(t testing.TB) {
		shipped := map[string]bool{}
		n := activities.NewNotifications()
		n.On(payment.EventCompleted, "ship", func(_ context.Context, e payment.Notification) error {
			if !shipped[e.ID] {
				fmt.Println("ship", e.Payment.Reference)
			}
			shipped[e.ID] = true
			return nil
		})
		for _, d := range cobrotest.Deliver(t, n) {
			fmt.Println(d.Receiver, d.First, d.Again)
		}
	})
	// Output:
	// ship order-1042
	// payment_completed/ship <nil> <nil>
}

func ExampleNotification() {
	e := cobrotest.Notification(payment.EventCompleted, func(e *payment.Notification) { e.Payment.Reference = "table-4" })
	fmt.Printf("%s: $%s less $%s is $%s\n", e.Payment.Reference, e.Payment.Total, e.Payment.Fee, e.Payment.NetAmount)
	// Output:
	// table-4: $25.00 less $0.56 is $24.44
}
