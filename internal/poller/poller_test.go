package poller_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/poller"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
)

var errAway = errors.New("away")

// world is everything around pollers. Time is that of the test's bubble.
type world struct {
	mu     sync.Mutex
	away   bool                             // the store
	rows   map[string]ledger.OpenTicket     // the open ones
	seen   map[string]time.Time             // pollers
	status map[string]activity.TicketStatus // by ticket; OPEN where there is none
	silent bool                             // the gateway answers nobody
	untold error                            // of signals
	past   past
}

// past is what happened so far.
type past struct {
	looked   []string // tickets
	told     []string // payment and status
	outcomes []string
	late     time.Duration // the most
	open     int           // looks under way
	mostOpen int
	watched  int
	workers  int
}

// so returns what happened so far.
func (w *world) so() past {
	w.mu.Lock()
	defer w.mu.Unlock()
	so := w.past
	so.looked, so.told, so.outcomes = slices.Clone(so.looked), slices.Clone(so.told), slices.Clone(so.outcomes)
	so.workers = len(w.seen)
	return so
}

func newWorld() *world {
	return &world{rows: map[string]ledger.OpenTicket{}, seen: map[string]time.Time{}, status: map[string]activity.TicketStatus{}}
}

func (w *world) OpenTickets(context.Context) ([]ledger.OpenTicket, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, errAway
	}
	var open []ledger.OpenTicket
	for _, row := range w.rows {
		open = append(open, row)
	}
	return open, nil
}

func (w *world) RenewPoller(_ context.Context, worker string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return nil, errAway
	}
	w.seen[worker] = time.Now()
	var alive []string
	for name, at := range w.seen {
		if time.Since(at) < 4*time.Second {
			alive = append(alive, name)
		}
	}
	slices.Sort(alive)
	return alive, nil
}

func (w *world) RemovePoller(_ context.Context, worker string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errAway
	}
	delete(w.seen, worker)
	return nil
}

func (w *world) FindTicket(ctx context.Context, in activity.TicketInput) (activity.Ticket, error) {
	w.begin(in.EcommerceID)
	defer w.end()
	if w.isSilent() {
		<-ctx.Done()
		return activity.Ticket{}, ctx.Err()
	}
	time.Sleep(200 * time.Millisecond) //nolint:forbidigo // of the bubble's time
	w.mu.Lock()
	defer w.mu.Unlock()
	if status, known := w.status[in.EcommerceID]; known {
		return activity.Ticket{Status: status}, nil
	}
	return activity.Ticket{Status: activity.TicketOpen}, nil
}

func (w *world) isSilent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.silent
}

func (w *world) begin(ticket string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.past.looked = append(w.past.looked, ticket)
	w.past.open++
	w.past.mostOpen = max(w.past.mostOpen, w.past.open)
}

func (w *world) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.past.open--
}

func (w *world) TicketSeen(ctx context.Context, paymentID, status string) error {
	time.Sleep(3 * time.Second) //nolint:forbidigo // of the bubble's time, longer than a stop waits for looks
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.untold != nil {
		return w.untold
	}
	w.past.told = append(w.past.told, paymentID+" "+status)
	return nil
}

func (w *world) TicketsWatched(tickets int) { w.set(func() { w.past.watched = tickets }) }

func (w *world) TicketLooked(outcome string, late time.Duration) {
	w.set(func() {
		w.past.outcomes = append(w.past.outcomes, outcome)
		w.past.late = max(w.past.late, late)
	})
}

// set changes the world.
func (w *world) set(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

// row makes a payment's row open.
func (w *world) row(id string) {
	w.set(func() { w.rows[id] = open(id) })
}

func open(id string) ledger.OpenTicket {
	return ledger.OpenTicket{PaymentID: id, EcommerceID: "ticket of " + id, ExpiresAt: time.Now().Add(10 * time.Minute)}
}

// tally counts.
func tally(names []string) map[string]int {
	counts := map[string]int{}
	for _, name := range names {
		counts[name]++
	}
	return counts
}

// start runs a poller in the world until the test calls stop.
func (w *world) start(t *testing.T, changes ...func(*poller.Config)) (p *poller.Poller, stop func()) {
	t.Helper()
	cfg := poller.Config{Store: w, Gateway: w, Flows: w, First: time.Second, Most: 5 * time.Second, Observer: w}
	for _, change := range changes {
		change(&cfg)
	}
	p, err := poller.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	return p, func() {
		cancel()
		running.Wait()
	}
}

// pass lets time pass until everything that is due has been done.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // of the bubble's time
	synctest.Wait()
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := poller.New(poller.Config{})
	for _, field := range []string{"Store", "Gateway", "Flows", "First", "Most"} {
		require.ErrorContains(t, err, field+" is required")
	}
}

func TestConfirmationIsToldUntilTheRowSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		p, stop := w.start(t)
		defer stop()
		p.Watch(open("pay_1"))
		w.row("pay_1")
		pass(20 * time.Second)
		require.Empty(t, w.so().told)
		require.Equal(t, 1, w.so().watched)
		w.set(func() { w.status["ticket of pay_1"] = "PAUSED" }) // a status that nobody knows
		pass(20 * time.Second)
		require.Empty(t, w.so().told, "which is no decision")

		w.set(func() { w.status["ticket of pay_1"] = activity.TicketConfirmed })
		pass(9 * time.Second)
		require.NotEmpty(t, w.so().told, "within the longest pause, a look and the signal")
		pass(40 * time.Second)
		require.Greater(t, len(w.so().told), 4, "the server drops the repetitions")
		require.Equal(t, []string{"pay_1 CONFIRM"}, slices.Compact(slices.Clone(w.so().told)))
		w.set(func() { delete(w.rows, "pay_1") })
		pass(3 * time.Second)
		looks := len(w.so().looked)
		pass(time.Minute)
		require.Len(t, w.so().looked, looks)
		require.Zero(t, w.so().watched)
		require.Equal(t, len(w.so().told), tally(w.so().outcomes)[string(poller.LookDecided)])
	})
}

func TestStoreThatIsAwayCostsNoSale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.away = true
		var logs telemetrytest.LogBuffer
		p, stop := w.start(t, func(c *poller.Config) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
		defer stop()
		p.Watch(open("pay_1"))
		pass(time.Minute)
		w.set(func() { w.status["ticket of pay_1"] = activity.TicketConfirmed })
		pass(9 * time.Second)
		require.NotEmpty(t, w.so().told)
		require.Equal(t, 1, strings.Count(logs.String(), "\n"), "not a line each second")
		w.set(func() { w.away = false })
		pass(2 * time.Second)
		require.Equal(t, 2, strings.Count(logs.String(), "\n"))
		p.Forget("pay_1")
		require.Zero(t, w.so().watched)
	})
}

// The store is there: whoever dies, another worker looks within five seconds after
// it is up.
func TestTicketsOfADeadWorkerAreTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.seen["dead"] = time.Now().Add(500 * time.Millisecond) // by its own clock
		for i := range 100 {
			w.row("pay_" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		}
		_, stop := w.start(t)
		defer stop()
		pass(time.Second)
		early := len(tally(w.so().looked))
		require.Greater(t, early, 20, "its own share at once")
		require.Less(t, early, 80, "and no more, as far as it knows")
		pass(4 * time.Second)
		require.Len(t, tally(w.so().looked), 100)
	})
}

func TestWorkersShareTicketsAndGiveThemBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		_, stopFirst := w.start(t)
		_, stopSecond := w.start(t)
		defer stopSecond()
		pass(time.Second)
		for i := range 100 {
			w.row("pay_" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		}
		pass(time.Minute)
		before := len(w.so().looked)
		pass(50 * time.Second) // ten of the longest pauses, less their jitter
		require.InDelta(t, 1000, len(w.so().looked)-before, 200, "each ticket is looked at by one of the two")

		stopFirst()
		w.set(func() { w.past.looked = nil })
		pass(7 * time.Second)
		require.Len(t, tally(w.so().looked), 100, "the other one has all of them")
	})
}

func TestLooksAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		for i := range 100 {
			w.row("pay_" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		}
		_, stop := w.start(t, func(c *poller.Config) { c.AtOnce = 3 })
		defer stop()
		pass(30 * time.Second)
		require.Equal(t, 3, w.so().mostOpen)
		require.Len(t, tally(w.so().looked), 100, "all come late, and none never")
		require.Greater(t, w.so().late, time.Second, "which is measured")
	})
}

func TestWorkflowThatIsGoneIsNotToldAgainAndAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		most int // looks in a minute
	}{
		"gone":             {flows.ErrEnded, 2},
		"Temporal is away": {flows.ErrUnavailable, 30},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.untold = tt.err
				w.status["ticket of pay_1"] = activity.TicketConfirmed
				p, stop := w.start(t)
				defer stop()
				p.Watch(open("pay_1"))
				w.row("pay_1")
				pass(58 * time.Second)
				require.LessOrEqual(t, len(w.so().looked), tt.most)
				require.InDelta(t, len(w.so().looked), tally(w.so().outcomes)[string(poller.LookUntold)], 1, "one may be under way")
				w.set(func() { w.untold = nil })
				pass(time.Minute)
				require.NotEmpty(t, w.so().told, "once it can be told, it is")
			})
		})
	}
}

// A look that gets no answer is cut soon after the end, and one that saw something
// still tells it.
func TestStopEndsLooksUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.silent = true
		p, stop := w.start(t)
		p.Watch(open("pay_1"))
		pass(2 * time.Second)
		require.Equal(t, 1, w.so().open)
		began := time.Now()
		stop()
		require.Equal(t, 2*time.Second, time.Since(began))
		require.Zero(t, w.so().open)
		require.Equal(t, []string{string(poller.LookFailed)}, w.so().outcomes)
		require.Zero(t, w.so().workers, "the other workers know at once")

		w.set(func() { w.silent, w.status["ticket of pay_2"] = false, activity.TicketConfirmed })
		p, stop = w.start(t)
		p.Watch(open("pay_2"))
		for w.so().open == 0 {
			pass(10 * time.Millisecond)
		}
		began = time.Now()
		stop()
		require.Equal(t, 3*time.Second, time.Since(began).Truncate(time.Second))
		require.Equal(t, []string{"pay_2 CONFIRM"}, w.so().told)
	})
}
