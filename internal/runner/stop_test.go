package runner_test

import (
	"bytes"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdk "go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/runner"
)

// stopping is a worker that has stopped when its channel is closed.
type stopping struct {
	sdk.Worker
	stopped chan struct{}
}

func (s stopping) Stop() { <-s.stopped }

// The SDK waits for workflow tasks, local activities and activities in turn, so one
// worker may take three times its timeout. The process must not.
func TestStopTimeoutHoldsForAllWorkersTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the timeout passes at once
		quick, slow := stopping{stopped: make(chan struct{})}, stopping{stopped: make(chan struct{})}
		close(quick.stopped)
		var log bytes.Buffer
		cfg := runner.Config{Config: process.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, StopTimeout: 10 * time.Second}
		runner.Stop(cfg, slow, quick)
		require.Contains(t, log.String(), "raise COBRO_STOP_TIMEOUT")

		close(slow.stopped)
		log.Reset()
		runner.Stop(cfg, slow, quick)
		require.Empty(t, log.String(), "nothing was cut")
	})
}
