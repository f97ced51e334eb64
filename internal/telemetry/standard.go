package telemetry

import (
	"log"
	"log/slog"
	"strings"
)

// StandardLog returns a logger of package log whose lines go to logger, as the
// ErrorLog of a server for example. They end before the first quotation mark:
// net/http quotes bytes that the other side sent, which may name a customer.
func StandardLog(logger *slog.Logger) *log.Logger {
	return log.New(standard{logger}, "", 0)
}

// TakeStandardLog gives the process's standard log the output and form of
// [StandardLog]: net/http's client writes to it. It is for main functions.
// logger must not be slog's first default, which writes there too.
func TakeStandardLog(logger *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(standard{logger})
}

// standard is where a logger of package log writes.
type standard struct{ logger *slog.Logger }

// Write writes one line.
func (s standard) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(string(line), `"`)
	s.logger.Warn("said by a library", "text", strings.TrimSpace(text))
	return len(line), nil
}
