package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"

	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// RecordStore is what the workflows write. Every method is all or nothing and
// idempotent; internal/store satisfies it.
type RecordStore interface {
	// RecordPayment writes a change and returns the sequence and the receivers of
	// the event that it announces. It returns a *ledger.ReferenceInUseError,
	// having written nothing, where the payment's reference has another
	// unfinished payment.
	RecordPayment(ctx context.Context, change ledger.Change) (ledger.Announced, error)
	// ReserveRefund grants one refund the right to be sent. It returns a
	// *payment.RefundRefusal where it must not be.
	ReserveRefund(ctx context.Context, r ledger.Reservation) (ledger.Reserved, error)
	// RecordRefund writes a change of a reserved refund.
	RecordRefund(ctx context.Context, change ledger.RefundChange) (ledger.Announced, error)
	// ClaimRefund lets one workflow run send a refund. It returns a
	// *payment.RefundRefusal with RefusedHeld to any other run.
	ClaimRefund(ctx context.Context, refundID, runID string) error
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
	// Payment returns a payment as it was last recorded, or ledger.ErrNotFound.
	Payment(ctx context.Context, id string) (ledger.Record, error)
}

// Records are the local activities that write to the store. Safe for
// concurrent use as far as Store is.
type Records struct {
	Store RecordStore
}

// RecordPaymentResult answers RecordPayment.
type RecordPaymentResult struct {
	Sequence  int               `json:"sequence,omitempty"` // of the event that was announced
	Receivers []ledger.Receiver `json:"receivers,omitempty"`
	// InUseBy is the unfinished payment that has the same reference; then
	// nothing was written.
	InUseBy string `json:"in_use_by,omitempty"`
}

// RecordPayment writes one step of a payment's life. A reference that is in use
// is an answer, not an error.
func (r *Records) RecordPayment(ctx context.Context, change ledger.Change) (RecordPaymentResult, error) {
	change.Workflow = workflowID(ctx)
	failpoint.Reach(failpoint.RecordBefore)
	announced, err := r.Store.RecordPayment(ctx, change)
	failpoint.Reach(failpoint.RecordAfter)
	var inUse *ledger.ReferenceInUseError
	if errors.As(err, &inUse) {
		return RecordPaymentResult{InUseBy: inUse.PaymentID}, nil
	}
	return RecordPaymentResult{Sequence: announced.Sequence, Receivers: announced.Receivers}, err
}

// ReserveRefundResult answers ReserveRefund; exactly one field is set.
type ReserveRefundResult struct {
	Reserved *ledger.Reserved       `json:"reserved,omitempty"`
	Refusal  *payment.RefundRefusal `json:"refusal,omitempty"`
}

// ReserveRefund asks the store for the right to send a refund. A refusal is an
// answer, not an error.
func (r *Records) ReserveRefund(ctx context.Context, reservation ledger.Reservation) (ReserveRefundResult, error) {
	failpoint.Reach(failpoint.ReserveBefore)
	reserved, err := r.Store.ReserveRefund(ctx, reservation)
	failpoint.Reach(failpoint.ReserveAfter)
	var refusal *payment.RefundRefusal
	if errors.As(err, &refusal) {
		return ReserveRefundResult{Refusal: refusal}, nil
	}
	if err != nil {
		return ReserveRefundResult{}, err
	}
	return ReserveRefundResult{Reserved: &reserved}, nil
}

// TakeRefundInput names a refund whose workflow is gone.
type TakeRefundInput struct {
	PaymentID string `json:"payment_id"`
	RefundID  string `json:"refund_id"`
}

// TakeRefundResult is the refund, and the review that its workflow has left open.
// Taken is nil where the refund is settled.
type TakeRefundResult struct {
	Taken  *ledger.Reserved `json:"taken,omitempty"`
	Review *payment.Review  `json:"review,omitempty"`
}

// TakeRefund keeps every workflow from sending a refund.
func (r *Records) TakeRefund(ctx context.Context, in TakeRefundInput) (TakeRefundResult, error) {
	taken, err := r.Store.TakeRefund(ctx, in.PaymentID, in.RefundID, workflowID(ctx))
	var refusal *payment.RefundRefusal
	if errors.As(err, &refusal) {
		return TakeRefundResult{}, nil
	}
	if err != nil {
		return TakeRefundResult{}, err
	}
	result, open := TakeRefundResult{Taken: &taken}, true
	left, _, err := r.Store.Reviews(ctx, ledger.ReviewFilter{Open: &open, RefundID: in.RefundID, Limit: 1})
	if err == nil && len(left) > 0 {
		result.Review = &left[0]
	}
	return result, err
}

// RecordRefund writes one step of a refund's life.
func (r *Records) RecordRefund(ctx context.Context, change ledger.RefundChange) (ledger.Announced, error) {
	change.Workflow = workflowID(ctx)
	failpoint.Reach(failpoint.RecordRefundBefore)
	announced, err := r.Store.RecordRefund(ctx, change)
	failpoint.Reach(failpoint.RecordRefundAfter)
	return announced, err
}

// BookExternalRefundResult answers BookExternalRefund; either Refusal or the
// others are set.
type BookExternalRefundResult struct {
	Refund    *payment.Refund        `json:"refund,omitempty"`
	Announced ledger.Announced       `json:"announced"`
	Refusal   *payment.RefundRefusal `json:"refusal,omitempty"`
}

// BookExternalRefund writes a refund that was made elsewhere. A refusal is an
// answer, not an error.
func (r *Records) BookExternalRefund(ctx context.Context, external ledger.ExternalRefund) (BookExternalRefundResult, error) {
	external.Workflow = workflowID(ctx)
	failpoint.Reach(failpoint.BookBefore)
	announced, refund, err := r.Store.BookExternalRefund(ctx, external)
	failpoint.Reach(failpoint.BookAfter)
	var refusal *payment.RefundRefusal
	if errors.As(err, &refusal) {
		return BookExternalRefundResult{Refusal: refusal}, nil
	}
	if err != nil {
		return BookExternalRefundResult{}, err
	}
	return BookExternalRefundResult{Refund: &refund, Announced: announced}, nil
}

// RefundContext finds what an event about a refund may be about.
func (r *Records) RefundContext(ctx context.Context, claim ledger.RefundClaim) (ledger.RefundContext, error) {
	return r.Store.RefundContext(ctx, claim)
}

// FillPayerInput says who paid.
type FillPayerInput struct {
	PaymentID string           `json:"payment_id"`
	Payer     payment.Customer `json:"payer"`
}

// FillPayerResult answers FillPayer.
type FillPayerResult struct {
	Filled bool `json:"filled"`
}

// FillPayer writes who paid, where that is not known yet.
func (r *Records) FillPayer(ctx context.Context, in FillPayerInput) (FillPayerResult, error) {
	filled, err := r.Store.FillPayer(ctx, in.PaymentID, in.Payer)
	return FillPayerResult{Filled: filled}, err
}

// RecordMismatch keeps a difference for people.
func (r *Records) RecordMismatch(ctx context.Context, mismatch payment.Mismatch) (ledger.Announced, error) {
	return r.Store.RecordMismatch(ctx, mismatch, workflowID(ctx))
}

// RecordDeliveriesInput is what became of notifications.
type RecordDeliveriesInput struct {
	Deliveries []payment.Delivery `json:"deliveries"`
}

// RecordDeliveries notes how deliveries stand.
func (r *Records) RecordDeliveries(ctx context.Context, in RecordDeliveriesInput) error {
	return r.Store.RecordDeliveries(ctx, in.Deliveries)
}

// ReopenDeliveryInput names a notification.
type ReopenDeliveryInput struct {
	NotificationID string `json:"notification_id"`
	Left           string `json:"left,omitempty"` // the workflow that ended without having delivered
}

// ReopenDeliveryResult is what is sent again; or nil, and why not.
type ReopenDeliveryResult struct {
	Reopened *ledger.Reopened `json:"reopened,omitempty"`
	Refusal  string           `json:"refusal,omitempty"` // in words for people
}

// ReopenDelivery makes a notification that has ended the calling workflow's to
// send again. A refusal is an answer, not an error.
func (r *Records) ReopenDelivery(ctx context.Context, in ReopenDeliveryInput) (ReopenDeliveryResult, error) {
	reopened, err := r.Store.ReopenDelivery(ctx, in.NotificationID, workflowID(ctx), in.Left)
	var pending *ledger.DeliveryPendingError
	switch {
	case errors.As(err, &pending), errors.Is(err, ledger.ErrNotFound):
		return ReopenDeliveryResult{Refusal: err.Error()}, nil
	case err != nil:
		return ReopenDeliveryResult{}, err
	default:
		return ReopenDeliveryResult{Reopened: &reopened}, nil
	}
}

// workflowID is the workflow that asks; empty outside of one.
func workflowID(ctx context.Context) string {
	if !activity.IsActivity(ctx) {
		return ""
	}
	return activity.GetInfo(ctx).WorkflowExecution.ID
}

// SettleEventInput is what became of a webhook's event.
type SettleEventInput struct {
	EventID   string              `json:"event_id"`
	Verdict   ledger.EventVerdict `json:"verdict"`
	MatchedID string              `json:"matched_id,omitempty"`
	Effect    string              `json:"effect"` // in words for people; no personal data
}

// SettleEvent writes what became of a webhook's event.
func (r *Records) SettleEvent(ctx context.Context, in SettleEventInput) error {
	return r.Store.SettleGatewayEvent(ctx, in.EventID, in.Verdict, in.MatchedID, in.Effect)
}

// LookUpPaymentInput names a payment.
type LookUpPaymentInput struct {
	PaymentID string `json:"payment_id"`
}

// LookUpPaymentResult is a payment as the store has it; nil where there is none.
type LookUpPaymentResult struct {
	Payment *payment.Payment `json:"payment,omitempty"`
}

// LookUpPayment reads a payment that has no workflow any more. A payment that
// nobody knows is an answer, not an error.
func (r *Records) LookUpPayment(ctx context.Context, in LookUpPaymentInput) (LookUpPaymentResult, error) {
	record, err := r.Store.Payment(ctx, in.PaymentID)
	if errors.Is(err, ledger.ErrNotFound) {
		return LookUpPaymentResult{}, nil
	}
	return LookUpPaymentResult{Payment: &record.Payment}, err
}
