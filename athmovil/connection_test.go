package athmovil_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/private"
)

// listen starts a gateway that calls serve for each connection and then closes
// the connection.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait() // the client's connections are closed by then: cleanups run last in, first out
	})
	return "http://" + listener.Addr().String()
}

// readRequest reads one request and its body from a connection.
func readRequest(reader *bufio.Reader) error {
	request, err := http.ReadRequest(reader)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, request.Body)
	return err
}

func TestLostResponseIsNeverASuccess(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	tests := []struct {
		name   string
		answer string // written after the request was read, before the connection is closed
	}{
		{"after the request, before the response", ""},
		{"within the status line", "HTTP/1.1 2"},
		{"within the header", head},
		{"before the body", head + "Content-Length: 100\r\n\r\n"},
		{"within the body", head + "Content-Length: 100\r\n\r\n" + `{"status":"success","data":{`},
		{"after the JSON, before the promised end", head + "Content-Length: 100\r\n\r\n" + `{"status":"success","data":"Payment Cancelled."}`},
		{"within a chunk", head + "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"status\""},
		{"with something that is not HTTP", "hello\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			address := listen(t, func(conn net.Conn) {
				if readRequest(bufio.NewReader(conn)) == nil {
					requests.Add(1)
					_, _ = io.WriteString(conn, tt.answer)
				}
			})
			for _, transport := range []http.RoundTripper{nil, &http.Transport{}} { // ours, and a custom one
				client := newClient(t, address, func(c *athmovil.Config) {
					c.HTTPClient = &http.Client{Transport: transport}
				})
				for _, c := range calls() {
					before := requests.Load()
					requireKind(t, c.make(t, client), lost(c.op))
					require.Equal(t, before+1, requests.Load(), "%s was sent once", c.op)
				}
			}
		})
	}
}

func TestSentCallIsNotRetried(t *testing.T) {
	t.Parallel()
	for _, c := range calls() {
		if isRead(c.op) {
			continue // net/http may repeat the report, a GET, which is harmless
		}
		t.Run(string(c.op), func(t *testing.T) {
			t.Parallel()
			var connections, requests atomic.Int32
			page := wire(t, "find.open.response.json")
			address := listen(t, func(conn net.Conn) {
				connections.Add(1)
				reader := bufio.NewReader(conn)
				if readRequest(reader) != nil {
					return
				}
				requests.Add(1)
				_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(page), page)
				if readRequest(reader) == nil { // the reused connection closes without a response
					requests.Add(1)
				}
			})
			client := newClient(t, address)
			_, err := client.Find(t.Context(), openTicket)
			require.NoError(t, err)
			requireKind(t, c.make(t, client), athmovil.ErrUnknown)
			require.EqualValues(t, 2, requests.Load(), "the call was sent once, after the find")
			require.EqualValues(t, 1, connections.Load())
		})
	}
}

func TestRefusedConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	for _, config := range []func(*athmovil.Config){
		func(*athmovil.Config) {},
		func(c *athmovil.Config) { c.HTTPClient = &http.Client{Transport: &http.Transport{}} },
	} {
		client := newClient(t, address, config)
		for _, c := range calls() {
			requireKind(t, c.make(t, client), athmovil.ErrUnavailable)
		}
	}
}

func TestFailedTLSHandshakeIsUnavailable(t *testing.T) {
	t.Parallel()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0) // it logs every handshake
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	noTLS := listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n") })
	for name, address := range map[string]string{
		"untrusted certificate": untrusted.URL,
		"no TLS":                "https" + noTLS[len("http"):],
	} {
		client := newClient(t, address)
		for _, c := range calls() {
			err := c.make(t, client)
			requireKind(t, err, athmovil.ErrUnavailable)
			require.Error(t, errors.Unwrap(err), name)
		}
	}
}

func TestCanceledBeforeSendingIsUnavailable(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t, http.StatusOK, wire(t, "authorization.response.json"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newClient(t, gateway.URL).Authorize(ctx, private.NewToken(authToken))
	requireKind(t, err, athmovil.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, gateway.requests())
}

func TestCanceledDuringHandshakeIsUnavailable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	address := listen(t, func(conn net.Conn) {
		cancel()
		_, _ = io.Copy(io.Discard, conn) // the client hello, never answered
	})
	_, err := newClient(t, "https"+address[len("http"):]).Authorize(ctx, private.NewToken(authToken))
	requireKind(t, err, athmovil.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
}

func TestCanceledAfterSendingIsUnknown(t *testing.T) {
	t.Parallel()
	for _, c := range []func(context.Context, *athmovil.Client) error{
		func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Authorize(ctx, private.NewToken(authToken))
			return err
		},
		func(ctx context.Context, c *athmovil.Client) error { return c.Cancel(ctx, openTicket) },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		address := listen(t, func(conn net.Conn) {
			if readRequest(bufio.NewReader(conn)) == nil {
				cancel()
				_, _ = io.Copy(io.Discard, conn) // until the client disconnects
			}
		})
		err := c(ctx, newClient(t, address))
		requireKind(t, err, athmovil.ErrUnknown)
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestTimeoutBoundsCall(t *testing.T) {
	t.Parallel()
	address := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	client := newClient(t, address, func(c *athmovil.Config) { c.Timeout = 10 * time.Millisecond })
	_, err := client.Find(t.Context(), openTicket)
	requireKind(t, err, athmovil.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// roundTripper is a transport that calls no httptrace hooks.
type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func TestCustomTransportErrorCountsAsSent(t *testing.T) {
	t.Parallel()
	client := newClient(t, athmovil.DefaultBaseURL, func(c *athmovil.Config) {
		c.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("lost")
		})}
	})
	for _, c := range calls() {
		requireKind(t, c.make(t, client), lost(c.op))
	}
}

func TestCustomTransportRetryCountsAsSent(t *testing.T) {
	t.Parallel()
	below := &http.Transport{}
	t.Cleanup(below.CloseIdleConnections)
	address := listen(t, func(conn net.Conn) { _ = readRequest(bufio.NewReader(conn)) })
	client := newClient(t, address, func(c *athmovil.Config) {
		c.HTTPClient = &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
			if _, err := below.RoundTrip(request.Clone(request.Context())); err == nil {
				return nil, errors.New("unexpected response")
			}
			again := request.Clone(request.Context())
			again.URL.Host = "127.0.0.1:1" // nothing listens there
			again.Body = http.NoBody
			again.ContentLength = 0
			return below.RoundTrip(again)
		})}
	})
	_, err := client.Authorize(t.Context(), private.NewToken(authToken))
	requireKind(t, err, athmovil.ErrUnknown)
}
