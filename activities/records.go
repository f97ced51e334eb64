package activities

import (
	"context"
	"errors"

	"github.com/cobropay/cobro/payment"
)

// RecordStore is what the workflows write. Every method is all or nothing and
// idempotent; internal/store satisfies it.
type RecordStore interface {
	// RecordPayment writes a change and returns the receivers of the event that
	// it announces. It returns a *payment.ReferenceInUseError, having written
	// nothing, where the payment's reference has another unfinished payment.
	RecordPayment(ctx context.Context, change payment.Change) ([]payment.Receiver, error)
	// ReserveRefund grants one refund the right to be sent. It returns a
	// *payment.RefundRefusal where it must not be.
	ReserveRefund(ctx context.Context, r payment.Reservation) (payment.Reserved, error)
	// RecordRefund writes a change of a reserved refund.
	RecordRefund(ctx context.Context, change payment.RefundChange) (payment.Announced, error)
}

// Records are the local activities that write to the store. Safe for
// concurrent use as far as Store is.
type Records struct {
	Store RecordStore
}

// RecordPaymentResult answers RecordPayment.
type RecordPaymentResult struct {
	Receivers []payment.Receiver `json:"receivers,omitempty"`
	// InUseBy is the unfinished payment that has the same reference; then
	// nothing was written.
	InUseBy string `json:"in_use_by,omitempty"`
}

// RecordPayment writes one step of a payment's life. A reference that is in use
// is an answer, not an error.
func (r *Records) RecordPayment(ctx context.Context, change payment.Change) (RecordPaymentResult, error) {
	receivers, err := r.Store.RecordPayment(ctx, change)
	var inUse *payment.ReferenceInUseError
	if errors.As(err, &inUse) {
		return RecordPaymentResult{InUseBy: inUse.PaymentID}, nil
	}
	return RecordPaymentResult{Receivers: receivers}, err
}

// ReserveRefundResult answers ReserveRefund; exactly one field is set.
type ReserveRefundResult struct {
	Reserved *payment.Reserved      `json:"reserved,omitempty"`
	Refusal  *payment.RefundRefusal `json:"refusal,omitempty"`
}

// ReserveRefund asks the store for the right to send a refund. A refusal is an
// answer, not an error.
func (r *Records) ReserveRefund(ctx context.Context, reservation payment.Reservation) (ReserveRefundResult, error) {
	reserved, err := r.Store.ReserveRefund(ctx, reservation)
	var refusal *payment.RefundRefusal
	if errors.As(err, &refusal) {
		return ReserveRefundResult{Refusal: refusal}, nil
	}
	if err != nil {
		return ReserveRefundResult{}, err
	}
	return ReserveRefundResult{Reserved: &reserved}, nil
}

// RecordRefund writes one step of a refund's life.
func (r *Records) RecordRefund(ctx context.Context, change payment.RefundChange) (payment.Announced, error) {
	return r.Store.RecordRefund(ctx, change)
}
