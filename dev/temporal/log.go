package temporal

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// serverLogger passes the server's warnings and errors on to slog.
type serverLogger struct {
	logger *slog.Logger
	// stopping is set when the server stops: its services lose their connections
	// then, and warn about it.
	stopping *atomic.Bool
}

var _ log.WithLogger = serverLogger{}

// fatalError is what [serverLogger.Fatal] panics with.
type fatalError struct{ text string }

func (e fatalError) Error() string { return e.text }

// Debug drops the message.
func (serverLogger) Debug(string, ...tag.Tag) {}

// Info drops the message.
func (serverLogger) Info(string, ...tag.Tag) {}

// Warn logs the message unless it is known noise or the server stops.
func (l serverLogger) Warn(message string, tags ...tag.Tag) {
	if !l.stopping.Load() && !harmless(message) {
		l.log(slog.LevelWarn, message, tags)
	}
}

// Error logs the message.
func (l serverLogger) Error(message string, tags ...tag.Tag) { l.log(slog.LevelError, message, tags) }

// DPanic logs the message at level error, as the server's own logger does in
// production.
func (l serverLogger) DPanic(message string, tags ...tag.Tag) { l.log(slog.LevelError, message, tags) }

// Panic logs the message and panics, which the server's recovery relies on.
func (l serverLogger) Panic(message string, tags ...tag.Tag) {
	l.log(slog.LevelError, message, tags)
	panic(message)
}

// Fatal logs the message and panics where the server's own logger would end the
// process: [Start] makes an error of it, and after that it ends the process.
func (l serverLogger) Fatal(message string, tags ...tag.Tag) {
	l.log(slog.LevelError, message, tags)
	text := message
	for _, t := range tags {
		if t.Key() == "error" {
			text += fmt.Sprintf(": %v", t.Value())
		}
	}
	panic(fatalError{text})
}

// With implements [log.WithLogger].
func (l serverLogger) With(tags ...tag.Tag) log.Logger {
	return serverLogger{slog.New(l.logger.Handler().WithAttrs(attributes(tags))), l.stopping}
}

func (l serverLogger) log(level slog.Level, message string, tags []tag.Tag) {
	// The server's loggers have no context to give.
	l.logger.LogAttrs(context.TODO(), level, message, attributes(tags)...) //nolint:sloglint // the server chooses its messages
}

func attributes(tags []tag.Tag) []slog.Attr {
	attributes := make([]slog.Attr, len(tags))
	for i, t := range tags {
		attributes[i] = slog.Any(t.Key(), t.Value())
	}
	return attributes
}

// harmless reports warnings that a healthy server of this kind writes.
func harmless(message string) bool {
	return strings.HasPrefix(message, "HTTP API port has not been set") // on purpose: nothing here uses Nexus
}
