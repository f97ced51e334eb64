package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// ReadyCheck is something that must work before this process can serve.
type ReadyCheck struct {
	Name string // as /readyz shows it, such as "store"
	// Check returns nil when it works. It must end when ctx does and be safe
	// for concurrent use.
	Check func(ctx context.Context) error
}

// readyTimeout bounds all checks of one request together.
const readyTimeout = 3 * time.Second

// Operations serves /healthz (the process lives), /readyz (what it needs works
// too) and, where Config.Codec is set, /codec/. It has no authentication: bind
// it to an address that only operators reach.
func (s *Server) Operations() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.writeHealth(w, http.StatusOK, health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", s.showReadiness)
	if s.cfg.Codec != nil {
		mux.Handle("/codec/", http.StripPrefix("/codec", s.cfg.Codec))
	}
	return mux
}

// health answers /healthz and /readyz.
type health struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// showReadiness runs every check at once. Causes go to the log alone.
func (s *Server) showReadiness(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	outcomes := make([]error, len(s.cfg.Ready))
	var checks sync.WaitGroup
	for i, ready := range s.cfg.Ready {
		checks.Go(func() { outcomes[i] = ready.Check(ctx) })
	}
	checks.Wait()

	status, shown := http.StatusOK, health{Status: "ready", Checks: map[string]string{}}
	for i, ready := range s.cfg.Ready {
		shown.Checks[ready.Name] = "ok"
		if err := outcomes[i]; err != nil {
			status, shown.Status, shown.Checks[ready.Name] = http.StatusServiceUnavailable, "not ready", "failing"
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", ready.Name), slog.Any("error", err))
		}
	}
	s.writeHealth(w, status, shown)
}

func (s *Server) writeHealth(w http.ResponseWriter, status int, shown health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(shown) // whoever asked has hung up
}
