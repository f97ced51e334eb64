package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

const (
	ticketID  = "39906664-e44e-11ed-b127-a519df48811e"
	authToken = "eyJhbGciOi.the-ticket-token.c2lnbg"
	reference = "215070443-402894c185ab1be40185acfe61c2000b"
)

var (
	now       = time.Date(2026, time.March, 2, 15, 0, 0, 0, time.UTC)
	paymentID = ledger.DeriveID("default", "key")
	refundID  = ledger.DeriveRefundID(paymentID, "key")
)

// server is a gateway that answers as a test tells it to.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []map[string]any
}

// answering starts a server. answer is given the number of the call, from 1.
func answering(t *testing.T, answer func(call int) (status int, body string)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return // the caller went away
		}
		var body map[string]any
		_ = json.Unmarshal(raw, &body) // Authorize sends none
		s.mu.Lock()
		s.bodies = append(s.bodies, body)
		call := len(s.bodies)
		s.mu.Unlock()
		status, text := answer(call)
		if status == 0 {
			panic(http.ErrAbortHandler) // the connection dies without an answer
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(s.Close)
	return s
}

// always answers every call the same.
func always(status int, body string) func(int) (int, string) {
	return func(int) (int, string) { return status, body }
}

func (s *server) asked(t *testing.T) []map[string]any {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]any(nil), s.bodies...)
}

func gatewayAt(t *testing.T, url string) *gateway.Gateway {
	t.Helper()
	client, err := athmovil.New(athmovil.Config{
		PublicToken: "public", PrivateToken: private.NewToken("secret"), BaseURL: url, ReportBaseURL: url, Timeout: 10 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return &gateway.Gateway{Client: client, Locks: &claims{}, Now: func() time.Time { return now }}
}

// environment runs one activity as a worker would, through its own converters.
func environment(g *gateway.Gateway) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	activity.Register(env, g.Bindings()...)
	return env
}

// run executes an activity and reads its result.
func run[T any](env *testsuite.TestActivityEnvironment, function, in any) (T, error) {
	var result T
	value, err := env.ExecuteActivity(function, in)
	if err == nil {
		err = value.Get(&result)
	}
	return result, err
}

// transaction is a ticket as findPayment and authorization write it.
func transaction(status, number string) string {
	return fmt.Sprintf(`{"status":"success","data":{"ecommerceStatus":%q,"ecommerceId":%q,"referenceNumber":%q,
		"dailyTransactionId":"0006","transactionDate":"2026-03-02 11:00:00","total":25.00,"tax":0,"subTotal":0,
		"fee":0.6000000238418579,"netAmount":24.40,"totalRefundedAmount":5,"metadata1":"","metadata2":"","items":[]}}`,
		status, ticketID, number)
}

func refusal(code string) string {
	return fmt.Sprintf(`{"status":"error","message":"Valeria Herrero may not","errorcode":%q,"data":null}`, code)
}

func TestFindTicket(t *testing.T) {
	t.Parallel()
	s := answering(t, always(http.StatusOK, transaction("CONFIRM", "")))
	g := gatewayAt(t, s.URL)
	seen, err := run[activity.Ticket](environment(g), g.FindTicket, activity.TicketInput{EcommerceID: ticketID})
	require.NoError(t, err)
	charged, net := money.FromCents(60), money.FromCents(24_40)
	require.Equal(t, activity.Ticket{
		EcommerceID: ticketID, Status: activity.TicketConfirmed, DailyTransactionID: "0006", Total: money.FromCents(25_00), Fee: &charged,
		NetAmount: &net, TotalRefunded: money.FromCents(5_00), SeenAt: now,
	}, seen)
	require.Equal(t, ticketID, s.asked(t)[0]["ecommerceId"])
}

// A status that nobody knows is kept, and told to the operator once.
func TestUnknownStatusIsLoggedOnce(t *testing.T) {
	t.Parallel()
	answers := []string{"PAUSED", "OPEN", "Paused", "Valeria Herrero, 787-555-1234"}
	s := answering(t, func(call int) (int, string) { return http.StatusOK, transaction(answers[call-1], "") })
	g := gatewayAt(t, s.URL)
	logs := &telemetrytest.LogBuffer{}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(logs, nil))))
	for _, status := range answers {
		env := suite.NewTestActivityEnvironment()
		activity.Register(env, g.Bindings()...)
		seen, err := run[activity.Ticket](env, g.FindTicket, activity.TicketInput{EcommerceID: ticketID})
		require.NoError(t, err)
		require.Equal(t, activity.TicketStatus(strings.ToUpper(status)), seen.Status)
	}
	require.Equal(t, 1, strings.Count(logs.String(), "status=PAUSED"))
	require.Equal(t, 1, strings.Count(logs.String(), "status=unreadable"), "which may say anything")
	require.NotContains(t, strings.ToLower(logs.String()), "valeria")
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	s := answering(t, always(http.StatusOK, transaction("COMPLETED", reference)))
	g := gatewayAt(t, s.URL)
	debited, err := run[activity.Ticket](environment(g), g.Authorize, activity.AuthorizeInput{EcommerceID: ticketID, AuthToken: authToken})
	require.NoError(t, err)
	require.Equal(t, activity.TicketCompleted, debited.Status)
	require.Equal(t, reference, debited.ReferenceNumber)
	require.Len(t, s.asked(t), 1)
}

func TestCreateTicket(t *testing.T) {
	t.Parallel()
	const created = `{"status":"success","data":{"ecommerceId":"` + ticketID + `","auth_token":"` + authToken + `"}}`
	for _, tt := range []struct {
		name       string
		mine       [2]private.Text // the merchant's metadata
		metadata1  string
		metadata2  string
		whereabout string
	}{
		{"none of the merchant's", [2]private.Text{"", ""}, "", paymentID, "in the second"},
		{"the first is the merchant's", [2]private.Text{"aisle", ""}, "aisle", paymentID, "in the second"},
		{"the second is the merchant's", [2]private.Text{"", "window"}, paymentID, "window", "in the first"},
		{"both are the merchant's", [2]private.Text{"aisle", "window"}, "aisle", "window", "nowhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := answering(t, always(http.StatusOK, created))
			g := gatewayAt(t, s.URL)
			tax := money.FromCents(1_00)
			ticket, err := run[activity.CreateTicketResult](environment(g), g.CreateTicket, activity.CreateTicketInput{
				PaymentID: paymentID, Request: payment.Request{
					Total: money.FromCents(25_00), PhoneNumber: "7875551234", Metadata1: tt.mine[0], Metadata2: tt.mine[1], ExpiresIn: 5 * time.Minute,
					Items: []payment.Item{{Name: "Ticket", Quantity: 2, Price: money.FromCents(12_00), Tax: &tax}, {Name: "Gift", Quantity: 1}},
				},
			})
			require.NoError(t, err)
			require.Equal(t, activity.CreateTicketResult{EcommerceID: ticketID, AuthToken: authToken}, ticket)
			asked := s.asked(t)[0]
			require.Equal(t, tt.metadata1, asked["metadata1"], "the payment's id is %s", tt.whereabout)
			require.Equal(t, tt.metadata2, asked["metadata2"], "the payment's id is %s", tt.whereabout)
			require.Equal(t, "25.00", asked["total"])
			require.Equal(t, "300", asked["timeout"])
			require.Equal(t, "7875551234", asked["phoneNumber"])
			items := asked["items"].([]any)
			require.Equal(t, "1.00", items[0].(map[string]any)["tax"])
			require.Equal(t, "0.00", items[1].(map[string]any)["tax"], "none is zero")
		})
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	s := answering(t, always(http.StatusOK, `{"status":"success","data":"done"}`))
	g := gatewayAt(t, s.URL)
	_, err := environment(g).ExecuteActivity(g.CancelTicket, activity.TicketInput{EcommerceID: ticketID})
	require.NoError(t, err)
	_, err = environment(g).ExecuteActivity(g.SetPhoneNumber,
		activity.SetPhoneNumberInput{EcommerceID: ticketID, AuthToken: authToken, PhoneNumber: "7875551234"})
	require.NoError(t, err)
	require.Equal(t, ticketID, s.asked(t)[0]["ecommerceId"])
	require.Equal(t, "7875551234", s.asked(t)[1]["phoneNumber"])
}

func TestRefundMessage(t *testing.T) {
	t.Parallel()
	short := "#" + refundID[len(refundID)-8:]
	for _, tt := range []struct{ name, message, want string }{
		{"none", "", short},
		{"short", "sorry", "sorry " + short},
		{"there is just room", strings.Repeat("x", 40), strings.Repeat("x", 40) + " " + short},
		{"there is no room", strings.Repeat("x", 41), strings.Repeat("x", 41)},
		{"full", strings.Repeat("x", 50), strings.Repeat("x", 50)},
		{"characters count, not bytes", strings.Repeat("ñ", 40), strings.Repeat("ñ", 40) + " " + short},
		{"characters count, and there is no room", strings.Repeat("ñ", 41), strings.Repeat("ñ", 41)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := answering(t, always(http.StatusOK, `{"status":"success","data":{"refund":{"status":"COMPLETED","refundedAmount":10.00,
				"referenceNumber":"402894d56b240610016b2e6c78a6003a","date":"1","name":"","phoneNumber":"","email":""}}}`))
			g := gatewayAt(t, s.URL)
			done, err := run[activity.RefundResult](environment(g), g.Refund, activity.RefundInput{
				RefundID: refundID, ReferenceNumber: reference, Amount: money.FromCents(10_00), Message: private.Text(tt.message),
			})
			require.NoError(t, err)
			require.Equal(t, "402894d56b240610016b2e6c78a6003a", done.ReferenceNumber)
			require.Equal(t, tt.want, s.asked(t)[0]["message"])
			require.Equal(t, "10.00", s.asked(t)[0]["amount"])
		})
	}
}

// claims is a store that answers claims.
type claims struct {
	err  error
	asks []string
}

func (c *claims) ClaimRefund(_ context.Context, refundID string, try int, by string) error {
	c.asks = append(c.asks, fmt.Sprintf("try %d of %s by %s", try, refundID, by))
	return c.err
}

func TestRefundIsClaimedFirst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		kind activity.Kind
	}{
		{"the try was claimed before", &payment.RefundRefusal{Code: payment.RefusedHeld}, activity.KindUnknown},
		{"the store is away", errors.New("the disk is full"), activity.KindUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := answering(t, always(http.StatusOK, "{}"))
			g := gatewayAt(t, s.URL)
			store := &claims{err: tt.err}
			g.Locks = store
			_, err := run[activity.RefundResult](environment(g), g.Refund, activity.RefundInput{
				RefundID: refundID, Try: 2, ReferenceNumber: reference, Amount: money.FromCents(10_00),
			})
			require.Equal(t, activity.GatewayFailure{Kind: tt.kind}, activity.FailureOf(err))
			require.Len(t, store.asks, 1)
			require.Contains(t, store.asks[0], "try 2 of "+refundID+" by default-test-run-id ")
			require.Empty(t, s.asked(t), "nothing is sent")
		})
	}
}

// A Temporal that was restored from a backup executes the same try of the same run
// again, and must not be taken for the execution before it.
func TestEachExecutionClaimsForItself(t *testing.T) {
	t.Parallel()
	s := answering(t, always(http.StatusOK, "{}"))
	g := gatewayAt(t, s.URL)
	store := &claims{err: &payment.RefundRefusal{Code: payment.RefusedHeld}}
	g.Locks = store
	for range 2 {
		_, err := run[activity.RefundResult](environment(g), g.Refund, activity.RefundInput{
			RefundID: refundID, Try: 1, ReferenceNumber: reference, Amount: money.FromCents(10_00),
		})
		require.Error(t, err)
	}
	require.NotEqual(t, store.asks[0], store.asks[1])
}
