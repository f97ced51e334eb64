package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
)

// What handlers leave for the log line of their request.
const (
	logRequestID = "request_id"
	logPaymentID = "payment_id"
	logKeyName   = "api_key"
	logCode      = "code"
	logCause     = "cause"
)

const maxRequestID = 128

// observe gives every request an id and writes its one log line. Paths are
// logged as patterns, since one of them holds a secret; query values, headers
// and bodies are not logged at all.
func (s *Server) observe(c *gin.Context) {
	began := s.cfg.Now()
	id := c.GetHeader("X-Request-Id")
	if !isPrintable(id) || len(id) > maxRequestID {
		var err error
		if id, err = ledger.FreshID("req_", began, s.cfg.Entropy); err != nil {
			id = "req_none" // a request is served even without
		}
	}
	c.Set(logRequestID, id)
	c.Header("X-Request-Id", id)
	c.Header("X-Content-Type-Options", "nosniff")
	if payID := c.Param("id"); ledger.IsID(payID) {
		c.Set(logPaymentID, payID)
	}
	ctx, answered := s.cfg.Watch.Request(c.Request, routeOf(c))
	if ctx != c.Request.Context() { // a copy of the request costs something
		c.Request = c.Request.WithContext(ctx)
	}
	c.Next()
	took := s.cfg.Now().Sub(began)
	s.logRequest(c, took)
	answered(Answered{Status: c.Writer.Status(), Code: c.GetString(logCode), PaymentID: c.GetString(logPaymentID), Took: took})
}

// routeOf is the pattern of the request's path.
func routeOf(c *gin.Context) string {
	if route := c.FullPath(); route != "" {
		return strings.TrimSuffix(route, "/")
	}
	return "none"
}

func (s *Server) logRequest(c *gin.Context, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method),
		slog.String("route", routeOf(c)),
		slog.Int("status", c.Writer.Status()),
		slog.Int64("duration_ms", took.Milliseconds()),
	}
	for _, name := range []string{logRequestID, logPaymentID, logKeyName, logCode} {
		if value := c.GetString(name); value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	level := slog.LevelInfo
	if c.Writer.Status() >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if cause, ok := c.Get(logCause); ok {
		attrs = append(attrs, slog.Any("error", cause))
		if err, ok := cause.(error); ok && errors.Is(err, app.ErrOverloaded) { // there may be thousands, and a metric counts them
			level = slog.LevelWarn
		}
	}
	// The line is written even where the request's context has ended.
	s.cfg.Logger.LogAttrs(context.WithoutCancel(c.Request.Context()), level, "request", attrs...)
}

// recover answers a panic with 500 and logs where it happened. The panic's own
// text is left out unless the runtime wrote it: it may hold anything.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		caught := recover()
		if caught == nil {
			return
		}
		if err, ok := caught.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(caught) // net/http's own way to break off an answer
		}
		text := fmt.Sprintf("%T", caught)
		if err, ok := caught.(runtime.Error); ok {
			text = err.Error()
		}
		s.cfg.Logger.LogAttrs(context.WithoutCancel(c.Request.Context()), slog.LevelError, "panic",
			slog.String("request_id", c.GetString(logRequestID)),
			slog.String("panic", text),
			slog.String("stack", string(debug.Stack())))
		s.refuse(c, &app.Error{Kind: app.KindInternal})
	}()
	c.Next()
}

// isPrintable reports whether text is printable ASCII, and not empty.
func isPrintable(text string) bool {
	for _, r := range text {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return text != ""
}
