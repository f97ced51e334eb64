package api

import (
	"context"
	"net/http"
	"time"
)

// Watcher follows what the API does, to measure and to trace it. It learns
// nothing that a client chose: routes are patterns, and ids are ours. It is safe
// for concurrent use.
type Watcher interface {
	// Request is called before a request is handled, which goes on with the
	// context that it returns, and answered after it.
	Request(r *http.Request, route string) (ctx context.Context, answered func(Answered))
}

// Answered is how a request ended.
type Answered struct {
	Status    int
	Code      string // of the problem, or empty
	PaymentID string // or empty
	Took      time.Duration
}

// unwatched is the Watcher of a server that has none.
type unwatched struct{}

func (unwatched) Request(r *http.Request, _ string) (context.Context, func(Answered)) {
	return r.Context(), func(Answered) {}
}
