package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
)

func TestListWebhookEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := func(n string) string { return "whe_0000000000000000000000000" + n }
	for i, verdict := range []ledger.EventVerdict{ledger.EventUnmatched, ledger.EventSignalled, ledger.EventUnmatched} {
		n := string(rune('1' + i))
		e := ledger.GatewayEvent{
			ID: id(n), Digest: n, Kind: "refund", Verdict: verdict, Effect: "looked at", Body: payerName, Headers: phone,
			ReceivedAt: start.Add(time.Duration(i) * time.Second),
		}
		if verdict == ledger.EventSignalled {
			e.MatchedID = ledger.DeriveID("default", "k")
		}
		_, err := w.store.AddGatewayEvent(t.Context(), e)
		require.NoError(t, err)
	}
	type page struct {
		WebhookEvents []map[string]any `json:"webhook_events"`
		NextCursor    *string          `json:"next_cursor"`
	}
	list := func(query string) (p page, ids []string) {
		t.Helper()
		got := w.do("GET", "/v1/webhook-events?"+query, "")
		require.Equal(t, http.StatusOK, got.status, got.body)
		requireNoCanaries(t, got.body)
		require.NoError(t, json.Unmarshal([]byte(got.body), &p))
		for _, e := range p.WebhookEvents {
			ids = append(ids, e["id"].(string))
		}
		return p, ids
	}
	all, ids := list("")
	require.Equal(t, []string{id("3"), id("2"), id("1")}, ids, "newest first")
	require.Equal(t, map[string]any{
		"id": id("2"), "kind": "refund", "verdict": "signalled", "effect": "looked at", "deliveries": 1.0, "attempts": 0.0,
		"payment_id": ledger.DeriveID("default", "k"), "received_at": "2026-01-15T12:00:01Z", "settled_at": "2026-01-15T12:00:00Z",
	}, all.WebhookEvents[1])
	_, ids = list("payment_id=" + ledger.DeriveID("default", "k"))
	require.Equal(t, []string{id("2")}, ids)
	first, ids := list("verdict=unmatched&limit=1")
	require.Equal(t, []string{id("3")}, ids)
	require.NotNil(t, first.NextCursor)
	last, ids := list("verdict=unmatched&limit=1&cursor=" + url.QueryEscape(*first.NextCursor))
	require.Equal(t, []string{id("1")}, ids)
	require.Nil(t, last.NextCursor)

	for _, query := range []string{"verdict=lost", "limit=0", "cursor=x", "body=x"} {
		w.requireProblem(w.do("GET", "/v1/webhook-events?"+query, ""), http.StatusBadRequest, "parameter_invalid")
	}
	w.requireProblem(w.do("GET", "/v1/webhook-events", "", "Authorization", ""), http.StatusUnauthorized, "unauthorized")
}
