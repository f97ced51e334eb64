package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/cobropay/cobro/internal/telemetry"
)

const (
	readTimeout = 15 * time.Second
	idleTimeout = 2 * time.Minute
)

// Server is an HTTP server in a goroutine of its own. [Server.Stop] ends it.
type Server struct {
	*http.Server
	logger *slog.Logger
	cancel context.CancelFunc // of the contexts of requests
	failed chan error         // at most one
	ended  chan struct{}
}

// Serve serves at a listener until [Server.Stop]. An answer may take
// writeTimeout; zero means any time. Requests may outlive ctx: their contexts end
// with Stop.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, writeTimeout time.Duration, logger *slog.Logger) *Server {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		Server: &http.Server{
			Handler: handler, ErrorLog: telemetry.StandardLog(logger), ReadTimeout: readTimeout, ReadHeaderTimeout: readTimeout,
			WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
			BaseContext: func(net.Listener) context.Context { return requests },
		},
		logger: logger, cancel: cancel, failed: make(chan error, 1), ended: make(chan struct{}),
	}
	go func() { // Stop waits for it
		defer close(s.ended)
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve %s: %w", listener.Addr(), err)
		}
	}()
	return s
}

// Failed returns a channel that receives why the server broke. A stop is no
// failure.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop closes the listener and every connection, and logs a failure that nobody
// has received. A second call does nothing.
func (s *Server) Stop() {
	_ = s.Close() // a client that is cut sees it
	<-s.ended
	s.cancel()
	select {
	case err := <-s.failed:
		s.logger.Error("not served", "error", err)
	default:
	}
}

// Listen opens a listener. The error for an address that is taken names the
// setting that changes it.
func Listen(ctx context.Context, address, setting string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w (%s changes the address; port 0 takes a free one)", err, setting)
	}
	return listener, nil
}

// CheckFree reports, before the process waits for anything, whether [Listen]
// could open an address.
func CheckFree(ctx context.Context, address, setting string) error {
	listener, err := Listen(ctx, address, setting)
	if err != nil {
		return err
	}
	return listener.Close()
}
