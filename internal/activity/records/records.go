// Package records does the activities that read and write the store, all of them
// local ones.
package records

import (
	"context"
	"errors"
	"time"

	sdk "go.temporal.io/sdk/activity"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Store is what the workflows write. Every method is all or nothing and
// idempotent; internal/store satisfies it.
type Store interface {
	// RecordPayment writes a change and returns the sequence and the receivers of
	// the event that it announces. It returns a *ledger.DebitTakenError, having
	// written nothing, where the gateway's reference number is another payment's.
	RecordPayment(ctx context.Context, change ledger.Change) (ledger.Announced, error)
	// ReserveRefund keeps a refund, or returns the one with its id and fingerprint.
	// It returns a *payment.RefundRefusal where it must not be.
	ReserveRefund(ctx context.Context, r ledger.Reservation) (ledger.Reserved, error)
	// RecordRefund writes a change of a reserved refund.
	RecordRefund(ctx context.Context, change ledger.RefundChange) (ledger.Announced, error)
	// TakeRefund keeps every workflow from sending a refund. It returns a
	// *payment.RefundRefusal with RefusedHeld where the refund is settled.
	TakeRefund(ctx context.Context, paymentID, refundID, by string) (ledger.Reserved, error)
	// Reviews lists reviews, newest first.
	Reviews(ctx context.Context, filter ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error)

	// BookExternalRefund records a refund made elsewhere, once, as completed, and
	// announces it. It returns a *payment.RefundRefusal with RefusedExplained
	// where the books and the amount would exceed the gateway's total, with
	// RefusedInProgress while a refund of ours is unsettled, and with
	// RefusedNoPayment or RefusedNotCompleted.
	BookExternalRefund(ctx context.Context, refund ledger.ExternalRefund) (ledger.Announced, payment.Refund, error)
	// RefundContext finds what an event about a refund may be about.
	RefundContext(ctx context.Context, claim ledger.RefundClaim) (ledger.RefundContext, error)
	// FillPayer writes who paid, where that is not known yet, and reports whether
	// it did.
	FillPayer(ctx context.Context, paymentID string, payer payment.Customer) (bool, error)
	// RecordMismatch keeps a difference, once. The first write announces it,
	// where its kind is announced, for the workflow to deliver; a repetition
	// answers the same.
	RecordMismatch(ctx context.Context, mismatch payment.Mismatch, workflow string) (ledger.Announced, error)
	// RecordDeliveries notes how deliveries stand.
	RecordDeliveries(ctx context.Context, deliveries []payment.Delivery) error
	// ReopenDelivery makes a delivery that has ended, or that the workflow left
	// has left, another workflow's to send again. It returns a
	// *ledger.DeliveryPendingError where a third one sends it.
	ReopenDelivery(ctx context.Context, id, workflow, left string) (ledger.Reopened, error)
	// SettleGatewayEvent records what became of an event.
	SettleGatewayEvent(ctx context.Context, id string, verdict ledger.EventVerdict, matchedID, effect string) error
	// UnstartedPayments returns payments that were reserved before a moment and not
	// recorded since, oldest first, and UnstartedRefunds refunds.
	UnstartedPayments(ctx context.Context, before time.Time, after ledger.Cursor, limit int) ([]ledger.Record, error)
	UnstartedRefunds(ctx context.Context, before time.Time, after ledger.Cursor, limit int) ([]ledger.RefundRecord, error)
	// Payment returns a payment as it was last recorded, or ledger.ErrNotFound.
	Payment(ctx context.Context, id string) (ledger.Record, error)
}

// Tickets looks at open tickets. It never blocks; internal/poller satisfies it.
type Tickets interface {
	// Watch begins to look at a ticket, or goes on doing so.
	Watch(ticket ledger.OpenTicket)
	// Forget ends that.
	Forget(paymentID string)
}

// Records are the local activities that write to the store. Safe for
// concurrent use as far as Store is.
type Records struct {
	Store Store
	// Tickets is told of every payment that opens, and of every one that is no
	// longer open.
	Tickets Tickets
}

// Bindings lists the activities.
func (r *Records) Bindings() []activity.Binding {
	return []activity.Binding{
		activity.RecordPayment.Bind(r.RecordPayment), activity.WatchTicket.Bind(r.WatchTicket), activity.ReserveRefund.Bind(r.ReserveRefund),
		activity.RecordRefund.Bind(r.RecordRefund), activity.TakeRefund.Bind(r.TakeRefund),
		activity.BookExternalRefund.Bind(r.BookExternalRefund), activity.RefundContext.Bind(r.RefundContext),
		activity.FillPayer.Bind(r.FillPayer), activity.RecordMismatch.Bind(r.RecordMismatch),
		activity.RecordDeliveries.Bind(r.RecordDeliveries), activity.ReopenDelivery.Bind(r.ReopenDelivery),
		activity.SettleEvent.Bind(r.SettleEvent), activity.LookUpPayment.Bind(r.LookUpPayment),
		activity.UnstartedPayments.Bind(r.UnstartedPayments), activity.UnstartedRefunds.Bind(r.UnstartedRefunds),
	}
}

// RecordPayment does [activity.RecordPayment]. A ticket is looked at before its row
// is written, so that a store that is away costs no sale.
func (r *Records) RecordPayment(ctx context.Context, change ledger.Change) (activity.RecordPaymentResult, error) {
	change.Workflow = workflowID(ctx)
	if p := change.Record.Payment; p.Status == payment.StatusOpen {
		r.Tickets.Watch(ledger.OpenTicket{PaymentID: p.ID, EcommerceID: p.EcommerceID, ExpiresAt: p.ExpiresAt})
	} else {
		r.Tickets.Forget(p.ID)
	}
	failpoint.Reach(failpoint.RecordBefore)
	announced, err := r.Store.RecordPayment(ctx, change)
	failpoint.Reach(failpoint.RecordAfter)
	if taken, ok := errors.AsType[*ledger.DebitTakenError](err); ok {
		return activity.RecordPaymentResult{DebitOf: taken.PaymentID}, nil
	}
	return activity.RecordPaymentResult{Sequence: announced.Sequence, Receivers: announced.Receivers}, err
}

// WatchTicket does [activity.WatchTicket].
func (r *Records) WatchTicket(_ context.Context, in activity.WatchTicketInput) (activity.None, error) {
	r.Tickets.Watch(ledger.OpenTicket{PaymentID: in.PaymentID, EcommerceID: in.EcommerceID, ExpiresAt: in.Until})
	return activity.None{}, nil
}

// ReserveRefund does [activity.ReserveRefund].
func (r *Records) ReserveRefund(ctx context.Context, reservation ledger.Reservation) (activity.ReserveRefundResult, error) {
	failpoint.Reach(failpoint.ReserveBefore)
	reserved, err := r.Store.ReserveRefund(ctx, reservation)
	failpoint.Reach(failpoint.ReserveAfter)
	var refusal *payment.RefundRefusal
	if errors.As(err, &refusal) {
		return activity.ReserveRefundResult{Refusal: refusal}, nil
	}
	if err != nil {
		return activity.ReserveRefundResult{}, err
	}
	return activity.ReserveRefundResult{Reserved: &reserved}, nil
}

// TakeRefund does [activity.TakeRefund].
func (r *Records) TakeRefund(ctx context.Context, in activity.TakeRefundInput) (activity.TakeRefundResult, error) {
	taken, err := r.Store.TakeRefund(ctx, in.PaymentID, in.RefundID, workflowID(ctx))
	var refusal *payment.RefundRefusal
	if errors.As(err, &refusal) {
		return activity.TakeRefundResult{}, nil
	}
	if err != nil {
		return activity.TakeRefundResult{}, err
	}
	result, open := activity.TakeRefundResult{Taken: &taken}, true
	left, _, err := r.Store.Reviews(ctx, ledger.ReviewFilter{Open: &open, RefundID: in.RefundID, Limit: 1})
	if err == nil && len(left) > 0 {
		result.Review = &left[0]
	}
	return result, err
}

// RecordRefund does [activity.RecordRefund].
func (r *Records) RecordRefund(ctx context.Context, change ledger.RefundChange) (ledger.Announced, error) {
	change.Workflow = workflowID(ctx)
	failpoint.Reach(failpoint.RecordRefundBefore)
	announced, err := r.Store.RecordRefund(ctx, change)
	failpoint.Reach(failpoint.RecordRefundAfter)
	return announced, err
}

// BookExternalRefund does [activity.BookExternalRefund].
func (r *Records) BookExternalRefund(ctx context.Context, external ledger.ExternalRefund) (activity.BookExternalRefundResult, error) {
	external.Workflow = workflowID(ctx)
	failpoint.Reach(failpoint.BookBefore)
	announced, refund, err := r.Store.BookExternalRefund(ctx, external)
	failpoint.Reach(failpoint.BookAfter)
	var refusal *payment.RefundRefusal
	if errors.As(err, &refusal) {
		return activity.BookExternalRefundResult{Refusal: refusal}, nil
	}
	if err != nil {
		return activity.BookExternalRefundResult{}, err
	}
	return activity.BookExternalRefundResult{Refund: &refund, Announced: announced}, nil
}

// RefundContext does [activity.RefundContext].
func (r *Records) RefundContext(ctx context.Context, claim ledger.RefundClaim) (ledger.RefundContext, error) {
	return r.Store.RefundContext(ctx, claim)
}

// FillPayer does [activity.FillPayer].
func (r *Records) FillPayer(ctx context.Context, in activity.FillPayerInput) (activity.FillPayerResult, error) {
	filled, err := r.Store.FillPayer(ctx, in.PaymentID, in.Payer)
	return activity.FillPayerResult{Filled: filled}, err
}

// RecordMismatch does [activity.RecordMismatch].
func (r *Records) RecordMismatch(ctx context.Context, mismatch payment.Mismatch) (ledger.Announced, error) {
	return r.Store.RecordMismatch(ctx, mismatch, workflowID(ctx))
}

// RecordDeliveries does [activity.RecordDeliveries].
func (r *Records) RecordDeliveries(ctx context.Context, in activity.RecordDeliveriesInput) (activity.None, error) {
	by := workflowID(ctx)
	for i := range in.Deliveries {
		in.Deliveries[i].WorkflowID = by
	}
	return activity.None{}, r.Store.RecordDeliveries(ctx, in.Deliveries)
}

// ReopenDelivery does [activity.ReopenDelivery].
func (r *Records) ReopenDelivery(ctx context.Context, in activity.ReopenDeliveryInput) (activity.ReopenDeliveryResult, error) {
	reopened, err := r.Store.ReopenDelivery(ctx, in.NotificationID, workflowID(ctx), in.Left)
	var pending *ledger.DeliveryPendingError
	switch {
	case errors.As(err, &pending), errors.Is(err, ledger.ErrNotFound):
		return activity.ReopenDeliveryResult{Refusal: err.Error()}, nil
	case err != nil:
		return activity.ReopenDeliveryResult{}, err
	default:
		return activity.ReopenDeliveryResult{Reopened: &reopened}, nil
	}
}

// workflowID is the workflow that asks; empty outside of one.
func workflowID(ctx context.Context) string {
	if !sdk.IsActivity(ctx) {
		return ""
	}
	return sdk.GetInfo(ctx).WorkflowExecution.ID
}

// SettleEvent does [activity.SettleEvent].
func (r *Records) SettleEvent(ctx context.Context, in activity.SettleEventInput) (activity.None, error) {
	return activity.None{}, r.Store.SettleGatewayEvent(ctx, in.EventID, in.Verdict, in.MatchedID, in.Effect)
}

// LookUpPayment does [activity.LookUpPayment].
func (r *Records) LookUpPayment(ctx context.Context, in activity.LookUpPaymentInput) (activity.LookUpPaymentResult, error) {
	record, err := r.Store.Payment(ctx, in.PaymentID)
	if errors.Is(err, ledger.ErrNotFound) {
		return activity.LookUpPaymentResult{}, nil
	}
	return activity.LookUpPaymentResult{Payment: &record.Payment}, err
}

// UnstartedPayments does [activity.UnstartedPayments].
func (r *Records) UnstartedPayments(ctx context.Context, in activity.UnstartedInput) (activity.UnstartedPage[ledger.Record], error) {
	items, err := r.Store.UnstartedPayments(ctx, in.Before, in.After, activity.UnstartedLimit)
	return activity.UnstartedPage[ledger.Record]{Items: items}, err
}

// UnstartedRefunds does [activity.UnstartedRefunds].
func (r *Records) UnstartedRefunds(ctx context.Context, in activity.UnstartedInput) (activity.UnstartedPage[ledger.RefundRecord], error) {
	items, err := r.Store.UnstartedRefunds(ctx, in.Before, in.After, activity.UnstartedLimit)
	return activity.UnstartedPage[ledger.RefundRecord]{Items: items}, err
}
