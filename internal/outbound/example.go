package outbound

import (
	"io"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

const (
	// testPrefix starts the id of every example notification.
	testPrefix = "ntf_test_"

	// exampleReference is no real order, so that a receiver that ignores the
	// prefix still cannot mistake an example for a sale.
	exampleReference = "cobro-endpoint-test"

	examplePayment = "pay_00000000000000000000000000"
	exampleRefund  = "ref_00000000000000000000000000"
)

// Example returns a made-up notification of an event, to test an endpoint with.
// Its id is new each time and starts with "ntf_test". Its payment has an id that
// no real payment gets, and a reference that is no real order. It reads 10 bytes
// of entropy.
func Example(event payment.Event, now time.Time, entropy io.Reader) (payment.Notification, error) {
	id, err := ledger.NewID(now, entropy)
	if err != nil {
		return payment.Notification{}, err
	}
	now = now.UTC().Truncate(time.Millisecond)
	n := payment.Notification{
		ID:      testPrefix + strings.TrimPrefix(id, "pay_"),
		Version: payment.NotificationVersion, Event: event, Sequence: 2, OccurredAt: now,
		Payment: openPayment(now),
	}
	if event == payment.EventCreated {
		n.Sequence = 1
	}
	p := &n.Payment
	switch event {
	case payment.EventCompleted:
		complete(p, now)
	case payment.EventFailed:
		p.Status = payment.StatusCancelled
		p.Failure = &payment.Failure{Code: payment.FailureCancelledByCustomer, Message: "the customer cancelled"}
	case payment.EventExpired:
		p.Status, p.CreatedAt, p.ExpiresAt = payment.StatusExpired, now.Add(-10*time.Minute), now
	case payment.EventRefundCompleted, payment.EventRefundFailed:
		complete(p, now.Add(-time.Hour))
		n.Sequence = 3
		n.Refund = refundOf(p, event, now)
	case payment.EventNeedsReview:
		p.Status, p.NeedsReview = payment.StatusConfirmed, true
		n.Review = &payment.Review{
			ID: ledger.DeriveReviewID(examplePayment, 1), PaymentID: examplePayment, Cause: payment.CauseUndecided,
			Evidence: []payment.Evidence{{At: now, What: "the gateway says CONFIRM"}}, OpenedAt: now,
		}
	case payment.EventReconciliationMismatch:
		complete(p, now.Add(-24*time.Hour))
		n.Mismatch = &payment.Mismatch{
			ID:   ledger.DeriveMismatchID(payment.MismatchFee, examplePayment),
			Kind: payment.MismatchFee, PaymentID: examplePayment, ReferenceNumber: p.ReferenceNumber,
			Ours: "0.56", Theirs: "0.55", Source: payment.FoundByReconciliation, FoundAt: now,
		}
	case payment.EventCreated:
	}
	return n, nil
}

// openPayment returns a payment that was opened a minute before now.
func openPayment(now time.Time) payment.Payment {
	subtotal, tax := money.FromCents(22_42), money.FromCents(2_58)
	return payment.Payment{
		ID: examplePayment, Status: payment.StatusOpen,
		Request: payment.Request{
			Reference: exampleReference, Total: money.FromCents(25_00), Subtotal: &subtotal, Tax: &tax,
			PhoneNumber: "7875550999", Metadata1: "a test of Cobro",
			Items: []payment.Item{
				{Name: "Café con leche & <quesito>", Description: "12 oz", Quantity: 2, Price: money.FromCents(11_21)},
			},
			ExpiresIn: payment.DefaultExpiresIn,
		},
		EcommerceID: "0ab257f5-3837-11ed-855f-9b4af5a393ce",
		CreatedAt:   now.Add(-time.Minute), UpdatedAt: now, ExpiresAt: now.Add(9 * time.Minute),
	}
}

func complete(p *payment.Payment, at time.Time) {
	captured, fee, net := p.Total, money.FromCents(56), money.FromCents(24_44)
	p.Status, p.Captured, p.Fee, p.NetAmount = payment.StatusCompleted, &captured, &fee, &net
	p.ReferenceNumber, p.DailyTransactionID = "402894d56b240610016b2e6c78a6003a", "0107"
	p.Customer = payment.Customer{Name: "Valeria Núñez 🌺", PhoneNumber: "7875550999", Email: "valeria@example.com"}
	p.CreatedAt, p.CompletedAt, p.ExpiresAt = at.Add(-time.Minute), &at, at.Add(9*time.Minute)
}

func refundOf(p *payment.Payment, event payment.Event, now time.Time) *payment.Refund {
	refund := &payment.Refund{
		ID: exampleRefund, PaymentID: p.ID, Amount: money.FromCents(5_00), Status: payment.RefundFailed,
		Message: "sorry, Valeria", Source: payment.SourceAPI, CreatedAt: now.Add(-time.Second),
	}
	if event == payment.EventRefundFailed {
		refund.Failure = &payment.Failure{Code: "BTRA_0044", Message: "over the financial institution's limits"}
		return refund
	}
	refund.Status, refund.ReferenceNumber, refund.CompletedAt = payment.RefundCompleted, "402894d56b240610016b2e6c78a6003b", &now
	p.RefundedAmount = refund.Amount
	return refund
}
