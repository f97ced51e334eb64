package rig

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

// door is what stands before several APIs in production: each request goes to
// the next of them, and one that nobody listens at is passed over. A request
// that breaks off after it was sent is not sent again, since nobody knows what
// became of it.
type door struct {
	url    string
	server *http.Server
	closed chan struct{}
}

// openDoor listens until shut is called. behind returns the APIs' addresses,
// as host and port.
func openDoor(ctx context.Context, behind func() []string) (*door, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var turn atomic.Uint64
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: r.In.Host}) },
		Transport: &http.Transport{
			DisableKeepAlives: true, // each request has a turn of its own
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				at, first := behind(), turn.Add(1)
				problems := []error{errors.New("nobody is behind the door")}
				for i := range uint64(len(at)) {
					connection, err := new(net.Dialer).DialContext(ctx, network, at[(first+i)%uint64(len(at))])
					if err == nil {
						return connection, nil
					}
					problems = append(problems, err)
				}
				return nil, errors.Join(problems...)
			},
		},
		ErrorLog:     log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // the caller sees a broken connection
	}
	d := &door{
		url:    "http://" + listener.Addr().String(),
		server: &http.Server{Handler: proxy, ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)},
		closed: make(chan struct{}),
	}
	go func() { // ends when the door is shut, which waits for it
		defer close(d.closed)
		_ = d.server.Serve(listener) // it is shut
	}()
	return d, nil
}

func (d *door) shut() {
	_ = d.server.Close() // nobody is waited for
	<-d.closed
}
