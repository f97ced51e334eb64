package outbound_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// The secrets of the tests, which must never be printed.
const (
	secret  = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTAwMDE="
	secret2 = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTAwMDI="
	// canaryPath is in every URL of the tests.
	canaryPath = "/canary-path?token=canary-query"
)

// now is the time in tests that check times.
var now = time.Date(2026, 11, 2, 15, 4, 5, 0, time.UTC)

func example(t *testing.T, event payment.Event) payment.Notification {
	t.Helper()
	n, err := outbound.Example(event, now, rand.NewChaCha8([32]byte{}))
	require.NoError(t, err)
	return n
}

// arrival is a request that an endpoint received.
type arrival struct {
	method string
	header http.Header
	body   []byte
}

// shop is an endpoint that records its requests.
type shop struct {
	*httptest.Server
	mu       sync.Mutex
	arrivals []arrival // guarded by mu
}

// openShop starts an endpoint that calls answer. If answer is nil it returns 204.
func openShop(t *testing.T, answer http.HandlerFunc) *shop {
	t.Helper()
	s := &shop{}
	s.Server = httptest.NewServer(s.record(t, answer))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) record(t *testing.T, answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		s.mu.Lock()
		s.arrivals = append(s.arrivals, arrival{r.Method, r.Header.Clone(), body})
		s.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	}
}

func (s *shop) arrived() []arrival {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrivals
}

// endpoint returns the shop's entry of the endpoints file.
func (s *shop) endpoint() outbound.Endpoint { return at(s.URL) }

func at(address string) outbound.Endpoint {
	return outbound.Endpoint{
		Name: "shop", URL: private.NewToken(address + canaryPath), Events: payment.Events(),
		Secrets: []private.Token{private.NewToken(secret)}, Timeout: 30 * time.Second, AllowPrivate: true,
	}
}

func newSender(t *testing.T, o outbound.Options) *outbound.Sender {
	t.Helper()
	s := outbound.NewSender(o)
	t.Cleanup(s.Close)
	return s
}
