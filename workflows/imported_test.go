package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// imported puts a payment into the store that no workflow of ours has ever
// written, with a refund of $5.00, as cobro import does.
func (s *fixture) imported() {
	s.t.Helper()
	at, net := start.Add(-100*24*time.Hour), total.Sub(fee)
	captured, charged := total, fee
	done, err := s.db.Import(s.t.Context(), store.Import{
		Merchant: "default", Origin: "django-athm",
		Payment: payment.Payment{
			ID: paymentID, Status: payment.StatusCompleted, Request: payment.Request{Total: total, Metadata1: metadata, ExpiresIn: 10 * time.Minute},
			EcommerceID: ticketID, ReferenceNumber: reference, Captured: &captured, Fee: &charged, NetAmount: &net,
			Customer:  payment.Customer{Name: customerName, PhoneNumber: customerPhone},
			CreatedAt: at, UpdatedAt: at, ExpiresAt: at.Add(10 * time.Minute), CompletedAt: &at,
		},
		Refunds: []payment.Refund{{
			ID: otherID, PaymentID: paymentID, Amount: money.FromCents(5_00), Status: payment.RefundCompleted, ReferenceNumber: refundReference,
			Source: payment.SourceImported, CreatedAt: at.Add(time.Hour), CompletedAt: &at,
		}},
	})
	require.NoError(s.t, err)
	require.Equal(s.t, store.ImportWritten, done.Refunds[0].Outcome)
	s.gateway.ticket.Status = activity.TicketCompleted
	s.gateway.ticket.ReferenceNumber = reference
	s.gateway.refunded(money.FromCents(5_00))
}

func TestRefundOfAnImportedPayment(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		lost    money.Amount // refunded before, and written down by nobody
		left    string       // to refund in the end
		sources []payment.RefundSource
	}{
		{"the books are whole", money.Amount{}, "10.00", []payment.RefundSource{payment.SourceImported, payment.SourceAPI}},
		{
			"a refund is missing in the books that were imported", money.FromCents(1_00), "9.00",
			[]payment.RefundSource{payment.SourceImported, payment.SourceAPI, payment.SourceUnexplained},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.imported()
			s.gateway.refunded(money.FromCents(5_00).Add(tt.lost))
			outcome := s.refund()
			require.Equal(t, payment.RefundCompleted, outcome.Refund.Status)
			require.Equal(t, 1, s.gateway.count(activity.Refund.Name()))
			p := s.record().Payment
			require.Equal(t, tt.left, p.Total.Sub(p.RefundedAmount).String())
			refunds, err := s.db.Refunds(t.Context(), paymentID)
			require.NoError(t, err)
			var sources []payment.RefundSource
			for _, r := range refunds {
				sources = append(sources, r.Source)
			}
			require.ElementsMatch(t, tt.sources, sources)
			for _, n := range s.inbox.received(books) {
				require.Equal(t, payment.EventRefundCompleted, n.Event)
				require.NotEqual(t, otherID, n.Refund.ID, "no receiver hears of the refund that was imported")
			}
		})
	}
}

func TestLateEventsOfAnImportedPayment(t *testing.T) {
	t.Parallel()
	echo, elsewhere := refundEvent(5_00), refundEvent(3_00)
	elsewhere.ReferenceNumber = reference
	sold := genuine()
	sold.Digest, sold.Kind = "late-digest", string(ledger.KindPaymentCompleted)
	sold.Email = private.Text(customerEmail)
	t.Run("a refund that was imported", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.imported()
		result := s.late(echo, "")
		require.Equal(t, string(ledger.EventKnown), result.Verdict, result.Effect)
		require.Equal(t, money.FromCents(5_00), s.record().Payment.RefundedAmount)
		require.Empty(t, s.inbox.events(books))
	})
	t.Run("a refund made elsewhere since", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.imported()
		s.gateway.refunded(money.FromCents(8_00))
		result := s.late(elsewhere, "")
		require.Equal(t, string(ledger.EventApplied), result.Verdict, result.Effect)
		require.Equal(t, money.FromCents(8_00), s.record().Payment.RefundedAmount)
		require.Equal(t, "refund_completed", s.inbox.events(books))
	})
	t.Run("the sale itself", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.imported()
		result := s.late(sold, paymentID)
		require.Equal(t, string(ledger.EventKnown), result.Verdict, result.Effect)
		require.Empty(t, s.inbox.events(books))
	})
}
