package runner

import (
	"net/http"

	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/store"
)

// Metrics are those that a process with a configuration serves.
func Metrics(c Config) http.Handler {
	c.setDefaults()
	return c.Metrics.Handler(c.Logger)
}

// Stop stops workers as Run does in the end.
func Stop(cfg Config, workers ...sdk.Worker) {
	r := runner{cfg: cfg}
	r.stop(stopsOf(workers))
}

// ReadyChecks are those of a worker that polls some queues.
func ReadyChecks(db *store.Store, temporal client.Client, queues ...string) []operations.Check {
	r := runner{process: &process.Process{Store: db, Temporal: temporal}, queues: queues}
	return r.readyChecks()
}
