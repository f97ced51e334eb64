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

// armed returns the point that kills this process, read once from the environment.
var armed = sync.OnceValue(func() *armedPoint {
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
	return &armedPoint{point: Point(name), left: left}
})

type armedPoint struct {
	point Point
	mu    sync.Mutex
	left  int // times the point must still be reached
}

// Reach kills the process if the point is armed and this is the configured time
// that it is reached. It is safe for concurrent use.
func Reach(p Point) {
	a := armed()
	if a == nil || a.point != p {
		return
	}
	a.mu.Lock() // stays locked if the process dies
	if a.left--; a.left != 0 {
		a.mu.Unlock()
		return
	}
	if mark := os.Getenv("COBRO_FAILPOINT_MARK"); mark != "" {
		file, err := os.OpenFile(mark, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			a.mu.Unlock()
			return // another process was killed here already
		}
		_ = file.Close() // nothing was written
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {} // wait for the signal
}
