// Package telemetrytest collects logs for tests.
package telemetrytest

import (
	"bytes"
	"sync"
)

// LogBuffer is a log in memory. The zero value is empty. It is safe for concurrent
// use, because a program may still log while the test reads.
type LogBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write appends to the log.
func (b *LogBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns the log so far.
func (b *LogBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
