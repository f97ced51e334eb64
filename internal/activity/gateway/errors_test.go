package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// TestFailures sends what the gateway answers through the activity, and through
// the failures that a history keeps, back to what a workflow reads.
func TestFailures(t *testing.T) {
	t.Parallel()
	answered := func(kind activity.Kind, code string, look bool) activity.GatewayFailure {
		meaning := (&athmovil.Error{Code: code}).Meaning()
		require.NotEmpty(t, meaning)
		return activity.GatewayFailure{Kind: kind, Code: code, Message: meaning, LookFirst: look}
	}
	authorize := func(g *gateway.Gateway) (any, any) {
		return g.Authorize, activity.AuthorizeInput{EcommerceID: ticketID, AuthToken: authToken}
	}
	find := func(g *gateway.Gateway) (any, any) {
		return g.FindTicket, activity.TicketInput{EcommerceID: ticketID}
	}
	refund := func(g *gateway.Gateway) (any, any) {
		return g.Refund, activity.RefundInput{RefundID: refundID, ReferenceNumber: reference, Amount: money.FromCents(1)}
	}

	for _, tt := range []struct {
		name     string
		call     func(*gateway.Gateway) (function, in any)
		answer   func(int) (int, string) // nil: nobody listens
		want     activity.GatewayFailure
		definite bool
		reason   string
	}{
		{"declined", authorize, always(http.StatusBadRequest, refusal("BTRA_0044")), answered(activity.KindDeclined, "BTRA_0044", false), true, "BTRA_0044"},
		{"declined under HTTP 200", authorize, always(http.StatusOK, refusal("BTRA_0044")), answered(activity.KindDeclined, "BTRA_0044", false), true, "BTRA_0044"},
		{"declined, but it may have been done", authorize, always(http.StatusBadRequest, refusal("BTRA_0032")), answered(activity.KindDeclined, "BTRA_0032", true), false, payment.FailureGatewayNoAnswer},
		{"a wrong token", authorize, always(http.StatusUnauthorized, refusal("BTRA_0401")), answered(activity.KindAuthentication, "BTRA_0401", false), true, "BTRA_0401"},
		{"a broken rule", refund, always(http.StatusBadRequest, refusal("BTRA_0040")), answered(activity.KindInvalid, "BTRA_0040", false), true, "BTRA_0040"},
		{"an internal error with a code", refund, always(http.StatusInternalServerError, refusal("BTRA_9999")), answered(activity.KindUnknown, "BTRA_9999", true), false, payment.FailureGatewayNoAnswer},
		{"a page", authorize, always(http.StatusOK, "<html>"), activity.GatewayFailure{Kind: activity.KindUnknown, LookFirst: true}, false, payment.FailureGatewayNoAnswer},
		{"a connection that dies", refund, always(0, ""), activity.GatewayFailure{Kind: activity.KindUnknown, LookFirst: true}, false, payment.FailureGatewayNoAnswer},
		{"nobody listens", authorize, nil, activity.GatewayFailure{Kind: activity.KindUnavailable}, false, payment.FailureGatewayUnavailable},
		{"a look that dies", find, always(0, ""), activity.GatewayFailure{Kind: activity.KindUnavailable}, false, payment.FailureGatewayUnavailable},
		{"a request that is not worth sending", func(g *gateway.Gateway) (any, any) { return g.FindTicket, activity.TicketInput{} }, nil, activity.GatewayFailure{Kind: activity.KindInvalid}, true, payment.FailureGatewayRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := answering(t, tt.answer)
			if tt.answer == nil {
				s.Close()
			}
			g := gatewayAt(t, s.URL)
			function, in := tt.call(g)
			_, err := environment(g).ExecuteActivity(function, in)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "Valeria", "the gateway's words are in no error's text")
			for name, kept := range histories(t, err) {
				failure := activity.FailureOf(kept)
				require.Equal(t, tt.want, failure, name)
				require.Equal(t, tt.definite, failure.Definite(), name)
				require.Equal(t, tt.reason, failure.Reason().Code, name)
				require.NotEmpty(t, failure.Reason().Message, name)
				if !tt.definite {
					require.Contains(t, failure.Reason().Message, tt.want.Code, "%s: a person still sees the gateway's code", name)
				}
				require.False(t, activity.NeverStarted(kept), name)
			}
		})
	}
}

// histories returns an error as it comes back from a history, in clear and
// encrypted.
func histories(t *testing.T, err error) map[string]error {
	t.Helper()
	ring, failed := seal.New()
	require.NoError(t, failed)
	kept := make(map[string]error)
	for name, c := range map[string]converter.FailureConverter{
		"clear":     temporal.GetDefaultFailureConverter(),
		"encrypted": temporalclient.NewFailureConverter(temporalclient.NewDataConverter(ring)),
	} {
		kept[name] = c.FailureToError(c.ErrorToFailure(err))
	}
	return kept
}

func TestFailureOfWhatIsNotTheGateways(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		err   error
		want  activity.Kind
		never bool
	}{
		{"no worker took it", temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil), activity.KindUnavailable, true},
		{"the worker took too long", temporal.NewTimeoutError(enums.TIMEOUT_TYPE_START_TO_CLOSE, nil), activity.KindUnknown, false},
		{"the worker died", temporal.NewTimeoutError(enums.TIMEOUT_TYPE_HEARTBEAT, nil), activity.KindUnknown, false},
		{"it was never done in time", temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil), activity.KindUnknown, false},
		{"it was canceled", temporal.NewCanceledError(), activity.KindUnknown, false},
		{"an application's error", temporal.NewApplicationError("what", "ever"), activity.KindUnknown, false},
		{"details of another kind", temporal.NewApplicationError("what", "ever", "text"), activity.KindUnknown, false},
		{"details without a kind", temporal.NewApplicationError("what", "ever", activity.GatewayFailure{Code: "BTRA_0044"}), activity.KindUnknown, false},
		{"any error", errors.New("what"), activity.KindUnknown, false},
		{"a kind of a later version", temporal.NewApplicationError("what", "ever", activity.GatewayFailure{Kind: "paused"}), "paused", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, kept := range histories(t, tt.err) {
				wrapped := fmt.Errorf("activity: %w", kept)
				failure := activity.FailureOf(wrapped)
				require.Equal(t, tt.want, failure.Kind, name)
				require.False(t, failure.Definite(), "%s: in doubt nothing is definite", name)
				require.Equal(t, tt.never, activity.NeverStarted(wrapped), name)
				require.NotEmpty(t, failure.Reason().Code, name)
			}
		})
	}
}

// TestPanic says that an activity that panics leaves the outcome open.
func TestPanic(t *testing.T) {
	t.Parallel()
	env := environment(&gateway.Gateway{}) // has no client
	g := &gateway.Gateway{}
	_, err := env.ExecuteActivity(g.Authorize, activity.AuthorizeInput{AuthToken: authToken})
	require.Error(t, err)
	for name, kept := range histories(t, err) {
		require.Equal(t, activity.GatewayFailure{Kind: activity.KindUnknown}, activity.FailureOf(kept), name)
	}
}

func TestPermanent(t *testing.T) {
	t.Parallel()
	require.NoError(t, activities.Permanent(nil))
	for name, kept := range histories(t, activities.Permanent(context.Canceled)) {
		var refused *temporal.ApplicationError
		require.ErrorAs(t, kept, &refused, name)
		require.True(t, refused.NonRetryable(), name)
	}
}
