package api

import (
	"net/http"

	"github.com/cobropay/cobro/internal/operations"
)

// ReadyCheck is something that must work before this process can serve.
type ReadyCheck = operations.Check

// Operations serves /healthz (the process lives), /readyz (what it needs works
// too) and, where Config.Metrics and Config.Codec are set, /metrics and /codec/.
// From [Config.Stopping] on it is not ready. It has no authentication: bind it to
// an address that only operators reach.
func (s *Server) Operations() http.Handler {
	return operations.Handler(operations.Config{
		Ready: s.cfg.Ready, Metrics: s.cfg.Metrics, Codec: s.cfg.Codec, Stopping: s.cfg.Stopping, Logger: s.cfg.Logger,
	})
}
