// Package poller looks at open tickets for all payments of a worker, and tells the
// workflow of a payment when its ticket is no longer open.
//
// A ticket comes to a [Poller] in three ways, so that no single failure loses one:
// the local activity that writes the open row names it before it writes
// ([Poller.Watch]); every two seconds the poller lists the open rows, of which each
// belongs to one of the workers that are alive; and once a minute the payment's own
// timer names it again, on whichever worker runs it. Two pollers on one ticket are
// harmless.
//
// What was seen moves nothing. The workflow gets a signal without data, once for
// each status, looks itself, and decides. What it decides is in the row, or known
// here already ([Poller.Forget]), and ends the looks. From the deadline on, the
// workflow looks by itself.
package poller

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
)

// Store knows the open tickets and the workers that look at them. Each call ends
// within a few seconds. It is safe for concurrent use.
type Store interface {
	// OpenTickets lists the open tickets whose deadline has not passed.
	OpenTickets(ctx context.Context) ([]ledger.OpenTicket, error)
	// RenewPoller notes that a worker polls, and returns all that do, itself
	// included, in the order of their names.
	RenewPoller(ctx context.Context, worker string) (alive []string, err error)
	// RemovePoller says that a worker polls no longer.
	RemovePoller(ctx context.Context, worker string) error
}

// Gateway looks at a ticket. It is safe for concurrent use.
type Gateway interface {
	FindTicket(ctx context.Context, in activity.TicketInput) (activity.Ticket, error)
}

// Flows reaches the workflows. [flows.Flows] says what the method does.
type Flows interface {
	TicketSeen(ctx context.Context, paymentID, status string) error
}

// Outcome is what came of a look.
type Outcome string

// The outcomes.
const (
	LookOpen    Outcome = "open"    // or a status that nobody knows
	LookDecided Outcome = "decided" // the workflow was told
	LookUntold  Outcome = "untold"  // decided, and the workflow could not be told
	LookFailed  Outcome = "failed"  // no answer
)

// Observer measures. It is safe for concurrent use.
type Observer interface {
	// TicketsWatched is called when the number of tickets has changed.
	TicketsWatched(tickets int)
	// TicketLooked is called after a look that began late.
	TicketLooked(outcome string, late time.Duration)
}

// Config says what a [Poller] works with.
type Config struct {
	// Required fields

	Store   Store
	Gateway Gateway
	Flows   Flows
	// First is the pause between the first looks at a ticket, and Most the longest.
	First, Most time.Duration

	// Optional fields

	// AtOnce is how many looks may be under way. Zero means 256.
	AtOnce int
	// Observer measures; nil means that nobody does.
	Observer Observer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger gets a line for what fails; nil means silence.
	Logger *slog.Logger
}

// Poller looks at tickets while it runs. Make one with [New]. It is safe for
// concurrent use.
type Poller struct {
	cfg    Config
	worker string        // its name among all pollers
	wake   chan struct{} // the schedule has changed

	mu       sync.Mutex
	schedule *schedule // guarded by mu
}

const (
	defaultAtOnce = 256
	renewEvery    = time.Second
	listEvery     = 2 // renewals
	tellTimeout   = 5 * time.Second
	// lookMargin lets a look end that began just before the ticket's deadline.
	lookMargin = time.Minute
	// stopGrace is how long looks under way may go on after the end. A look that
	// waits for its turn could take any time, and another worker looks soon.
	stopGrace = 2 * time.Second
)

// New returns a poller, or an error that names every required field that is
// missing.
func New(cfg Config) (*Poller, error) {
	var errs []error
	require := func(ok bool, problem string) {
		if !ok {
			errs = append(errs, errors.New("poller: "+problem))
		}
	}
	require(cfg.Store != nil, "Store is required")
	require(cfg.Gateway != nil, "Gateway is required")
	require(cfg.Flows != nil, "Flows is required")
	require(cfg.First > 0, "First is required")
	require(cfg.Most > 0, "Most is required")
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.AtOnce == 0 {
		cfg.AtOnce = defaultAtOnce
	}
	if cfg.Observer == nil {
		cfg.Observer = unobserved{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Poller{
		cfg: cfg, worker: rand.Text(), wake: make(chan struct{}, 1),
		schedule: newSchedule(cfg.First, cfg.Most, func(most time.Duration) time.Duration { return mathrand.N(most + 1) }),
	}, nil
}

// unobserved is the Observer of a poller that has none.
type unobserved struct{}

func (unobserved) TicketsWatched(int)                 {}
func (unobserved) TicketLooked(string, time.Duration) {}

// Watch begins to look at a ticket, or goes on doing so. It never blocks and needs
// no store.
func (p *Poller) Watch(t ledger.OpenTicket) {
	p.change(func(s *schedule, now time.Time) { s.watch(t, now) })
}

// Forget ends the looks at a payment's ticket. It never blocks.
func (p *Poller) Forget(paymentID string) {
	p.change(func(s *schedule, _ time.Time) { s.forget(paymentID) })
}

// change changes the schedule.
func (p *Poller) change(do func(*schedule, time.Time)) {
	p.mu.Lock()
	before := len(p.schedule.tickets)
	do(p.schedule, p.cfg.Now())
	after := len(p.schedule.tickets)
	p.mu.Unlock()
	if before != after {
		p.cfg.Observer.TicketsWatched(after)
	}
	select {
	case p.wake <- struct{}{}:
	default: // one wake-up stands for any number
	}
}

// Run looks at tickets until ctx ends. Then it begins no further look, gives its
// tickets to the other workers, waits a moment for the looks under way, cuts the
// rest, and returns.
func (p *Poller) Run(ctx context.Context) {
	looking, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var following, looks sync.WaitGroup
	following.Go(func() { p.follow(ctx) })
	slots := make(chan struct{}, p.cfg.AtOnce)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		e, late := p.await(ctx)
		if e == nil {
			break
		}
		looks.Go(func() { // waited for below
			p.look(looking, e, late)
			<-slots
		})
	}
	defer time.AfterFunc(stopGrace, cut).Stop()
	looks.Wait()
	following.Wait()
}

// await returns the next ticket to look at and how late that is, or nil when ctx
// has ended.
func (p *Poller) await(ctx context.Context) (*entry, time.Duration) {
	for ctx.Err() == nil {
		p.mu.Lock()
		now := p.cfg.Now()
		e := p.schedule.next(now)
		due, waits := p.schedule.due()
		p.mu.Unlock()
		if e != nil {
			return e, now.Sub(e.due)
		}
		var timeout <-chan time.Time
		if waits {
			timeout = time.After(due.Sub(now))
		}
		select {
		case <-timeout:
		case <-p.wake:
		case <-ctx.Done():
		}
	}
	return nil, 0
}

// look looks at a ticket once, and tells its workflow where it is no longer open.
// The context's deadline is the ticket's, moved: the gateway's client lets the
// soonest go first.
func (p *Poller) look(ctx context.Context, e *entry, late time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, e.ticket.ExpiresAt.Sub(p.cfg.Now())+lookMargin)
	defer cancel()
	seen, err := p.cfg.Gateway.FindTicket(ctx, activity.TicketInput{EcommerceID: e.ticket.EcommerceID})
	outcome, ended := LookOpen, false
	switch {
	case err != nil: // measured where the call is made
		outcome = LookFailed
	case seen.Status.Known() && seen.Status != activity.TicketOpen:
		outcome, ended = p.tell(ctx, e.ticket, seen.Status)
	}
	p.cfg.Observer.TicketLooked(string(outcome), late)
	p.change(func(s *schedule, now time.Time) { s.looked(e, now, outcome == LookDecided, ended) })
}

// tell tells the payment's workflow that its ticket is no longer open. It reports
// whether that workflow is gone. What was seen is told even during a stop.
func (p *Poller) tell(ctx context.Context, t ledger.OpenTicket, status activity.TicketStatus) (_ Outcome, ended bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	failpoint.Reach(failpoint.SeenBefore)
	err := p.cfg.Flows.TicketSeen(ctx, t.PaymentID, string(status))
	failpoint.Reach(failpoint.SeenAfter)
	switch {
	case err == nil:
		return LookDecided, false
	case errors.Is(err, flows.ErrEnded):
		return LookUntold, true
	default:
		p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "workflow not told of its ticket; the next look tells it",
			slog.String("payment_id", t.PaymentID), slog.String("status", string(status)), slog.Any("error", err))
		return LookUntold, false
	}
}

// follow renews the poller and keeps up with the open rows until ctx ends. While
// the store is away it goes on with the tickets that it knows.
func (p *Poller) follow(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	var workers []string
	away := false
	for beat := 0; ctx.Err() == nil; beat++ {
		alive, err := p.cfg.Store.RenewPoller(ctx, p.worker)
		if err == nil && (beat%listEvery == 0 || away || !slices.Equal(alive, workers)) {
			err = p.list(ctx, alive)
		}
		if err == nil {
			workers = alive
		}
		switch failed := err != nil && ctx.Err() == nil; {
		case failed && !away:
			p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "open tickets not listed; those that are known are looked at", slog.Any("error", err))
		case !failed && away:
			p.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "open tickets are listed again")
		}
		away = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	if err := p.cfg.Store.RemovePoller(context.WithoutCancel(ctx), p.worker); err != nil {
		p.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "poller not removed; others take its tickets in a few seconds", slog.Any("error", err))
	}
}

// list takes the open tickets of which this worker is the owner.
func (p *Poller) list(ctx context.Context, workers []string) error {
	p.change(func(s *schedule, _ time.Time) { s.listing() })
	open, err := p.cfg.Store.OpenTickets(ctx)
	if err != nil {
		p.change(func(s *schedule, _ time.Time) { s.unlisted() })
		return err
	}
	mine := make(map[string]bool, len(open)) // decided before the lock is taken
	for _, t := range open {
		mine[t.PaymentID] = owner(workers, t.PaymentID) == p.worker
	}
	p.change(func(s *schedule, now time.Time) {
		s.adopt(open, func(id string) bool { return mine[id] }, now)
	})
	return nil
}
