package operations

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
)

// Front answers for a process from its first moment on. Until [Front.Open] the
// process lives and is not ready, and /readyz names what it waits for. It is
// safe for concurrent use.
type Front struct {
	cfg     Config
	handler atomic.Pointer[http.Handler]
}

// NewFront returns the front of a process that waits for the check first. Of
// cfg, Ready and Codec are left for [Front.Open].
func NewFront(cfg Config, first string) *Front {
	cfg.Codec = nil
	f := &Front{cfg: cfg}
	f.Await(first)
	return f
}

// errAwaited is what the check of something says that is waited for.
var errAwaited = errors.New("the process starts and waits for it")

// Await says which check the process waits for now.
func (f *Front) Await(check string) {
	cfg := f.cfg
	cfg.Ready = []Check{{Name: check, Check: func(context.Context) error { return errAwaited }}}
	f.Open(Handler(cfg))
}

// Open lets the handler of the process that has started answer.
func (f *Front) Open(handler http.Handler) { f.handler.Store(&handler) }

// ServeHTTP implements [http.Handler].
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*f.handler.Load()).ServeHTTP(w, r)
}
