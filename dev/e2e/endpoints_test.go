package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

// await waits until an endpoint has received an event more than so many times.
func await(t *testing.T, e *testcluster.Endpoint, event payment.Event, paymentID string, than int) {
	t.Helper()
	require.Eventually(t, func() bool { return e.Calls(event, paymentID) > than }, timeout, interval, "%s never came", event)
}

func TestEndpointsReceiveNotifications(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	first := testcluster.NewEndpoint(t, func(_ payment.Notification, w http.ResponseWriter) bool {
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return !broken.Load()
	})
	second, third := testcluster.NewEndpoint(t, nil), testcluster.NewEndpoint(t, nil)
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	write := func(lines ...string) {
		t.Helper()
		text := "allow_private_addresses: true\nendpoints:\n" + strings.Join(lines, "")
		require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	line := func(name string, e *testcluster.Endpoint, events string) string {
		return fmt.Sprintf("  - {name: %s, url: %q, events: [%s], secrets: [\"env:SHOP_SECRET\"]}\n", name, e.URL(), events)
	}
	one, two := line("one", first, "payment_created, payment_completed"), line("two", second, "")
	write(one, two)
	c := newCobro(t, "COBRO_ENDPOINTS="+path, "SHOP_SECRET="+testcluster.EndpointSecret)

	// An endpoint that fails is called again; the other one gets each event once.
	broken.Store(true)
	opened := c.open(t, m{"total": "7.00", "phone_number": "7875550999"})
	await(t, first, payment.EventCreated, opened.ID, 1)
	await(t, second, payment.EventCreated, opened.ID, 0)
	c.phone(t, "confirm", opened.EcommerceID)
	await(t, second, payment.EventCompleted, opened.ID, 0)
	require.Equal(t, "completed", c.show(t, opened.ID).Status)
	broken.Store(false)
	await(t, first, payment.EventCompleted, opened.ID, 0)
	require.Equal(t, 1, second.Calls(payment.EventCreated, opened.ID))
	require.Equal(t, 1, second.Calls(payment.EventCompleted, opened.ID))

	// Another one is added while everything runs. It gets no earlier events.
	write(one, two, line("three", third, "payment_failed, payment_created"))
	var later sale
	require.Eventually(t, func() bool {
		later = c.open(t, m{"total": "3.00", "phone_number": "7875550201"})
		await(t, second, payment.EventCreated, later.ID, 0)
		return third.Calls(payment.EventCreated, later.ID) > 0
	}, timeout, 10*interval)
	require.Zero(t, third.Calls(payment.EventCreated, opened.ID))

	// One that was removed from the file gets what it missed once it is back.
	write(one, two)
	gone := func() bool {
		log, err := os.ReadFile(filepath.Join(c.data, "dev.log"))
		return err == nil && strings.Contains(string(log), "no longer in the endpoints file")
	}
	require.Eventually(t, gone, timeout, interval)
	before := c.open(t, m{"total": "4.00", "phone_number": "7875550999"})
	await(t, second, payment.EventCreated, before.ID, 0)
	require.Zero(t, third.Calls(payment.EventCreated, before.ID))
	write(one, two, line("three", third, "payment_failed, payment_created"))
	await(t, third, payment.EventCreated, before.ID, 0)
	require.Equal(t, 1, second.Calls(payment.EventCreated, before.ID))
}
