// Package cobrotest tests a merchant's receivers without a server, a database
// or an account.
//
// [NewShop] runs whole payments in the process of the test: the real workflows
// and the real gateway client, against a simulator of ATH Móvil. Time is
// skipped, so that ten minutes of a customer who never looks, or a week of a
// receiver's retries, take a moment.
//
//	func TestReceipts(t *testing.T) {
//		receipts := &fakeMail{}
//		shop := cobrotest.NewShop(t, notifications(receipts))
//		paid := shop.Pay("25.00")
//		shop.Refund(paid, "5.00")
//		if len(receipts.sent) != 2 {
//			t.Errorf("%d receipts were sent", len(receipts.sent))
//		}
//	}
//
// [Deliver] gives every receiver each event that it is for, twice, and fails
// the test if one returns an error. [Notification] makes a single one, for a test that
// calls a receiver by itself.
//
// A receiver that fails does not fail a [Shop]'s test, since failing may be
// what is tested: [Shop.Deliveries] tells how each delivery ended, and each
// error is in the test's log.
package cobrotest
