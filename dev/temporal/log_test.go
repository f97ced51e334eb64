package temporal

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/server/common/log/tag"
)

func TestServerLogKeepsWarningsAndErrors(t *testing.T) {
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

// Between the check of a port and the server's own attempt, another program can
// take it.
func TestPortTakenDuringStartIsAnError(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	database, release, err := openDatabase(t.Context(), "")
	require.NoError(t, err)

	s := &Server{release: release}
	t.Cleanup(s.Stop)
	taken := listener.Addr().(*net.TCPAddr).AddrPort()
	err = s.run(t.Context(), Options{Namespace: "default", Retention: time.Hour, Logger: slog.New(slog.DiscardHandler)}, taken, sqliteStores(database))
	require.ErrorContains(t, err, taken.String())
	require.ErrorContains(t, err, "in use")
}
