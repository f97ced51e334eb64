package payment_test

import (
	"context"
	"fmt"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// A receiver may be called twice for the same notification, so it remembers the
// ids that it has handled.
func ExampleNotification() {
	handled := map[string]bool{} // in a program: a table with a unique key
	ship := func(_ context.Context, n payment.Notification) error {
		if handled[n.ID] {
			return nil
		}
		fmt.Printf("ship %s, paid $%s\n", n.Payment.Reference, n.Payment.Total)
		handled[n.ID] = true
		return nil
	}

	n := payment.Notification{ID: "ntf_a", Event: payment.EventCompleted}
	n.Payment.Reference, n.Payment.Total = "order-1042", money.FromCents(25_00)
	for range 2 {
		if err := ship(context.Background(), n); err != nil {
			fmt.Println(err)
		}
	}
	// Output: ship order-1042, paid $25.00
}
