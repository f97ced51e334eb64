package athmovil

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/private"
)

// recordingConn counts the writes that reach it.
type recordingConn struct {
	net.Conn
	writes int
}

func (c *recordingConn) Write(p []byte) (int, error) {
	c.writes++
	return len(p), nil
}

func TestGuard(t *testing.T) {
	t.Parallel()
	conn := &recordingConn{}
	g := &guard{Conn: conn}
	_, err := g.Write([]byte("first call"))
	require.NoError(t, err)
	require.False(t, g.seal(), "the call was sent")

	g.renew()
	require.True(t, g.seal(), "the next call was not")
	_, err = g.Write([]byte("too late"))
	require.ErrorIs(t, err, errSealed)
	require.Equal(t, 1, conn.writes, "nothing leaves after the verdict")

	g.renew()
	require.True(t, g.seal(), "a sealed connection stays sealed")
}

// Whatever the order of a write and the verdict, a call that left is never
// called unsent.
func TestGuardUnderARace(t *testing.T) {
	t.Parallel()
	for range 1000 {
		conn := &recordingConn{}
		g := &guard{Conn: conn}
		var writer sync.WaitGroup
		writer.Go(func() { _, _ = g.Write([]byte("call")) })
		unsent := g.seal()
		writer.Wait()
		require.Equal(t, unsent, conn.writes == 0)
	}
}

// brittle is a connection whose peer is gone without a word: from then on no
// byte can be written to it.
type brittle struct {
	net.Conn
	gone *atomic.Bool
}

func (b brittle) Write(p []byte) (int, error) {
	if b.gone.Load() {
		return 0, errors.New("connection reset by peer")
	}
	return b.Conn.Write(p)
}

// A kept connection that died takes no byte, so net/http dials again; the call
// is sent once where that works, and surely not at all where it does not.
func TestAStaleConnection(t *testing.T) {
	t.Parallel()
	for _, back := range []bool{true, false} {
		var requests, dials atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			_, _ = io.WriteString(w, `{"status":"success","data":"Payment Cancelled."}`)
		}))
		t.Cleanup(server.Close)

		transport := newTransport(nil)
		gone := &atomic.Bool{}
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			switch dials.Add(1) {
			case 1:
				conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &guard{Conn: brittle{conn, gone}}, nil
			default:
				if !back {
					return nil, errors.New("connection refused")
				}
				return guarded((&net.Dialer{}).DialContext)(ctx, network, address)
			}
		}
		client := newTestClient(t, server.URL, &http.Client{Transport: transport})
		require.NoError(t, client.Cancel(t.Context(), "ticket"))
		gone.Store(true)
		err := client.Cancel(t.Context(), "ticket")
		require.EqualValues(t, 2, dials.Load())
		if back {
			require.NoError(t, err)
			require.EqualValues(t, 2, requests.Load())
		} else {
			require.ErrorIs(t, err, ErrUnavailable)
			require.EqualValues(t, 1, requests.Load())
		}
	}
}

// The guard sees through TLS, directly and over a proxy.
func TestGuardKnowsWhatWasSentOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == ecommercePath+"/authorization" {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close() // dies without an answer
			}
			return
		}
		_, _ = io.WriteString(w, `{"status":"success","data":"Payment Cancelled."}`)
	}))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	proxy := newProxy(t)
	for name, through := range map[string]func(*http.Request) (*url.URL, error){
		"directly": nil, "over a proxy": http.ProxyURL(proxy),
	} {
		transport := newTransport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
		transport.Proxy = through
		client := newTestClient(t, server.URL, &http.Client{Transport: transport})
		require.NoError(t, client.Cancel(t.Context(), "ticket"), name)
		_, err := client.Authorize(t.Context(), private.NewToken("token"))
		require.ErrorIs(t, err, ErrUnknown, name)

		p := passage{standard: true}
		ctx, cancel := context.WithCancel(p.trace(t.Context()))
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, http.NoBody)
		require.NoError(t, err)
		response, err := transport.RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		cancel()
		require.NotNil(t, p.guard.Load(), name)
		require.False(t, p.surelyNotSent(), name)
	}
}

// newProxy starts a proxy that knows CONNECT alone.
func newProxy(t *testing.T) *url.URL {
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
			open.Go(func() { tunnel(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return &url.URL{Scheme: "http", Host: listener.Addr().String()}
}

func tunnel(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	target, err := net.Dial("tcp", request.Host)
	if err != nil {
		return
	}
	defer func() { _ = target.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(conn, target)
		_ = conn.Close() // ends the other direction
	})
	_, _ = io.Copy(target, reader)
	_ = target.Close()
	back.Wait()
}

func newTestClient(t *testing.T, address string, httpClient *http.Client) *Client {
	t.Helper()
	client, err := New(Config{
		PublicToken: "public", PrivateToken: private.NewToken("private"),
		BaseURL: address, ReportBaseURL: address, HTTPClient: httpClient,
	})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return client
}
