package workflows_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// genuine is the event that ATH Móvil sends of the fixture's completed payment.
func genuine() workflows.GatewayEvent {
	amount := total
	return workflows.GatewayEvent{
		Digest: "digest", Kind: string(ledger.KindPaymentCompleted), EcommerceID: ticketID,
		ReferenceNumber: reference, Total: &amount,
		Name: customerName, PhoneNumber: customerPhone, Email: customerEmail,
	}
}

// event lets a webhook arrive.
func (s *fixture) event(e workflows.GatewayEvent) {
	s.env.SignalWorkflow(workflows.SignalGatewayEvent, e)
}

func (s *fixture) confirms() { s.gateway.becomes(activity.TicketConfirmed) }
func (s *fixture) cancels()  { s.gateway.becomes(activity.TicketOver) }

func (s *fixture) askCancel() { s.ask(workflows.UpdateCancel, "cancel") }

func (s *fixture) storeLeaves()  { s.records.away.Store(true) }
func (s *fixture) storeReturns() { s.records.away.Store(false) }

// paymentCase is one life of a payment: what happens, and what must come of it.
type paymentCase struct {
	name   string
	input  func(*workflows.ProcessPaymentInput)
	script func(*fixture)

	path       string // of statuses
	failure    string // its code
	events     string // the events, in their order
	anonymous  bool   // a completed payment whose payer stayed unknown
	creates    int    // calls of the gateway; 0 means 1 where a ticket was made
	authorizes int
	cancels    int
	also       func(*fixture)
}

const (
	eventsCompleted = "payment_created payment_completed"
	eventsFailed    = "payment_created payment_failed"
	completed       = "pending open confirmed completed"
)

func run(t *testing.T, cases []paymentCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			if tt.script != nil {
				tt.script(s)
			}
			if tt.input == nil {
				tt.input = func(*workflows.ProcessPaymentInput) {}
			}
			s.process(tt.input)
			tt.check(t, s)
			s.checkAlways()
			if tt.also != nil {
				tt.also(s)
			}
		})
	}
}

func (tt paymentCase) check(t *testing.T, s *fixture) {
	t.Helper()
	p := s.record().Payment
	require.Equal(t, tt.path, s.path())
	code := ""
	if p.Failure != nil {
		code = p.Failure.Code
	}
	require.Equal(t, tt.failure, code)
	require.Equal(t, tt.events, s.inbox.events(books))
	require.Equal(t, tt.authorizes, s.gateway.count(activity.Authorize.Name()), "authorizations")
	require.Equal(t, tt.cancels, s.gateway.count(activity.CancelTicket.Name()), "cancellations")
	if tt.creates == 0 && p.EcommerceID != "" {
		tt.creates = 1
	}
	require.Equal(t, tt.creates, s.gateway.count(activity.CreateTicket.Name()), "tickets")
	if p.Status != payment.StatusCompleted {
		return
	}
	require.Equal(t, tt.anonymous, p.Customer.IsZero())
	if !tt.anonymous {
		require.Equal(t, payment.Customer{Name: customerName, PhoneNumber: customerPhone, Email: customerEmail}, p.Customer)
	}
}

// checkAlways checks what holds at the end of every payment.
func (s *fixture) checkAlways() {
	t := s.t
	t.Helper()
	var result workflows.ProcessPaymentResult
	require.NoError(t, s.env.GetWorkflowResult(&result))
	record := s.record()
	p := record.Payment

	require.True(t, p.Status.Terminal())
	require.Equal(t, p.Status, result.Status)
	require.False(t, p.NeedsReview)
	s.checkMoney(p)
	s.checkReview(p)
	s.checkNotifications(p)

	// Search attributes: one upsert at the end, and one for each review.
	last := s.upserts[len(s.upserts)-1]
	status, ok := last.GetKeyword(workflows.SearchStatus)
	require.True(t, ok)
	require.Equal(t, string(p.Status), status)
	review, ok := last.GetBool(workflows.SearchNeedsReview)
	require.True(t, ok)
	require.False(t, review)
	require.Len(t, s.upserts, 1+strings.Count(s.inbox.events(books), string(payment.EventNeedsReview)))

	s.checkNothingPrivate()
}

// checkMoney says that the customer was debited once where the payment is
// completed, and never otherwise.
func (s *fixture) checkMoney(p payment.Payment) {
	t := s.t
	t.Helper()
	calls := s.gateway.order(activity.Authorize.Name())
	for i, name := range calls {
		if i > 0 && name == activity.Authorize.Name() {
			require.Equal(t, activity.FindTicket.Name(), calls[i-1], "a look comes right before each further try")
		}
	}
	if p.Status != payment.StatusCompleted {
		require.Zero(t, s.gateway.debits)
		require.Nil(t, p.CompletedAt)
		require.Empty(t, p.ReferenceNumber)
		require.Nil(t, p.Captured)
		return
	}
	require.Equal(t, 1, s.gateway.debits)
	require.Equal(t, reference, p.ReferenceNumber)
	require.Equal(t, dailyID, p.DailyTransactionID)
	require.Equal(t, total, *p.Captured)
	require.Equal(t, fee, *p.Fee)
	require.Equal(t, total.Sub(fee), *p.NetAmount)
	require.NotNil(t, p.CompletedAt)
	require.Nil(t, p.Failure)
}

// checkReview says that a payment with a ticket that was not terminal by the end
// of its grace period was visibly marked.
func (s *fixture) checkReview(p payment.Payment) {
	t := s.t
	t.Helper()
	steps, err := s.db.Transitions(t.Context(), p.ID)
	require.NoError(t, err)
	if last := steps[len(steps)-1]; p.EcommerceID != "" && last.At.After(p.ExpiresAt.Add(15*time.Minute)) {
		require.Contains(t, s.inbox.events(books), string(payment.EventNeedsReview))
	}
}

// checkNotifications says that each event has its stable id and that every
// delivery is accounted for.
func (s *fixture) checkNotifications(p payment.Payment) {
	t := s.t
	t.Helper()
	deliveries, err := s.db.Deliveries(t.Context(), p.ID)
	require.NoError(t, err)
	known := make(map[string]payment.Delivery)
	for _, d := range deliveries {
		require.NotEqual(t, payment.DeliveryPending, d.Status, "%s of %s", d.Event, d.Receiver)
		require.NotNil(t, d.EndedAt)
		known[d.ID] = d
	}
	for i, n := range s.inbox.received(books) {
		require.Equal(t, i+1, n.Sequence)
		subject := p.ID
		if n.Mismatch != nil {
			subject = n.Mismatch.ID
		}
		require.Equal(t, ledger.NotificationID(subject, n.Event, n.Sequence, host, books), n.ID)
		require.Equal(t, payment.NotificationVersion, n.Version)
		require.Equal(t, p.ID, n.Payment.ID)
		require.Contains(t, known, n.ID)
		require.Equal(t, payment.DeliveryDelivered, known[n.ID].Status)
	}
	require.Equal(t, len(s.inbox.received(books)), s.record().Sequence)
}

// checkNothingPrivate says that no log line and no search attribute holds
// personal data or a token.
func (s *fixture) checkNothingPrivate() {
	s.t.Helper()
	open := s.logs.String()
	for _, attributes := range s.upserts {
		for key, value := range attributes.GetUntypedValues() {
			open += fmt.Sprintln(key.GetName(), value)
		}
	}
	for _, secret := range []string{customerName, customerPhone, customerEmail, metadata, ticketToken} {
		require.NotContains(s.t, open, secret)
	}
}

// delivery finds the delivery of an event to a receiver.
func (s *fixture) delivery(event payment.Event, receiver string) payment.Delivery {
	s.t.Helper()
	all, err := s.db.Deliveries(s.t.Context(), paymentID)
	require.NoError(s.t, err)
	for _, d := range all {
		if d.Event == event && d.Receiver == receiver {
			return d
		}
	}
	require.Failf(s.t, "no delivery", "%s to %s", event, receiver)
	return payment.Delivery{}
}

// failures is a receiver that fails n times.
func failures(n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = errors.New("the printer is out of paper")
	}
	return errs
}

func asJSON(t tester, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
