package cobrotest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
)

// failing is a test that may fail: it keeps what it was passed instead. Watch runs
// one to its end.
type failing struct {
	testing.TB // nil; what is not below panics

	mu       sync.Mutex
	errors   []string // guarded by mu
	logs     []string // guarded by mu
	cleanups []func()
	ctx      context.Context
	ended    bool
}

// watch runs do as a test of its own would be run, and returns it.
func watch(ctx context.Context, do func(t testing.TB)) *failing {
	f := &failing{ctx: ctx}
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		defer func() {
			for _, cleanup := range f.cleanups {
				defer cleanup()
			}
		}()
		do(f)
		f.ended = true
	}()
	<-done
	return f
}

func (f *failing) Helper()                   {}
func (f *failing) Context() context.Context  { return f.ctx }
func (f *failing) Cleanup(do func())         { f.cleanups = append(f.cleanups, do) }
func (f *failing) Errorf(s string, a ...any) { f.keep(&f.errors, s, a) }
func (f *failing) Logf(s string, a ...any)   { f.keep(&f.logs, s, a) }

func (f *failing) Fatalf(s string, a ...any) {
	f.Errorf(s, a...)
	runtime.Goexit()
}

func (f *failing) TempDir() string {
	dir, err := os.MkdirTemp("", "cobrotest-")
	if err != nil {
		f.Fatalf("%v", err)
	}
	f.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			f.Errorf("%v", err)
		}
	})
	return dir
}

func (f *failing) keep(list *[]string, format string, args []any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*list = append(*list, fmt.Sprintf(format, args...))
}

// inTest runs an example as a test, and prints what it complains of.
func inTest(do func(t testing.TB)) {
	for _, complaint := range watch(context.Background(), do).errors {
		fmt.Println(complaint)
	}
}
