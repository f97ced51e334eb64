package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/payment"
)

// absence is a time without the gateway, with every duration scaled down by the
// same factor: the grace period is fifteen minutes, a review looks hourly.
type absence struct {
	name  string
	scale time.Duration
	away  time.Duration // before it is scaled
}

// TestGatewayAway takes the gateway away for an hour and for two days, while
// payments wait for it in every state. Customers can go on confirming: it is
// only we who are not answered.
func TestGatewayAway(t *testing.T) {
	t.Parallel()
	for _, one := range []absence{
		{"for an hour", 900, time.Hour},
		{"for two days", 5760, 48 * time.Hour},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			stayAway(t, one)
		})
	}
}

func (a absence) settings() []string {
	return []string{
		fmt.Sprintf("COBRO_TIMING_GRACE=%s", 15*time.Minute/a.scale),
		fmt.Sprintf("COBRO_TIMING_REVIEW=%s", time.Hour/a.scale),
	}
}

func stayAway(t *testing.T, one absence) {
	s := start(t, map[rig.Part][]string{rig.API: one.settings(), rig.Worker: one.settings()})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	hearing, deaf := context.WithCancel(ctx)
	heard, stopped := s.Listen(hearing)
	defer func() { deaf(); <-stopped }()
	m := rig.NewMerchant(s)

	sold, err := m.Paid(ctx, "sold", rig.M{"phone_number": "7875591000"})
	require.NoError(t, err)
	debited := brief(ctx, t, m, "debited")
	confirmed := brief(ctx, t, m, "confirmed")
	ignored := brief(ctx, t, m, "ignored")
	withdrawn := brief(ctx, t, m, "withdrawn")

	// The last thing that the gateway does is a debit, and nobody hears of it.
	require.NoError(t, s.Fault(ctx, rig.M{"op": "authorize", "fault": "drop_after", "ecommerce_id": debited.EcommerceID}))
	require.NoError(t, s.Phone(ctx, "confirm", debited.EcommerceID))
	require.Eventually(t, func() bool { return ticketStatus(ctx, s, debited) == "COMPLETED" }, time.Minute, 5*time.Millisecond)
	for _, op := range []string{"create", "find", "authorize", "cancel", "refund", "report", "search"} {
		require.NoError(t, s.Fault(ctx, rig.M{"op": op, "fault": "drop_before", "probability": 100}))
	}
	left := time.Now()
	require.NoError(t, s.Phone(ctx, "confirm", confirmed.EcommerceID))
	var asking errgroup.Group
	asking.Go(func() error { // not answered before the gateway is back
		_, _, err := m.Ask(ctx, http.MethodPost, "/v1/payments/"+withdrawn.ID+"/cancel", "", nil)
		return err
	})
	var refund payment.Refund
	asking.Go(func() (err error) {
		refund, _, err = m.Refund(ctx, sold.ID, "back", "1.00")
		return err
	})
	asking.Go(func() error {
		_, opened, err := m.Open(ctx, "in vain", rig.M{"total": "5.00", "phone_number": "7875591009"})
		if err == nil && opened {
			err = fmt.Errorf("a ticket was made by a gateway that is away")
		}
		return err
	})
	for _, p := range []payment.Payment{confirmed, ignored, withdrawn} {
		doubtful, err := m.Await(ctx, p.ID, rig.Settled)
		require.NoError(t, err)
		require.True(t, doubtful.NeedsReview, "%s is %s: nothing is guessed", p.Reference, doubtful.Status)
	}
	timer := time.NewTimer(one.away/one.scale - time.Since(left))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	_, _, err = s.Control(ctx, http.MethodDelete, "/_sim/faults", nil)
	require.NoError(t, err)
	require.NoError(t, asking.Wait())
	for _, p := range []payment.Payment{debited, confirmed, ignored, withdrawn} {
		ended, err := m.Await(ctx, p.ID, rig.Ended)
		require.NoError(t, err)
		require.False(t, ended.NeedsReview, "%s: a review ends by itself", p.Reference)
		require.Equal(t, ticketStatus(ctx, s, p) == "COMPLETED", ended.Status == payment.StatusCompleted, "%s is %s", p.Reference, ended.Status)
		if p.ID == debited.ID {
			require.Equal(t, payment.StatusCompleted, ended.Status)
		}
	}
	require.NoError(t, s.Settle(ctx))
	// What nobody knows is asked, and a person knows that nothing arrived.
	if refund.NeedsReview {
		_, err = m.Review(ctx, sold.ID, refund.ID, payment.VerdictNotExecuted)
		require.NoError(t, err)
		require.NoError(t, s.Settle(ctx))
	}
	verdict, err := s.Check(ctx, m, heard)
	require.NoError(t, err)
	t.Logf("%s, scaled by %d: %+v", one.name, one.scale, verdict)
}

// brief opens a payment that lives for two seconds.
func brief(ctx context.Context, t *testing.T, m *rig.Merchant, key string) payment.Payment {
	t.Helper()
	p, err := m.Sell(ctx, key, rig.M{"phone_number": fmt.Sprintf("787559%04d", 1000+len(key)), "expires_in": 2})
	require.NoError(t, err)
	return p
}

// ticketStatus is the gateway's own word on a payment.
func ticketStatus(ctx context.Context, s *rig.System, p payment.Payment) string {
	var ticket struct{ Status string }
	_, answer, err := s.Control(ctx, http.MethodGet, "/_sim/tickets/"+p.EcommerceID, nil)
	if err != nil || json.Unmarshal(answer, &ticket) != nil {
		return ""
	}
	return ticket.Status
}
