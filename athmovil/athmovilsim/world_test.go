package athmovilsim_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := chooseSequences(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	goleak.VerifyTestMain(m)
}

// signingKey is shared by the tests, since a key takes long to find. Its size
// is for speed.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 1024) })

const (
	api      = "/api/business-transaction/ecommerce"
	patience = 10 * time.Second // for what must happen; no test waits for it to pass
	epoch    = "2025-12-08T20:30:49Z"
)

// object is a JSON object.
type object = map[string]any

// world is a simulator behind real HTTP, with a listener for its webhooks. Its
// clock stands still, except where a test starts it.
type world struct {
	t        *testing.T
	sim      *athmovilsim.Simulator
	gateway  *httptest.Server
	control  *httptest.Server
	listener *listener
	broken   bool // its journal fails, on purpose
}

// start starts a world at [epoch]. It ends with the test.
func start(t *testing.T, config athmovilsim.Config) *world {
	t.Helper()
	w := open(t, config)
	w.post("/_sim/clock", object{"stop": true})
	return w
}

// open starts a world whose clock runs.
func open(t *testing.T, config athmovilsim.Config) *world {
	t.Helper()
	key, err := signingKey()
	require.NoError(t, err)
	config.SigningKey = key
	w := &world{t: t, listener: listen(t)}
	if config.WebhookURL == "" {
		config.WebhookURL = w.listener.server.URL + "/hook"
	}
	if config.Now == nil {
		began, err := time.Parse(time.RFC3339, epoch)
		require.NoError(t, err)
		shift := time.Until(began)
		config.Now = func() time.Time { return time.Now().Add(shift) }
	}
	w.sim, err = athmovilsim.New(config)
	require.NoError(t, err)
	w.gateway = httptest.NewServer(w.sim.Gateway())
	w.control = httptest.NewServer(w.sim.Control())
	t.Cleanup(w.stop)
	return w
}

// stop may be called before the test ends.
func (w *world) stop() {
	w.gateway.Close()
	w.control.Close()
	if err := w.sim.Close(); !w.broken {
		require.NoError(w.t, err)
	}
}

// answer is what came back from either surface.
type answer struct {
	status int
	body   []byte
}

// object returns the body, which must be a JSON object.
func (a answer) object(t *testing.T) object {
	t.Helper()
	var o object
	require.NoError(t, json.Unmarshal(a.body, &o), "%s", a.body)
	return o
}

// data returns the object in a success envelope.
func (a answer) data(t *testing.T) object {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	o := a.object(t)
	require.Equal(t, "success", o["status"])
	return o["data"].(object)
}

// code returns the error code of an error envelope.
func (a answer) code(t *testing.T) string {
	t.Helper()
	o := a.object(t)
	if legacy, ok := o["errorCode"]; ok {
		require.Len(t, o, 2)
		return legacy.(string)
	}
	require.Equal(t, "error", o["status"], "%s", a.body)
	require.Contains(t, o, "data")
	require.Nil(t, o["data"])
	require.NotEmpty(t, o["message"])
	require.NotContains(t, o["message"], "%", "a message is complete")
	return o["errorcode"].(string)
}

// try sends a request and returns the transport's error, for faults.
func (w *world) try(server *httptest.Server, method, path string, body any, header http.Header) (answer, error) {
	w.t.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		require.NoError(w.t, err)
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, server.URL+path, content)
	require.NoError(w.t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	client := *server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, read}, err
}

// call calls the gateway.
func (w *world) call(method, path string, body any, header http.Header) answer {
	w.t.Helper()
	a, err := w.try(w.gateway, method, path, body, header)
	require.NoError(w.t, err)
	return a
}

// post orders something on the control surface, which must accept it.
func (w *world) post(path string, body any) object {
	w.t.Helper()
	a, err := w.try(w.control, http.MethodPost, path, body, nil)
	require.NoError(w.t, err)
	require.Less(w.t, a.status, 300, "%s", a.body)
	return a.object(w.t)
}

// get reads the control surface.
func (w *world) get(path string) object {
	w.t.Helper()
	a, err := w.try(w.control, http.MethodGet, path, nil, nil)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, a.status, "%s", a.body)
	return a.object(w.t)
}

// pass lets simulated time go by.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.post("/_sim/clock", object{"advance_seconds": int(d / time.Second)})
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

// sale is the body of a create, with changes; a nil value removes a key.
func sale(changes object) object {
	body := object{
		"env": "production", "publicToken": athmovilsim.DefaultPublicToken, "timeout": "600",
		"total": "25.00", "tax": "2.50", "subtotal": "22.50", "metadata1": "order 1042", "metadata2": "San Juan",
		"items": []object{{
			"name": "Coffee", "description": "Yauco, one pound", "quantity": "1", "price": "22.50", "tax": "2.50",
			"metadata": "shelf 4", "sku": "YAUCO-1",
		}},
		"phoneNumber": "7875551234",
	}
	for name, value := range changes {
		if value == nil {
			delete(body, name)
			continue
		}
		body[name] = value
	}
	return body
}

// made is a ticket that a test made.
type made struct{ id, token string }

// create makes a ticket.
func (w *world) create(changes object) made {
	w.t.Helper()
	data := w.call(http.MethodPost, api+"/payment", sale(changes), nil).data(w.t)
	return made{data["ecommerceId"].(string), data["auth_token"].(string)}
}

// named is the body of find and cancel.
func named(id string) object {
	return object{"ecommerceId": id, "publicToken": athmovilsim.DefaultPublicToken}
}

func (w *world) find(id string) object {
	w.t.Helper()
	return w.call(http.MethodPost, api+"/business/findPayment", named(id), nil).data(w.t)
}

// status returns a ticket's ecommerceStatus.
func (w *world) status(id string) string {
	w.t.Helper()
	return w.find(id)["ecommerceStatus"].(string)
}

func (w *world) cancel(id string) answer {
	w.t.Helper()
	return w.call(http.MethodPost, api+"/business/cancel", named(id), nil)
}

func (w *world) authorize(token string) answer {
	w.t.Helper()
	return w.call(http.MethodPost, api+"/authorization", object{}, bearer(token))
}

// confirm is the customer's tap.
func (w *world) confirm(id string) {
	w.t.Helper()
	w.post("/_sim/tickets/"+id+"/confirm", nil)
}

// pay makes a completed ticket and returns it with its reference number.
func (w *world) pay(changes object) (made, string) {
	w.t.Helper()
	ticket := w.create(changes)
	w.confirm(ticket.id)
	return ticket, w.authorize(ticket.token).data(w.t)["referenceNumber"].(string)
}

// refunding is the body of a refund, with changes.
func refunding(reference, amount string, changes object) object {
	body := object{
		"publicToken": athmovilsim.DefaultPublicToken, "privateToken": athmovilsim.DefaultPrivateToken,
		"referenceNumber": reference, "amount": amount, "message": "wrong size",
	}
	for name, value := range changes {
		if value == nil {
			delete(body, name)
			continue
		}
		body[name] = value
	}
	return body
}

func (w *world) refund(reference, amount string) answer {
	w.t.Helper()
	return w.call(http.MethodPost, api+"/refund", refunding(reference, amount, nil), nil)
}

// books returns the sums of what was debited and credited.
func (w *world) books() (debits, credits string) {
	w.t.Helper()
	b := w.get("/_sim/books")
	return b["debits"].(string), b["credits"].(string)
}

// listener takes webhooks.
type listener struct {
	server *httptest.Server
	bodies chan []byte
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{bodies: make(chan []byte, 1000)}
	l.server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/json" {
			l.bodies <- body
		}
	}))
	t.Cleanup(l.server.Close)
	return l
}

// next waits for an event.
func (l *listener) next(t *testing.T) object {
	t.Helper()
	select {
	case body := <-l.bodies:
		var o object
		require.NoError(t, json.Unmarshal(body, &o), "%s", body)
		return o
	case <-time.After(patience):
		require.Fail(t, "no webhook came")
		return nil
	}
}

// quiet stops the world, which sends what is under way, and requires that no
// further event came.
func (w *world) quiet() {
	w.t.Helper()
	w.stop()
	require.Empty(w.t, w.listener.bodies)
}
