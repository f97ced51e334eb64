package athmovil

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// departures records the names of calls in the order in which they start.
type departures struct {
	mu    sync.Mutex
	names []string
	calls sync.WaitGroup
}

// start makes a call that waits. The call is in the queue when start returns.
func (d *departures) start(ctx context.Context, l *limiter, c class, name string) {
	d.calls.Go(func() {
		if l.wait(ctx, c) == nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.names = append(d.names, name)
		}
	})
	synctest.Wait()
}

func TestMoneyGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(10)
		began := time.Now()
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithDeadline(t.Context(), began.Add(d))
			t.Cleanup(cancel)
			return ctx
		}
		var left departures
		left.start(t.Context(), l, readCall, "first, with an empty queue")
		left.start(t.Context(), l, readCall, "read without deadline")
		left.start(within(time.Hour), l, readCall, "read, one hour")
		left.start(within(time.Minute), l, readCall, "read, one minute")
		left.start(t.Context(), l, writeCall, "create")
		left.start(within(time.Minute), l, writeCall, "cancel")
		left.start(t.Context(), l, moneyCall, "authorize")
		left.start(within(time.Minute), l, moneyCall, "refund")
		left.calls.Wait()
		require.Equal(t, []string{
			"first, with an empty queue", "authorize", "refund", "create", "cancel",
			"read, one minute", "read, one hour", "read without deadline",
		}, left.names)
		require.Equal(t, 700*time.Millisecond, time.Since(began), "eight calls, seven intervals")
	})
}

func TestMoneyOvertakesReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		ctx, cancel := context.WithCancel(t.Context())
		var reads departures
		for range 100 {
			reads.start(ctx, l, readCall, "read")
		}
		began := time.Now()
		require.NoError(t, l.wait(t.Context(), moneyCall))
		require.LessOrEqual(t, time.Since(began), time.Second, "it gets the next turn, whatever else waits")
		cancel()
		reads.calls.Wait()
		require.Empty(t, l.queue)
	})
}

func TestCanceledWaitUsesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		require.NoError(t, l.wait(t.Context(), readCall))
		began := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var gone, left departures
		for range 5 {
			gone.start(ctx, l, moneyCall, "gone")
		}
		left.start(t.Context(), l, readCall, "read")
		cancel()
		gone.calls.Wait()
		left.calls.Wait()
		require.Empty(t, gone.names)
		require.Equal(t, time.Second, time.Since(began), "the read gets the first turn")
		require.ErrorIs(t, l.wait(ctx, moneyCall), context.Canceled, "a canceled call does not join the queue")
	})
}

func TestAbandonedTurnGoesToNextCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		w := l.join(t.Context(), readCall)
		<-w.turn
		began := time.Now()
		var left departures
		left.start(t.Context(), l, readCall, "next")
		l.leave(w)
		left.calls.Wait()
		require.Equal(t, []string{"next"}, left.names)
		require.Zero(t, time.Since(began))
		require.NoError(t, l.wait(t.Context(), readCall))
		require.Equal(t, time.Second, time.Since(began), "the rate is kept")
	})
}

func TestIdleLimiterAllowsNoBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(2)
		require.NoError(t, l.wait(t.Context(), readCall))
		<-time.After(time.Hour)
		began := time.Now()
		var waits []time.Duration
		for range 3 {
			require.NoError(t, l.wait(t.Context(), readCall))
			waits = append(waits, time.Since(began))
		}
		require.Equal(t, []time.Duration{0, 500 * time.Millisecond, time.Second}, waits)
	})
}

func TestNoLimitNeverWaits(t *testing.T) {
	t.Parallel()
	require.Nil(t, newLimiter(0))
	require.Nil(t, newLimiter(rate.Inf))
	var none *limiter
	require.NoError(t, none.wait(t.Context(), readCall))
}

// The order is strict: of any two different calls, exactly one comes before the
// other.
func TestWaiterOrderIsStrict(t *testing.T) {
	t.Parallel()
	soon, late := time.Unix(1, 0), time.Unix(2, 0)
	sorted := []*waiter{
		{class: moneyCall, arrived: 9}, {class: moneyCall, arrived: 10}, {class: writeCall, arrived: 3},
		{class: readCall, deadline: soon, arrived: 8}, {class: readCall, deadline: late, arrived: 2},
		{class: readCall, deadline: late, arrived: 5}, {class: readCall, arrived: 0}, {class: readCall, arrived: 1},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			require.Equal(t, i < j, a.before(b), "%d and %d", i, j)
		}
	}
}
