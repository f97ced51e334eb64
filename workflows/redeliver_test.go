package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// TestRedeliver sends again what had failed: the same notification under the
// same id, to the receiver alone.
func TestRedeliver(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.receivers.On(payment.EventCompleted, "printer", s.inbox.receiver("printer", failures(2)...))
	require.NoError(t, s.db.AnnounceReceivers(t.Context(), host, notify.Announced(host, s.receivers.All())))
	s.paid()
	change := ledger.Change{Record: s.record(), Announce: payment.EventCompleted, Workflow: paymentID}
	change.Record.Revision++
	announced, err := s.db.RecordPayment(t.Context(), change)
	require.NoError(t, err)
	id := ledger.NotificationID(paymentID, payment.EventCompleted, announced.Sequence, host, "printer")
	require.NoError(t, s.db.RecordDeliveries(t.Context(), []payment.Delivery{{ID: id, Status: payment.DeliveryFailed}}))

	s.execute(workflows.RedeliveryWorkflowID(id), workflows.RedeliverNotificationName,
		workflows.RedeliverNotificationInput{NotificationID: id})
	var result workflows.RedeliverNotificationResult
	require.NoError(t, s.env.GetWorkflowResult(&result))
	require.Equal(t, workflows.RedeliverNotificationResult{Status: payment.DeliveryDelivered}, result)

	want := change.Notification()
	want.ID, want.Sequence = id, announced.Sequence
	tries := s.inbox.received("printer")
	require.Len(t, tries, 3)
	for _, n := range tries {
		require.JSONEq(t, asJSON(t, want), asJSON(t, n), "as it was sent the first time")
	}
	require.Empty(t, s.inbox.received(books))
	d := s.delivery(payment.EventCompleted, "printer")
	require.Equal(t, payment.DeliveryDelivered, d.Status)
	require.Equal(t, 3, d.Attempts)
	require.Equal(t, workflows.RedeliveryWorkflowID(id), d.WorkflowID)
	s.checkNothingPrivate()
}

// TestRedeliverWhatIsUnderWay leaves alone what another workflow sends.
func TestRedeliverWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	require.NoError(t, s.db.AnnounceReceivers(t.Context(), host, notify.Announced(host, s.receivers.All())))
	s.paid()
	change := ledger.Change{Record: s.record(), Announce: payment.EventCompleted, Workflow: paymentID}
	announced, err := s.db.RecordPayment(t.Context(), change)
	require.NoError(t, err)
	id := ledger.NotificationID(paymentID, payment.EventCompleted, announced.Sequence, host, books)
	s.execute(workflows.RedeliveryWorkflowID(id), workflows.RedeliverNotificationName,
		workflows.RedeliverNotificationInput{NotificationID: id})
	var result workflows.RedeliverNotificationResult
	require.NoError(t, s.env.GetWorkflowResult(&result))
	require.Contains(t, result.Refusal, "is being sent by workflow "+paymentID)
	require.Empty(t, s.inbox.received(books))
}
