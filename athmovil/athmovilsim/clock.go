package athmovilsim

import (
	"container/heap"
	"time"
)

// puertoRico is the zone of the gateway's naive times (docs/athmovil.md §3).
// The island keeps UTC−4 all year, so no time-zone database is needed.
//
//nolint:gochecknoglobals // never written to
var puertoRico = time.FixedZone("AST", -4*60*60)

// The three spellings of a time, docs/athmovil.md §3.
const (
	naiveTime    = "2006-01-02 15:04:05"
	naiveTimeOld = "2006-01-02 15:04:05.0"
	tokenTime    = "Mon Jan 02 15:04:05 MST 2006"
)

// clock tells the simulator's time: the real one, shifted, or one that stands
// still. The journal keeps it, so that time never runs backwards over a
// restart.
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

// run lets the clock go on from where it stands.
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

// task is something to do, under the simulator's lock, when its time has come.
type task struct {
	at  time.Time
	seq int // keeps tasks of one moment in order
	do  func(at time.Time)
}

// agenda holds what is to be done later, earliest first. It implements
// [heap.Interface].
type agenda struct {
	tasks []task
	added int
}

// add plans do for the moment at. A task checks for itself whether it is still
// wanted, so nothing is ever removed.
func (a *agenda) add(at time.Time, do func(at time.Time)) {
	a.added++
	heap.Push(a, task{at, a.added, do})
}

// next returns the earliest moment, or false where nothing is planned.
func (a *agenda) next() (time.Time, bool) {
	if len(a.tasks) == 0 {
		return time.Time{}, false
	}
	return a.tasks[0].at, true
}

// take removes the earliest task.
func (a *agenda) take() task { return heap.Pop(a).(task) }

func (a *agenda) Len() int { return len(a.tasks) }

func (a *agenda) Less(i, j int) bool {
	x, y := a.tasks[i], a.tasks[j]
	if x.at.Equal(y.at) {
		return x.seq < y.seq
	}
	return x.at.Before(y.at)
}

func (a *agenda) Swap(i, j int) { a.tasks[i], a.tasks[j] = a.tasks[j], a.tasks[i] }

func (a *agenda) Push(x any) { a.tasks = append(a.tasks, x.(task)) }

func (a *agenda) Pop() any {
	last := len(a.tasks) - 1
	t := a.tasks[last]
	a.tasks[last] = task{}
	a.tasks = a.tasks[:last]
	return t
}
