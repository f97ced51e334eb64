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

// newTransport returns the transport of a [Client] that was given no
// HTTPClient. It speaks HTTP/1.1 only, where one connection carries one call
// at a time, so that the guard below can tell exactly whether a call was sent.
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
		// Below the idle time-outs usual at front ends, so that a call seldom
		// meets a connection that is being closed.
		IdleConnTimeout:     30 * time.Second,
		MaxIdleConnsPerHost: 64,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSClientConfig:     security, // used over a proxy
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

// guard is a connection that knows whether the call it now carries has begun
// to be written, and that can be forbidden to begin.
type guard struct {
	net.Conn
	state atomic.Int32
}

const (
	guardFresh  int32 = iota // nothing of this call was written
	guardUsed                // a write of this call was begun
	guardSealed              // nothing of this call was written, nor will be
)

var errSealed = errors.New("the call was given up before it was sent")

// Write marks the call as sent before the first byte leaves, since a write
// that fails may still have been delivered.
func (g *guard) Write(p []byte) (int, error) {
	g.state.CompareAndSwap(guardFresh, guardUsed)
	if g.state.Load() == guardSealed {
		return 0, errSealed
	}
	return g.Conn.Write(p)
}

// renew prepares the connection for its next call.
func (g *guard) renew() { g.state.CompareAndSwap(guardUsed, guardFresh) }

// seal reports whether the call was never sent, and if so makes sure that it
// never will be: a cancelled call returns while the transport's writer may
// still be about to start.
func (g *guard) seal() bool {
	return g.state.CompareAndSwap(guardFresh, guardSealed) || g.state.Load() == guardSealed
}

// passage follows one call through its transport and answers whether it may
// have reached the gateway. It is safe for concurrent use, as the transport's
// goroutines outlive a cancelled call.
type passage struct {
	// standard says that the transport is net/http's. That one calls our hooks,
	// and tries a write again only where it wrote nothing, so each attempt
	// starts the observation anew. Of any other, neither is certain.
	standard bool

	seen  atomic.Bool // a connection was asked for
	given atomic.Bool // a connection was handed out
	guard atomic.Pointer[guard]
}

func (p *passage) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			p.seen.Store(true)
			if p.standard {
				p.given.Store(false)
			}
		},
		GotConn: func(got httptrace.GotConnInfo) {
			conn := got.Conn
			if wrapped, ok := conn.(*tls.Conn); ok { // over a proxy, TLS lies above the guard
				conn = wrapped.NetConn()
			}
			g, ours := conn.(*guard)
			if ours {
				g.renew()
			}
			p.guard.Store(g) // nil where the connection is not ours
			p.given.Store(true)
		},
	})
}

// surelyNotSent reports whether no byte of the call reached the network, and
// none will. In doubt it says no: with a transport that is not ours, any
// connection counts as written to.
func (p *passage) surelyNotSent() bool {
	if !p.standard && !p.seen.Load() {
		return false
	}
	if !p.given.Load() {
		return true
	}
	g := p.guard.Load()
	return g != nil && g.seal()
}
