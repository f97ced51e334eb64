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

// Simulator plays one gateway. It is safe for concurrent use; everything that
// happens to it happens in one order, under one lock.
type Simulator struct {
	config     Config
	businesses map[string]Business
	key        *rsa.PrivateKey
	journal    *journal
	logger     *slog.Logger

	mu     sync.Mutex
	state  *state
	agenda agenda
	faults faultList
	random *rand.Rand // chance for faults without a seed

	outbox    []event                  // decided, not yet durable
	held      []event                  // kept back by webhook_reordered
	lastEvent map[string]chan struct{} // done of the last event about a ticket

	requestLog entryLog[requestEntry]
	webhookLog entryLog[webhookEntry]

	mail *postman

	alarm   chan struct{} // has a value when the agenda's first task may be another
	closing chan struct{}
	ticking sync.WaitGroup // the goroutine of tick; Close waits for it
	close   func() error
}

// New makes a simulator, reads its journal, and starts its timers. All
// problems with config are reported at once. Call [Simulator.Close] when done.
func New(config Config) (*Simulator, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("athmovilsim: %w", err)
	}
	s := &Simulator{
		config:     config,
		businesses: config.businesses(),
		logger:     config.Logger,
		state:      newState(),
		random:     rand.New(rand.NewPCG(config.Seed, 0)),
		lastEvent:  map[string]chan struct{}{},
		requestLog: newRequestLog(),
		webhookLog: newWebhookLog(),
		alarm:      make(chan struct{}, 1),
		closing:    make(chan struct{}),
	}
	s.mail = newPostman(s)
	s.close = sync.OnceValue(s.shutdown)
	if s.journal, err = openJournal(config.Journal, s.state.apply); err != nil {
		return nil, fmt.Errorf("athmovilsim: %w", err)
	}
	if err := s.begin(); err != nil {
		return nil, errors.Join(fmt.Errorf("athmovilsim: %w", err), s.journal.close())
	}
	s.ticking.Go(s.tick)
	return s, nil
}

// begin loads or makes the signing key and takes up the timers of tickets that
// the journal brought back.
func (s *Simulator) begin() error {
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

// Gateway returns what merchants talk to, under the paths of docs/athmovil.md
// §1.0. Serve it over HTTP/1.1: faults that cut a connection need it.
func (s *Simulator) Gateway() http.Handler { return s.gatewayRoutes() }

// Control returns the surface for tests, under /_sim/, and the customer's
// phone at /. Serve it on another address than the gateway's.
func (s *Simulator) Control() http.Handler { return s.controlRoutes() }

// Settle lets everything happen that is due, and returns when every webhook on
// its way has been taken or given up. It is for tests that move the time
// themselves, by [Config.Now]: what the gateway does is then decided by that
// time alone.
func (s *Simulator) Settle() error {
	err := s.look(func(time.Time) {})
	s.mu.Lock()
	underway := slices.Collect(maps.Values(s.lastEvent))
	s.mu.Unlock()
	for _, done := range underway {
		<-done
	}
	return err
}

// Close stops the timers, waits for webhooks that are under way, drops those
// that wait for their time, and makes the journal durable. Stop the HTTP
// servers first. Closing twice is harmless.
func (s *Simulator) Close() error { return s.close() }

func (s *Simulator) shutdown() error {
	close(s.closing)
	s.ticking.Wait()
	s.mail.close()
	return s.journal.close()
}

// now is the simulator's time; the lock is held.
func (s *Simulator) now() time.Time { return s.state.clock.now(s.realNow()) }

// realNow is the time beneath the clock, without a monotonic reading, which
// would not survive the journal.
func (s *Simulator) realNow() time.Time { return s.config.Now().UTC().Round(0) }

// update lets everything happen that is due, then asks decide for one more
// change. It returns once all of it is durable; only then do webhooks leave.
func (s *Simulator) update(decide func(now time.Time) (change, error)) error {
	err := func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		c, err := decide(s.settle())
		if err != nil {
			return err
		}
		return s.commit(c)
	}()
	return errors.Join(err, s.flush())
}

// look lets everything happen that is due, then lets read see the state. What
// it saw is durable when look returns.
func (s *Simulator) look(read func(now time.Time)) error {
	return s.update(func(now time.Time) (change, error) {
		read(now)
		return change{}, nil
	})
}

// settle does every task whose time has come, in order, and returns the time.
// The lock is held.
func (s *Simulator) settle() time.Time {
	now := s.now()
	for {
		at, planned := s.agenda.next()
		if !planned || at.After(now) {
			return now
		}
		s.agenda.take().do(at)
	}
}

// commit writes c to the journal and makes it true. The lock is held.
func (s *Simulator) commit(c change) error {
	if !c.empty() {
		if err := s.journal.append(c); err != nil {
			s.logger.Error("journal refused a change", "error", err)
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

// flush makes what was committed durable and then lets its webhooks go.
func (s *Simulator) flush() error {
	s.mu.Lock()
	events := s.outbox
	s.outbox = nil
	s.mu.Unlock()
	if err := s.journal.sync(); err != nil {
		s.logger.Error("journal is not durable", "error", err)
		for _, e := range events {
			close(e.done) // others may wait behind it
		}
		return err
	}
	for _, e := range events {
		s.mail.post(e)
	}
	return nil
}

// schedule plans the next thing that happens to t by itself. The lock is held.
func (s *Simulator) schedule(t ticket) {
	if at, planned := t.due(s.config.Settings.ConfirmStopsTimer); planned {
		s.later(at, func(at time.Time) { s.wake(t.ID, at) })
	}
}

// later plans do, which runs under the lock. The lock is held.
func (s *Simulator) later(at time.Time, do func(at time.Time)) {
	s.agenda.add(at, do)
	s.ring()
}

// ring makes tick look at the agenda and the clock again.
func (s *Simulator) ring() {
	select {
	case s.alarm <- struct{}{}:
	default: // tick has been told already
	}
}

// wake does what is due for a ticket at the moment at. The lock is held.
func (s *Simulator) wake(id string, at time.Time) {
	t := s.state.tickets[id]
	due, planned := t.due(s.config.Settings.ConfirmStopsTimer)
	if !planned || due.After(at) {
		return // the ticket changed since this was planned
	}
	c, err := s.spontaneous(t, at)
	if err == nil {
		err = s.commit(c)
	}
	if err != nil {
		s.logger.Error("ticket could not go on by itself", "ecommerce_id", id, "error", err)
	}
}

// spontaneous is what happens to t by itself at its due time: the timer, or
// the next step of its customer.
func (s *Simulator) spontaneous(t ticket, at time.Time) (change, error) {
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
		// Refused: the customer taps in vain, and the script goes on.
		c = change{Ticket: &t}
	}
	if c.Ticket.live() {
		c.Ticket.Plan = c.Ticket.Plan[1:]
	}
	return c, nil
}

// tick sleeps until the agenda's next moment, for as long as the simulator
// lives. Every call settles what is due by itself; tick is for the quiet time
// between calls.
func (s *Simulator) tick() {
	for {
		var timer <-chan time.Time // nil blocks for ever
		if wait, planned := s.untilNext(); planned {
			timer = time.After(wait)
		}
		select {
		case <-s.closing:
			return
		case <-s.alarm:
		case <-timer:
		}
		_ = s.look(func(time.Time) {}) // logged where it failed
	}
}

// untilNext is the real time to the agenda's first task, or false where none
// can come due by itself.
func (s *Simulator) untilNext() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, planned := s.agenda.next()
	if !planned || !s.state.clock.Stopped.IsZero() {
		return 0, false
	}
	return max(0, at.Sub(s.now())), true
}
