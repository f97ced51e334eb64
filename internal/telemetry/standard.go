package telemetry

import (
	"log"
	"log/slog"
	"strings"
)

// StandardLog returns a logger of package log that writes to logger, for the
// ErrorLog of a server for example. It truncates each line at the first quotation
// mark: net/http quotes bytes from the peer, which may name a customer.
func StandardLog(logger *slog.Logger) *log.Logger {
	return log.New(standard{logger}, "", 0)
}

// RedirectStandardLog sends the process's standard log, which net/http's client
// uses, through [StandardLog]. Call it in a main function. logger must not be
// slog's initial default, which writes to the standard log itself.
func RedirectStandardLog(logger *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(standard{logger})
}

// standard is the output of a logger of package log.
type standard struct{ logger *slog.Logger }

// Write writes one line.
func (s standard) Write(line []byte) (int, error) {
	text, _, _ := strings.Cut(string(line), `"`)
	s.logger.Warn("said by a library", "text", strings.TrimSpace(text))
	return len(line), nil
}
