// Package telemetrytest collects logs for tests.
package telemetrytest

import (
	"bytes"
	"sync"
)

// Lines is a log in memory. The zero value is empty. It is safe for concurrent
// use, because a program may still log while the test reads.
type Lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write appends to the log.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns the log so far.
func (l *Lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
