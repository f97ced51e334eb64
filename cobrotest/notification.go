package cobrotest

import (
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// host is the program in which receivers run here.
const host = "shop"

// opening is when the first payment is made: a Monday morning in San Juan.
func opening() time.Time { return time.Date(2026, time.November, 2, 13, 30, 0, 0, time.UTC) }

// Notification returns a realistic notification of an event, always the same
// one, with changes made to it.
//
// They are of five sales of $25.00: order-1042 was completed, got $5.00
// back and was refused the rest, and its fee differs in ATH Móvil's report;
// order-1043 was canceled on the phone; order-1044 expired; and of order-1045
// ATH Móvil does not say whether it was debited.
func Notification(event payment.Event, changes ...func(*payment.Notification)) payment.Notification {
	n := payment.Notification{Version: payment.NotificationVersion, Event: event, Sequence: 2}
	switch event {
	case payment.EventCreated:
		n.Sequence = 1
		n.Payment = sale("order-1042", payment.StatusOpen, time.Second)
	case payment.EventFailed:
		n.Payment = sale("order-1043", payment.StatusCancelled, 20*time.Second)
		n.Payment.Failure = &payment.Failure{Code: payment.FailureCancelledByCustomer, Message: "cancelled in the ATH Móvil app"}
	case payment.EventExpired:
		n.Payment = sale("order-1044", payment.StatusExpired, payment.DefaultExpiresIn)
	case payment.EventRefundCompleted:
		n.Sequence = 3
		n.Payment = completed()
		n.Payment.RefundedAmount = money.FromCents(5_00)
		n.Refund = refund(n.Payment, "return-7", 5_00)
		n.Refund.Status, n.Refund.ReferenceNumber = payment.RefundCompleted, "402894d56b240610016b2e6c78a6003a"
	case payment.EventRefundFailed:
		n.Sequence = 4
		n.Payment = completed()
		n.Payment.RefundedAmount = money.FromCents(5_00)
		n.Refund = refund(n.Payment, "return-8", 20_00)
		n.Refund.Status = payment.RefundFailed
		n.Refund.Failure = &payment.Failure{Code: "BTRA_0009", Message: "the business is not active"}
	case payment.EventNeedsReview:
		n.Payment = sale("order-1045", payment.StatusConfirmed, payment.DefaultExpiresIn+15*time.Minute)
		n.Payment.NeedsReview = true
		n.Review = review(n.Payment)
	case payment.EventReconciliationMismatch:
		n.Sequence = 5
		n.Payment = completed()
		n.Payment.RefundedAmount = money.FromCents(5_00)
		n.Mismatch = mismatch(n.Payment)
	case payment.EventCompleted:
		n.Payment = completed()
	default: // none of Cobro's: for a test of what a receiver does then
		n.Payment = completed()
	}
	n.OccurredAt = n.Payment.UpdatedAt
	switch {
	case n.Refund != nil:
		n.OccurredAt = *n.Refund.CompletedAt
	case n.Mismatch != nil:
		n.OccurredAt = n.Mismatch.FoundAt
	}
	for _, change := range changes {
		change(&n)
	}
	if n.ID == "" {
		n.ID = idFor(n, "receiver")
	}
	return n
}

// idFor is the id under which a receiver is notified, as the workflows derive it.
func idFor(n payment.Notification, receiver string) string {
	subject := n.Payment.ID
	switch {
	case n.Mismatch != nil:
		subject = n.Mismatch.ID
	case n.Refund != nil:
		subject = n.Refund.ID
	}
	return ledger.NotificationID(subject, n.Event, n.Sequence, host, receiver)
}

// sale is a payment of $25.00 as it stood some time after it was asked for.
func sale(reference string, status payment.Status, after time.Duration) payment.Payment {
	subtotal, tax := money.FromCents(22_42), money.FromCents(2_58)
	created := opening()
	return payment.Payment{
		ID: ledger.DeriveID("default", reference), Status: status,
		Request: payment.Request{
			Reference: reference, Total: subtotal.Add(tax), Subtotal: &subtotal, Tax: &tax,
			PhoneNumber: "7875550101", Metadata1: "pick-up in Río Piedras",
			Items: []payment.Item{
				{Name: "Café de Yauco", Description: "8 oz, molido", Quantity: 2, Price: money.FromCents(8_75), Metadata: "YAUCO-8"},
				{Name: "Quesito", Description: "guayaba", Quantity: 2, Price: money.FromCents(2_46), Metadata: "QUESITO"},
			},
			ExpiresIn: payment.DefaultExpiresIn,
		},
		EcommerceID: "0ab257f5-3837-11ed-855f-9b4af5a393ce",
		CreatedAt:   created, UpdatedAt: created.Add(after), ExpiresAt: created.Add(payment.DefaultExpiresIn),
	}
}

// completed is the sale that went well.
func completed() payment.Payment {
	const after = 40 * time.Second
	p := sale("order-1042", payment.StatusCompleted, after)
	captured, fee, net, at := p.Total, money.FromCents(56), money.FromCents(24_44), p.CreatedAt.Add(after)
	p.ReferenceNumber, p.DailyTransactionID = "102426403-8a36d6ba967ef82501968c5eb7376349", "0006"
	p.Captured, p.Fee, p.NetAmount, p.CompletedAt = &captured, &fee, &net, &at
	p.Customer = payment.Customer{Name: "Benito Cruz", PhoneNumber: "7875550101", Email: "benito.cruz@example.com"}
	return p
}

// refund gives cents of a payment back, an hour after it was completed.
func refund(of payment.Payment, key string, cents int64) *payment.Refund {
	created := of.CompletedAt.Add(time.Hour)
	ended := created.Add(2 * time.Second)
	return &payment.Refund{
		ID: ledger.DeriveRefundID(of.ID, key), PaymentID: of.ID, Amount: money.FromCents(cents),
		Message: "one quesito was missing", Source: payment.SourceAPI, CreatedAt: created, CompletedAt: &ended,
	}
}

func review(of payment.Payment) *payment.Review {
	asked := of.CreatedAt.Add(30 * time.Second)
	return &payment.Review{
		ID: ledger.DeriveReviewID(of.ID, 1), PaymentID: of.ID, Cause: payment.CauseUndecided, OpenedAt: of.UpdatedAt,
		Evidence: []payment.Evidence{
			{At: asked, What: "Authorize, try 1: unknown"},
			{At: of.UpdatedAt, What: "ATH Móvil gave no terminal answer by the end of the grace period"},
		},
	}
}

func mismatch(of payment.Payment) *payment.Mismatch {
	ours, theirs := of.Fee.String(), "0.58"
	return &payment.Mismatch{
		ID:   ledger.DeriveMismatchID(payment.MismatchFee, of.ID, ours, theirs),
		Kind: payment.MismatchFee, PaymentID: of.ID, ReferenceNumber: of.ReferenceNumber, Ours: ours, Theirs: theirs,
		Source: payment.FoundByReconciliation, FoundAt: time.Date(2026, time.November, 3, 6, 0, 0, 0, time.UTC),
	}
}
