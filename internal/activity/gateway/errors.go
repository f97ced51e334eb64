package gateway

import (
	"errors"

	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
)

// Error turns the client's error into one that keeps its meaning in a
// history. Everything that the client does not classify is unknown.
func Error(err error) error {
	if err == nil {
		return nil
	}
	failure := activity.GatewayFailure{Kind: activity.KindUnknown}
	var refused *athmovil.Error
	if errors.As(err, &refused) {
		failure = activity.GatewayFailure{
			Kind: activity.Kind(refused.Kind), Code: refused.Code, Message: refused.Meaning(), LookFirst: refused.LookFirst(),
		}
	}
	var other *athmovil.RefundedAmountError
	if errors.As(err, &other) {
		failure.Message = other.Error()
	}
	return temporal.NewApplicationErrorWithCause(err.Error(), string(failure.Kind), err, failure)
}

// differs is an answer about something other than what was asked: what came of
// that is not known.
func differs(how string) error {
	return temporal.NewApplicationError(how, string(activity.KindUnknown), activity.GatewayFailure{Kind: activity.KindUnknown, Message: how})
}

// failed is a call that was not made, for a reason of our own.
func failed(message string, kind activity.Kind) error {
	return temporal.NewApplicationError(message, string(kind), activity.GatewayFailure{Kind: kind})
}
