package temporalclient

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"unicode"

	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/private"
)

// Logger returns a logger for Temporal's SDK whose lines look like all other
// lines: WorkflowID becomes workflow_id. Where isPayment says that a workflow's id
// is a payment's, it adds payment_id, so that one search finds the lines of the
// API and of the worker. It leaves out the text of a benign error: that is a
// receiver's, and may name a customer. The SDK logs such errors at the debug
// level, and at info where the activity timed out.
func Logger(logger *slog.Logger, isPayment func(id string) bool) *slog.Logger {
	return slog.New(sdkHandler{logger.Handler(), isPayment})
}

type sdkHandler struct {
	slog.Handler
	isPayment func(string) bool
}

// Handle implements slog.Handler.
func (h sdkHandler) Handle(ctx context.Context, record slog.Record) error {
	renamed := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	record.Attrs(func(a slog.Attr) bool {
		renamed.AddAttrs(h.rename(a)...)
		return true
	})
	return h.Handler.Handle(ctx, renamed)
}

// WithAttrs implements slog.Handler.
func (h sdkHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var renamed []slog.Attr
	for _, a := range attrs {
		renamed = append(renamed, h.rename(a)...)
	}
	return sdkHandler{h.Handler.WithAttrs(renamed), h.isPayment}
}

// WithGroup implements slog.Handler.
func (h sdkHandler) WithGroup(name string) slog.Handler {
	return sdkHandler{h.Handler.WithGroup(name), h.isPayment}
}

func (h sdkHandler) rename(a slog.Attr) []slog.Attr {
	renamed := []slog.Attr{{Key: underscored(a.Key), Value: a.Value}}
	if err, ok := a.Value.Any().(error); ok && benign(err) {
		renamed[0].Value = slog.StringValue(private.Mark)
	}
	if id := a.Value.String(); a.Key == "WorkflowID" && h.isPayment(id) {
		renamed = append(renamed, slog.String("payment_id", id))
	}
	return renamed
}

// benign reports whether an error, or one that it wraps, has the category that
// package notify gives to the errors of receivers.
func benign(err error) bool {
	var application *temporal.ApplicationError
	return errors.As(err, &application) && application.Category() == temporal.ApplicationErrorCategoryBenign
}

// underscored turns WorkflowID into workflow_id. Other keys stay as they are.
func underscored(key string) string {
	var out strings.Builder
	lower := false // whether the letter before was lower case
	for _, r := range key {
		if unicode.IsUpper(r) && lower {
			out.WriteByte('_')
		}
		lower = unicode.IsLower(r)
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
