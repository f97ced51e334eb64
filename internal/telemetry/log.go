// Package telemetry makes what a program says about itself readable, and keeps
// personal data and secrets out of it.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// Formats of log lines.
const (
	FormatText = "text" // for people, coloured where color is asked for
	FormatJSON = "json" // for machines, one object a line
)

// NewLogger returns a logger that writes lines of a format, [FormatText] or
// [FormatJSON], from a level on. Attributes that are values of any other kind
// than log/slog's own are printed with package fmt, never marshalled: marshalling
// would lay open what package private covers.
func NewLogger(w io.Writer, format string, level slog.Level, color bool) (*slog.Logger, error) {
	switch format {
	case FormatText:
		return slog.New(tint.NewTextHandler(w, &tint.Options{
			Level: level, TimeFormat: time.TimeOnly, NoColor: !color, ReplaceAttr: printed,
		})), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: printed})), nil
	default:
		return nil, fmt.Errorf("log format %q: use %q or %q", format, FormatText, FormatJSON)
	}
}

// printed replaces a value that a handler would marshal by its printed form.
func printed(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindAny {
		return a
	}
	if _, isLevel := a.Value.Any().(slog.Level); isLevel {
		return a
	}
	return slog.String(a.Key, fmt.Sprint(a.Value.Any()))
}
