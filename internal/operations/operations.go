// Package operations serves the health checks and metrics of a process.
package operations

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Check tests something that a process needs.
type Check struct {
	Name string // as /readyz shows it, such as "store"
	// Check returns nil if it works. It must return when ctx ends, and be safe for
	// concurrent use.
	Check func(ctx context.Context) error
	// Advisory means that the process can serve without it: a failure is shown,
	// but /readyz stays 200.
	Advisory bool
}

// Config says what to serve. The zero value serves /healthz, and a /readyz that is
// always ready.
type Config struct {
	// Ready are the checks of /readyz.
	Ready []Check
	// Metrics is served at /metrics; nil means none.
	Metrics http.Handler
	// Codec is served at /codec/ and decrypts payloads for the Temporal UI; nil
	// means none.
	Codec http.Handler
	// Stopping is closed when shutdown starts. From then on the process is not
	// ready, so that it gets no new traffic. Nil means never.
	Stopping <-chan struct{}
	// Logger; nil means slog.Default().
	Logger *slog.Logger
}

// readyTimeout limits all checks of one request together.
const readyTimeout = 3 * time.Second

// Handler serves /healthz (the process is alive), /readyz (its checks pass),
// /metrics and /codec/. It has no authentication: bind it to an address that only
// operators can reach.
func Handler(cfg Config) http.Handler {
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, http.StatusOK, health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", cfg.showReadiness)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	}
	if cfg.Codec != nil {
		mux.Handle("/codec/", http.StripPrefix("/codec", cfg.Codec))
	}
	return mux
}

// health is the response of /healthz and /readyz.
type health struct {
	Status  string            `json:"status"`
	Missing []string          `json:"missing,omitempty"` // the failing checks that make it not ready
	Checks  map[string]string `json:"checks,omitempty"`
}

// showReadiness runs all checks concurrently. Errors go to the log only.
func (cfg *Config) showReadiness(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	outcomes := make([]error, len(cfg.Ready))
	var checks sync.WaitGroup
	for i, ready := range cfg.Ready {
		checks.Go(func() { outcomes[i] = ready.Check(ctx) })
	}
	checks.Wait()

	status, shown := http.StatusOK, health{Status: "ready", Checks: map[string]string{}}
	for i, ready := range cfg.Ready {
		shown.Checks[ready.Name] = "ok"
		if err := outcomes[i]; err != nil {
			shown.Checks[ready.Name] = "failing"
			cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", ready.Name), slog.Any("error", err))
			if !ready.Advisory {
				status, shown.Status, shown.Missing = http.StatusServiceUnavailable, "not ready", append(shown.Missing, ready.Name)
			}
		}
	}
	if cfg.stopping() {
		status, shown.Status = http.StatusServiceUnavailable, "stopping"
	}
	writeHealth(w, status, shown)
}

func (cfg *Config) stopping() bool {
	select {
	case <-cfg.Stopping:
		return true
	default:
		return false
	}
}

func writeHealth(w http.ResponseWriter, status int, shown health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(shown) // an error means that the client has disconnected
}
