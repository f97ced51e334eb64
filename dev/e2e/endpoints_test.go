package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/payment"
)

const endpointSecret = "whsec_c3RvcnktYm9vay1zdG9yeS1ib29rLXN0b3J5LTAwMDE="

// till is an endpoint of a merchant. It answers 500 while it is broken.
type till struct {
	*httptest.Server
	mu     sync.Mutex
	broken bool           // guarded by mu
	heard  map[string]int // by event and payment, how often; guarded by mu
	ids    map[string]string
}

func openTill(t *testing.T) *till {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(endpointSecret)
	require.NoError(t, err)
	s := &till{heard: map[string]int{}, ids: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			t.Errorf("not from Cobro: %v", err)
		}
		n := as[payment.Notification](t, answer{body: body})
		key := string(n.Event) + " " + n.Payment.ID
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard[key]++
		if id, again := s.ids[key]; again && id != n.ID || n.ID != r.Header.Get("webhook-id") {
			t.Errorf("%s came under the ids %s, %s and %s", key, id, n.ID, r.Header.Get("webhook-id"))
		}
		s.ids[key] = n.ID
		if s.broken {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *till) times(event payment.Event, paymentID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard[string(event)+" "+paymentID]
}

func (s *till) setBroken(broken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = broken
}

// awaitMore waits until a notification has come more than so many times.
func (s *till) awaitMore(t *testing.T, event payment.Event, paymentID string, than int) {
	t.Helper()
	require.Eventually(t, func() bool { return s.times(event, paymentID) > than }, patience, glance, "%s never came", event)
}

func TestEndpointsAreTold(t *testing.T) {
	t.Parallel()
	first, second, third := openTill(t), openTill(t), openTill(t)
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	write := func(lines ...string) {
		t.Helper()
		text := "allow_private_addresses: true\nendpoints:\n" + strings.Join(lines, "")
		require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	line := func(name string, s *till, events string) string {
		return fmt.Sprintf("  - {name: %s, url: %q, events: [%s], secrets: [\"env:TILL_SECRET\"]}\n", name, s.URL, events)
	}
	one, two := line("one", first, "payment_created, payment_completed"), line("two", second, "")
	write(one, two)
	c := newCobro(t, "COBRO_ENDPOINTS="+path, "TILL_SECRET="+endpointSecret)

	// One that fails is told again; the other one hears each event once.
	first.setBroken(true)
	opened := c.open(t, m{"total": "7.00", "phone_number": "7875550999"})
	first.awaitMore(t, payment.EventCreated, opened.ID, 1)
	second.awaitMore(t, payment.EventCreated, opened.ID, 0)
	c.phone(t, "confirm", opened.EcommerceID)
	second.awaitMore(t, payment.EventCompleted, opened.ID, 0)
	require.Equal(t, "completed", c.show(t, opened.ID).Status)
	first.setBroken(false)
	first.awaitMore(t, payment.EventCompleted, opened.ID, 0)
	require.Equal(t, 1, second.times(payment.EventCreated, opened.ID))
	require.Equal(t, 1, second.times(payment.EventCompleted, opened.ID))

	// Another one appears while everything runs. Events before that are none of
	// its business.
	write(one, two, line("three", third, "payment_failed, payment_created"))
	var later sale
	require.Eventually(t, func() bool {
		later = c.open(t, m{"total": "3.00", "phone_number": "7875550201"})
		second.awaitMore(t, payment.EventCreated, later.ID, 0)
		return third.times(payment.EventCreated, later.ID) > 0
	}, patience, 10*glance)
	require.Zero(t, third.times(payment.EventCreated, opened.ID))

	// One that has gone from the file is not forgotten: it is told when it is
	// back.
	write(one, two)
	gone := func() bool {
		log, err := os.ReadFile(filepath.Join(c.data, "dev.log"))
		return err == nil && strings.Contains(string(log), "no longer in the endpoints file")
	}
	require.Eventually(t, gone, patience, glance)
	before := c.open(t, m{"total": "4.00", "phone_number": "7875550999"})
	second.awaitMore(t, payment.EventCreated, before.ID, 0)
	require.Zero(t, third.times(payment.EventCreated, before.ID))
	write(one, two, line("three", third, "payment_failed, payment_created"))
	third.awaitMore(t, payment.EventCreated, before.ID, 0)
	require.Equal(t, 1, second.times(payment.EventCreated, before.ID))
}
