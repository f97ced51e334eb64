// Package operations serves what operators and their machines ask of a process:
// whether it lives, whether it can work, and what it has measured.
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

// Check is something that must work before a process can serve.
type Check struct {
	Name string // as /readyz shows it, such as "store"
	// Check returns nil when it works. It must end when ctx does and be safe
	// for concurrent use.
	Check func(ctx context.Context) error
	// Advisory is set where the process serves without it too, if worse: the
	// answer says so and stays 200.
	Advisory bool
}

// Config says what is served. Its zero value serves /healthz, and a /readyz
// that is always ready.
type Config struct {
	// Ready is what /readyz asks.
	Ready []Check
	// Metrics is served at /metrics; nil means that there is none.
	Metrics http.Handler
	// Codec is mounted at /codec/; it decrypts for the Temporal UI. Nil means
	// none.
	Codec http.Handler
	// Stopping is closed when the process begins to stop: it is not ready from
	// then on, so that nothing new is sent to it. Nil means never.
	Stopping <-chan struct{}
	// Logger is nil for slog.Default().
	Logger *slog.Logger
}

// readyTimeout bounds all checks of one request together.
const readyTimeout = 3 * time.Second

// Handler serves /healthz (the process lives), /readyz (what it needs works
// too), /metrics and /codec/. It has no authentication: bind it to an address
// that only operators reach.
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

// health answers /healthz and /readyz.
type health struct {
	Status  string            `json:"status"`
	Missing []string          `json:"missing,omitempty"` // the checks that make it not ready
	Checks  map[string]string `json:"checks,omitempty"`
}

// showReadiness runs every check at once. Causes go to the log alone.
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
	_ = json.NewEncoder(w).Encode(shown) // whoever asked has hung up
}
