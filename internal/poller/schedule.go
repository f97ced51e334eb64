package poller

import (
	"container/heap"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
)

// endedPause is the pause before the next look at a ticket whose payment has no
// workflow that could be told.
const endedPause = time.Minute

// schedule decides which ticket is looked at when. It has no clock and does
// nothing itself; every method is told the time. It is not safe for concurrent
// use.
//
// A ticket waits until its look is due. Where there are more looks than can be
// made, the one that is due longest goes first, so that all come late and none
// never; of those that are due since the same moment, the one with the soonest
// deadline. All tickets share one queue. With several businesses each would have
// its own, and they would take turns in next.
type schedule struct {
	first, most time.Duration                     // the shortest pause and the longest
	jitter      func(time.Duration) time.Duration // a time from zero up to what it is given

	tickets map[string]*entry // by payment id
	waiting queue             // those that are not being looked at
	left    map[string]bool   // forgotten during a listing; nil while there is none
}

// entry is one ticket in a schedule.
type entry struct {
	ticket ledger.OpenTicket // never changes
	hinted time.Time         // the last hint that counted
	pause  time.Duration     // after the next look
	due    time.Time         // of the next look, or of the one under way
	ended  time.Time         // the last look, or when the ticket came
	listed bool              // its row was listed as open

	index int // in the queue; -1 during a look
}

func newSchedule(first, most time.Duration, jitter func(time.Duration) time.Duration) *schedule {
	return &schedule{
		first: first, most: max(first, most), jitter: jitter, tickets: make(map[string]*entry),
	}
}

// watch adds a ticket that was just made. One that is there stays as it is.
func (s *schedule) watch(t ledger.OpenTicket, now time.Time) {
	delete(s.left, t.PaymentID)
	if s.tickets[t.PaymentID] == nil && t.ExpiresAt.After(now) {
		s.add(t, now, now.Add(s.first-s.jitter(s.first/4)))
	}
}

func (s *schedule) add(t ledger.OpenTicket, now, due time.Time) *entry {
	e := &entry{ticket: t, hinted: t.HintedAt, pause: s.first, due: due, ended: now}
	s.tickets[t.PaymentID] = e
	heap.Push(&s.waiting, e)
	return e
}

// forget drops a ticket. A listing that is under way does not bring it back.
func (s *schedule) forget(paymentID string) {
	if s.left != nil {
		s.left[paymentID] = true
	}
	if e := s.tickets[paymentID]; e != nil {
		s.drop(e)
	}
}

func (s *schedule) drop(e *entry) {
	delete(s.tickets, e.ticket.PaymentID)
	if e.index >= 0 {
		heap.Remove(&s.waiting, e.index)
	}
}

// listing is called before the open tickets are listed; adopt or unlisted ends it.
func (s *schedule) listing() { s.left = make(map[string]bool) }

// unlisted is called where they could not be listed.
func (s *schedule) unlisted() { s.left = nil }

// adopt takes the list of all open tickets. It drops those that are no longer
// open or that another worker looks at, adds its own, and looks soon at those
// that an event has named. A ticket that was never listed stays: its row may not
// be written yet.
func (s *schedule) adopt(open []ledger.OpenTicket, mine func(paymentID string) bool, now time.Time) {
	defer s.unlisted()
	listed := make(map[string]bool, len(open))
	for _, t := range open {
		listed[t.PaymentID] = true
		e := s.tickets[t.PaymentID]
		switch own := mine(t.PaymentID); {
		case e == nil && (!own || s.left[t.PaymentID] || !t.ExpiresAt.After(now)):
		case e == nil:
			s.add(t, now, now).listed = true
		case !own:
			s.drop(e)
		default:
			e.listed = true
			s.hint(e, t.HintedAt, now)
		}
	}
	for id, e := range s.tickets {
		if e.listed && !listed[id] {
			s.drop(e)
		}
	}
}

// hint makes the pauses of a ticket short again where an event has named it since
// the last hint. However many hints come, looks stay the shortest pause apart.
func (s *schedule) hint(e *entry, at, now time.Time) {
	if !at.After(e.hinted) {
		return
	}
	e.hinted, e.pause = at, s.first
	soon := e.ended.Add(s.first)
	if soon.Before(now) {
		soon = now
	}
	if e.index >= 0 && soon.Before(e.due) {
		e.due = soon
		heap.Fix(&s.waiting, e.index)
	}
}

// next returns the ticket to look at now, or nil. The caller says with looked
// when the look has ended.
func (s *schedule) next(now time.Time) *entry {
	for len(s.waiting) > 0 && !s.waiting[0].due.After(now) {
		e := s.waiting[0]
		if e.ticket.ExpiresAt.After(now) {
			heap.Pop(&s.waiting)
			return e
		}
		s.drop(e)
	}
	return nil
}

// due returns when the next look is, and false where no ticket waits.
func (s *schedule) due() (time.Time, bool) {
	if len(s.waiting) == 0 {
		return time.Time{}, false
	}
	return s.waiting[0].due, true
}

// looked plans the next look. Pauses grow. A workflow that was told looks by itself,
// so the next look has the longest pause; ended says that nobody is there to be told
// what was seen.
func (s *schedule) looked(e *entry, now time.Time, told, ended bool) {
	if s.tickets[e.ticket.PaymentID] != e {
		return // forgotten meanwhile
	}
	pause := e.pause
	e.pause = min(pause*5/4, s.most)
	if told {
		pause = s.most
	}
	if ended {
		pause = max(pause, endedPause)
	}
	// Jitter, so that tickets made together are not looked at together.
	e.ended, e.due = now, now.Add(pause-s.jitter(pause/4))
	heap.Push(&s.waiting, e)
}

// queue implements [heap.Interface].
type queue []*entry

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].ticket.ExpiresAt.Before(q[j].ticket.ExpiresAt)
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	e := x.(*entry) //nolint:forcetypeassert // the schedule alone calls it
	e.index = len(*q)
	*q = append(*q, e)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.index = -1
	return e
}
