package workflows_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/api/enums/v1"
	sdk "go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/workflows"
)

// What the fake gateway answers with.
const (
	ticketID    = "0ab257f5-3837-11ed-855f-9b4af5a393ce"
	ticketToken = "eyJhbGciOi.the-ticket-token.c2lnbg"
	reference   = "215070443-402894c185ab1be40185acfe61c2000b"
	dailyID     = "0006"
	// refundReference is a refund's own.
	refundReference = "402894d56b240610016b2e6c78a6003a"
)

// fakeGateway is one ticket of ATH Móvil on the test environment's clock. Every
// call takes a moment of that clock, and does what docs/athmovil.md says unless
// an answer was scripted for it.
type fakeGateway struct {
	env *testsuite.TestWorkflowEnvironment

	// latency is how long a call takes, and poll how long it takes until the
	// workflow knows of a change: the poller sees it, and the workflow looks too.
	latency, poll time.Duration

	mu       sync.Mutex
	ticket   activity.Ticket
	phone    string
	away     bool     // no look is answered
	parked   []func() // looks that go on when it is back
	watched  int      // how often the ticket was put before the poller
	watching bool     // the poller looks at it
	told     map[activity.TicketStatus]bool
	scripted map[string][]answer
	calls    []call
	debits   int
	credits  int // refunds of ours
}

// answer replaces what the gateway would do.
type answer struct {
	after    time.Duration // instead of the latency
	err      error
	executes bool                   // it does what was asked although it answers with err
	says     func(*activity.Ticket) // changes what Authorize answers
}

// call is one call that the gateway got.
type call struct {
	name string
	at   time.Time
}

func newFakeGateway(env *testsuite.TestWorkflowEnvironment) *fakeGateway {
	return &fakeGateway{
		env: env, latency: 200 * time.Millisecond, poll: time.Second, scripted: make(map[string][]answer), told: make(map[activity.TicketStatus]bool),
		ticket: activity.Ticket{EcommerceID: ticketID, Total: total},
	}
}

// declined and the like are errors as the activities return them.
func declined(code string) error { return gatewayError(activity.KindDeclined, code, false) }
func lookFirst(code string) error {
	return gatewayError(activity.KindDeclined, code, true)
}
func unavailable() error { return gatewayError(activity.KindUnavailable, "", false) }
func unknown() error     { return gatewayError(activity.KindUnknown, "", true) }

func gatewayError(kind activity.Kind, code string, look bool) error {
	return temporal.NewApplicationError("athmovil: scripted", string(kind),
		activity.GatewayFailure{Kind: kind, Code: code, LookFirst: look})
}

// workerDied is what a workflow gets where a worker took the task and was never
// heard of again.
func workerDied() error {
	return temporal.NewTimeoutError(enums.TIMEOUT_TYPE_START_TO_CLOSE, nil)
}

// neverStarted is what a workflow gets where no worker took the task.
func neverStarted() error {
	return temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
}

// script makes the next calls of an activity answer as scripted.
func (g *fakeGateway) script(name string, answers ...answer) {
	g.scripted[name] = append(g.scripted[name], answers...)
}

// hook takes the place of the gateway's activities.
func (g *fakeGateway) hook() {
	for name, play := range map[string]any{
		activity.CreateTicket.Name(): func(ctx context.Context, _ activity.CreateTicketInput) (activity.CreateTicketResult, error) {
			return perform(ctx, g, activity.CreateTicket.Name(), func() (activity.CreateTicketResult, error) {
				g.ticket.Status = activity.TicketOpen
				return activity.CreateTicketResult{EcommerceID: ticketID, AuthToken: ticketToken}, nil
			})
		},
		activity.FindTicket.Name(): g.find,
		activity.Authorize.Name(): func(ctx context.Context, in activity.AuthorizeInput) (activity.Ticket, error) {
			return perform(ctx, g, activity.Authorize.Name(), func() (activity.Ticket, error) { return g.authorize(in) })
		},
		activity.CancelTicket.Name(): func(ctx context.Context, _ activity.TicketInput) (activity.None, error) {
			return perform(ctx, g, activity.CancelTicket.Name(), func() (activity.None, error) { return activity.None{}, g.cancel() })
		},
		activity.SetPhoneNumber.Name(): func(ctx context.Context, in activity.SetPhoneNumberInput) (activity.None, error) {
			return perform(ctx, g, activity.SetPhoneNumber.Name(), func() (activity.None, error) { return activity.None{}, g.setPhone(in) })
		},
		activity.Refund.Name(): func(ctx context.Context, in activity.RefundInput) (activity.RefundResult, error) {
			return perform(ctx, g, activity.Refund.Name(), func() (activity.RefundResult, error) {
				g.credits++
				g.ticket.TotalRefunded = g.ticket.TotalRefunded.Add(in.Amount)
				return activity.RefundResult{ReferenceNumber: refundReference}, nil
			})
		},
	} {
		g.env.OnActivity(name, mock.Anything, mock.Anything).Return(play)
	}
}

// perform notes a call and answers it after its latency, by script or by do.
// do runs under the lock.
func perform[T any](ctx context.Context, g *fakeGateway, name string, do func() (T, error)) (T, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, call{name: name, at: g.env.Now().UTC()})
	after, how := g.latency, answer{}
	if queue := g.scripted[name]; len(queue) > 0 {
		how, g.scripted[name] = queue[0], queue[1:]
		after = max(how.after, time.Millisecond)
	}
	token := sdk.GetInfo(ctx).TaskToken
	g.env.RegisterDelayedCallback(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		var result T
		err := how.err
		switch {
		case err == nil:
			result, err = do()
		case how.executes:
			_, _ = do() // its answer is lost
		}
		if ticket, ok := any(&result).(*activity.Ticket); ok && how.says != nil {
			how.says(ticket)
		}
		g.complete(token, result, err)
	}, after)
	var none T
	return none, sdk.ErrResultPending
}

// complete answers a call. One whose activity was canceled is dropped by the
// environment.
func (g *fakeGateway) complete(token []byte, result any, err error) {
	if err != nil {
		result = nil
	}
	if err := g.env.CompleteActivity(token, result, err); err != nil {
		panic(err) // a token that is not a token: the test is broken
	}
}

// find answers a look, or parks it while the gateway is away, since Temporal
// retries it for as long as that takes.
func (g *fakeGateway) find(ctx context.Context, _ activity.TicketInput) (activity.Ticket, error) {
	token := sdk.GetInfo(ctx).TaskToken
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, call{name: activity.FindTicket.Name(), at: g.env.Now().UTC()})
	if queue := g.scripted[activity.FindTicket.Name()]; len(queue) > 0 {
		how := queue[0]
		g.scripted[activity.FindTicket.Name()] = queue[1:]
		g.env.RegisterDelayedCallback(func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.complete(token, g.seen(), how.err)
		}, how.after)
		return activity.Ticket{}, sdk.ErrResultPending
	}
	var look func()
	look = func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.away {
			g.parked = append(g.parked, look)
			return
		}
		g.complete(token, g.seen(), nil)
	}
	g.env.RegisterDelayedCallback(look, g.latency)
	return activity.Ticket{}, sdk.ErrResultPending
}

// Watch makes the fake the poller too.
func (g *fakeGateway) Watch(t ledger.OpenTicket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.EcommerceID != ticketID || t.PaymentID != paymentID {
		panic("another ticket is watched: " + t.EcommerceID)
	}
	g.watched++
	g.watching = true
	g.env.RegisterDelayedCallback(g.look, max(0, g.poll-g.latency))
}

// Forget ends what Watch began.
func (g *fakeGateway) Forget(string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watching = false
}

// look is the poller's: it tells the workflow of each status once, as the server
// lets it.
func (g *fakeGateway) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	status := g.ticket.Status
	if !g.watching || g.away || status == activity.TicketOpen || !status.Known() || g.told[status] {
		return
	}
	g.told[status] = true
	g.env.SignalWorkflow(workflows.SignalTicketSeen, nil)
}

// seen is the ticket as a look finds it now.
func (g *fakeGateway) seen() activity.Ticket {
	t := g.ticket
	t.SeenAt = g.env.Now()
	if t.Status == activity.TicketCompleted && t.Fee == nil {
		charged, net := fee, t.Total.Sub(fee)
		t.Fee, t.NetAmount = &charged, &net
	}
	return t
}

// becomes changes the ticket from outside: the customer, or time, decided.
func (g *fakeGateway) becomes(status activity.TicketStatus) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.change(status)
}

func (g *fakeGateway) change(status activity.TicketStatus) {
	g.ticket.Status = status
	if status == activity.TicketCompleted {
		g.ticket.ReferenceNumber, g.ticket.DailyTransactionID = reference, dailyID
	}
	g.env.RegisterDelayedCallback(g.look, max(0, g.poll-g.latency))
}

// says changes what the gateway says of the ticket.
func (g *fakeGateway) says(change func(*activity.Ticket)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.ticket)
}

// refunded changes the total of refunds from outside.
func (g *fakeGateway) refunded(total money.Amount) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ticket.TotalRefunded = total
}

// leave makes every look wait until the gateway is back.
func (g *fakeGateway) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.away = true
}

func (g *fakeGateway) back() {
	g.mu.Lock()
	parked := g.parked
	g.away, g.parked = false, nil
	g.env.RegisterDelayedCallback(g.look, max(0, g.poll-g.latency))
	g.mu.Unlock()
	for _, look := range parked {
		look()
	}
}

// authorize debits a confirmed ticket, once (docs/athmovil.md §1.3).
func (g *fakeGateway) authorize(in activity.AuthorizeInput) (activity.Ticket, error) {
	switch {
	case string(in.AuthToken) != ticketToken:
		return activity.Ticket{}, gatewayError(activity.KindAuthentication, "BTRA_0401", false)
	case g.ticket.Status == activity.TicketConfirmed:
		g.debits++
		g.change(activity.TicketCompleted)
		return g.seen(), nil
	case g.ticket.Status == activity.TicketOver:
		return activity.Ticket{}, lookFirst(athmovil.CodeOver)
	default:
		return activity.Ticket{}, lookFirst(athmovil.CodeNotConfirmed)
	}
}

func (g *fakeGateway) cancel() error {
	switch g.ticket.Status {
	case activity.TicketOpen, activity.TicketConfirmed:
		g.change(activity.TicketOver)
		return nil
	case activity.TicketCompleted, activity.TicketOver, activity.TicketExpired:
		return declined(athmovil.CodeWrongStatus)
	default:
		return declined(athmovil.CodeWrongStatus)
	}
}

func (g *fakeGateway) setPhone(in activity.SetPhoneNumberInput) error {
	if g.phone != "" {
		return declined(athmovil.CodePhoneAssigned)
	}
	g.phone = string(in.PhoneNumber)
	return nil
}

// count says how often an activity was called.
func (g *fakeGateway) count(name string) int { return len(g.times(name)) }

// times says when an activity was called.
func (g *fakeGateway) times(name string) []time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	var at []time.Time
	for _, c := range g.calls {
		if c.name == name {
			at = append(at, c.at)
		}
	}
	return at
}

// order lists the names of the calls from the first call of name on.
func (g *fakeGateway) order(name string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	from := slices.IndexFunc(g.calls, func(c call) bool { return c.name == name })
	if from < 0 {
		return nil
	}
	var names []string
	for _, c := range g.calls[from:] {
		names = append(names, c.name)
	}
	return names
}
