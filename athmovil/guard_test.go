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

// recordingConn counts its writes.
type recordingConn struct {
	net.Conn
	writes int
}

func (c *recordingConn) Write(p []byte) (int, error) {
	c.writes++
	return len(p), nil
}

func TestSealedConnectionWritesNothing(t *testing.T) {
	t.Parallel()
	conn := &recordingConn{}
	g := &guard{Conn: conn}
	_, err := g.Write([]byte("first call"))
	require.NoError(t, err)
	require.False(t, g.seal(), "the call was sent")

	g.renew()
	require.True(t, g.seal(), "the next call was not sent")
	_, err = g.Write([]byte("too late"))
	require.ErrorIs(t, err, errSealed)
	require.Equal(t, 1, conn.writes, "nothing is written after the seal")

	g.renew()
	require.True(t, g.seal(), "a sealed connection stays sealed")
}

// Whichever of a write and a seal comes first, a call that was written never
// counts as unsent.
func TestSealRacesWrite(t *testing.T) {
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

// resettableConn fails every write once its peer is gone.
type resettableConn struct {
	net.Conn
	gone *atomic.Bool
}

func (b resettableConn) Write(p []byte) (int, error) {
	if b.gone.Load() {
		return 0, errors.New("connection reset by peer")
	}
	return b.Conn.Write(p)
}

// Nothing can be written to a reused connection whose peer is gone, so net/http
// dials again. The call is sent once if that works and not at all if it does not.
func TestStaleConnectionSendsOnce(t *testing.T) {
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
				return &guard{Conn: resettableConn{conn, gone}}, nil
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

// The guard sees writes through TLS, directly and through a proxy.
func TestGuardTracksWritesThroughTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == ecommercePath+"/authorization" {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close() // without a response
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
		"directly": nil, "through a proxy": http.ProxyURL(proxy),
	} {
		transport := newTransport(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
		transport.Proxy = through
		client := newTestClient(t, server.URL, &http.Client{Transport: transport})
		require.NoError(t, client.Cancel(t.Context(), "ticket"), name)
		_, err := client.Authorize(t.Context(), private.NewToken("token"))
		require.ErrorIs(t, err, ErrUnknown, name)

		p := sendTrace{standard: true}
		ctx, cancel := context.WithCancel(p.attach(t.Context()))
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, http.NoBody)
		require.NoError(t, err)
		response, err := transport.RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		cancel()
		require.NotNil(t, p.guard.Load(), name)
		require.False(t, p.neverSent(), name)
	}
}

// newProxy starts a proxy that supports only CONNECT.
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
