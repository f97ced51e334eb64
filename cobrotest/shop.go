package cobrotest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sdkactivity "go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	sdk "go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/activity/reconcile"
	"github.com/cobropay/cobro/internal/activity/records"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/internal/runner"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// The customers of the simulator that Shop's methods sell to. None is so quick
// that a payment's events overtake each other.
const (
	confirms   private.Text = "7875550101" // after a second
	neverLooks private.Text = "7875550200"
	cancels    private.Text = "7875550201" // after a second
	isDeclined private.Text = "7875550300" // BTRA_0044
)

const (
	pollFirst    = time.Second // between looks at a ticket
	pollMost     = 5 * time.Second
	betweenSales = time.Minute
	stuck        = time.Minute    // of real time, in which nothing happened
	undecided    = 24 * time.Hour // until somebody decides a review
)

// Shop is a merchant's whole program in a test: Cobro, ATH Móvil's simulator, a
// database, and the merchant's receivers. One payment or refund runs at a time,
// to its very end, all receivers and their retries included, on a clock that
// skips what nobody needs to wait for. Use it from the test's own goroutine.
type Shop struct {
	t         testing.TB
	receivers *activities.Notifications
	db        *store.Store
	gateway   *athmovil.Client
	sold      int
	refunded  int

	mu  sync.Mutex
	env *testsuite.TestWorkflowEnvironment // of the workflow that runs, or nil; guarded by mu
	at  time.Time                          // the time while none runs; guarded by mu
}

// NewShop opens a shop with a program's receivers. It closes with the test.
func NewShop(t testing.TB, n *activities.Notifications) *Shop {
	t.Helper()
	receivers(t, n) // for the mistakes
	s := &Shop{t: t, receivers: n, at: opening()}
	ring, err := seal.New()
	s.need(err, "make a key ring")
	cfg := store.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "cobro.db"), Sealer: ring, Now: s.Now}
	s.need(store.Migrate(t.Context(), cfg), "make a database")
	s.db, err = store.Open(t.Context(), cfg)
	s.need(err, "open the database")
	t.Cleanup(func() {
		if err := s.db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	s.need(s.db.AnnounceReceivers(t.Context(), host, notify.Announced(host, n.All())), "announce the receivers")
	s.gateway = connect(s)
	return s
}

// Now is the shop's time, which starts on a Monday morning in 2026.
func (s *Shop) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.env != nil {
		return s.env.Now().UTC()
	}
	return s.at
}

// Order makes a sale one of a merchant's order.
func Order(reference string) func(*payment.Request) {
	return func(r *payment.Request) { r.Reference = reference }
}

// Pay sells to a customer who confirms, and returns the completed payment.
func (s *Shop) Pay(total string, changes ...func(*payment.Request)) payment.Payment {
	s.t.Helper()
	return s.sell(total, confirms, payment.StatusCompleted, changes)
}

// Cancel sells to a customer who cancels, and returns the canceled payment.
func (s *Shop) Cancel(total string, changes ...func(*payment.Request)) payment.Payment {
	s.t.Helper()
	return s.sell(total, cancels, payment.StatusCancelled, changes)
}

// Expire sells to a customer who never looks, and returns the expired payment.
func (s *Shop) Expire(total string, changes ...func(*payment.Request)) payment.Payment {
	s.t.Helper()
	return s.sell(total, neverLooks, payment.StatusExpired, changes)
}

// Decline sells to a customer whose bank declines, and returns the failed
// payment.
func (s *Shop) Decline(total string, changes ...func(*payment.Request)) payment.Payment {
	s.t.Helper()
	return s.sell(total, isDeclined, payment.StatusFailed, changes)
}

func (s *Shop) sell(total string, customer private.Text, want payment.Status, changes []func(*payment.Request)) payment.Payment {
	s.t.Helper()
	amount, err := money.Parse(total)
	s.need(err, "read the total")
	p := s.Sell(payment.Request{Total: amount, PhoneNumber: customer}, changes...)
	if p.Status != want {
		s.t.Fatalf("payment %s is %s, want %s", p.ID, p.Status, want)
	}
	return p
}

// Sell runs a payment as a request asks for it, whatever comes of it, and
// returns it as it ended. Without a reference it gets "order-1", "order-2" and
// so on, and without a deadline ten minutes. The phone number chooses the
// customer from the table in athmovil/athmovilsim, where there are some who
// lose answers, are declined, or stay unknown because their webhook is lost; one
// who is not there never looks.
//
// Where a person would have to decide a review, nobody does for a day, and
// then somebody says that the money did not move.
func (s *Shop) Sell(r payment.Request, changes ...func(*payment.Request)) payment.Payment {
	s.t.Helper()
	s.sold++
	if r.Reference == "" {
		r.Reference = fmt.Sprintf("order-%d", s.sold)
	}
	if r.ExpiresIn == 0 {
		r.ExpiresIn = payment.DefaultExpiresIn
	}
	for _, change := range changes {
		change(&r)
	}
	s.need(r.Validate(payment.MinExpiresIn), "ask for a payment")
	id := ledger.DeriveID("default", fmt.Sprintf("sale %d", s.sold))
	s.run(workflows.PaymentWorkflowID(id), workflows.ProcessPaymentName, workflows.ProcessPaymentInput{
		PaymentID: id, Request: r, CreatedAt: s.Now(),
	}, nil)
	return s.Payment(id)
}

// Refund gives an amount of a payment back, and returns the refund as it ended.
// One that the books refuse fails the test.
func (s *Shop) Refund(p payment.Payment, amount string) payment.Refund {
	s.t.Helper()
	parsed, err := money.Parse(amount)
	s.need(err, "read the amount")
	s.refunded++
	id, now := ledger.DeriveRefundID(p.ID, fmt.Sprintf("refund %d", s.refunded)), s.Now()
	var outcome workflows.RefundOutcome
	s.run(workflows.RefundWorkflowID(id), workflows.RefundPaymentName, workflows.RefundPaymentInput{
		RefundID: id, PaymentID: p.ID, Amount: &parsed, CreatedAt: now,
	}, &outcome)
	if outcome.Refusal != nil {
		s.t.Fatalf("refund %s of payment %s: %v", parsed, p.ID, outcome.Refusal)
	}
	return *outcome.Refund
}

// Payment returns a payment as the books have it now.
func (s *Shop) Payment(id string) payment.Payment {
	s.t.Helper()
	r, err := s.db.Payment(s.t.Context(), id)
	s.need(err, "read the payment")
	return r.Payment
}

// Deliveries returns how each notification of a payment and of its refunds
// went, in the order in which they happened.
func (s *Shop) Deliveries(p payment.Payment) []payment.Delivery {
	s.t.Helper()
	all, err := s.db.Deliveries(s.t.Context(), p.ID)
	s.need(err, "read the deliveries")
	return all
}

// run runs a workflow to its end.
func (s *Shop) run(id, name string, input, result any) {
	s.t.Helper()
	suite := testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	suite.SetDisableRegistrationAliasing(true)
	env := suite.NewTestWorkflowEnvironment()
	env.SetStartTime(s.Now())
	env.SetTestTimeout(stuck)
	over := func() bool { return s.running() != env }
	env.SetWorkerOptions(sdk.Options{Interceptors: []interceptor.WorkerInterceptor{&environment{over: over}}})
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: workflows.TaskQueue})
	calls := &gateway.Gateway{Client: s.gateway, Locks: s.db, Now: s.Now}
	tickets := &poller{s: s, env: env, calls: calls}
	runner.RegisterPayments(env, calls, &records.Records{Store: s.db, Tickets: tickets}, &reconcile.Reconcile{Client: s.gateway, Store: s.db, Now: s.Now})
	notify.Register(logging{s: s, env: env}, s.receivers.All(), s.db, s.Now)
	s.decideReviews(env)

	s.begin(env)
	defer s.end(env)
	defer func() {
		if stuck := recover(); stuck != nil {
			s.t.Fatalf("%s of %s did not end: %v", name, id, stuck)
		}
	}()
	env.ExecuteWorkflow(name, input)
	s.need(env.GetWorkflowError(), "run "+name)
	if result != nil {
		s.need(env.GetWorkflowResult(result), "read what came of "+name)
	}
}

func (s *Shop) begin(env *testsuite.TestWorkflowEnvironment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env = env
}

func (s *Shop) end(env *testsuite.TestWorkflowEnvironment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.env, s.at = nil, env.Now().UTC().Add(betweenSales)
}

// running is the environment of the workflow that runs, or nil.
func (s *Shop) running() *testsuite.TestWorkflowEnvironment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.env
}

// during does something to the workflow that runs, where one does.
func (s *Shop) during(do func(env *testsuite.TestWorkflowEnvironment)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.env != nil {
		do(s.env)
	}
}

// decideReviews says, day after day, that the money in question did not move.
func (s *Shop) decideReviews(env *testsuite.TestWorkflowEnvironment) {
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdateReview, "", &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(error) {}, OnComplete: func(any, error) {},
		}, workflows.ReviewRequest{Verdict: payment.VerdictNotExecuted, Reason: "nobody knows better", By: "cobrotest"})
		s.decideReviews(env)
	}, undecided)
}

// poller is the poller on the clock that is skipped: the real one waits between
// its looks.
type poller struct {
	s     *Shop
	env   *testsuite.TestWorkflowEnvironment
	calls *gateway.Gateway

	mu       sync.Mutex
	watching bool                  // guarded by mu
	told     activity.TicketStatus // guarded by mu
}

// Watch implements [records.Tickets].
func (p *poller) Watch(t ledger.OpenTicket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.watching {
		p.watching = true
		p.lookIn(t, pollFirst)
	}
}

// Forget implements [records.Tickets].
func (p *poller) Forget(string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching = false
}

// lookIn looks after a pause, and again after longer ones.
func (p *poller) lookIn(t ledger.OpenTicket, pause time.Duration) {
	p.env.RegisterDelayedCallback(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.watching || !p.env.Now().Before(t.ExpiresAt) {
			return
		}
		seen, err := p.calls.FindTicket(p.s.t.Context(), activity.TicketInput{EcommerceID: t.EcommerceID})
		if err == nil && seen.Status.Known() && seen.Status != activity.TicketOpen && seen.Status != p.told {
			p.told = seen.Status
			p.env.SignalWorkflow(workflows.SignalTicketSeen, nil)
		}
		p.lookIn(t, min(pause*5/4, pollMost))
	}, pause)
}

// logging registers receivers that say in the test's log why they failed, once
// for each reason.
type logging struct {
	s   *Shop
	env *testsuite.TestWorkflowEnvironment
}

// RegisterActivityWithOptions implements [activity.Registry].
func (r logging) RegisterActivityWithOptions(a any, options sdkactivity.RegisterOptions) {
	run, last := a.(func(context.Context, payment.Notification) error), ""
	r.env.RegisterActivityWithOptions(func(ctx context.Context, n payment.Notification) error {
		reason := ""
		defer r.s.during(func(*testsuite.TestWorkflowEnvironment) { // not where it outlives the test
			if reason != "" && reason != last {
				r.s.t.Logf("%s, attempt %d: %s", options.Name, sdkactivity.GetInfo(ctx).Attempt, reason)
				last = reason
			}
		})
		err := run(ctx, n)
		if err != nil {
			reason, _, _ = strings.Cut(plain(err).Error(), "\n") // without the stack of a panic
		}
		return err
	}, options)
}

// plain is what a receiver returned, as it wrote it.
func plain(err error) error {
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.Unwrap() != nil {
		return application.Unwrap()
	}
	return err
}

// need ends the test where something that it rests on does not work.
func (s *Shop) need(err error, what string) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}
