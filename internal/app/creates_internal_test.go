package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limiter is a creates with a clock and a backlog that the test moves.
type limiter struct {
	*creates
	clock time.Time
	age   time.Duration
	err   error
	asked int
}

func newLimiter() *limiter {
	l := &limiter{clock: time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)}
	l.creates = newCreates(func() time.Time { return l.clock }, func(context.Context) (time.Duration, error) {
		l.asked++
		return l.age, l.err
	})
	return l
}

// fill enters until a payment is refused.
func (l *limiter) fill(t *testing.T) (places []place) {
	t.Helper()
	for {
		p, err := l.enter(t.Context())
		if err != nil {
			require.ErrorIs(t, err, ErrOverloaded)
			return places
		}
		places = append(places, p)
	}
}

func TestCreatesLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		delays []time.Duration // of the payments that fill the limit, one after another
		want   float64
	}{
		{"nothing is known", nil, 100},
		{"each that begins in time makes room for one more", []time.Duration{0, time.Millisecond, 999 * time.Millisecond}, 103},
		{"one that took a second takes a fifth", []time.Duration{time.Second}, 80},
		{"one that took two takes a fifth twice", []time.Duration{2500 * time.Millisecond}, 64},
		{"one that took an hour takes about a half", []time.Duration{time.Hour}, 51.2},
		{"those accepted before that say nothing new", []time.Duration{time.Second, time.Second, 3 * time.Second}, 80},
		{"but those in time do", []time.Duration{time.Second, 0}, 81},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLimiter()
			places := l.fill(t)
			require.Len(t, places, 100)
			l.clock = l.clock.Add(time.Millisecond)
			for i, delay := range tt.delays {
				places[i].began(delay)
			}
			require.InDelta(t, tt.want, l.limit, 1e-9)
		})
	}
}

func TestCreatesLimitGrowsOnlyWhereItIsUsed(t *testing.T) {
	t.Parallel()
	l := newLimiter()
	for range 1000 {
		p, err := l.enter(t.Context())
		require.NoError(t, err)
		p.began(0)
		p.leave()
	}
	require.InDelta(t, firstCreates, l.limit, 1e-9)
	require.Zero(t, l.asked, "every payment told how long it waited")
}

func TestCreatesAskForTheBacklogWhereNothingElseTells(t *testing.T) {
	t.Parallel()
	l := newLimiter()
	enter := func() {
		t.Helper()
		_, err := l.enter(t.Context())
		require.NoError(t, err)
	}
	l.clock = l.clock.Add(time.Hour)
	enter()
	require.Zero(t, l.asked, "nobody has waited yet")
	l.clock = l.clock.Add(time.Second)
	enter()
	enter()
	require.Equal(t, 1, l.asked, "once a second at the most")
	require.InDelta(t, firstCreates, l.limit, 1e-9, "it is the gateway that takes its time")

	l.clock, l.age = l.clock.Add(time.Second), 2*time.Second
	enter()
	require.InDelta(t, 64, l.limit, 1e-9)
	l.clock, l.err = l.clock.Add(time.Second), errors.New("away")
	enter()
	require.InDelta(t, 64, l.limit, 1e-9, "an answer that does not come says nothing")
	l.clock, l.err, l.age = l.clock.Add(time.Second), nil, time.Minute
	for l.limit > leastCreates { // no worker runs
		before := l.limit
		l.clock = l.clock.Add(time.Second)
		_, _ = l.enter(t.Context()) // refused, once there are more than the limit
		require.Less(t, l.limit, before)
	}
	require.Empty(t, l.fill(t))
	require.Positive(t, l.refused)
}

// TestCreatesFollowTheSystem offers more than a system takes that begins one
// payment after another, and then less: what is accepted begins within seconds,
// the system is never idle, and the limit comes back.
func TestCreatesFollowTheSystem(t *testing.T) {
	t.Parallel()
	const each = 25 * time.Millisecond // a payment; 40 a second
	l := newLimiter()
	var queue []place
	var worst time.Duration
	begun := 0
	offer := func(every, lasting time.Duration) {
		next, free := l.clock, l.clock
		for end := l.clock.Add(lasting); l.clock.Before(end); l.clock = l.clock.Add(5 * time.Millisecond) {
			for ; !next.After(l.clock); next = next.Add(every) {
				if p, err := l.enter(t.Context()); err == nil {
					queue = append(queue, p)
				}
			}
			for len(queue) > 0 && !free.After(l.clock) {
				delay := l.clock.Sub(queue[0].entered)
				worst, begun = max(worst, delay), begun+1
				queue[0].began(delay)
				queue[0].leave()
				queue = queue[1:]
				free = l.clock.Add(each)
			}
		}
	}
	offer(2*time.Millisecond, time.Minute) // 500 a second
	require.Greater(t, begun, 60*40*9/10, "as many as the system can")
	require.Less(t, worst, 4*time.Second)
	refused := l.refused
	require.Positive(t, refused)
	offer(time.Second, time.Minute)
	refused = l.refused - refused
	require.Less(t, refused, 3)
	require.GreaterOrEqual(t, l.limit, 10.)
}
