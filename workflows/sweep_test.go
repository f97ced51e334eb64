package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Whoever reserved has died before Temporal was asked: what was acknowledged ends
// all the same, and its receivers are notified.
func TestSweepStartsWhatReservationsLack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		reserve func(*fixture)
		started int
		events  string
		after   func(*fixture)
	}{
		{
			name: "a payment", started: 1, events: "payment_failed",
			reserve: func(s *fixture) { s.reservePayment(start.Add(-3 * time.Minute)) },
			after: func(s *fixture) {
				p := s.record().Payment
				require.Equal(s.t, payment.StatusFailed, p.Status)
				require.Equal(s.t, payment.FailureStale, p.Failure.Code)
				require.Zero(s.t, s.gateway.count(activity.CreateTicket.Name()), "no customer is asked this late")
			},
		},
		{
			name:    "a payment whose API may be about to start it",
			reserve: func(s *fixture) { s.reservePayment(start.Add(-time.Minute)) },
			after:   func(s *fixture) { require.Equal(s.t, payment.StatusPending, s.record().Payment.Status) },
		},
		{
			name: "a refund", started: 1,
			reserve: func(s *fixture) {
				s.paid()
				amount := given
				_, err := s.db.ReserveRefund(s.t.Context(), ledger.Reservation{
					RefundID: refundID, PaymentID: paymentID, Amount: &amount, Fingerprint: "fingerprint", At: start.Add(-3 * time.Minute),
				})
				require.NoError(s.t, err)
				// TestRefund has what it does then.
				s.mocks = append(s.mocks, func() {
					s.env.OnWorkflow(workflows.RefundPaymentName, mock.Anything, mock.Anything).
						Return(func(_ workflow.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
							require.Equal(s.t, workflows.RefundPaymentInput{
								RefundID: refundID, PaymentID: paymentID, Amount: &amount, Fingerprint: "fingerprint", CreatedAt: start.Add(-3 * time.Minute),
							}, in)
							return workflows.RefundOutcome{}, nil
						})
				})
			},
			after: func(*fixture) {},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			tt.reserve(s)
			s.execute("sweep", workflows.SweepName, workflows.SweepInput{})
			require.NoError(t, s.env.GetWorkflowError())
			var result workflows.SweepResult
			require.NoError(t, s.env.GetWorkflowResult(&result))
			require.Equal(t, tt.started, result.Started)
			require.Equal(t, tt.events, s.inbox.events(books))
			tt.after(s)
		})
	}
}

// reservePayment reserves the payment as the API does.
func (s *fixture) reservePayment(at time.Time) {
	s.t.Helper()
	request := payment.Request{Reference: order, Total: total, PhoneNumber: customerPhone, ExpiresIn: 10 * time.Minute}
	_, err := s.db.ReservePayment(s.t.Context(), ledger.NewRecord(paymentID, "fingerprint", request, at))
	require.NoError(s.t, err)
}
