package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// told is a completed payment whose two receivers were told: one took it, and
// one failed for good. It returns the ids of the payment and the notifications.
func (w *world) told() (paymentID, delivered, failed string) {
	w.t.Helper()
	ctx := w.t.Context()
	require.NoError(w.t, w.store.AnnounceReceivers(ctx, "shop", []ledger.Receiver{
		{Host: "shop", Event: payment.EventCompleted, Name: "book"}, {Host: "shop", Event: payment.EventCompleted, Name: "print"},
	}))
	at := start.Add(-time.Minute)
	p := payment.Payment{
		ID: ledger.DeriveID("default", "told"), Status: payment.StatusCompleted,
		Request:   payment.Request{Total: money.FromCents(10_00), ExpiresIn: time.Minute},
		CreatedAt: at, UpdatedAt: at, ExpiresAt: start, CompletedAt: &at,
	}
	_, err := w.store.RecordPayment(ctx, ledger.Change{
		Record: ledger.Record{Payment: p, Revision: 1}, Announce: payment.EventCompleted, Workflow: p.ID,
		Transitions: []ledger.Transition{{PaymentID: p.ID, Sequence: 1, From: payment.StatusPending, To: payment.StatusOpen, At: at}},
	})
	require.NoError(w.t, err)
	delivered = ledger.NotificationID(p.ID, payment.EventCompleted, 1, "shop", "book")
	failed = ledger.NotificationID(p.ID, payment.EventCompleted, 1, "shop", "print")
	require.NoError(w.t, w.store.RecordAttempt(ctx, ledger.Attempt{
		DeliveryID: failed, Execution: "run/7", Number: 1, At: start, Error: "no ink for " + payerName,
		Answer: &ledger.Answer{Status: 503, Body: "later, " + payerName},
	}))
	require.NoError(w.t, w.store.RecordDeliveries(ctx, []payment.Delivery{
		{ID: delivered, Status: payment.DeliveryDelivered, EndedAt: &start}, {ID: failed, Status: payment.DeliveryFailed, EndedAt: &start},
	}))
	return p.ID, delivered, failed
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paymentID, delivered, failed := w.told()
	list := func(query string) (ids []string, next string) {
		t.Helper()
		got := w.do("GET", "/v1/notifications"+query, "")
		require.Equal(t, 200, got.status, got.body)
		var page struct {
			Notifications []payment.Delivery
			NextCursor    *string `json:"next_cursor"`
		}
		require.NoError(t, json.Unmarshal([]byte(got.body), &page))
		require.NotNil(t, page.Notifications)
		for _, d := range page.Notifications {
			ids = append(ids, d.ID)
		}
		if page.NextCursor != nil {
			next = *page.NextCursor
		}
		return ids, next
	}
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"", []string{delivered, failed}},
		{"?status=failed", []string{failed}},
		{"?status=dropped", nil},
		{"?receiver=book&host=shop", []string{delivered}},
		{"?event=payment_expired", nil},
		{"?payment_id=" + paymentID, []string{delivered, failed}},
		{"?created_from=2030-01-01T00:00:00Z", nil},
	} {
		got, next := list(tt.query)
		require.ElementsMatch(t, tt.want, got, tt.query)
		require.Empty(t, next)
	}
	first, next := list("?limit=1")
	second, end := list("?limit=1&cursor=" + next)
	require.ElementsMatch(t, []string{delivered, failed}, append(first, second...))
	require.Empty(t, end)

	got := w.do("GET", "/v1/notifications/"+failed, "")
	require.Equal(t, 200, got.status)
	var shown struct {
		payment.Delivery
		AttemptLog []ledger.Attempt `json:"attempt_log"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &shown))
	require.Equal(t, failed, shown.ID)
	require.Equal(t, 1, shown.Attempts)
	require.Len(t, shown.AttemptLog, 1)
	require.Equal(t, "no ink for "+payerName, string(shown.AttemptLog[0].Error))
	require.Equal(t, 503, shown.AttemptLog[0].Answer.Status)
	require.Equal(t, "later, "+payerName, string(shown.AttemptLog[0].Answer.Body))

	for _, query := range []string{"?status=lost", "?event=payment_complete", "?cursor=x", "?colour=red"} {
		w.requireProblem(w.do("GET", "/v1/notifications"+query, ""), 400, "parameter_invalid")
	}
	w.requireProblem(w.do("GET", "/v1/notifications/"+failed+"?attempts=all", ""), 400, "parameter_invalid")
	for _, id := range []string{"ntf_unknown", paymentID, strings.Replace(delivered, "ntf_", "ntf_0", 1)[:30]} {
		w.requireProblem(w.do("GET", "/v1/notifications/"+id, ""), 404, "notification_not_found")
	}
}

func TestRedeliver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, _, failed := w.told()
	path := "/v1/notifications/" + failed + "/redeliver"
	var ordered []string
	says := ledger.SentAgain
	w.flows.again = func(_ context.Context, d payment.Delivery) (ledger.Redelivery, error) {
		ordered = append(ordered, d.ID)
		return says, nil
	}
	for _, says = range []ledger.Redelivery{ledger.SentAgain, ledger.TriedNow, ledger.LeftAlone} {
		ordered = nil
		got := w.do("POST", path, "", "Idempotency-Key", "k")
		require.Equal(t, 202, got.status, got.body)
		require.Equal(t, []string{failed}, ordered)
		var answered struct{ ID, Redelivery string }
		require.NoError(t, json.Unmarshal([]byte(got.body), &answered))
		require.Equal(t, failed, answered.ID)
		require.Equal(t, string(says), answered.Redelivery)
	}

	for _, err := range []error{flows.ErrUnavailable, flows.ErrStillWorking} { // no worker decided in time
		w.flows.again = func(context.Context, payment.Delivery) (ledger.Redelivery, error) { return "", err }
		w.requireProblem(w.do("POST", path, ""), 503, "temporarily_unavailable")
	}
	w.flows.again = nil
	w.requireProblem(w.do("POST", path, "", "Idempotency-Key", `"`), 400, "idempotency_key_malformed")
	w.requireProblem(w.do("POST", "/v1/notifications/ntf_unknown/redeliver", ""), 404, "notification_not_found")
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paymentID, _, _ := w.told()
	_, err := w.store.AddGatewayEvent(t.Context(), ledger.GatewayEvent{
		ID: "whe_1", Digest: "d", Kind: "ecommerce_completed", Verdict: ledger.EventSignalled, Effect: "told to look",
		Body: "Mallory", ReceivedAt: start.Add(-30 * time.Second), NotBefore: start,
	})
	require.NoError(t, err)
	require.NoError(t, w.store.SettleGatewayEvent(t.Context(), "whe_1", ledger.EventSignalled, paymentID, "told to look"))
	got := w.do("GET", "/v1/payments/"+paymentID+"/events", "")
	require.Equal(t, 200, got.status, got.body)
	require.NotContains(t, got.body, "Mallory", "what a webhook claims stays out")
	var shown struct {
		Events []struct {
			At         time.Time
			Kind       string
			Transition *ledger.Transition
		}
	}
	require.NoError(t, json.Unmarshal([]byte(got.body), &shown))
	var kinds []string
	for i, e := range shown.Events {
		kinds = append(kinds, e.Kind)
		require.False(t, i > 0 && e.At.Before(shown.Events[i-1].At), "oldest first")
	}
	require.Equal(t, []string{"transition", "webhook", "notification", "notification"}, kinds)
	require.Equal(t, payment.StatusOpen, shown.Events[0].Transition.To)
	w.requireProblem(w.do("GET", "/v1/payments/"+paymentID+"/events?kind=webhook", ""), 400, "parameter_invalid")
	w.requireProblem(w.do("GET", "/v1/payments/"+ledger.DeriveID("default", "none")+"/events", ""), 404, "payment_not_found")
}

// TestATimelineSaysWhatItLacks: whoever knows the webhook's secret can post
// events of a payment without end.
func TestATimelineSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.completed("crowded")
	var shown struct {
		Events []struct {
			Webhook *struct{ ID string }
		}
		Incomplete []string
	}
	post := func(n int) {
		id := fmt.Sprintf("whe_%03d", n)
		_, err := w.store.AddGatewayEvent(t.Context(), ledger.GatewayEvent{
			ID: id, Digest: id, Kind: "unknown", Verdict: ledger.EventSignalled, MatchedID: p.ID, ReceivedAt: start.Add(time.Duration(n) * time.Second),
		})
		require.NoError(t, err)
	}
	look := func() (webhooks []string) {
		shown.Incomplete, shown.Events = nil, nil
		got := w.do("GET", "/v1/payments/"+p.ID+"/events", "")
		require.Equal(t, 200, got.status, got.body)
		require.NoError(t, json.Unmarshal([]byte(got.body), &shown))
		for _, e := range shown.Events {
			if e.Webhook != nil {
				webhooks = append(webhooks, e.Webhook.ID)
			}
		}
		return webhooks
	}
	for n := range 99 {
		post(n)
	}
	require.Len(t, look(), 99)
	require.Empty(t, shown.Incomplete)
	post(99)
	webhooks := look()
	require.Len(t, webhooks, 99)
	require.Equal(t, "whe_001", webhooks[0], "the oldest is left out")
	require.Equal(t, []string{"webhook"}, shown.Incomplete)
}
