// Package telemetry makes the loggers of programs and keeps personal data and
// secrets out of logs.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/lmittmann/tint"
)

// Log formats.
const (
	FormatText = "text" // for people, in color if NewLogger is asked to
	FormatJSON = "json" // for machines, one object per line
)

// NewLogger returns a logger that writes lines in a format, [FormatText] or
// [FormatJSON], at or above level. It prints attribute values that log/slog has no
// kind for with package fmt and never marshals them, because marshaling would
// expose what package private hides.
func NewLogger(w io.Writer, format string, level slog.Level, color bool) (*slog.Logger, error) {
	switch format {
	case FormatText:
		return slog.New(tint.NewTextHandler(w, &tint.Options{
			Level: level, TimeFormat: time.TimeOnly, NoColor: !color, ReplaceAttr: printAny,
		})), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: printAny})), nil
	default:
		return nil, fmt.Errorf("log format %q: use %q or %q", format, FormatText, FormatJSON)
	}
}

// printAny replaces a value that a handler would marshal with its printed form.
func printAny(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindAny {
		return a
	}
	if _, isLevel := a.Value.Any().(slog.Level); isLevel {
		return a
	}
	return slog.String(a.Key, fmt.Sprint(a.Value.Any()))
}
