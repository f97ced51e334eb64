package app

import (
	"context"
	"errors"
	"time"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// Kind says what was refused, and is the code that programs read: never rename a
// value.
type Kind string

// The kinds.
const (
	// KindInternal is what nobody expected. An error that is no [*Error] counts
	// as one.
	KindInternal Kind = "internal"

	KindInvalid              Kind = "validation_failed" // Fields says which rules are broken
	KindKeyRequired          Kind = "idempotency_key_required"
	KindKeyReused            Kind = "idempotency_key_reused"  // for another request
	KindUnavailable          Kind = "temporarily_unavailable" // the same request again does no harm
	KindPaymentNotFound      Kind = "payment_not_found"
	KindReferenceInUse       Kind = "payment_in_progress" // PaymentID is the unfinished payment, where it is known
	KindDeclined             Kind = "gateway_declined"    // the gateway's words are in GatewayCode and GatewayMessage
	KindGatewayUnavailable   Kind = "gateway_unavailable" // the payment failed and nobody was charged
	KindNotCancellable       Kind = "payment_not_cancellable"
	KindPaymentEnded         Kind = "payment_ended"
	KindPhoneDeclined        Kind = "phone_number_declined" // by the gateway, as in KindDeclined
	KindNotCompleted         Kind = "payment_not_completed"
	KindRefundInProgress     Kind = "refund_in_progress" // another one, RefundID
	KindRefundExceeds        Kind = "refund_exceeds_balance"
	KindRefundNotFound       Kind = "refund_not_found"
	KindNotInReview          Kind = "not_in_review"
	KindReviewContradicted   Kind = "review_contradicted" // by what the gateway says, in GatewayMessage
	KindNotificationNotFound Kind = "notification_not_found"
)

// Error is a refusal, with what an answer needs to say. A field that does not
// concern the kind is zero.
type Error struct {
	Kind           Kind
	PaymentID      string
	RefundID       string // the refund in the way, or in review
	Status         payment.Status
	Left           money.Amount // what can still be refunded, of KindRefundExceeds
	GatewayCode    string
	GatewayMessage string
	Fields         payment.FieldErrors
	RetryAfter     time.Duration // where waiting may help
	Err            error         // the cause, for the log; never shown to a customer
}

// Error implements error.
func (e *Error) Error() string {
	text := string(e.Kind)
	if len(e.Fields) > 0 {
		text += ": " + e.Fields.Error()
	}
	if e.GatewayMessage != "" {
		text += ": ATH Móvil says: " + e.GatewayMessage
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// retrySoon is when to try again where nobody knows better.
const retrySoon = 5 * time.Second

// Unavailable refuses what can be asked for again, since something that it needs
// is away.
func Unavailable(err error) *Error {
	return &Error{Kind: KindUnavailable, RetryAfter: retrySoon, Err: err}
}

// fromStore marks an error of the store as one that time may cure. What the
// store does not know is no such error.
func fromStore(err error) error {
	if err == nil || errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	return Unavailable(err)
}

// fromFlows does so for an error of the workflows' client that the use case has
// no answer of its own to.
func fromFlows(err error) error {
	for _, passing := range []error{flows.ErrUnavailable, flows.ErrStillWorking, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, passing) {
			return Unavailable(err)
		}
	}
	return err
}

// unfinished reports an error that leaves an answer: the work goes on, or its
// workflow has closed. The store, or the outcome, says how far it came.
func unfinished(err error) bool {
	return errors.Is(err, flows.ErrStillWorking) || errors.Is(err, flows.ErrEnded) || errors.Is(err, flows.ErrAlreadyEnded)
}

func invalid(err error) error {
	var fields payment.FieldErrors
	if errors.As(err, &fields) {
		return &Error{Kind: KindInvalid, Fields: fields}
	}
	return err
}

// refused is why a refund was not reserved.
func refused(r *payment.RefundRefusal) error {
	switch r.Code {
	case payment.RefusedNoPayment:
		return &Error{Kind: KindPaymentNotFound}
	case payment.RefusedNotCompleted:
		return &Error{Kind: KindNotCompleted, Status: r.Status}
	case payment.RefusedInProgress, payment.RefusedHeld:
		return &Error{Kind: KindRefundInProgress, RetryAfter: retrySoon, RefundID: r.Blocking}
	case payment.RefusedExceeds:
		return &Error{Kind: KindRefundExceeds, Left: r.Left}
	case payment.RefusedKeyReused:
		return &Error{Kind: KindKeyReused}
	default:
		return &Error{Kind: KindInternal, Err: r}
	}
}
