package deliveries

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

var (
	payments = flag.Int("payments", 150, "how many payments")
	down     = flag.Duration("down", 6*time.Second, "how long the endpoint is down")

	programs testcluster.Programs
)

func TestMain(m *testing.M) {
	os.Exit(testcluster.WithPrograms(&programs, m.Run))
}

// start starts a system that notifies an endpoint.
func start(t *testing.T, e *testcluster.Endpoint) *testcluster.System {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "endpoints.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil,
		"allow_private_addresses: true\nendpoints:\n  - name: shop\n    url: %s\n    secrets: [%s]\n    timeout: 2s\n    retry: {most: 10s}\n",
		e.URL(), testcluster.EndpointSecret), 0o600))
	s, err := testcluster.Start(t.Context(), programs, folder, map[testcluster.Part][]string{testcluster.Worker: {"COBRO_ENDPOINTS=" + file}})
	require.NoError(t, err)
	t.Cleanup(s.KillAll)
	return s
}

func sell(ctx context.Context, m *testcluster.Merchant, key string, n int) (payment.Payment, error) {
	return m.Paid(ctx, key, testcluster.M{"phone_number": fmt.Sprintf("787%07d", 5580000+n)})
}

// TestEveryNotificationIsDelivered makes many sales while the endpoint fails half
// the time, answers slowly, and is down for a while. Every notification arrives,
// with one id, and no event has two.
func TestEveryNotificationIsDelivered(t *testing.T) {
	t.Parallel()
	e := testcluster.NewEndpoint(t, func(_ payment.Notification, w http.ResponseWriter) bool {
		_ = testcluster.Pause(t.Context(), time.Duration(rand.IntN(300))*time.Millisecond) // it may end with the test
		if rand.IntN(2) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return false
		}
		return true
	})
	s := start(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()

	began := time.Now()
	var selling errgroup.Group
	selling.SetLimit(16)
	wasDown := make(chan struct{})
	for i := range *payments {
		if i == *payments/3 {
			go func() { // waited for below
				defer close(wasDown)
				e.Close()
				_ = testcluster.Pause(ctx, *down) // the test fails if ctx ends
				e.Open()
			}()
		}
		selling.Go(func() error {
			_, err := sell(ctx, m, fmt.Sprintf("many-%d", i), i)
			return err
		})
	}
	require.NoError(t, selling.Wait())
	sold := time.Since(began)
	<-wasDown
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	require.Equal(t, *payments, counts.Completed)

	notifications, calls, missed, repeated := e.Totals()
	require.Equal(t, 2**payments, notifications, "payment_created and payment_completed of each")
	require.Zero(t, missed, "notifications that were never accepted")
	t.Logf("%d payments in %.0f s, all notified after %.0f s: %d notifications to the endpoint in %d calls, %d of them accepted more than once, since an answer was lost; %+v",
		*payments, sold.Seconds(), time.Since(began).Seconds(), notifications, calls, repeated, counts)
}

// TestWorkerKilledDuringDeliveryReusesID kills the worker while the endpoint
// handles its request: the next request has the same id.
func TestWorkerKilledDuringDeliveryReusesID(t *testing.T) {
	t.Parallel()
	var s *testcluster.System
	var once sync.Once
	killed := make(chan struct{})
	e := testcluster.NewEndpoint(t, func(n payment.Notification, _ http.ResponseWriter) bool {
		if n.Event == payment.EventCompleted {
			once.Do(func() {
				s.Kill(testcluster.Worker)
				close(killed)
			})
		}
		return true
	})
	s = start(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	m := testcluster.NewMerchant(s)
	p, err := sell(ctx, m, "interrupted", 1)
	require.NoError(t, err)
	<-killed
	require.NoError(t, s.StartPart(ctx, testcluster.Worker))
	require.NoError(t, s.Settle(ctx))
	require.GreaterOrEqual(t, e.Calls(payment.EventCompleted, p.ID), 2, "it came again with the same id")
	notifications, _, _, _ := e.Totals()
	require.Equal(t, 2, notifications)
}

// receivers are a merchant's own, which can be fixed.
type receivers struct {
	mu    sync.Mutex
	fixed bool                // guarded by mu
	calls map[string][]string // ids by receiver; guarded by mu
}

// failing returns a receiver that fails until it is fixed.
func (r *receivers) failing(name string, fail func(times int) error) activities.ReceiverFunc {
	return func(_ context.Context, n payment.Notification) error {
		r.mu.Lock()
		r.calls[name] = append(r.calls[name], n.ID)
		times, fixed := len(r.calls[name]), r.fixed
		r.mu.Unlock()
		if fixed {
			return nil
		}
		return fail(times)
	}
}

func (r *receivers) called(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls[name])
}

// deliveriesOf reads a payment's completed notifications from the API, by their
// receivers.
func deliveriesOf(ctx context.Context, t *testing.T, m *testcluster.Merchant, paymentID string) map[string]payment.Delivery {
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

// awaitDeliveries waits until a payment's deliveries have these statuses.
func awaitDeliveries(ctx context.Context, t *testing.T, m *testcluster.Merchant, paymentID string, want map[string]payment.DeliveryStatus) {
	t.Helper()
	got := map[string]payment.DeliveryStatus{}
	require.Eventually(t, func() bool {
		for name, d := range deliveriesOf(ctx, t, m, paymentID) {
			got[name] = d.Status
		}
		return maps.Equal(got, want)
	}, time.Minute, 100*time.Millisecond, "%v, and not %v", got, want)
}

// TestFailingReceiversDoNotAffectOthers runs receivers that fail, hang and panic.
// The good one is called once and at once, the others follow their own retry
// policy, and the payment stays completed. A failed delivery is sent again once
// its receiver is fixed, over HTTP and by the command, with the same id. A
// receiver that never comes back is removed.
func TestFailingReceiversDoNotAffectOthers(t *testing.T) {
	t.Parallel()
	e := testcluster.NewEndpoint(t, nil)
	s := start(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m := testcluster.NewMerchant(s)

	shop := &receivers{calls: map[string][]string{}}
	release := make(chan struct{})
	defer close(release)
	n := activities.NewNotifications()
	add := func(name string, retryFor time.Duration, fail func(times int) error) {
		n.Add(activities.Receiver{
			Event: payment.EventCompleted, Name: name, Func: shop.failing(name, fail), Timeout: time.Second,
			Retry: payment.Retry{First: 100 * time.Millisecond, Most: time.Second, For: retryFor},
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
	s.RunReceivers(t, "shop", n)
	// One that is registered and never runs.
	status, answer, err := m.Ask(ctx, http.MethodPut, "/v1/receivers/ghost", "", testcluster.M{
		"receivers": []testcluster.M{{"event": "payment_completed", "name": "haunt"}},
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "%s", answer)

	p, err := sell(ctx, m, "notified", 1)
	require.NoError(t, err)
	awaitDeliveries(ctx, t, m, p.ID, map[string]payment.DeliveryStatus{
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

	// The merchant fixes the receivers.
	shop.mu.Lock()
	shop.fixed = true
	shop.mu.Unlock()
	failed := deliveriesOf(ctx, t, m, p.ID)["fails-for-ever"]
	require.Contains(t, string(failed.LastError), "no paper")
	require.NoError(t, m.PostAccepted(ctx, "/v1/notifications/"+failed.ID+"/redeliver"))
	out, err := s.Cobro(ctx, "notification", "redeliver", "--since", p.CreatedAt.Format(time.RFC3339), "--receiver", "panics")
	require.NoError(t, err)
	require.Contains(t, out, "1 sent again")
	out, err = s.Cobro(ctx, "receiver", "remove", "ghost")
	require.NoError(t, err)
	require.Contains(t, out, "removed 1, and dropped 1 deliveries")
	out, err = s.Cobro(ctx, "receiver", "remove", "shop", "--name", "hangs") // a failed delivery fires no alert any more
	require.NoError(t, err)
	require.Contains(t, out, "removed 1, and dropped 1 deliveries")
	awaitDeliveries(ctx, t, m, p.ID, map[string]payment.DeliveryStatus{
		"good": payment.DeliveryDelivered, "fails-five-times": payment.DeliveryDelivered, "fails-for-ever": payment.DeliveryDelivered,
		"hangs": payment.DeliveryDropped, "panics": payment.DeliveryDelivered, "haunt": payment.DeliveryDropped,
		"webhook-shop": payment.DeliveryDelivered, "log": payment.DeliveryDelivered,
	})
	for _, name := range []string{"fails-five-times", "fails-for-ever", "hangs", "panics"} {
		for _, id := range shop.called(name) {
			require.Equal(t, shop.called(name)[0], id, "%s: always the same id", name)
		}
	}
	require.Len(t, shop.called("good"), 1)

	again, err := sell(ctx, m, "after the ghost", 2)
	require.NoError(t, err)
	require.NoError(t, s.Settle(ctx))
	require.NotContains(t, deliveriesOf(ctx, t, m, again.ID), "haunt")
}
