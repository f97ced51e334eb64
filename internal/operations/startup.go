package operations

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
)

// StartupHandler answers /healthz and /readyz while a process starts. Until
// [StartupHandler.SetHandler] the process is alive but not ready, and /readyz
// names the check that it waits for. It is safe for concurrent use.
type StartupHandler struct {
	cfg     Config
	handler atomic.Pointer[http.Handler]
}

// NewStartupHandler returns the handler of a process that waits for check. It
// ignores Ready and Codec of cfg, which are for the final handler.
func NewStartupHandler(cfg Config, check string) *StartupHandler {
	cfg.Codec = nil
	h := &StartupHandler{cfg: cfg}
	h.WaitFor(check)
	return h
}

// errStarting is the error of the check that the process waits for.
var errStarting = errors.New("the process is starting and waits for it")

// WaitFor sets the check that the process waits for now. It does not block.
func (h *StartupHandler) WaitFor(check string) {
	cfg := h.cfg
	cfg.Ready = []Check{{Name: check, Check: func(context.Context) error { return errStarting }}}
	h.SetHandler(Handler(cfg))
}

// SetHandler hands over to the handler of the started process.
func (h *StartupHandler) SetHandler(handler http.Handler) { h.handler.Store(&handler) }

// ServeHTTP implements [http.Handler].
func (h *StartupHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*h.handler.Load()).ServeHTTP(w, r)
}
