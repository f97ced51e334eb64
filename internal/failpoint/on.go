//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// armed is where this process dies, read once from its environment.
var armed = sync.OnceValue(func() *trap {
	name, count, _ := strings.Cut(os.Getenv("COBRO_FAILPOINT"), "@")
	if name == "" {
		return nil
	}
	left := 1
	if count != "" {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 {
			panic(fmt.Sprintf("COBRO_FAILPOINT: %q is not a number of times", count))
		}
		left = n
	}
	if !slices.Contains(Points(), Point(name)) {
		panic(fmt.Sprintf("COBRO_FAILPOINT: no point %q; the points are %v", name, Points()))
	}
	return &trap{point: Point(name), left: left}
})

type trap struct {
	point Point
	mu    sync.Mutex
	left  int // how often the point is reached until the process dies
}

// Reach kills the process where the point is armed and was reached often enough.
// It is safe for concurrent use.
func Reach(p Point) {
	t := armed()
	if t == nil || t.point != p {
		return
	}
	t.mu.Lock() // and never released on the way to the end
	if t.left--; t.left != 0 {
		t.mu.Unlock()
		return
	}
	if mark := os.Getenv("COBRO_FAILPOINT_MARK"); mark != "" {
		file, err := os.OpenFile(mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			t.mu.Unlock()
			return // another process died here already
		}
		_ = file.Close() // empty
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}
