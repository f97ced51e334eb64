package athmovil

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter spaces calls evenly. Of the calls that wait, those that move money go
// first, then the other writes, each in order of arrival. Reads go last, the
// earliest deadline first. A nil limiter never waits. It is safe for concurrent
// use.
type limiter struct {
	interval time.Duration

	mu      sync.Mutex
	free    bool // a call may start now
	ticking bool // a timer will set free
	queue   waiters
	arrived uint64
}

// newLimiter returns nil if there is no limit.
func newLimiter(limit rate.Limit) *limiter {
	if limit == 0 || limit == rate.Inf {
		return nil
	}
	return &limiter{interval: max(time.Duration(rate.Limit(time.Second)/limit), 1), free: true}
}

// wait blocks until the call may start. If ctx ends first, it returns the
// context's error and the call uses no turn.
func (l *limiter) wait(ctx context.Context, c class) error {
	if l == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	w := l.join(ctx, c)
	select {
	case <-w.turn:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		l.leave(w)
		return err
	}
	return nil
}

func (l *limiter) join(ctx context.Context, c class) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &waiter{class: c, arrived: l.arrived, turn: make(chan struct{})}
	l.arrived++
	if deadline, ok := ctx.Deadline(); ok && c == readCall {
		w.deadline = deadline
	}
	heap.Push(&l.queue, w)
	l.next()
	return w
}

// leave removes a call whose context ended. If it already has a turn, the turn
// goes to the next call.
func (l *limiter) leave(w *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.index >= 0 {
		heap.Remove(&l.queue, w.index)
		return
	}
	l.free = true
	l.next()
}

// next gives the free turn, if there is one, to the first call in the queue. The
// caller holds mu.
func (l *limiter) next() {
	if !l.free || len(l.queue) == 0 {
		return
	}
	w := heap.Pop(&l.queue).(*waiter)
	l.free = false
	close(w.turn)
	if !l.ticking {
		l.ticking = true
		time.AfterFunc(l.interval, l.tick)
	}
}

func (l *limiter) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ticking = false
	l.free = true
	l.next()
}

type waiter struct {
	class    class
	deadline time.Time // of a read; zero if none
	arrived  uint64
	turn     chan struct{} // closed when the call may start
	index    int           // in the queue, -1 once removed
}

func (w *waiter) before(other *waiter) bool {
	if w.class != other.class {
		return w.class < other.class
	}
	if !w.deadline.Equal(other.deadline) {
		if w.deadline.IsZero() || other.deadline.IsZero() {
			return other.deadline.IsZero()
		}
		return w.deadline.Before(other.deadline)
	}
	return w.arrived < other.arrived
}

// waiters implements [heap.Interface].
type waiters []*waiter

func (q waiters) Len() int           { return len(q) }
func (q waiters) Less(i, j int) bool { return q[i].before(q[j]) }

func (q waiters) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *waiters) Push(x any) {
	w := x.(*waiter)
	w.index = len(*q)
	*q = append(*q, w)
}

func (q *waiters) Pop() any {
	last := len(*q) - 1
	w := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	w.index = -1
	return w
}
