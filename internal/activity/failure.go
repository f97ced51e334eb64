package activity

import (
	"errors"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/payment"
)

// Kind says what a failed call to the gateway means for whoever made it. Stored
// in histories: never rename a value.
type Kind string

// The kinds of failure.
const (
	KindDeclined       Kind = "declined"       // refused for good
	KindInvalid        Kind = "invalid"        // the request breaks a rule of the gateway
	KindAuthentication Kind = "authentication" // the business's tokens or the ticket's are refused
	KindUnavailable    Kind = "unavailable"    // surely not executed
	KindUnknown        Kind = "unknown"        // executed or not: only a look tells
)

// GatewayFailure is how a failed call to the gateway reaches a workflow: the
// detail of an application error whose type is the kind. Stored in histories:
// fields are only ever added.
type GatewayFailure struct {
	Kind    Kind   `json:"kind"`
	Code    string `json:"code,omitempty"`    // the gateway's, such as "BTRA_0044"
	Message string `json:"message,omitempty"` // what the code means, or how the answer differs; never the gateway's own text, which may say anything
	// LookFirst says that the refusal may follow an earlier success, so that it
	// never counts by itself.
	LookFirst bool `json:"look_first,omitempty"`
}

// String says the failure for people: its kind and the gateway's code, or how
// the answer differs.
func (f GatewayFailure) String() string {
	switch {
	case f.Code != "":
		return string(f.Kind) + " (" + f.Code + ")"
	case f.Message != "":
		return string(f.Kind) + ": " + f.Message
	default:
		return string(f.Kind)
	}
}

// Definite reports whether the gateway refused for good, in a way that it
// documents as without effect. Where money is concerned, a look still has to
// agree.
func (f GatewayFailure) Definite() bool {
	switch f.Kind {
	case KindDeclined, KindInvalid, KindAuthentication:
		return !f.LookFirst
	default:
		return false
	}
}

// Reason says the failure in the words of the domain. Only a definite refusal
// carries the gateway's code as its own; what may be tried again, or is not
// known, has a code of ours and names the gateway's in the message.
func (f GatewayFailure) Reason() *payment.Failure {
	switch {
	case f.Kind == KindUnavailable:
		return &payment.Failure{
			Code: payment.FailureGatewayUnavailable, Message: f.mention("ATH Móvil could not be reached; nothing was done there"),
		}
	case f.Definite() && f.Code != "":
		return &payment.Failure{Code: f.Code, Message: f.Message}
	case f.Definite():
		return &payment.Failure{Code: payment.FailureGatewayRefused, Message: "ATH Móvil refused without a code"}
	default:
		return &payment.Failure{Code: payment.FailureGatewayNoAnswer, Message: f.mention("ATH Móvil gave no usable answer")}
	}
}

// mention adds the gateway's code to a message, where there is one.
func (f GatewayFailure) mention(message string) string {
	if f.Code == "" {
		return message
	}
	return message + " (" + f.Code + ")"
}

// FailureOf reads what a workflow's call to a gateway activity came to. An
// error that is not the gateway's own (a worker that died, a timeout) is
// unknown, except that an activity which no worker ever began is unavailable.
func FailureOf(err error) GatewayFailure {
	var application *temporal.ApplicationError
	if errors.As(err, &application) {
		var failure GatewayFailure
		if application.HasDetails() && application.Details(&failure) == nil && failure.Kind != "" {
			return failure
		}
		return GatewayFailure{Kind: KindUnknown}
	}
	if NeverStarted(err) {
		return GatewayFailure{Kind: KindUnavailable}
	}
	return GatewayFailure{Kind: KindUnknown}
}

// NeverStarted reports whether no worker ever began the activity.
func NeverStarted(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enums.TIMEOUT_TYPE_SCHEDULE_TO_START
}
