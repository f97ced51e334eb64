package athmovilsim_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// TestCallFaults applies each fault to an authorization, and checks what the client
// sees and whether the debit was made.
func TestCallFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault  object
		status int    // 0: no answer
		body   string // begins with it
		debits string
	}{
		{object{"fault": "delay", "delay_ms": 1}, 200, `{"status":"success"`, "25.00"},
		{object{"fault": "drop_before"}, 0, "", "0.00"},
		{object{"fault": "drop_after"}, 0, "", "25.00"},
		{object{"fault": "error_500"}, 500, `{"status":"error","message":"Internal Error","errorcode":"BTRA_9999"`, "0.00"},
		{object{"fault": "error_500", "after_effect": true}, 500, `{"status":"error"`, "25.00"},
		{object{"fault": "error_9998"}, 409, `{"status":"error","message":"Communication error","errorcode":"BTRA_9998"`, "0.00"},
		{object{"fault": "error_9998", "after_effect": true}, 409, `{"status":"error"`, "25.00"},
		{object{"fault": "error_code", "code": "BTRA_0012"}, 409, `{"status":"error"`, "0.00"},
		{object{"fault": "html_403"}, 403, "<!DOCTYPE html>", "0.00"},
		{object{"fault": "html_403", "after_effect": true}, 403, "<!DOCTYPE html>", "25.00"},
		{object{"fault": "http_200_error"}, 200, `{"status":"error","message":"Internal Error","errorcode":"BTRA_9999"`, "0.00"},
		{object{"fault": "http_200_error", "code": "BTRA_0032"}, 200, `{"status":"error","message":"Ecommerce status is not confirm"`, "0.00"},
		{object{"fault": "answer", "http_status": 429, "body": `{"message":"slow down"}`}, 429, `{"message":"slow down"}`, "0.00"},
		{object{"fault": "answer", "http_status": 422, "content_type": "text/html", "body": "<p>no", "after_effect": true}, 422, "<p>no", "25.00"},
		{object{"fault": "bom"}, 200, "\xef\xbb\xbf{\"status\":\"success\"", "25.00"},
		{object{"fault": "cut_body"}, 200, `{"status":"success"`, "25.00"},
	}
	for _, tt := range tests {
		name := tt.fault["fault"].(string)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, athmovilsim.Config{})
			ticket := w.create(nil)
			w.confirm(ticket.id)
			tt.fault["op"] = "authorize"
			w.post("/_sim/faults", tt.fault)
			require.Len(t, w.get("/_sim/faults")["faults"], 1)

			got, err := w.try(w.gateway, http.MethodPost, api+"/authorization", object{}, bearer(ticket.token))
			require.Equal(t, tt.status, got.status)
			require.True(t, strings.HasPrefix(string(got.body), tt.body), "%s", got.body)
			if name == "cut_body" || tt.status == 0 {
				require.Error(t, err)
				require.False(t, json.Valid(got.body))
			} else {
				require.NoError(t, err)
			}
			debits, _ := w.books()
			require.Equal(t, tt.debits, debits)

			log := w.get("/_sim/requests")["requests"].([]any)
			entry := log[len(log)-1].(object)
			require.Equal(t, name, entry["fault"])
			require.Equal(t, ticket.id, entry["ecommerce_id"])
			require.InDelta(t, tt.status, entry["http_status"], 0)

			require.Empty(t, w.get("/_sim/faults")["faults"], "a fault applies once unless times is set")
			want := "COMPLETED"
			if tt.debits == "0.00" {
				want = "CONFIRM"
			}
			require.Equal(t, want, w.status(ticket.id))
			if want == "CONFIRM" {
				require.Equal(t, "COMPLETED", w.authorize(ticket.token).data(t)["ecommerceStatus"], "a second attempt succeeds")
			}
		})
	}
}

// A caller disconnects before its delayed call is executed.
func TestDelayEndsWhenCallerDisconnects(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket := w.create(nil)
	w.confirm(ticket.id)
	w.post("/_sim/faults", object{"op": "authorize", "fault": "delay", "delay_ms": 3_600_000})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.gateway.URL+api+"/authorization", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header = bearer(ticket.token)
	failed := make(chan error)
	go func() { // ends with the request, which the test cancels
		_, err := w.gateway.Client().Do(req)
		failed <- err
	}()
	require.Eventually(t, func() bool {
		return len(w.get("/_sim/requests")["requests"].([]any)) == 2
	}, patience, time.Millisecond, "the log shows a call that waits")
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	w.stop()
	require.Empty(t, w.listener.bodies)
}

func TestFaultsApplyOnlyWhereAimed(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	mine, other := w.create(nil), w.create(nil)
	status := func(id string) int {
		return w.call(http.MethodPost, api+"/business/findPayment", named(id), nil).status
	}

	w.post("/_sim/faults", object{"op": "find", "ecommerce_id": mine.id, "fault": "error_500", "times": 2})
	require.Equal(t, http.StatusOK, status(other.id), "aimed at one ticket")
	require.Equal(t, http.StatusOK, w.cancel(mine.id).status, "aimed at one operation")
	require.Equal(t, http.StatusInternalServerError, status(mine.id))
	require.InDelta(t, 1, w.get("/_sim/faults")["faults"].([]any)[0].(object)["times"], 0)
	require.Equal(t, http.StatusInternalServerError, status(mine.id))
	require.Equal(t, http.StatusOK, status(mine.id), "used up")

	w.post("/_sim/faults", object{"fault": "error_500"})
	require.Equal(t, http.StatusInternalServerError, status(other.id), "aimed at everything")

	w.post("/_sim/faults", object{"op": "find", "fault": "error_500", "times": 100})
	w.clear("/_sim/faults")
	require.Equal(t, http.StatusOK, status(other.id))

	w.post("/_sim/faults", object{"op": "find", "fault": "delay", "delay_ms": 1})
	w.post("/_sim/faults", object{"op": "find", "fault": "error_9998"})
	require.Equal(t, http.StatusConflict, status(other.id), "faults add up")
	log := w.get("/_sim/requests")["requests"].([]any)
	require.Equal(t, "delay,error_9998", log[len(log)-1].(object)["fault"])
}

// The same seed gives the same faults.
func TestSeedRepeatsRandomFaults(t *testing.T) {
	t.Parallel()
	draw := func(fault object, seed uint64) (faults string) {
		w := start(t, athmovilsim.Config{Seed: seed})
		w.post("/_sim/faults", fault)
		for range 64 {
			status := w.call(http.MethodPost, api+"/business/findPayment", named("nobody's"), nil).status
			faults += string("01"[min(1, status/500)])
		}
		return faults
	}
	own := object{"op": "find", "fault": "error_500", "probability": 50, "seed": 7}
	first := draw(own, 1)
	require.Equal(t, first, draw(own, 2), "a fault's own seed decides")
	require.Contains(t, first, "0")
	require.Contains(t, first, "1")
	shared := object{"op": "find", "fault": "error_500", "probability": 50}
	again := draw(shared, 3)
	require.Equal(t, again, draw(shared, 3))
	require.NotEqual(t, draw(shared, 3), draw(shared, 4))
	require.Equal(t, strings.Repeat("1", 64), draw(object{"op": "find", "fault": "error_500", "probability": 100}, 0))
}

func TestInvalidFaultsAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	for want, order := range map[string]object{
		`"explode"`:         {"fault": "explode"},
		`"teleport"`:        {"op": "teleport", "fault": "delay", "delay_ms": 1},
		"cannot apply to":   {"op": "webhook", "fault": "bom"},
		"before it":         {"op": "create", "ecommerce_id": "x", "fault": "bom"},
		"not be negative":   {"fault": "bom", "times": -1},
		"percentage":        {"fault": "bom", "probability": 101},
		"is required":       {"fault": "delay"},
		`code: ""`:          {"fault": "error_code"},
		`code: "BTRA_1234"`: {"fault": "error_code", "code": "BTRA_1234"},
		"unknown field":     {"fault": "bom", "time": 1},
	} {
		got := w.order("/_sim/faults", order)
		require.Equal(t, http.StatusBadRequest, got.status, want)
		require.Contains(t, got.object(t)["message"], want)
		require.Equal(t, "invalid_request", got.object(t)["code"])
	}
	require.Empty(t, w.get("/_sim/faults")["faults"])
}
