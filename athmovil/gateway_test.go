package athmovil_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// The tokens of testdata/wire.
const (
	publicToken  = "a66ce73d04f2087615f6320b724defc5b4eedc55"
	privateToken = "b7c1f5a09e3d4c2f8a6e1d0b9c8f7a6e5d4c3b2a"
	authToken    = "eyJraWQiOiJzYW1wbGUiLCJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJQcm9jZXNzIFBheW1lbnQifQ.c2FtcGxl"
)

// The tickets of testdata/wire.
const (
	openTicket      = "39906664-e44e-11ed-b127-a519df48811e"
	completedTicket = "730e2c49-9387-11ed-8f43-c31784ccfc6c"
	createdTicket   = "0ab257f5-3837-11ed-855f-9b4af5a393ce"
	refundReference = "402894d56b240610016b2e6c78a6003a"
)

// wire returns a file of testdata/wire.
func wire(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "wire", name))
	require.NoError(t, err)
	return body
}

// received is a request as the gateway received it.
type received struct {
	method, path, authorization string
	body                        []byte
}

// fixedGateway gives every call the same response and records the requests.
type fixedGateway struct {
	*httptest.Server
	mu   sync.Mutex
	seen []received
}

func newGateway(t *testing.T, status int, body []byte) *fixedGateway {
	t.Helper()
	g := &fixedGateway{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err != nil {
			return // the caller disconnected
		}
		g.mu.Lock()
		g.seen = append(g.seen, received{r.Method, r.URL.Path, r.Header.Get("Authorization"), asked})
		g.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *fixedGateway) requests() []received {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]received(nil), g.seen...)
}

func newClient(t testing.TB, address string, change ...func(*athmovil.Config)) *athmovil.Client {
	t.Helper()
	config := athmovil.Config{
		PublicToken:   publicToken,
		PrivateToken:  private.NewToken(privateToken),
		BaseURL:       address,
		ReportBaseURL: address,
	}
	for _, c := range change {
		c(&config)
	}
	client, err := athmovil.New(config)
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// call makes one call of a Client with a valid request.
type call struct {
	op   athmovil.Op
	make func(*testing.T, *athmovil.Client) error
}

// calls lists every call of a Client.
func calls() []call {
	return []call{
		{athmovil.OpCreate, func(t *testing.T, c *athmovil.Client) error {
			_, err := c.Create(t.Context(), athmovil.CreateRequest{Total: money.MustParse("10.00")})
			return err
		}},
		{athmovil.OpFind, func(t *testing.T, c *athmovil.Client) error {
			_, err := c.Find(t.Context(), completedTicket)
			return err
		}},
		{athmovil.OpAuthorize, func(t *testing.T, c *athmovil.Client) error {
			_, err := c.Authorize(t.Context(), private.NewToken(authToken))
			return err
		}},
		{athmovil.OpUpdatePhoneNumber, func(t *testing.T, c *athmovil.Client) error {
			return c.UpdatePhoneNumber(t.Context(), private.NewToken(authToken), createdTicket, "7866575255")
		}},
		{athmovil.OpCancel, func(t *testing.T, c *athmovil.Client) error {
			return c.Cancel(t.Context(), openTicket)
		}},
		{athmovil.OpRefund, func(t *testing.T, c *athmovil.Client) error {
			_, err := c.Refund(t.Context(), athmovil.RefundRequest{
				ReferenceNumber: refundReference, Amount: money.MustParse("1.00"), Message: "wrong size",
			})
			return err
		}},
		{athmovil.OpTransactionReport, func(t *testing.T, c *athmovil.Client) error {
			from := time.Date(2021, 7, 8, 0, 0, 0, 0, athmovil.Location())
			_, err := c.TransactionReport(t.Context(), from, from.Add(24*time.Hour-time.Second))
			return err
		}},
		{athmovil.OpSearch, func(t *testing.T, c *athmovil.Client) error {
			_, err := c.Search(t.Context(), athmovil.SearchRequest{ReferenceNumber: refundReference})
			return err
		}},
		{athmovil.OpSubscribeWebhook, func(t *testing.T, c *athmovil.Client) error {
			return c.SubscribeWebhook(t.Context(), athmovil.AllEvents(private.NewToken("https://your.site/webhook")))
		}},
	}
}

// isRead and isMoney classify the calls as docs/athmovil.md §1.0 does, so that the
// tests do not depend on the client for it.
func isRead(op athmovil.Op) bool {
	return op == athmovil.OpFind || op == athmovil.OpTransactionReport || op == athmovil.OpSearch
}

func isMoney(op athmovil.Op) bool { return op == athmovil.OpAuthorize || op == athmovil.OpRefund }

// lost is the error of a call that got no response.
func lost(op athmovil.Op) error {
	if isRead(op) {
		return athmovil.ErrUnavailable
	}
	return athmovil.ErrUnknown
}

// requireKind returns the Error behind err, and checks that it is of that kind
// alone.
func requireKind(t *testing.T, err, want error) *athmovil.Error {
	t.Helper()
	var failed *athmovil.Error
	require.ErrorAs(t, err, &failed)
	for _, sentinel := range []error{
		athmovil.ErrDeclined, athmovil.ErrInvalid, athmovil.ErrAuthentication,
		athmovil.ErrUnavailable, athmovil.ErrUnknown,
	} {
		if sentinel == want {
			require.ErrorIs(t, err, sentinel)
		} else {
			require.NotErrorIs(t, err, sentinel)
		}
	}
	return failed
}
