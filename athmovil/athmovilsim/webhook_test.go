package athmovilsim_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// Each transition sends its event, or none.
func TestEventsOfEachTransition(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		do   func(w *world) made
		want object // nil: no event
	}{
		{"create", func(w *world) made { return w.create(nil) }, nil},
		{"confirm", func(w *world) made { ticket := w.create(nil); w.confirm(ticket.id); return ticket }, nil},
		{
			"complete", func(w *world) made { ticket, _ := w.pay(nil); return ticket },
			object{"transactionType": "ECOMMERCE", "status": "COMPLETED"},
		},
		{
			"merchant cancels", func(w *world) made { ticket := w.create(nil); w.cancel(ticket.id); return ticket },
			object{"transactionType": "ECOMMERCE", "status": "CANCEL"},
		},
		{"customer cancels", func(w *world) made {
			ticket := w.create(nil)
			w.post("/_sim/tickets/"+ticket.id+"/cancel", nil)
			return ticket
		}, object{"transactionType": "ECOMMERCE", "status": "CANCEL"}},
		{
			"expire", func(w *world) made { ticket := w.create(nil); w.pass(600 * time.Second); return ticket },
			object{"transactionType": "ecommerce", "status": "expired"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, athmovilsim.Config{})
			ticket := tt.do(w)
			if tt.want != nil {
				event := w.listener.next(t)
				require.Equal(t, tt.want["transactionType"], event["transactionType"])
				require.Equal(t, tt.want["status"], event["status"])
				require.Equal(t, "order 1042", event["metadata1"])
				if tt.name == "expire" {
					require.NotContains(t, event, "ecommerceId", "docs/athmovil.md §4.2: only metadata ties it to a payment")
				} else {
					require.Equal(t, ticket.id, event["ecommerceId"])
				}
			}
			w.quiet()
		})
	}
}

func TestWebhookFaults(t *testing.T) {
	t.Parallel()
	completed, refund := "COMPLETED ECOMMERCE", "COMPLETED REFUND"
	tests := []struct {
		fault object
		late  time.Duration
		want  []string // after a payment and a refund
	}{
		{object{"fault": "webhook_lost"}, 0, []string{refund}},
		{object{"fault": "webhook_duplicated"}, 0, []string{completed, completed, refund}},
		{object{"fault": "webhook_delayed"}, 30 * time.Second, []string{refund, completed}},
		{object{"fault": "webhook_delayed", "delay_ms": 5000}, 5 * time.Second, []string{refund, completed}},
		{object{"fault": "webhook_reordered"}, 0, []string{refund, completed}},
		{object{"fault": "webhook_old_dialect"}, 0, []string{"completed ecommerce", refund}},
		{object{"fault": "webhook_new_dialect"}, 0, []string{completed, refund}},
		{object{"fault": "webhook_old_dialect", "times": 2}, 0, []string{"completed ecommerce", "completed refund"}},
		{object{"fault": "webhook_lost", "times": 2}, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.fault["fault"].(string), func(t *testing.T) {
			t.Parallel()
			w := start(t, athmovilsim.Config{})
			w.post("/_sim/faults", tt.fault)
			_, reference := w.pay(nil)
			require.Equal(t, http.StatusOK, w.refund(reference, "1.00").status)
			var got []string
			hear := func() {
				event := w.listener.next(t)
				got = append(got, event["status"].(string)+" "+event["transactionType"].(string))
			}
			for range tt.want {
				if tt.late > 0 && len(got) == 1 {
					w.pass(tt.late - time.Second)
					require.Empty(t, w.listener.bodies)
					w.pass(time.Second)
				}
				hear()
			}
			require.Equal(t, tt.want, got)
			log := w.get("/_sim/webhooks")["webhooks"].([]any)
			require.Equal(t, tt.fault["fault"], log[0].(object)["fault"])
			w.quiet()
		})
	}
}

// TestHeldEventIsSentAlone sends a held event when no other one releases it.
func TestHeldEventIsSentAlone(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	w.post("/_sim/faults", object{"op": "webhook", "fault": "webhook_reordered"})
	w.pay(nil)
	require.Empty(t, w.listener.bodies)
	w.pass(2 * time.Second)
	require.Equal(t, "COMPLETED", w.listener.next(t)["status"])
}

func TestExpiredEventInNewDialect(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	w.post("/_sim/faults", object{"fault": "webhook_new_dialect"})
	ticket := w.create(nil)
	w.pass(600 * time.Second)
	event := w.listener.next(t)
	require.Equal(t, "EXPIRED", event["status"])
	require.Equal(t, ticket.id, event["ecommerceId"])
}

func TestForgedEvents(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	got := w.post("/_sim/webhooks", object{"raw": object{"transactionType": "ECOMMERCE", "ecommerceId": "forged"}})
	require.Equal(t, object{"http_status": 200.0}, got)
	require.Equal(t, "forged", w.listener.next(t)["ecommerceId"])

	w.post("/_sim/webhooks", object{"raw": "not json at all", "times": 2})
	require.Equal(t, "not json at all", string(<-w.listener.bodies))
	require.Equal(t, "not json at all", string(<-w.listener.bodies))

	open := w.create(nil)
	w.post("/_sim/webhooks", object{"kind": "completed", "ecommerce_id": open.id})
	require.Equal(t, "COMPLETED", w.listener.next(t)["status"])
	require.Equal(t, "OPEN", w.status(open.id), "a forged event changes nothing here")

	for want, order := range map[string]object{
		"kind":    {"kind": "lottery"},
		"dialect": {"kind": "simulated", "dialect": "latin"},
	} {
		got := w.order("/_sim/webhooks", order)
		require.Equal(t, http.StatusBadRequest, got.status)
		require.Contains(t, got.object(t)["message"], want)
	}
	require.Equal(t, http.StatusNotFound, w.order("/_sim/webhooks", object{"kind": "refund", "ecommerce_id": "nobody's"}).status)
	log := w.get("/_sim/webhooks")["webhooks"].([]any)
	require.Len(t, log, 4)
	require.Equal(t, "raw", log[0].(object)["kind"])
	require.Equal(t, "not json at all", log[1].(object)["body"])
	w.clear("/_sim/webhooks")
	require.Empty(t, w.get("/_sim/webhooks")["webhooks"])
}

func TestForgedEventNeedsListener(t *testing.T) {
	t.Parallel()
	sim, err := athmovilsim.New(athmovilsim.Config{})
	require.NoError(t, err)
	control := httptest.NewServer(sim.Control())
	defer func() { control.Close(); require.NoError(t, sim.Close()) }()
	w := &world{t: t, control: control}
	got := w.order("/_sim/webhooks", object{"kind": "simulated"})
	require.Equal(t, http.StatusBadRequest, got.status)
	require.Contains(t, got.object(t)["message"], "no listener")
}

func TestSubscriptionChoosesListenerAndEvents(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{OtherBusinesses: otherBusiness("").OtherBusinesses})
	other := listen(t)
	body := subscribing(other.server.URL + "/elsewhere")
	body["ecommercePaymentReceivedEvent"] = false
	got := w.call(http.MethodPost, "/transactions/webhook/post", body, nil)
	require.Equal(t, "success", got.object(t)["status"])

	_, reference := w.pay(nil) // not subscribed
	w.refund(reference, "1.00")
	require.Equal(t, "REFUND", other.next(t)["transactionType"])

	foreign := w.create(object{"publicToken": foreignPublic}) // its business has no listener
	w.post("/_sim/tickets/"+foreign.id+"/cancel", nil)
	w.quiet()
	require.Empty(t, other.bodies)
}

// Each attempt is logged, without the listener's URL, which contains a secret.
func TestUndeliveredWebhookIsRetried(t *testing.T) {
	t.Parallel()
	for retries, status := range map[int]int{0: http.StatusInternalServerError, 2: http.StatusFound} {
		var calls atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		var logged bytes.Buffer
		w := start(t, athmovilsim.Config{
			WebhookURL: server.URL + "/secret-path",
			Settings:   athmovilsim.Settings{WebhookRetries: retries},
			Logger:     slog.New(slog.NewTextHandler(&logged, nil)),
		})
		w.pay(nil)
		require.Eventually(t, func() bool {
			log := w.get("/_sim/webhooks")["webhooks"].([]any)
			return log[0].(object)["attempts"] == float64(1+retries)
		}, patience, time.Millisecond)
		entry := w.get("/_sim/webhooks")["webhooks"].([]any)[0].(object)
		require.InDelta(t, status, entry["http_status"], 0)
		server.Close()
		w.post("/_sim/webhooks", object{"kind": "simulated"})
		entry = w.get("/_sim/webhooks")["webhooks"].([]any)[1].(object)
		require.NotEmpty(t, entry["error"])
		require.NotContains(t, entry["error"], "secret-path")
		w.stop()
		require.Equal(t, int64(1+retries), calls.Load())
		require.Contains(t, logged.String(), "webhook was not delivered")
		for _, secret := range []string{"secret-path", "7875551234", "Valeria", athmovilsim.DefaultPrivateToken} {
			require.NotContains(t, logged.String(), secret)
		}
	}
}

// TestSettleDeliversWebhooks moves the real time that the simulator's clock is based on.
func TestSettleDeliversWebhooks(t *testing.T) {
	t.Parallel()
	began, err := time.Parse(time.RFC3339, epoch)
	require.NoError(t, err)
	var passed atomic.Int64 // seconds
	w := open(t, athmovilsim.Config{Now: func() time.Time { return began.Add(time.Duration(passed.Load()) * time.Second) }})
	w.create(nil)
	passed.Store(599)
	require.NoError(t, w.sim.Settle())
	require.Empty(t, w.listener.bodies)
	passed.Store(600)
	require.NoError(t, w.sim.Settle())
	require.Len(t, w.listener.bodies, 1, "it has been taken when Settle returns")
	require.Equal(t, "expired", w.listener.next(t)["status"])
	w.quiet()
}
