package workflows_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/activity/reconcile"
	"github.com/cobropay/cobro/internal/activity/records"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// The people and things of every fixture.
const (
	host          = "shop"
	books         = "books" // the receiver of every event
	customerName  = "Valeria Herrero"
	customerPhone = "7875551234"
	customerEmail = "valher@example.com"
	metadata      = "aisle seat, vegetarian"
	order         = "order-7"
)

var (
	start = time.Date(2026, time.March, 2, 15, 0, 0, 0, time.UTC)
	total = money.FromCents(25_00)
	fee   = money.FromCents(60)

	paymentID = ledger.DeriveID("default", "key-1")
)

// tester is a test, or one case of a property test.
type tester interface {
	require.TestingT
	Helper()
	Cleanup(func())
	Context() context.Context
}

// fixture is one workflow in Temporal's test environment, where time is skipped,
// with a real store and a fake gateway. It is the test's own: nothing is shared
// between cases.
type fixture struct {
	t       tester
	env     *testsuite.TestWorkflowEnvironment
	gateway *fakeGateway
	db      *store.Store
	records *flakyRecords
	inbox   *inbox
	logs    *telemetrytest.LogBuffer
	counted *tally

	receivers *activities.Notifications
	upserts   []temporal.SearchAttributes
	answers   map[string]*reply // by update id
	mocks     []func()          // set up when everything is registered
}

// reply is what came of an update.
type reply struct {
	at     time.Time
	result any
	err    error
}

func newFixture(t tester) *fixture {
	t.Helper()
	logs := &telemetrytest.LogBuffer{}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(logs, nil))))
	suite.SetDisableRegistrationAliasing(true)
	counted := &tally{}
	suite.SetMetricsHandler(counting{tally: counted})
	env := suite.NewTestWorkflowEnvironment()
	env.SetStartTime(start)
	env.SetTestTimeout(time.Minute) // of a fixture that is stuck

	s := &fixture{
		t: t, env: env, gateway: newFakeGateway(env), db: openStore(t, env.Now), logs: logs,
		inbox: &inbox{}, receivers: activities.NewNotifications(), answers: make(map[string]*reply), counted: counted,
	}
	s.records = &flakyRecords{Store: s.db}
	for _, event := range payment.Events() {
		s.receivers.On(event, books, s.inbox.receiver(books))
	}
	return s
}

// openStore returns a fresh database.
func openStore(t tester, now func() time.Time) *store.Store {
	t.Helper()
	folder, err := os.MkdirTemp("", "cobro-fixture-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	ring, err := seal.New()
	require.NoError(t, err)
	cfg := store.Config{DSN: "sqlite:" + filepath.Join(folder, "cobro.db"), Sealer: ring, Now: now}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	db, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// at does something when the clock has moved that far.
func (s *fixture) at(after time.Duration, do func()) { s.env.RegisterDelayedCallback(do, after) }

// execute runs a workflow to its end.
func (s *fixture) execute(workflowID, name string, input any) {
	s.t.Helper()
	calls := &gateway.Gateway{}
	workflows.Register(s.env)
	activity.Register(s.env, calls.Bindings()...)
	activity.Register(s.env, (&records.Records{Store: s.records, Tickets: s.gateway}).Bindings()...)
	activity.Register(s.env, (&reconcile.Reconcile{Store: s.db}).Bindings()...)
	require.NoError(s.t, s.receivers.Err())
	notify.Register(s.env, s.receivers.All(), s.db, s.env.Now)
	require.NoError(s.t, s.db.AnnounceReceivers(s.t.Context(), host, notify.Announced(host, s.receivers.All())))
	s.gateway.hook()
	s.env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Run(func(args mock.Arguments) {
		s.upserts = append(s.upserts, args.Get(0).(temporal.SearchAttributes))
	})
	for _, mocked := range s.mocks {
		mocked()
	}
	s.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: workflowID, TaskQueue: workflows.TaskQueue})
	s.env.ExecuteWorkflow(name, input)
	require.True(s.t, s.env.IsWorkflowCompleted())
}

// process runs ProcessPayment to its end.
func (s *fixture) process(changes ...func(*workflows.ProcessPaymentInput)) {
	s.t.Helper()
	in := workflows.ProcessPaymentInput{
		PaymentID: paymentID, Fingerprint: "fingerprint", CreatedAt: start,
		Request: payment.Request{
			Reference: order, Total: total, PhoneNumber: customerPhone, Metadata1: metadata, ExpiresIn: 10 * time.Minute,
		},
	}
	for _, change := range changes {
		change(&in)
	}
	_, err := s.db.ReservePayment(s.t.Context(), ledger.NewRecord(in.PaymentID, in.Fingerprint, in.Request, in.CreatedAt))
	if _, refused := errors.AsType[*ledger.ReferenceInUseError](err); !refused {
		require.NoError(s.t, err)
	}
	s.execute(workflows.PaymentWorkflowID(paymentID), workflows.ProcessPaymentName, in)
	require.NoError(s.t, s.env.GetWorkflowError())
}

// ask sends an update whose answer is kept under its id.
func (s *fixture) ask(update, id string, args ...any) {
	answered := func(result any, err error) {
		s.answers[id] = &reply{at: s.env.Now().UTC(), result: result, err: err}
		s.requireStored(result)
	}
	s.env.UpdateWorkflow(update, id, &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { answered(nil, err) },
		OnComplete: answered,
	}, args...)
}

// requireStored holds an answer to the store: nothing is answered that a client
// could not read there at once.
func (s *fixture) requireStored(result any) {
	s.t.Helper()
	var answered *payment.Payment
	switch result := result.(type) {
	case workflows.TicketOutcome:
		answered = result.Payment
	case workflows.CancelOutcome:
		answered = result.Payment
	case workflows.PhoneNumberOutcome:
		answered = result.Payment
	case workflows.ReviewOutcome:
		answered = result.Payment
	}
	if answered != nil {
		stored := s.record().Payment
		require.False(s.t, stored.UpdatedAt.Before(answered.UpdatedAt), "answered %s, stored %s", answered.Status, stored.Status)
	}
}

// requireRefused holds an update to the type of the error that it was refused
// with.
func (s *fixture) requireRefused(id, kind string) {
	s.t.Helper()
	require.Contains(s.t, s.answers, id)
	var refused *temporal.ApplicationError
	require.ErrorAs(s.t, s.answers[id].err, &refused)
	require.Equal(s.t, kind, refused.Type())
}

// answer returns what an update that succeeded came to.
func answerOf[T any](s *fixture, id string) T {
	s.t.Helper()
	require.Contains(s.t, s.answers, id)
	require.NoError(s.t, s.answers[id].err)
	require.IsType(s.t, *new(T), s.answers[id].result)
	return s.answers[id].result.(T)
}

// record reads the payment as it is stored.
func (s *fixture) record() ledger.Record {
	s.t.Helper()
	r, err := s.db.Payment(context.WithoutCancel(s.t.Context()), paymentID)
	require.NoError(s.t, err)
	return r
}

// path is the payment's statuses in their order, as the store kept them.
func (s *fixture) path() string {
	s.t.Helper()
	steps, err := s.db.Transitions(s.t.Context(), paymentID)
	require.NoError(s.t, err)
	path := []string{string(payment.StatusPending)}
	for i, step := range steps {
		require.Equal(s.t, i+1, step.Sequence)
		require.Equal(s.t, path[i], string(step.From))
		path = append(path, string(step.To))
	}
	return strings.Join(path, " ")
}

// flakyRecords is the store with a switch.
type flakyRecords struct {
	*store.Store
	away  atomic.Bool
	tries atomic.Int32 // while it was away
}

var errStoreAway = errors.New("the store is away")

func (f *flakyRecords) answers() error {
	if !f.away.Load() {
		return nil
	}
	f.tries.Add(1)
	return errStoreAway
}

func (f *flakyRecords) RecordPayment(ctx context.Context, c ledger.Change) (ledger.Announced, error) {
	if err := f.answers(); err != nil {
		return ledger.Announced{}, err
	}
	return f.Store.RecordPayment(ctx, c)
}

func (f *flakyRecords) ReserveRefund(ctx context.Context, r ledger.Reservation) (ledger.Reserved, error) {
	if err := f.answers(); err != nil {
		return ledger.Reserved{}, err
	}
	return f.Store.ReserveRefund(ctx, r)
}

func (f *flakyRecords) RecordRefund(ctx context.Context, c ledger.RefundChange) (ledger.Announced, error) {
	if err := f.answers(); err != nil {
		return ledger.Announced{}, err
	}
	return f.Store.RecordRefund(ctx, c)
}

func (f *flakyRecords) RecordDeliveries(ctx context.Context, deliveries []payment.Delivery) error {
	if err := f.answers(); err != nil {
		return err
	}
	return f.Store.RecordDeliveries(ctx, deliveries)
}

// inbox is what receivers got.
type inbox struct {
	mu   sync.Mutex
	mail []letter
}

type letter struct {
	receiver string
	n        payment.Notification
}

// receiver keeps what it gets, after failing as often as there are errors.
func (i *inbox) receiver(name string, failures ...error) activities.ReceiverFunc {
	return func(_ context.Context, n payment.Notification) error {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.mail = append(i.mail, letter{receiver: name, n: n})
		if len(failures) > 0 {
			failure := failures[0]
			failures = failures[1:]
			return failure
		}
		return nil
	}
}

// received lists what one receiver got, in the order in which it happened:
// events may overtake each other on their way.
func (i *inbox) received(receiver string) []payment.Notification {
	i.mu.Lock()
	defer i.mu.Unlock()
	var received []payment.Notification
	for _, l := range i.mail {
		if l.receiver == receiver {
			received = append(received, l.n)
		}
	}
	slices.SortStableFunc(received, func(a, b payment.Notification) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return received
}

// events names the events that one receiver got.
func (i *inbox) events(receiver string) string {
	var names []string
	for _, n := range i.received(receiver) {
		names = append(names, string(n.Event))
	}
	return strings.Join(names, " ")
}
