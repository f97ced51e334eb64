package app

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

const (
	// mostDelay is how long after a request its workflow should begin at the most.
	// It is far below Timing.Stale, after which a payment fails.
	mostDelay = time.Second
	// firstCreates is how many payments may be opened at once before anything is
	// known of the system, and leastCreates how many always may: they tell when it
	// is better.
	firstCreates, leastCreates = 100, 4
	// lessCreates is what is left of the limit for each second of delay, up to
	// mostSeconds: about a half.
	lessCreates, mostSeconds = 0.8, 3
)

// ErrOverloaded refuses a payment before anything is kept of it, since its work
// could not begin in time.
var ErrOverloaded = errors.New("overloaded: more payments are being opened than the system begins in time")

// creates bounds how many payments this process opens at once: one more for each
// that began within mostDelay while the limit is used, and a fifth fewer for each
// second, up to three, that one took. A payment that is refused costs nothing and can be asked
// for again with the same key; one that is accepted and begins too late fails.
// Safe for concurrent use.
type creates struct {
	now func() time.Time
	// backlog is the age of the oldest workflow task that no worker has taken. It
	// is asked only while payments are being opened and none tells how long it
	// waited, for example because no worker runs.
	backlog func(context.Context) (time.Duration, error)

	mu      sync.Mutex
	limit   float64
	opening int       // payments that are being opened
	lowered time.Time // when the limit was last lowered
	heard   time.Time // when the last delay was heard of
	refused int
}

func newCreates(now func() time.Time, backlog func(context.Context) (time.Duration, error)) *creates {
	return &creates{now: now, backlog: backlog, limit: firstCreates}
}

// Creates is how many payments may be opened at once, and how many are.
type Creates struct {
	Limit, Opening int
	Refused        int // since the process started
}

// Creates tells how far this process is from refusing payments.
func (a *App) Creates() Creates {
	c := a.creates
	c.mu.Lock()
	defer c.mu.Unlock()
	return Creates{Limit: int(c.limit), Opening: c.opening, Refused: c.refused}
}

// place is a payment's among those that are being opened.
type place struct {
	creates *creates
	entered time.Time
}

// enter takes a place, or refuses with [ErrOverloaded]. The caller leaves it.
func (c *creates) enter(ctx context.Context) (place, error) {
	c.listen(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening >= int(c.limit) {
		c.refused++
		return place{}, Unavailable(ErrOverloaded)
	}
	c.opening++
	return place{creates: c, entered: c.now()}, nil
}

// leave gives the place back.
func (p place) leave() {
	p.creates.mu.Lock()
	defer p.creates.mu.Unlock()
	p.creates.opening--
}

// began notes how long after its request the payment's workflow began.
func (p place) began(delay time.Duration) {
	p.creates.mu.Lock()
	defer p.creates.mu.Unlock()
	p.creates.learn(p.entered, delay)
}

// listen asks for the backlog's age where nothing else tells of a delay.
func (c *creates) listen(ctx context.Context) {
	c.mu.Lock()
	now := c.now()
	if c.opening == 0 || now.Sub(c.heard) < mostDelay {
		if c.opening == 0 {
			c.heard = now // what is asked for now has not kept anybody waiting yet
		}
		c.mu.Unlock()
		return
	}
	c.heard = now // nobody else asks meanwhile
	c.mu.Unlock()

	asking, cancel := context.WithTimeout(ctx, mostDelay)
	defer cancel()
	age, err := c.backlog(asking)
	if err != nil {
		return // what is wrong with Temporal shows in the answers
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if age >= mostDelay {
		c.learn(now, age)
	}
}

// learn adapts the limit to a delay. Delays of payments that were accepted before
// the limit was last lowered have been answered for. c.mu is held.
func (c *creates) learn(entered time.Time, delay time.Duration) {
	c.heard = c.now()
	switch {
	case delay < mostDelay:
		if float64(c.opening) >= c.limit/2 { // a limit that nobody reaches says nothing
			c.limit++
		}
	case entered.After(c.lowered):
		c.limit = max(leastCreates, c.limit*math.Pow(lessCreates, min(math.Floor(delay.Seconds()), mostSeconds)))
		c.lowered = c.now()
	}
}
