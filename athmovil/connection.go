package athmovil

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// newTransport returns the transport of a [Client] without an HTTPClient. It
// speaks only HTTP/1.1, where a connection carries one call at a time. That lets
// [guard] know exactly whether a call was sent.
func newTransport(security *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	secure := &tls.Dialer{NetDialer: dialer, Config: security}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:          http.ProxyFromEnvironment,
		DialContext:    guarded(dialer.DialContext),
		DialTLSContext: guarded(secure.DialContext),
		Protocols:      protocols,
		// Shorter than the usual idle timeout of a proxy or load balancer, so
		// that a call seldom gets a connection that is being closed.
		IdleConnTimeout:     30 * time.Second,
		MaxIdleConnsPerHost: 64,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     security, // used through a proxy
	}
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

func guarded(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &guard{Conn: conn}, nil
	}
}

// guard is a connection that records whether any byte of its current call was
// written. It can be sealed, so that nothing is written from then on. It is safe
// for concurrent use.
type guard struct {
	net.Conn
	state atomic.Int32
}

const (
	guardFresh  int32 = iota // nothing of this call was written
	guardUsed                // a write of this call has started
	guardSealed              // nothing of this call was written, or will be
)

var errSealed = errors.New("the call was abandoned before it was sent")

// Write marks the call as sent before it writes, because a write that fails may
// still have delivered its bytes.
func (g *guard) Write(p []byte) (int, error) {
	g.state.CompareAndSwap(guardFresh, guardUsed)
	if g.state.Load() == guardSealed {
		return 0, errSealed
	}
	return g.Conn.Write(p)
}

// renew starts the record of the next call.
func (g *guard) renew() { g.state.CompareAndSwap(guardUsed, guardFresh) }

// seal reports whether the call was not sent, and if so makes sure that it never
// will be. A canceled call needs that: it returns while the transport's writer
// may still be about to start.
func (g *guard) seal() bool {
	return g.state.CompareAndSwap(guardFresh, guardSealed) || g.state.Load() == guardSealed
}

// sendTrace follows one call through its transport, to know whether the call may
// have reached the gateway. It is safe for concurrent use, because the
// transport's goroutines outlive a canceled call.
type sendTrace struct {
	// standard means that the transport is net/http's. That one calls the
	// httptrace hooks and sends again only if it wrote nothing, so each attempt
	// resets the trace. Any other transport may do neither.
	standard bool

	requested atomic.Bool // a connection was requested
	connected atomic.Bool // a connection was assigned to the call
	guard     atomic.Pointer[guard]
}

// attach returns a context whose call the trace follows.
func (s *sendTrace) attach(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			s.requested.Store(true)
			if s.standard {
				s.connected.Store(false)
			}
		},
		GotConn: func(got httptrace.GotConnInfo) {
			conn := got.Conn
			if wrapped, ok := conn.(*tls.Conn); ok { // through a proxy, TLS wraps the guard
				conn = wrapped.NetConn()
			}
			g, ours := conn.(*guard)
			if ours {
				g.renew()
			}
			s.guard.Store(g) // nil if the connection is not ours
			s.connected.Store(true)
		},
	})
}

// neverSent reports whether no byte of the call reached the network, and none
// will. If in doubt it returns false: with a transport that is not ours, a call
// that has a connection counts as sent.
func (s *sendTrace) neverSent() bool {
	if !s.standard && !s.requested.Load() {
		return false
	}
	if !s.connected.Load() {
		return true
	}
	g := s.guard.Load()
	return g != nil && g.seal()
}
