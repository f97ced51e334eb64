package athmovilsim

import (
	"container/heap"
	"time"
)

// puertoRico is the time zone of the gateway's times, which do not name one
// (docs/athmovil.md §3). It is UTC−4 all year, so no time zone database is needed.
//
//nolint:gochecknoglobals // never modified
var puertoRico = time.FixedZone("AST", -4*60*60)

// The forms of a time (docs/athmovil.md §3). The older calls and events add
// oldFraction, whatever the fraction was.
const (
	naiveTime   = "2006-01-02 15:04:05"
	oldFraction = ".0"
	tokenTime   = "Mon Jan 02 15:04:05 MST 2006"
)

// clock is the simulator's time: the real time plus an offset, or a stopped time.
// The journal stores it, so that time never goes backward over a restart.
type clock struct {
	Offset  time.Duration `json:"offset"`
	Stopped time.Time     `json:"stopped,omitzero"` // zero while it runs
}

func (c clock) now(real time.Time) time.Time {
	if !c.Stopped.IsZero() {
		return c.Stopped
	}
	return real.Add(c.Offset)
}

func (c clock) stop(real time.Time) clock {
	c.Stopped = c.now(real)
	return c
}

// run starts the clock from its current time.
func (c clock) run(real time.Time) clock {
	return clock{Offset: c.now(real).Sub(real)}
}

func (c clock) advance(by time.Duration) clock {
	c.Offset += by
	if !c.Stopped.IsZero() {
		c.Stopped = c.Stopped.Add(by)
	}
	return c
}

// task is work that is due at a time. It runs under the simulator's lock.
type task struct {
	at  time.Time
	seq int // the order of tasks that are due at the same time
	do  func(at time.Time)
}

// taskQueue holds the tasks that are not due yet, earliest first. It implements
// [heap.Interface].
type taskQueue struct {
	tasks []task
	added int
}

// add plans do for the time at. A task checks whether it still applies when it
// runs, so nothing is ever removed.
func (a *taskQueue) add(at time.Time, do func(at time.Time)) {
	a.added++
	heap.Push(a, task{at, a.added, do})
}

// next returns the earliest due time, or false if there is no task.
func (a *taskQueue) next() (time.Time, bool) {
	if len(a.tasks) == 0 {
		return time.Time{}, false
	}
	return a.tasks[0].at, true
}

// take removes and returns the earliest task.
func (a *taskQueue) take() task { return heap.Pop(a).(task) }

func (a *taskQueue) Len() int { return len(a.tasks) }

func (a *taskQueue) Less(i, j int) bool {
	x, y := a.tasks[i], a.tasks[j]
	if x.at.Equal(y.at) {
		return x.seq < y.seq
	}
	return x.at.Before(y.at)
}

func (a *taskQueue) Swap(i, j int) { a.tasks[i], a.tasks[j] = a.tasks[j], a.tasks[i] }

func (a *taskQueue) Push(x any) { a.tasks = append(a.tasks, x.(task)) }

func (a *taskQueue) Pop() any {
	last := len(a.tasks) - 1
	t := a.tasks[last]
	a.tasks[last] = task{}
	a.tasks = a.tasks[:last]
	return t
}
