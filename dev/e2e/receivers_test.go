package e2e

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

// heard is what one receiver host was told, in the order of arrival.
type heard struct {
	mu  sync.Mutex
	all []payment.Notification
}

func (h *heard) take(_ context.Context, n payment.Notification) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, n)
	return nil
}

// of returns the notifications of one payment.
func (h *heard) of(paymentID string) []payment.Notification {
	h.mu.Lock()
	defer h.mu.Unlock()
	var mine []payment.Notification
	for _, n := range h.all {
		if n.Payment.ID == paymentID {
			mine = append(mine, n)
		}
	}
	return mine
}

// requireEvents waits until the payment's notifications are exactly these
// events, each under an id of its own.
func (h *heard) requireEvents(t *testing.T, paymentID string, events ...payment.Event) []payment.Notification {
	t.Helper()
	require.Eventually(t, func() bool { return len(h.of(paymentID)) >= len(events) }, patience, glance,
		"heard %d of %v", len(h.of(paymentID)), events)
	mine := h.of(paymentID)
	var names []payment.Event
	ids := map[string]bool{}
	for _, n := range mine {
		names = append(names, n.Event)
		require.NotEmpty(t, n.ID)
		ids[n.ID] = true
	}
	require.ElementsMatch(t, events, names)
	require.Len(t, ids, len(events), "ids are stable and not shared")
	return mine
}

// listen runs a receiver host, in this process, beside a dev.
func (c *cobro) listen(t *testing.T, host string) *heard {
	t.Helper()
	h := &heard{}
	n := activities.NewNotifications()
	for _, event := range payment.Events() {
		n.On(event, "hear", h.take)
	}
	c.runHost(t, host, n)
	return h
}

// runHost runs receivers in this process, with more settings as in an
// environment, until the test ends. It returns the file that they log to.
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
	started := make(chan struct{})
	cfg.Started = func() { close(started) }
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx, cfg, n) }() // received by the cleanup
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, log.Close())
	})
	select {
	case <-started:
	case err := <-ended:
		ended <- nil
		require.NoError(t, err)
	}
	return log.Name()
}
