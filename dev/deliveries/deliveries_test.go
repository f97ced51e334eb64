package deliveries

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

var (
	payments = flag.Int("payments", 150, "how many payments")
	dead     = flag.Duration("dead", 6*time.Second, "how long the endpoint is dead")

	programs rig.Programs
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(rig.WithPrograms(filepath.Join("..", ".."), &programs, m.Run))
}

const secret = "whsec_c3RvcnktYm9vay1zdG9yeS1ib29rLXN0b3J5LTAwMDE="

// endpoint is a merchant's server, in whatever mood its handler is. It knows
// which notifications it took.
type endpoint struct {
	t        *testing.T
	verifier *standardwebhooks.Webhook
	mood     func(n payment.Notification, w http.ResponseWriter) bool // true: it takes the notification

	mu     sync.Mutex
	server *http.Server      // guarded by mu
	calls  map[string]int    // by id; guarded by mu
	taken  map[string]int    // by id; guarded by mu
	ids    map[string]string // by what happened; guarded by mu
	addr   string
}

func newEndpoint(t *testing.T, mood func(payment.Notification, http.ResponseWriter) bool) *endpoint {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	e := &endpoint{t: t, verifier: verifier, mood: mood, addr: "127.0.0.1:0", calls: map[string]int{}, taken: map[string]int{}, ids: map[string]string{}}
	e.open()
	t.Cleanup(e.die)
	return e
}

// open serves on the same address every time.
func (e *endpoint) open() {
	listener, err := (&net.ListenConfig{}).Listen(e.t.Context(), "tcp", e.addr)
	require.NoError(e.t, err)
	e.addr = listener.Addr().String()
	server := &http.Server{Handler: e, ReadHeaderTimeout: 5 * time.Second}
	e.mu.Lock()
	e.server = server
	e.mu.Unlock()
	go func() { // ends when the server is closed
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.t.Errorf("endpoint: %v", err)
		}
	}()
}

// die closes every connection, in the middle of whatever it carries.
func (e *endpoint) die() {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.server.Close() // it may have been closed already
}

// ServeHTTP implements [http.Handler].
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the connection died
	}
	var n payment.Notification
	if err := errors.Join(e.verifier.Verify(body, r.Header), json.Unmarshal(body, &n)); err != nil {
		e.t.Errorf("not from Cobro: %v", err)
	}
	about := string(n.Event) + " of " + n.Payment.ID
	if n.Refund != nil {
		about += " " + n.Refund.ID
	}
	e.mu.Lock()
	if known, again := e.ids[about]; again && known != n.ID || n.ID != r.Header.Get("webhook-id") {
		e.t.Errorf("%s came under the ids %s, %s and %s", about, known, n.ID, r.Header.Get("webhook-id"))
	}
	e.ids[about] = n.ID
	e.calls[n.ID]++
	e.mu.Unlock()
	if !e.mood(n, w) {
		return
	}
	e.mu.Lock()
	e.taken[n.ID]++
	e.mu.Unlock()
}

// start starts a system that tells the endpoint.
func start(t *testing.T, e *endpoint) *rig.System {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "endpoints.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil,
		"allow_private_addresses: true\nendpoints:\n  - name: shop\n    url: http://%s/hooks\n    secrets: [%s]\n    timeout: 2s\n    retry: {most: 10s}\n", e.addr, secret), 0o600))
	s, err := rig.Start(t.Context(), programs, folder, map[rig.Part][]string{rig.Worker: {"COBRO_ENDPOINTS=" + file}})
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
	return s
}

func sell(ctx context.Context, m *rig.Merchant, key string, n int) (payment.Payment, error) {
	p, opened, err := m.Open(ctx, key, rig.M{"total": "5.00", "reference": key, "phone_number": fmt.Sprintf("787%07d", 5580000+n)})
	if err == nil && !opened {
		err = fmt.Errorf("%s was refused", key)
	}
	if err == nil {
		err = m.System.Phone(ctx, "confirm", p.EcommerceID)
	}
	if err != nil {
		return p, err
	}
	p, err = m.Await(ctx, p.ID, rig.Ended)
	if err == nil && p.Status != payment.StatusCompleted {
		err = fmt.Errorf("%s is %s", key, p.Status)
	}
	return p, err
}

// TestManyPayments sells a lot to an endpoint that fails half the time, answers
// slowly, and is dead for a while. Every notification arrives, under one id, and
// no transition is doubled.
func TestManyPayments(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(_ payment.Notification, w http.ResponseWriter) bool {
		slow := time.NewTimer(time.Duration(rand.IntN(300)) * time.Millisecond)
		defer slow.Stop()
		<-slow.C
		if rand.IntN(2) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return false
		}
		return true
	})
	s := start(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()
	m := rig.NewMerchant(s)

	began := time.Now()
	var selling errgroup.Group
	selling.SetLimit(16)
	died := make(chan struct{})
	for i := range *payments {
		if i == *payments/3 {
			go func() { // waited for below
				defer close(died)
				e.die()
				select {
				case <-time.After(*dead):
				case <-ctx.Done():
				}
				e.open()
			}()
		}
		selling.Go(func() error {
			_, err := sell(ctx, m, fmt.Sprintf("many-%d", i), i)
			return err
		})
	}
	require.NoError(t, selling.Wait())
	sold := time.Since(began)
	<-died
	require.NoError(t, s.Settle(ctx))
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	require.Equal(t, *payments, verdict.Completed)

	e.mu.Lock()
	defer e.mu.Unlock()
	require.Len(t, e.ids, 2**payments, "payment_created and payment_completed of each")
	calls, again := 0, 0
	for _, id := range e.ids {
		require.Positive(t, e.taken[id], "%s was never taken", id)
		calls += e.calls[id]
		if e.taken[id] > 1 {
			again++ // its answer was lost when the endpoint died
		}
	}
	t.Logf("%d payments in %.0f s, all told after %.0f s: %d notifications to the endpoint in %d calls, %d of them taken more than once; %+v",
		*payments, sold.Seconds(), time.Since(began).Seconds(), len(e.ids), calls, again, verdict)
}

// TestTheWorkerDiesInTheMiddle kills the worker while the endpoint has its
// request in hand: the next one has the same id.
func TestTheWorkerDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	var s *rig.System
	var once sync.Once
	killed := make(chan struct{})
	e := newEndpoint(t, func(n payment.Notification, _ http.ResponseWriter) bool {
		if n.Event == payment.EventCompleted {
			once.Do(func() {
				s.Kill(rig.Worker)
				close(killed)
			})
		}
		return true
	})
	s = start(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	m := rig.NewMerchant(s)
	p, err := sell(ctx, m, "interrupted", 1)
	require.NoError(t, err)
	<-killed
	require.NoError(t, s.StartPart(ctx, rig.Worker))
	require.NoError(t, s.Settle(ctx))
	e.mu.Lock()
	defer e.mu.Unlock()
	id := e.ids[string(payment.EventCompleted)+" of "+p.ID]
	require.GreaterOrEqual(t, e.calls[id], 2, "it saw the same id again")
	require.Len(t, e.ids, 2)
}

// program is a merchant's own receivers, which he can mend.
type program struct {
	mu     sync.Mutex
	mended bool                // guarded by mu
	calls  map[string][]string // ids by receiver; guarded by mu
}

func (p *program) receiver(name string, bad func(times int) error) activities.ReceiverFunc {
	return func(_ context.Context, n payment.Notification) error {
		p.mu.Lock()
		p.calls[name] = append(p.calls[name], n.ID)
		times, mended := len(p.calls[name]), p.mended
		p.mu.Unlock()
		if mended {
			return nil
		}
		return bad(times)
	}
}

func (p *program) called(name string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.calls[name]...)
}

// run runs the receivers beside the system until the test ends.
func (p *program) run(t *testing.T, s *rig.System, n *activities.Notifications) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { // received by the cleanup
		ended <- worker.Run(ctx, worker.Config{
			Store: s.At().Store, KeyFile: s.At().KeyFile, Host: "shop", TemporalAddress: s.At().Temporal, TemporalNamespace: "default",
			StopTimeout: time.Second, Started: func() { close(started) },
		}, n)
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	select {
	case <-started:
	case err := <-ended:
		ended <- nil
		require.NoError(t, err)
	}
}

// deliveriesOf reads a payment's completed notifications from the API, by their
// receivers.
func deliveriesOf(ctx context.Context, t *testing.T, m *rig.Merchant, paymentID string) map[string]payment.Delivery {
	t.Helper()
	_, answer, err := m.Ask(ctx, http.MethodGet, "/v1/notifications?event=payment_completed&payment_id="+paymentID, "", nil)
	require.NoError(t, err)
	var page struct{ Notifications []payment.Delivery }
	require.NoError(t, json.Unmarshal(answer, &page))
	found := map[string]payment.Delivery{}
	for _, d := range page.Notifications {
		found[d.Receiver] = d
	}
	return found
}

// eventually waits until the deliveries stand as they should.
func eventually(ctx context.Context, t *testing.T, m *rig.Merchant, paymentID string, want map[string]payment.DeliveryStatus) {
	t.Helper()
	got := map[string]payment.DeliveryStatus{}
	require.Eventually(t, func() bool {
		for name, d := range deliveriesOf(ctx, t, m, paymentID) {
			got[name] = d.Status
		}
		return maps.Equal(got, want)
	}, time.Minute, 100*time.Millisecond, "%v, and not %v", got, want)
}

// TestBadReceiversBesideAGoodOne: the good one is called once and at once, the
// others follow their own policy, and the payment is completed throughout. What
// was given up is sent again when its receiver is mended, over HTTP and by the
// program, under the same id. A receiver that never comes back is removed.
func TestBadReceiversBesideAGoodOne(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, func(payment.Notification, http.ResponseWriter) bool { return true })
	s := start(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m := rig.NewMerchant(s)

	shop := &program{calls: map[string][]string{}}
	release := make(chan struct{})
	defer close(release)
	n := activities.NewNotifications()
	add := func(name string, patience time.Duration, bad func(times int) error) {
		n.Add(activities.Receiver{
			Event: payment.EventCompleted, Name: name, Func: shop.receiver(name, bad), Timeout: time.Second,
			Retry: payment.Retry{First: 100 * time.Millisecond, Most: time.Second, For: patience},
		})
	}
	add("good", time.Minute, func(int) error { return nil })
	add("fails-five-times", time.Minute, func(times int) error {
		if times <= 5 {
			return errors.New("no ink")
		}
		return nil
	})
	add("fails-for-ever", 8*time.Second, func(int) error { return errors.New("no paper") })
	add("hangs", 8*time.Second, func(int) error { <-release; return nil })
	add("panics", 8*time.Second, func(int) error { panic("no power") })
	shop.run(t, s, n)
	// One that is announced and never there.
	status, answer, err := m.Ask(ctx, http.MethodPut, "/v1/receivers/ghost", "", rig.M{
		"receivers": []rig.M{{"event": "payment_completed", "name": "haunt"}},
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "%s", answer)

	p, err := sell(ctx, m, "told", 1)
	require.NoError(t, err)
	eventually(ctx, t, m, p.ID, map[string]payment.DeliveryStatus{
		"good": payment.DeliveryDelivered, "fails-five-times": payment.DeliveryDelivered, "fails-for-ever": payment.DeliveryFailed,
		"hangs": payment.DeliveryFailed, "panics": payment.DeliveryFailed, "haunt": payment.DeliveryPending,
		"webhook-shop": payment.DeliveryDelivered, "log": payment.DeliveryDelivered,
	})
	require.Len(t, shop.called("good"), 1)
	require.Len(t, shop.called("fails-five-times"), 6)
	for _, name := range []string{"fails-for-ever", "hangs", "panics"} {
		require.Greater(t, len(shop.called(name)), 2, "%s was tried again", name)
	}
	seen, err := m.Show(ctx, p.ID)
	require.NoError(t, err)
	require.Equal(t, payment.StatusCompleted, seen.Status)

	// The printer has paper again.
	shop.mu.Lock()
	shop.mended = true
	shop.mu.Unlock()
	failed := deliveriesOf(ctx, t, m, p.ID)["fails-for-ever"]
	require.Contains(t, string(failed.LastError), "no paper")
	require.NoError(t, m.Order(ctx, "/v1/notifications/"+failed.ID+"/redeliver"))
	out, err := s.Cobro(ctx, "notification", "redeliver", "--since", p.CreatedAt.Format(time.RFC3339), "--receiver", "panics")
	require.NoError(t, err)
	require.Contains(t, out, "1 sent again")
	out, err = s.Cobro(ctx, "receiver", "remove", "ghost")
	require.NoError(t, err)
	require.Contains(t, out, "removed 1, and dropped 1 deliveries")
	out, err = s.Cobro(ctx, "receiver", "remove", "shop", "--name", "hangs") // what failed alarms nobody any more
	require.NoError(t, err)
	require.Contains(t, out, "removed 1, and dropped 1 deliveries")
	eventually(ctx, t, m, p.ID, map[string]payment.DeliveryStatus{
		"good": payment.DeliveryDelivered, "fails-five-times": payment.DeliveryDelivered, "fails-for-ever": payment.DeliveryDelivered,
		"hangs": payment.DeliveryDropped, "panics": payment.DeliveryDelivered, "haunt": payment.DeliveryDropped,
		"webhook-shop": payment.DeliveryDelivered, "log": payment.DeliveryDelivered,
	})
	for _, name := range []string{"fails-five-times", "fails-for-ever", "hangs", "panics"} {
		for _, id := range shop.called(name) {
			require.Equal(t, shop.called(name)[0], id, "%s: one id throughout", name)
		}
	}
	require.Len(t, shop.called("good"), 1)

	again, err := sell(ctx, m, "after the ghost", 2)
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	require.NotContains(t, deliveriesOf(ctx, t, m, again.ID), "haunt")
}
