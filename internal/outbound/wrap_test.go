package outbound_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWrapSeesEveryRequest(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	sender := newSender(t, outbound.Options{Wrap: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Traceparent", "seen")
			return next.RoundTrip(r)
		})
	}})
	_, err := sender.Send(t.Context(), s.endpoint(), example(t, payment.EventCompleted))
	require.NoError(t, err)
	require.Equal(t, "seen", s.arrived()[0].header.Get("Traceparent"))
}
