package e2e

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

// received is what one receiver host received, in order.
type received struct {
	mu  sync.Mutex
	all []payment.Notification
}

func (r *received) take(_ context.Context, n payment.Notification) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, n)
	return nil
}

// of returns the notifications of one payment.
func (r *received) of(paymentID string) []payment.Notification {
	r.mu.Lock()
	defer r.mu.Unlock()
	var mine []payment.Notification
	for _, n := range r.all {
		if n.Payment.ID == paymentID {
			mine = append(mine, n)
		}
	}
	return mine
}

// requireEvents waits until the payment's notifications are exactly these
// events, each with an id of its own.
func (r *received) requireEvents(t *testing.T, paymentID string, events ...payment.Event) []payment.Notification {
	t.Helper()
	require.Eventually(t, func() bool { return len(r.of(paymentID)) >= len(events) }, timeout, interval,
		"received %d of %v", len(r.of(paymentID)), events)
	mine := r.of(paymentID)
	var names []payment.Event
	ids := map[string]bool{}
	for _, n := range mine {
		names = append(names, n.Event)
		require.NotEmpty(t, n.ID)
		ids[n.ID] = true
	}
	require.ElementsMatch(t, events, names)
	require.Len(t, ids, len(events), "each has its own id")
	return mine
}

// listen runs a receiver of every event in this process until the test ends.
func (c *cobro) listen(t *testing.T, host string) *received {
	t.Helper()
	r := &received{}
	n := activities.NewNotifications()
	for _, event := range payment.Events() {
		n.On(event, "keep", r.take)
	}
	c.runHost(t, host, n)
	return r
}

// runHost runs receivers in this process until the test ends, with settings from
// an environment. It returns the file that they log to.
func (c *cobro) runHost(t *testing.T, host string, n *activities.Notifications, env ...string) (logFile string) {
	t.Helper()
	vars := map[string]string{
		"COBRO_STORE": c.at.Store, "COBRO_KEY_FILE": c.at.KeyFile, "COBRO_RECEIVER_HOST": host,
		"TEMPORAL_ADDRESS": c.at.Temporal, "TEMPORAL_NAMESPACE": c.at.Namespace,
	}
	for _, setting := range env {
		name, value, _ := strings.Cut(setting, "=")
		vars[name] = value
	}
	cfg, err := worker.ConfigFromEnv(func(name string) string { return vars[name] })
	require.NoError(t, err)
	log, err := os.Create(filepath.Join(c.data, "host-"+host+".log"))
	require.NoError(t, err)
	cfg.Logger = slog.New(slog.NewJSONHandler(log, nil))
	t.Cleanup(func() { require.NoError(t, log.Close()) }) // after the receivers have ended
	testcluster.RunReceivers(t, cfg, n)
	return log.Name()
}

// TestReceiversExampleBuildsOutsideRepository builds examples/receivers as a
// module of its own, as a merchant would, and runs it beside a dev.
func TestReceiversExampleBuildsOutsideRepository(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	source, err := os.ReadFile(filepath.Join(root, "examples/receivers/main.go"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), source, 0o600))
	for _, args := range [][]string{
		{"mod", "init", "example.com/shop"},
		{"mod", "edit", "-require=github.com/cobropay/cobro@v0.0.0", "-replace=github.com/cobropay/cobro=" + root},
		{"mod", "tidy"},
		{"build", "-o", "shop", "."},
	} {
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir, command.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		out, err := command.CombinedOutput()
		require.NoError(t, err, "go %v: %s", args, out)
	}

	receipts := filepath.Join(dir, "receipts")
	cmd := exec.Command(filepath.Join(dir, "shop"))
	cmd.Env = append(os.Environ(), "COBRO_DATA="+c.data, "RECEIPTS="+receipts)
	shop, err := testcluster.StartProcess(cmd, filepath.Join(c.data, "shop.log"))
	require.NoError(t, err)
	t.Cleanup(shop.Kill)
	_, err = shop.AwaitLog(t.Context(), regexp.MustCompile("receivers started"))
	require.NoError(t, err)

	paid := c.open(t, m{"total": "25.00"})
	c.phone(t, "confirm", paid.EcommerceID)
	c.await(t, paid.ID, "completed")
	got := c.merchant(t, http.MethodPost, "/v1/payments/"+paid.ID+"/refunds", m{"amount": "5.00"}, "Idempotency-Key", "shop")
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	cancelled := c.open(t, m{"total": "2.00"})
	c.phone(t, "cancel", cancelled.EcommerceID)
	expired := c.open(t, m{"total": "2.00", "expires_in": 1})

	logged := func(payment, event string) int {
		count := 0
		for _, line := range strings.Split(shop.Log(), "\n") {
			if strings.Contains(line, payment) && strings.Contains(line, event) {
				count++
			}
		}
		return count
	}
	for _, want := range [][2]string{
		{paid.ID, "payment_created"}, {paid.ID, "refund_completed"}, {paid.ID + ".json", "receipt"},
		{cancelled.ID, "payment_failed"}, {expired.ID, "payment_expired"},
	} {
		require.Eventually(t, func() bool { return logged(want[0], want[1]) > 0 }, timeout, interval, "%v in:\n%s", want, shop.Log())
		require.Equal(t, 1, logged(want[0], want[1]), "%v", want)
	}
	receipt, err := os.ReadFile(filepath.Join(receipts, paid.ID+".json"))
	require.NoError(t, err)
	require.Contains(t, string(receipt), `"net_amount": "24.44"`)
	require.NoError(t, shop.Stop(), "a graceful stop ends with code 0")
}
