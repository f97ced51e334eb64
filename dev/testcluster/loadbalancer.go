package testcluster

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
)

// loadBalancer is what runs in front of several APIs in production. It sends
// each request to the next API and skips one that refuses connections. It never
// repeats a request that broke off after it was sent, since its outcome is
// unknown.
type loadBalancer struct {
	url    string
	server *http.Server
	closed chan struct{}
}

// startLoadBalancer listens until close is called. backends returns the APIs'
// addresses, as host and port.
func startLoadBalancer(ctx context.Context, backends func() []string) (*loadBalancer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var requests atomic.Uint64
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: r.In.Host}) },
		Transport: &http.Transport{
			DisableKeepAlives: true, // each request chooses its backend
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				all, first := backends(), requests.Add(1)
				problems := []error{errors.New("no backend accepts connections")}
				for i := range uint64(len(all)) {
					connection, err := new(net.Dialer).DialContext(ctx, network, all[(first+i)%uint64(len(all))])
					if err == nil {
						return connection, nil
					}
					problems = append(problems, err)
				}
				return nil, errors.Join(problems...)
			},
		},
		ErrorLog:     log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // the client sees a broken connection
	}
	b := &loadBalancer{
		url:    "http://" + listener.Addr().String(),
		server: &http.Server{Handler: proxy, ReadHeaderTimeout: startTimeout, ErrorLog: log.New(io.Discard, "", 0)},
		closed: make(chan struct{}),
	}
	go func() { // ends when it is closed, which waits for it
		defer close(b.closed)
		_ = b.server.Serve(listener) // it was closed
	}()
	return b, nil
}

func (b *loadBalancer) close() {
	_ = b.server.Close() // it waits for no request
	<-b.closed
}
