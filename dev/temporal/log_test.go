package temporal

import (
	"bytes"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/server/common/log/tag"
)

func TestTheServersLoggerPassesOnWhatMatters(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var stopping atomic.Bool
	logger := serverLogger{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), &stopping}
	tagged := logger.With(tag.NewStringTag("shard", "seven"))

	logger.Debug("a detail")
	logger.Info("an event")
	logger.Warn("HTTP API port has not been set. Nexus HTTP endpoints will not be available.")
	require.Empty(t, out.String())

	tagged.Warn("a warning")
	require.Contains(t, out.String(), `level=WARN msg="a warning" shard=seven`)
	tagged.Error("an error", tag.Error(errors.New("disk full")))
	require.Contains(t, out.String(), `level=ERROR msg="an error" shard=seven error="disk full"`)

	out.Reset()
	stopping.Store(true)
	tagged.Warn("network dial error")
	require.Empty(t, out.String(), "a server that stops loses its connections")
	tagged.Error("an error")
	require.NotEmpty(t, out.String())
}

func TestALostRaceForAPortIsAnError(t *testing.T) {
	t.Parallel()
	logger := serverLogger{slog.New(slog.DiscardHandler), new(atomic.Bool)}
	require.PanicsWithError(t, "no listener: address in use", func() {
		logger.Fatal("no listener", tag.Error(errors.New("address in use")), tag.NewStringTag("service", "frontend"))
	})
}
