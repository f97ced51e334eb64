package testcluster

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

// Host is the name of the merchant's receiver host.
const Host = "merchant"

// Received returns how often each notification arrived, by its id.
func (m *Merchant) Received() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.received)
}

func (m *Merchant) receive(_ context.Context, n payment.Notification) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.received[n.ID]++
	if n.Mismatch != nil {
		if m.mismatches[n.Mismatch.PaymentID] == nil {
			m.mismatches[n.Mismatch.PaymentID] = map[string]bool{}
		}
		m.mismatches[n.Mismatch.PaymentID][n.ID] = true
	}
	return nil
}

// Listen runs a receiver of every event in this process, and starts it again
// when an outage ends it. It returns once the receiver is registered. The caller
// calls stop, which waits for the end.
func (m *Merchant) Listen(ctx context.Context) (stop func()) {
	n := activities.NewNotifications()
	for _, event := range payment.Events() {
		n.On(event, "count", m.receive)
	}
	ctx, cancel := context.WithCancel(ctx)
	started, stopped := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(started) })
	go func() { // stop waits for it
		defer close(stopped)
		for ctx.Err() == nil {
			cfg := m.System.receiverConfig(Host)
			cfg.Logger, cfg.Started = slog.New(slog.DiscardHandler), first
			_ = worker.Run(ctx, cfg, n) // the test causes what ends it
		}
	}()
	select {
	case <-started:
	case <-ctx.Done():
	}
	return func() { cancel(); <-stopped }
}

// receiverConfig is for a receiver host in this process.
func (s *System) receiverConfig(host string) worker.Config {
	at := s.Addresses()
	return worker.Config{
		Store: at.Store, KeyFile: at.KeyFile, Host: host, TemporalAddress: at.Temporal, TemporalNamespace: "default", StopTimeout: time.Second,
	}
}

// RunReceivers runs a merchant's receivers beside the system until the test ends.
func (s *System) RunReceivers(t testing.TB, host string, n *activities.Notifications) {
	t.Helper()
	RunReceivers(t, s.receiverConfig(host), n)
}

// RunReceivers runs a receiver host in this process until the test ends. It
// returns once the receivers are registered.
func RunReceivers(t testing.TB, cfg worker.Config, n *activities.Notifications) {
	t.Helper()
	started, ended := make(chan struct{}), make(chan error, 1)
	cfg.Started = func() { close(started) }
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { ended <- worker.Run(ctx, cfg, n) }() // received by the cleanup
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("receivers of %s: %v", cfg.Host, err)
		}
	})
	select {
	case <-started:
	case err := <-ended:
		ended <- err
		t.Fatalf("the receivers of %s ended while starting: %v", cfg.Host, err)
	}
}
