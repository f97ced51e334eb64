package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/workflows"
)

const webhookPath = "/webhooks/athmovil/" + webhookSecret

// completedEvent is what the gateway posts when a ticket was paid.
func completedEvent(ecommerceID, total string) string {
	return fmt.Sprintf(`{"transactionType":"ECOMMERCE","status":"COMPLETED","ecommerceId":%q,"referenceNumber":"reference-1",
		"dailyTransactionId":"0002","date":"2026-01-15 08:00:31","transactionDate":"2026-01-15 08:00:29",
		"name":%q,"phoneNumber":%s,"email":%q,"message":"","total":%s,"subTotal":%s,"tax":0.0,"fee":0.07,"netAmount":2.93,
		"totalRefundedAmount":0,"metadata1":"","metadata2":"","items":[]}`,
		ecommerceID, payerName, phone, payerEmail, total, total)
}

// wire returns a file of the gateway's documented payloads.
func wire(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "athmovil", "testdata", "wire", name))
	require.NoError(t, err)
	return string(body)
}

func (w *world) events(verdict ledger.EventVerdict) []ledger.GatewayEvent {
	w.t.Helper()
	events, _, err := w.store.GatewayEvents(w.t.Context(), ledger.GatewayEventFilter{Verdict: verdict, Limit: 100})
	require.NoError(w.t, err)
	return events
}

func TestWebhooksAreStoredBeforeTheyAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := completedEvent("ticket-1", "3")
	got := w.do("POST", webhookPath, body, "Authorization", "", "User-Agent", "ATHM/1.0", "X-Forwarded-For", "203.0.113.7", "Cookie", "c=1")
	require.Equal(t, http.StatusOK, got.status, got.body)
	require.Empty(t, got.body)

	events := w.events(ledger.EventPending)
	require.Len(t, events, 1)
	event := events[0]
	claim, err := athmovil.ParseWebhook([]byte(body))
	require.NoError(t, err)
	require.Equal(t, claim.Digest(), event.Digest)
	require.Equal(t, "ecommerce_completed", event.Kind)
	require.Equal(t, "ticket-1", event.EcommerceID)
	require.Equal(t, "reference-1", event.ReferenceNumber)
	require.Equal(t, body, string(event.Body), "raw")
	require.True(t, strings.HasPrefix(event.ID, "whe_"))
	require.Equal(t, start, event.ReceivedAt)

	var headers map[string]string
	require.NoError(t, json.Unmarshal([]byte(event.Headers), &headers))
	require.Equal(t, "application/json", headers["Content-Type"])
	require.Equal(t, "ATHM/1.0", headers["User-Agent"])
	require.Equal(t, "203.0.113.7", headers["X-Forwarded-For"])
	require.Contains(t, headers["Remote-Addr"], "127.0.0.1:")
	require.NotContains(t, headers, "Cookie")

	t.Run("a duplicate is counted and answered alike", func(t *testing.T) {
		loud := strings.Replace(body, `"COMPLETED"`, ` "completed"`, 1)
		require.Equal(t, http.StatusOK, w.do("POST", webhookPath, loud).status)
		events := w.events("")
		require.Len(t, events, 1)
		require.Equal(t, 2, events[0].Deliveries)
	})
}

func TestWebhookKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{
		"webhook.cancelled.new.json", "webhook.cancelled.old.json", "webhook.completed.captured.json",
		"webhook.completed.new.json", "webhook.completed.old.json", "webhook.donation.json", "webhook.expired.old.json",
		"webhook.payment.json", "webhook.refund.captured.json", "webhook.refund.old.json", "webhook.simulated.json",
	} {
		body := wire(t, name)
		require.Equal(t, http.StatusOK, w.do("POST", webhookPath, body).status, name)
		claim, err := athmovil.ParseWebhook([]byte(body))
		require.NoError(t, err)
		require.Equal(t, string(claim.Kind), w.byDigest(claim.Digest()).Kind, name)
	}
}

func (w *world) byDigest(digest string) ledger.GatewayEvent {
	w.t.Helper()
	for _, event := range w.events("") {
		if event.Digest == digest {
			return event
		}
	}
	require.FailNow(w.t, "no event has the digest")
	return ledger.GatewayEvent{}
}

func TestWebhookFindsOurIDInMetadata(t *testing.T) {
	t.Parallel()
	id := ledger.DeriveID("default", "k")
	for _, field := range []string{"metadata1", "metadata2"} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			body := fmt.Sprintf(`{"transactionType":"ecommerce","status":"expired","date":"2026-01-15 08:00:31","total":"3.00",%q:%q}`, field, id)
			require.Equal(t, http.StatusOK, w.do("POST", webhookPath, body).status)
			require.Equal(t, id, w.events("")[0].PaymentID)
		})
	}
}

func TestMalformedWebhooks(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "x", `{"total":`, `[]`, `null`, `"text"`, `7`, "\xff\xfe", `{"a":1}{"b":2}`} {
		t.Run(body, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for range 2 {
				w.requireProblem(w.do("POST", webhookPath, body), 400, "body_malformed")
			}
			events := w.events(ledger.EventMalformed)
			require.Len(t, events, 1)
			require.Equal(t, 2, events[0].Deliveries)
			require.Equal(t, body, string(events[0].Body))
			require.Equal(t, athmovil.RawDigest([]byte(body)), events[0].Digest)
			require.NotNil(t, events[0].SettledAt)
		})
	}
}

// TestUnreadableWebhooksAreHintsAllTheSame: what lacks its total or date still
// names a ticket to look at.
func TestUnreadableWebhooksAreHintsAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.do("POST", webhookPath, `{"transactionType":"ecommerce","status":"completed","ecommerceId":"ticket-1","total":"three"}`)
	require.Equal(t, http.StatusOK, got.status)
	event := w.events(ledger.EventPending)[0]
	require.Equal(t, "ticket-1", event.EcommerceID)
	require.Equal(t, "ecommerce_completed", event.Kind)
	require.NotEmpty(t, event.Digest)
}

func TestWebhookBodyOverTheCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	event := func(bytes int) string {
		head, tail := `{"transactionType":"ecommerce","message":"`, `"}`
		return head + strings.Repeat("m", bytes-len(head)-len(tail)) + tail
	}
	require.Equal(t, http.StatusOK, w.do("POST", webhookPath, event(relay.MaxBody)).status)
	require.Len(t, w.events(ledger.EventPending), 1)
	for range 2 {
		w.requireProblem(w.do("POST", webhookPath, event(relay.MaxBody+1)), 413, "body_too_large")
	}
	kept := w.events(ledger.EventTooLarge)
	require.Len(t, kept, 1)
	require.Equal(t, 2, kept[0].Deliveries)
	require.Equal(t, event(relay.MaxBody)[:64<<10], string(kept[0].Body), "cut")
	require.Equal(t, "longer than 1048576 bytes: the first 65536 are kept", kept[0].Effect)
	require.NotNil(t, kept[0].SettledAt, "and handed to nobody")
}

func TestLargeWebhookThatCannotBeStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *configs) { cfg.relay.Store = broken{cfg.relay.Store} })
	w.requireProblem(w.do("POST", webhookPath, strings.Repeat(" ", relay.MaxBody+1)), 503, "temporarily_unavailable")
}

func TestWrongWebhookSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{
		"/webhooks/athmovil/wrong", "/webhooks/athmovil/" + webhookSecret + "x", "/webhooks/athmovil/" + webhookSecret[1:],
		webhookPath + "//", webhookPath + "/x", "/webhooks/athmovil/", "/webhooks/other/" + webhookSecret,
	} {
		w.requireProblem(w.do("POST", path, `{}`), 404, "not_found")
	}
	got := w.do("GET", webhookPath, "")
	w.requireProblem(got, 405, "method_not_allowed")
	require.Equal(t, "POST", got.header.Get("Allow"))

	limited := 0
	for range 20 {
		if got := w.do("POST", "/webhooks/athmovil/guess", `{}`); got.status == http.StatusTooManyRequests {
			w.requireProblem(got, 429, "rate_limited")
			require.NotEmpty(t, got.header.Get("Retry-After"))
			limited++
		}
	}
	require.Equal(t, 13, limited, "10 guesses, 3 of them above")
	require.Equal(t, http.StatusOK, w.do("POST", webhookPath, wire(t, "webhook.simulated.json")).status, "the right secret is never limited")
	require.Len(t, w.events(""), 1)
	require.Equal(t, http.StatusOK, w.do("POST", webhookPath+"/", wire(t, "webhook.refund.old.json")).status, "a slash at the end is no other address")
	require.Len(t, w.events(""), 2)
	require.NotContains(t, w.logs.String(), `:secret/"`)
}

// broken is a store whose writes fail.
type broken struct{ relay.Store }

var errDisk = errors.New("the disk is full")

func (broken) AddGatewayEvent(context.Context, ledger.GatewayEvent) (bool, error) {
	return false, errDisk
}

func TestWebhookThatCannotBeStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(cfg *configs) { cfg.relay.Store = broken{cfg.relay.Store} })
	got := w.do("POST", webhookPath, completedEvent("ticket-1", "3"))
	w.requireProblem(got, 503, "temporarily_unavailable")
	require.NotEmpty(t, got.header.Get("Retry-After"))
	require.NotContains(t, got.body, errDisk.Error())
	require.Contains(t, w.logs.String(), errDisk.Error())
}

// TestASenderThatBreaksOff sends half a body and hangs up: nothing is stored
// and nothing breaks.
func TestASenderThatBreaksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.http.Listener.Addr().String())
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: 500\r\n\r\n{\"half\":", webhookPath)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	_, _ = conn.Read(make([]byte, 1024)) // until the server has given up
	require.NoError(t, conn.Close())
	require.Empty(t, w.events(""))
}

// TestWebhookWakesTheRelay goes the whole way over HTTP.
func TestWebhookWakesTheRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.open("hinted")
	told := make(chan string, 1)
	w.flows.relay = func(_ context.Context, id string, _ workflows.GatewayEvent) error {
		told <- id
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.relay.Run(ctx) }()
	require.Equal(t, 200, w.do("POST", webhookPath, completedEvent(p.EcommerceID, "10")).status)
	require.Equal(t, p.ID, <-told)
	cancel()
	require.NoError(t, <-ended)
	require.Len(t, w.events(ledger.EventSignalled), 1)
}
