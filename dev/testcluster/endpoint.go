package testcluster

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/cobropay/cobro/payment"
)

// EndpointSecret signs what an [Endpoint] receives.
const EndpointSecret = "whsec_c3RvcnktYm9vay1zdG9yeS1ib29rLXN0b3J5LTAwMDE="

// Endpoint is a merchant's HTTP server for notifications. It requires that each
// is signed, and that an event always comes with the same id.
type Endpoint struct {
	t        testing.TB
	verifier *standardwebhooks.Webhook
	respond  func(payment.Notification, http.ResponseWriter) (accepted bool)
	address  string

	mu       sync.Mutex
	server   *http.Server      // guarded by mu
	ids      map[string]string // by event, payment and refund; guarded by mu
	calls    map[string]int    // by id; guarded by mu
	accepted map[string]int    // by id; guarded by mu
}

// NewEndpoint starts an endpoint that is closed when the test ends. respond
// answers each notification; nil accepts them all.
func NewEndpoint(t testing.TB, respond func(payment.Notification, http.ResponseWriter) (accepted bool)) *Endpoint {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(EndpointSecret)
	if err != nil {
		t.Fatal(err)
	}
	if respond == nil {
		respond = func(payment.Notification, http.ResponseWriter) bool { return true }
	}
	e := &Endpoint{
		t: t, verifier: verifier, respond: respond, address: "127.0.0.1:0",
		ids: map[string]string{}, calls: map[string]int{}, accepted: map[string]int{},
	}
	e.Open()
	t.Cleanup(e.Close)
	return e
}

// URL is where notifications go.
func (e *Endpoint) URL() string { return "http://" + e.address + "/hooks" }

// Open listens again after [Endpoint.Close], on the same address.
func (e *Endpoint) Open() {
	listener, err := new(net.ListenConfig).Listen(e.t.Context(), "tcp", e.address)
	if err != nil {
		e.t.Errorf("endpoint: %v", err)
		return
	}
	e.address = listener.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(e.receive), ReadHeaderTimeout: 5 * time.Second}
	e.mu.Lock()
	e.server = server
	e.mu.Unlock()
	go func() { // ends when the server is closed
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.t.Errorf("endpoint: %v", err)
		}
	}()
}

// Close breaks every connection, in the middle of a request, too.
func (e *Endpoint) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.server.Close() // it may have been closed already
}

func (e *Endpoint) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the connection broke
	}
	var n payment.Notification
	if err := errors.Join(e.verifier.Verify(body, r.Header), json.Unmarshal(body, &n)); err != nil {
		e.t.Errorf("not from Cobro: %v", err)
	}
	about := subject(n.Event, n.Payment.ID)
	if n.Refund != nil {
		about += " " + n.Refund.ID
	}
	e.mu.Lock()
	if known, again := e.ids[about]; again && known != n.ID || n.ID != r.Header.Get("Webhook-Id") {
		e.t.Errorf("%s came with the ids %s, %s and %s", about, known, n.ID, r.Header.Get("Webhook-Id"))
	}
	e.ids[about] = n.ID
	e.calls[n.ID]++
	e.mu.Unlock()
	if !e.respond(n, w) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.accepted[n.ID]++
}

func subject(event payment.Event, paymentID string) string { return string(event) + " of " + paymentID }

// Calls returns how often a payment's event came.
func (e *Endpoint) Calls(event payment.Event, paymentID string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[e.ids[subject(event, paymentID)]]
}

// Totals counts the notifications, the calls with them, those that were never
// accepted, and those that were accepted more than once.
func (e *Endpoint) Totals() (notifications, calls, missed, repeated int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range e.ids {
		calls += e.calls[id]
		switch accepted := e.accepted[id]; {
		case accepted == 0:
			missed++
		case accepted > 1:
			repeated++
		}
	}
	return len(e.ids), calls, missed, repeated
}
