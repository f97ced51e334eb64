package rig

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/worker"
)

// Host is the name of the rig's receiver host.
const Host = "rig"

// Heard is what the rig's receiver was told.
type Heard struct {
	mu    sync.Mutex
	times map[string]int // by notification id; guarded by mu
}

// Times returns how often each notification arrived.
func (h *Heard) Times() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.times)
}

func (h *Heard) take(_ context.Context, n payment.Notification) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.times[n.ID]++
	return nil
}

// Listen runs a receiver of every event in this process until ctx ends, and
// begins again where it broke off. It returns once the receiver is known;
// the channel is closed when the host has stopped.
func (s *System) Listen(ctx context.Context) (*Heard, <-chan struct{}) {
	h := &Heard{times: map[string]int{}}
	n := activities.NewNotifications()
	for _, event := range payment.Events() {
		n.On(event, "hear", h.take)
	}
	started, stopped := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(started) })
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			_ = worker.Run(ctx, worker.Config{ // what breaks it is what the test does
				Store: s.At().Store, KeyFile: s.At().KeyFile, Host: Host, TemporalAddress: s.At().Temporal, TemporalNamespace: "default",
				StopTimeout: time.Second, Logger: slog.New(slog.DiscardHandler), Started: first,
			}, n)
		}
	}()
	select {
	case <-started:
	case <-ctx.Done():
	}
	return h, stopped
}
