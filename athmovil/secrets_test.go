package athmovil_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// Values that must never be printed.
const (
	canaryPublic   = "canary-public-token"
	canaryPrivate  = "canary-private-token"
	canaryAuth     = "canary-auth-token"
	canaryPhone    = "7875550199"
	canaryName     = "Canaria Pérez"
	canaryEmail    = "canary@example.com"
	canaryMetadata = "canary metadata"
	canaryListener = "https://your.site/webhooks/canary-path"
)

// show prints and logs a value in every way that a program might.
func show(value any) string {
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("shown", "value", value)
	}
	return out.String()
}

func requireNoCanary(t *testing.T, shown string) {
	t.Helper()
	for _, canary := range []string{
		canaryPublic, canaryPrivate, canaryAuth, canaryPhone, "(787) 555-0199", canaryName, canaryEmail,
		canaryMetadata, "canary-path", hex.EncodeToString([]byte(canaryPrivate)), hex.EncodeToString([]byte(canaryName)),
	} {
		require.NotContains(t, shown, canary)
	}
}

// personal is the fields of a body that hold personal data.
const personal = `"name":"` + canaryName + `","phoneNumber":"` + canaryPhone + `","email":"` + canaryEmail +
	`","metadata1":"` + canaryMetadata + `","items":[{"name":"` + canaryMetadata + `","price":1,"quantity":1}]`

func TestNothingPrivateIsPrinted(t *testing.T) {
	t.Parallel()
	const row = `{"transactionType":"ECOMMERCE","status":"COMPLETED","date":"2021-07-08 00:36:39.0","referenceNumber":"r","total":1,` + personal + `}`
	all := canaryName + canaryPhone + canaryEmail + canaryPublic + canaryPrivate + canaryAuth
	answers := map[string]struct {
		status int
		body   string
	}{
		"successes": {200, `{"status":"success","data":{"ecommerceId":"` + completedTicket + `","auth_token":"` + canaryAuth +
			`","ecommerceStatus":"COMPLETED","referenceNumber":"r","total":1,` + personal +
			`,"refund":{"status":"COMPLETED","refundedAmount":1,` + personal + `},"originalTransaction":` + row + `}}`},
		"rows":                           {200, `[` + row + `,{"total":"` + all + `","date":"` + canaryPhone + `"}]`},
		"private error message":          {409, `{"status":"error","message":"` + all + `","errorcode":"BTRA_0044"}`},
		"private error code":             {409, `{"status":"error","message":"` + all + `","errorcode":"` + canaryAuth + `"}`},
		"private page":                   {403, "<html>" + all + "</html>"},
		"truncated JSON":                 {200, `{"status":"` + all},
		"private values in other fields": {200, `{"status":"success","data":{"ecommerceStatus":"` + all + `","total":"` + canaryPhone + `x","ecommerceId":"` + canaryName + `"}}`},
		"private status":                 {200, `{"status":"` + all + `"}`},
		"private amounts":                {200, `{"status":"success","data":{"refund":{"status":"` + all + `","refundedAmount":"` + all + `"}}}`},
		"redirects":                      {307, ``},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Location", "https://"+canaryPrivate+".example.com/"+canaryAuth)
				w.WriteHeader(answer.status)
				_, _ = io.WriteString(w, answer.body)
			}))
			t.Cleanup(server.Close)
			requireNoCanary(t, showEverything(t, server.URL))
		})
	}
	t.Run("connection refused", func(t *testing.T) {
		t.Parallel()
		requireNoCanary(t, showEverything(t, "http://127.0.0.1:1"))
	})
}

// serveRaw starts a server that answers every call with the same bytes, and
// returns its URL.
func serveRaw(t *testing.T, answer string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() { // ends with the listener
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the call
				defer func() { _ = conn.Close() }()
				request, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, request.Body)
				_, _ = io.WriteString(conn, answer)
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// net/http quotes a response that it cannot read.
func TestNonHTTPResponseIsNotPrinted(t *testing.T) {
	t.Parallel()
	const all = canaryName + canaryPhone + canaryEmail + canaryAuth
	for name, answer := range map[string]string{
		"not HTTP":            all + "\r\n\r\n",
		"private status line": "HTTP/1.1 " + all + "\r\n\r\n",
		"private header":      "HTTP/1.1 200 OK\r\n" + all + "\r\n\r\n",
		"private length":      "HTTP/1.1 200 OK\r\nContent-Length: " + all + "\r\n\r\n",
		"private location":    "HTTP/1.1 307 T\r\nLocation: http://[" + all + "\r\nContent-Length: 0\r\n\r\n",
		"private trailer":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n" + all + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown := showEverything(t, serveRaw(t, answer))
			requireNoCanary(t, shown)
			require.Contains(t, shown, "the response is not HTTP")
		})
	}
}

// logLines receives each line that is logged.
type logLines chan string

func (s logLines) Write(line []byte) (int, error) {
	s <- string(line)
	return len(line), nil
}

// net/http quotes what follows a response in the standard log, which Cobro's
// programs redirect.
func TestStandardLogShowsNothingPrivate(t *testing.T) { //nolint:paralleltest // the standard log is the process's
	lines := make(logLines, 100) // more than there are calls
	telemetry.RedirectStandardLog(slog.New(slog.NewTextHandler(lines, nil)))
	t.Cleanup(func() {
		log.SetOutput(os.Stderr)
		log.SetFlags(log.LstdFlags)
	})
	showEverything(t, serveRaw(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"+canaryName+canaryPhone))
	line := <-lines
	requireNoCanary(t, line)
	require.Contains(t, line, "Unsolicited response")
}

// showEverything makes every call with secrets in each field, and prints the
// requests, results, errors and what the Observe hook received.
func showEverything(t *testing.T, address string) string {
	t.Helper()
	var out bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			out.WriteString(show(v))
		}
	}
	config := athmovil.Config{
		PublicToken: canaryPublic, PrivateToken: private.NewToken(canaryPrivate),
		BaseURL: address, ReportBaseURL: address,
		Observe: func(_ context.Context, c athmovil.Call) { put(c) },
	}
	client, err := athmovil.New(config)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	put(config, &config, client, struct{ Client *athmovil.Client }{client}, struct{ Config athmovil.Config }{config})

	item := athmovil.Item{Name: canaryName, Description: canaryMetadata, Quantity: 1, Metadata: canaryMetadata}
	create := athmovil.CreateRequest{
		Total: money.MustParse("1"), PhoneNumber: canaryPhone, Metadata1: canaryMetadata, Items: []athmovil.Item{item},
	}
	ticket, err := client.Create(t.Context(), create)
	put(item, create, ticket, err)
	put(create.Validate())

	token := private.NewToken(canaryAuth)
	for _, call := range []func() (athmovil.Transaction, error){
		func() (athmovil.Transaction, error) { return client.Find(t.Context(), completedTicket) },
		func() (athmovil.Transaction, error) { return client.Authorize(t.Context(), token) },
	} {
		found, err := call()
		put(found, &found, err)
	}
	put(client.UpdatePhoneNumber(t.Context(), token, "ticket", canaryPhone))
	put(client.UpdatePhoneNumber(t.Context(), token, "ticket", canaryPhone+"0"))
	put(client.Cancel(t.Context(), "ticket"))

	refund := athmovil.RefundRequest{ReferenceNumber: "r", Amount: money.MustParse("1"), Message: canaryName}
	refunded, err := client.Refund(t.Context(), refund)
	put(refund, refunded, err)
	report, err := client.TransactionReport(t.Context(), at(2021, 7, 8, 0, 0, 0), at(2021, 7, 9, 0, 0, 0))
	put(report, err)
	for i := range report.Rows {
		put(report.Rows[i])
	}
	for i := range report.Quarantined {
		put(report.Quarantined[i])
	}
	search := athmovil.SearchRequest{Name: canaryName, PhoneNumber: canaryPhone, Email: canaryEmail, Metadata1: canaryMetadata}
	report, err = client.Search(t.Context(), search)
	put(search, report, err)
	subscribe := athmovil.AllEvents(private.NewToken(canaryListener))
	put(subscribe, client.SubscribeWebhook(t.Context(), subscribe))

	event, err := athmovil.ParseWebhook([]byte(`{"transactionType":"ECOMMERCE","status":"COMPLETED","date":"` + canaryPhone + canaryName + `",` + personal + `}`))
	require.Error(t, err)
	put(event, &event, err)
	return out.String()
}

func TestConfigurationErrorsShowNoToken(t *testing.T) {
	t.Parallel()
	_, err := athmovil.New(athmovil.Config{PublicToken: canaryPublic + " ", PrivateToken: private.NewToken(canaryPrivate + "\n")})
	require.Error(t, err)
	requireNoCanary(t, show(err))
}

func TestObserveSeesEachCall(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t, http.StatusConflict, errorBody("BTRA_0044"))
	var seen []athmovil.Call
	client := newClient(t, gateway.URL, func(c *athmovil.Config) {
		c.Observe = func(_ context.Context, call athmovil.Call) { seen = append(seen, call) }
		c.Now = func() time.Time { return at(2021, 7, 8, 0, 0, 0) }
	})
	for _, c := range calls() {
		requireKind(t, c.make(t, client), athmovil.ErrDeclined)
		require.Equal(t, athmovil.Call{
			Op: c.op, Kind: athmovil.KindDeclined, Code: "BTRA_0044", HTTPStatus: http.StatusConflict,
		}, seen[len(seen)-1])
	}
	require.Len(t, seen, len(calls()))

	gateway.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"status":"success","data":"Payment Cancelled."}`))
	})
	require.NoError(t, client.Cancel(t.Context(), openTicket))
	require.Equal(t, athmovil.Call{Op: athmovil.OpCancel, HTTPStatus: http.StatusOK}, seen[len(seen)-1])
}
