package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

// outage is a time without the gateway. Every duration is scaled down by the same
// factor: the grace period is fifteen minutes, and a review polls hourly.
type outage struct {
	name   string
	scale  time.Duration
	length time.Duration // before it is scaled
}

// TestPaymentsSurviveGatewayOutage takes the gateway away for an hour and for two
// days while payments wait for it in every state. Customers can still confirm in
// the app: only Cobro gets no answers.
func TestPaymentsSurviveGatewayOutage(t *testing.T) {
	t.Parallel()
	for _, one := range []outage{
		{"for an hour", 900, time.Hour},
		{"for two days", 5760, 48 * time.Hour},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			surviveOutage(t, one)
		})
	}
}

func (o outage) settings() []string {
	return []string{
		fmt.Sprintf("COBRO_TIMING_GRACE=%s", 15*time.Minute/o.scale),
		fmt.Sprintf("COBRO_TIMING_REVIEW=%s", time.Hour/o.scale),
	}
}

func surviveOutage(t *testing.T, one outage) {
	s := start(t, map[testcluster.Part][]string{testcluster.API: one.settings(), testcluster.Worker: one.settings()})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m := testcluster.NewMerchant(s)
	defer m.Listen(ctx)()

	sold, err := m.Paid(ctx, "sold", testcluster.M{"phone_number": "7875591000"})
	require.NoError(t, err)
	debited := openBriefly(ctx, t, m, "debited")
	confirmed := openBriefly(ctx, t, m, "confirmed")
	ignored := openBriefly(ctx, t, m, "ignored")
	withdrawn := openBriefly(ctx, t, m, "withdrawn")

	// The last thing that the gateway does is a debit whose answer is lost.
	require.NoError(t, s.Fault(ctx, testcluster.M{"op": "authorize", "fault": "drop_after", "ecommerce_id": debited.EcommerceID}))
	require.NoError(t, s.Phone(ctx, "confirm", debited.EcommerceID))
	require.Eventually(t, func() bool { return ticketStatus(ctx, s, debited) == "COMPLETED" }, time.Minute, 5*time.Millisecond)
	for _, op := range []string{"create", "find", "authorize", "cancel", "refund", "report", "search"} {
		require.NoError(t, s.Fault(ctx, testcluster.M{"op": op, "fault": "drop_before", "probability": 100}))
	}
	began := time.Now()
	require.NoError(t, s.Phone(ctx, "confirm", confirmed.EcommerceID))
	var asking errgroup.Group
	asking.Go(func() error { // answered once the gateway is back
		_, _, err := m.Ask(ctx, http.MethodPost, "/v1/payments/"+withdrawn.ID+"/cancel", "", nil)
		return err
	})
	var refund payment.Refund
	asking.Go(func() (err error) {
		refund, _, err = m.Refund(ctx, sold.ID, "back", "1.00")
		return err
	})
	asking.Go(func() error {
		_, opened, err := m.Open(ctx, "during the outage", testcluster.M{"total": "5.00", "phone_number": "7875591009"})
		if err == nil && opened {
			err = errors.New("a gateway that is away opened a ticket")
		}
		return err
	})
	for _, p := range []payment.Payment{confirmed, ignored, withdrawn} {
		unknown, err := m.Await(ctx, p.ID, testcluster.Settled)
		require.NoError(t, err)
		require.True(t, unknown.NeedsReview, "%s is %s: nothing is guessed", p.Reference, unknown.Status)
	}
	require.NoError(t, testcluster.Pause(ctx, one.length/one.scale-time.Since(began)))
	_, _, err = s.Control(ctx, http.MethodDelete, "/_sim/faults", nil)
	require.NoError(t, err)
	require.NoError(t, asking.Wait())
	for _, p := range []payment.Payment{debited, confirmed, ignored, withdrawn} {
		ended, err := m.Await(ctx, p.ID, testcluster.Ended)
		require.NoError(t, err)
		require.False(t, ended.NeedsReview, "%s: a review ends by itself", p.Reference)
		require.Equal(t, ticketStatus(ctx, s, p) == "COMPLETED", ended.Status == payment.StatusCompleted, "%s is %s", p.Reference, ended.Status)
		if p.ID == debited.ID {
			require.Equal(t, payment.StatusCompleted, ended.Status)
		}
	}
	require.NoError(t, s.Settle(ctx))
	// The outcome of the refund may be unknown; a person sees that it never arrived.
	if refund.NeedsReview {
		_, err = m.Review(ctx, sold.ID, refund.ID, payment.VerdictNotExecuted)
		require.NoError(t, err)
	}
	counts, err := m.Check(ctx)
	require.NoError(t, err)
	t.Logf("%s, scaled by %d: %+v", one.name, one.scale, counts)
}

// openBriefly opens a payment that expires after two seconds.
func openBriefly(ctx context.Context, t *testing.T, m *testcluster.Merchant, key string) payment.Payment {
	t.Helper()
	p, err := m.Sell(ctx, key, testcluster.M{"phone_number": fmt.Sprintf("787559%04d", 1000+len(key)), "expires_in": 2})
	require.NoError(t, err)
	return p
}

// ticketStatus is a payment's status at the gateway.
func ticketStatus(ctx context.Context, s *testcluster.System, p payment.Payment) string {
	var ticket struct{ Status string }
	_, answer, err := s.Control(ctx, http.MethodGet, "/_sim/tickets/"+p.EcommerceID, nil)
	if err != nil || json.Unmarshal(answer, &ticket) != nil {
		return ""
	}
	return ticket.Status
}
