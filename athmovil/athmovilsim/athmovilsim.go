package athmovilsim

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Simulator simulates one gateway. It is safe for concurrent use. One lock puts
// everything that happens in one order.
type Simulator struct {
	config     Config
	businesses map[string]Business
	key        *rsa.PrivateKey
	journal    *journal
	logger     *slog.Logger

	mu     sync.Mutex
	state  *state
	tasks  taskQueue
	faults faultList
	random *rand.Rand // for faults that have no seed

	pendingEvents []event                  // not sent before the journal is synced
	held          []event                  // delayed by webhook_reordered
	lastEvent     map[string]chan struct{} // closed when the last event about a ticket is sent, by ticket id

	requestLog entryLog[requestEntry]
	webhookLog entryLog[webhookEntry]

	sender *webhookSender

	tasksChanged chan struct{} // has a value when the first task or the clock may have changed
	closing      chan struct{}
	timers       sync.WaitGroup // the goroutine of runTimers; Close waits for it
	close        func() error
}

// New starts a simulator: it reads the journal and starts the timers. Its error
// lists every problem with config. Call [Simulator.Close] when done.
func New(config Config) (*Simulator, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("athmovilsim: %w", err)
	}
	s := &Simulator{
		config:       config,
		businesses:   config.businesses(),
		logger:       config.Logger,
		state:        newState(),
		random:       rand.New(rand.NewPCG(config.Seed, 0)),
		lastEvent:    map[string]chan struct{}{},
		requestLog:   newRequestLog(),
		webhookLog:   newWebhookLog(),
		tasksChanged: make(chan struct{}, 1),
		closing:      make(chan struct{}),
	}
	s.sender = newWebhookSender(s)
	s.close = sync.OnceValue(s.shutdown)
	if s.journal, err = openJournal(config.Journal, s.state.apply); err != nil {
		return nil, fmt.Errorf("athmovilsim: %w", err)
	}
	if err := s.restore(); err != nil {
		return nil, errors.Join(fmt.Errorf("athmovilsim: %w", err), s.journal.close())
	}
	s.timers.Go(s.runTimers)
	return s, nil
}

// restore loads the signing key, or creates it, and restarts the timers of the
// tickets in the journal.
func (s *Simulator) restore() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.key == nil {
		key, err := newSigningKey(s.config.SigningKey)
		if err != nil {
			return err
		}
		if err := s.commit(change{Version: journalVersion, Key: key}); err != nil {
			return err
		}
		if err := s.journal.sync(); err != nil {
			return err
		}
	}
	var err error
	if s.key, err = parseSigningKey(s.state.key); err != nil {
		return err
	}
	for _, t := range s.state.all() {
		s.schedule(t)
	}
	return nil
}

// Gateway returns the gateway's API, under the paths of docs/athmovil.md §1.0.
// Serve it over HTTP/1.1, which the faults that close a connection need.
func (s *Simulator) Gateway() http.Handler { return s.gatewayRoutes() }

// Control returns the control API for tests, under /_sim/, and the customer's
// phone at /. Serve it on another address than the gateway.
func (s *Simulator) Control() http.Handler { return s.controlRoutes() }

// Settle does everything that is due, and returns when every webhook in flight
// has been delivered or has failed. It is for tests that set the time with
// [Config.Now]: that time alone then decides what the gateway does.
func (s *Simulator) Settle() error {
	err := s.view(func(time.Time) {})
	s.mu.Lock()
	underway := slices.Collect(maps.Values(s.lastEvent))
	s.mu.Unlock()
	for _, done := range underway {
		<-done
	}
	return err
}

// Close stops the timers, waits for webhooks in flight, drops delayed ones, and
// syncs the journal to the disk. Stop the HTTP servers first. It may be called
// twice.
func (s *Simulator) Close() error { return s.close() }

func (s *Simulator) shutdown() error {
	close(s.closing)
	s.timers.Wait()
	s.sender.close()
	return s.journal.close()
}

// now is the simulator's time. The lock is held.
func (s *Simulator) now() time.Time { return s.state.clock.now(s.realNow()) }

// realNow is the real time, without a monotonic reading, which the journal cannot
// store.
func (s *Simulator) realNow() time.Time { return s.config.Now().UTC().Round(0) }

// update does everything that is due, then commits the change that decide
// returns. All of it is durable when update returns. Webhooks are sent after that.
func (s *Simulator) update(decide func(now time.Time) (change, error)) error {
	err := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		c, err := decide(s.runDue())
		if err != nil {
			return err
		}
		return s.commit(c)
	}()
	return errors.Join(err, s.flush())
}

// view does everything that is due, then calls read, which may read the state.
// What it read is durable when view returns.
func (s *Simulator) view(read func(now time.Time)) error {
	return s.update(func(now time.Time) (change, error) {
		read(now)
		return change{}, nil
	})
}

// runDue runs every task that is due, in order, and returns the time. The lock is
// held.
func (s *Simulator) runDue() time.Time {
	now := s.now()
	for {
		at, planned := s.tasks.next()
		if !planned || at.After(now) {
			return now
		}
		s.tasks.take().do(at)
	}
}

// commit writes c to the journal and applies it. The lock is held.
func (s *Simulator) commit(c change) error {
	if !c.empty() {
		if err := s.journal.append(c); err != nil {
			s.logger.Error("journal cannot store a change", "error", err)
			return err
		}
		s.state.apply(c)
	}
	if c.Ticket != nil {
		s.schedule(*c.Ticket)
	}
	for _, e := range c.events {
		s.dispatch(e)
	}
	return nil
}

// flush syncs the journal, then sends the webhooks of what was committed.
func (s *Simulator) flush() error {
	s.mu.Lock()
	events := s.pendingEvents
	s.pendingEvents = nil
	s.mu.Unlock()
	if err := s.journal.sync(); err != nil {
		s.logger.Error("journal cannot be synced", "error", err)
		for _, e := range events {
			close(e.done) // later events may wait for it
		}
		return err
	}
	for _, e := range events {
		s.sender.post(e)
	}
	return nil
}

// schedule plans the next automatic change of t. The lock is held.
func (s *Simulator) schedule(t ticket) {
	if at, planned := t.due(s.config.Settings.ConfirmStopsTimer); planned {
		s.scheduleAt(at, func(at time.Time) { s.advanceTicket(t.ID, at) })
	}
}

// scheduleAt plans do for the time at. It runs under the lock. The lock is held.
func (s *Simulator) scheduleAt(at time.Time, do func(at time.Time)) {
	s.tasks.add(at, do)
	s.signal()
}

// signal makes runTimers check the tasks and the clock again.
func (s *Simulator) signal() {
	select {
	case s.tasksChanged <- struct{}{}:
	default: // already signaled
	}
}

// advanceTicket makes the change of a ticket that is due at the time at. The lock
// is held.
func (s *Simulator) advanceTicket(id string, at time.Time) {
	t := s.state.tickets[id]
	due, planned := t.due(s.config.Settings.ConfirmStopsTimer)
	if !planned || due.After(at) {
		return // the ticket changed since this was planned
	}
	c, err := s.automaticChange(t, at)
	if err == nil {
		err = s.commit(c)
	}
	if err != nil {
		s.logger.Error("automatic change of a ticket failed", "ecommerce_id", id, "error", err)
	}
}

// automaticChange is what happens to t at its due time: it expires, or its
// scripted customer takes the next step.
func (s *Simulator) automaticChange(t ticket, at time.Time) (change, error) {
	if deadline, running := t.deadline(s.config.Settings.ConfirmStopsTimer); running && !at.Before(deadline) {
		return s.state.cancel(t.ID, byTimer, false)
	}
	next := t.Plan[0]
	var c change
	var err error
	switch next.Action {
	case actionConfirm:
		c, err = s.state.confirm(t.ID, "")
	case actionCancel:
		c, err = s.state.cancel(t.ID, byCustomer, false)
	default:
		err = fmt.Errorf("unknown action %q in a ticket's plan", next.Action)
	}
	if err != nil {
		// Refused: the step has no effect, and the script goes on.
		c = change{Ticket: &t}
	}
	if c.Ticket.live() {
		c.Ticket.Plan = c.Ticket.Plan[1:]
	}
	return c, nil
}

// runTimers runs tasks when they are due, until the simulator is closed. Every
// call runs due tasks too, so this is for the time between calls.
func (s *Simulator) runTimers() {
	for {
		var timer <-chan time.Time // nil blocks forever
		if wait, planned := s.untilNext(); planned {
			timer = time.After(wait)
		}
		select {
		case <-s.closing:
			return
		case <-s.tasksChanged:
		case <-timer:
		}
		_ = s.view(func(time.Time) {}) // flush and commit have logged the error
	}
}

// untilNext is the real time until the first task is due. It returns false if there
// is none or the clock is stopped.
func (s *Simulator) untilNext() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, planned := s.tasks.next()
	if !planned || !s.state.clock.Stopped.IsZero() {
		return 0, false
	}
	return max(0, at.Sub(s.now())), true
}
