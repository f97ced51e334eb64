package poller

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cobropay/cobro/internal/ledger"
)

var noon = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

// at is a moment that many seconds after noon.
func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func ticket(id string, until float64) ledger.OpenTicket {
	return ledger.OpenTicket{PaymentID: id, EcommerceID: "ticket of " + id, ExpiresAt: at(until)}
}

func hinted(t ledger.OpenTicket, seconds float64) ledger.OpenTicket {
	t.HintedAt = at(seconds)
	return t
}

func exact(time.Duration) time.Duration { return 0 }

func all(string) bool  { return true }
func none(string) bool { return false }

// looks runs a schedule until a moment, with looks that take no time, and returns
// when it looked at what. Something happens at some moments.
func looks(s *schedule, until time.Time, happens map[float64]func()) []string {
	var looked []string
	for now := noon; !now.After(until); now = now.Add(100 * time.Millisecond) {
		if do := happens[now.Sub(noon).Seconds()]; do != nil {
			do()
		}
		for e := s.next(now); e != nil; e = s.next(now) {
			looked = append(looked, fmt.Sprintf("%s %.1f", e.ticket.PaymentID, now.Sub(noon).Seconds()))
			s.looked(e, now, e.ticket.PaymentID == "told", e.ticket.PaymentID == "gone")
		}
	}
	return looked
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		until   float64
		happens func(s *schedule) map[float64]func()
		want    []string
	}{
		{"pauses grow to the longest", 12, func(s *schedule) map[float64]func() {
			return map[float64]func(){0: func() { s.watch(ticket("a", 600), at(0)) }}
		}, []string{"a 1.0", "a 2.0", "a 3.3", "a 4.9", "a 6.9", "a 8.9", "a 10.9"}},
		{"what is watched again goes on as before", 4, func(s *schedule) map[float64]func() {
			return map[float64]func(){0: func() { s.watch(ticket("a", 600), at(0)) }, 1.5: func() { s.watch(ticket("a", 600), at(1.5)) }}
		}, []string{"a 1.0", "a 2.0", "a 3.3"}},
		{"a hint makes the pauses short", 9.5, func(s *schedule) map[float64]func() {
			return map[float64]func(){
				0:   func() { s.watch(ticket("a", 600), at(0)) },
				7.5: func() { s.adopt([]ledger.OpenTicket{hinted(ticket("a", 600), 7.2)}, all, at(7.5)) },
			}
		}, []string{"a 1.0", "a 2.0", "a 3.3", "a 4.9", "a 6.9", "a 7.9", "a 8.9"}},
		{"no flood of hints makes them shorter", 3.5, func(s *schedule) map[float64]func() {
			happens := map[float64]func(){0: func() { s.watch(ticket("a", 600), at(0)) }}
			for i := 1; i < 35; i++ {
				now := float64(i) / 10
				happens[now] = func() { s.adopt([]ledger.OpenTicket{hinted(ticket("a", 600), now)}, all, at(now)) }
			}
			return happens
		}, []string{"a 1.0", "a 2.0", "a 3.0"}},
		{"a hint that was there before is none", 5, func(s *schedule) map[float64]func() {
			list := func(now float64) func() {
				return func() { s.adopt([]ledger.OpenTicket{hinted(ticket("a", 600), -5)}, all, at(now)) }
			}
			return map[float64]func(){0: list(0), 2: list(2), 4: list(4)}
		}, []string{"a 0.0", "a 1.0", "a 2.3", "a 3.9"}},
		{"an open row is looked at once it is listed", 1, func(s *schedule) map[float64]func() {
			return map[float64]func(){0.5: func() { s.adopt([]ledger.OpenTicket{ticket("a", 600)}, all, at(0.5)) }}
		}, []string{"a 0.5"}},
		{"of those due together the soonest deadline goes first", 0, func(s *schedule) map[float64]func() {
			return map[float64]func(){0: func() {
				s.adopt([]ledger.OpenTicket{ticket("c", 30), ticket("a", 10), ticket("b", 20)}, all, at(0))
			}}
		}, []string{"a 0.0", "b 0.0", "c 0.0"}},
		{"from the deadline on the workflow looks", 9, func(s *schedule) map[float64]func() {
			return map[float64]func(){
				0: func() { s.watch(ticket("a", 3), at(0)); s.watch(ticket("late", 0), at(0)) },
				4: func() { s.adopt([]ledger.OpenTicket{ticket("b", 4)}, all, at(4)) },
			}
		}, []string{"a 1.0", "a 2.0"}},
		{"what is forgotten is not looked at", 9, func(s *schedule) map[float64]func() {
			return map[float64]func(){0: func() { s.watch(ticket("a", 600), at(0)) }, 1.5: func() { s.forget("a") }}
		}, []string{"a 1.0"}},
		{"a listing that was under way brings nothing back", 9, func(s *schedule) map[float64]func() {
			return map[float64]func(){
				0:   func() { s.watch(ticket("a", 600), at(0)) },
				1.5: s.listing,
				1.6: func() { s.forget("a") },
				1.7: func() { s.adopt([]ledger.OpenTicket{ticket("a", 600), ticket("b", 600)}, all, at(1.7)) },
				1.8: func() { s.adopt(nil, all, at(1.8)) },
			}
		}, []string{"a 1.0", "b 1.7"}},
		{"a row that is no longer open is not looked at", 9, func(s *schedule) map[float64]func() {
			return map[float64]func(){
				0: func() { s.adopt([]ledger.OpenTicket{ticket("a", 600)}, all, at(0)) },
				2: func() { s.adopt(nil, all, at(2)) },
			}
		}, []string{"a 0.0", "a 1.0"}},
		{"a ticket without a row stays", 4, func(s *schedule) map[float64]func() {
			return map[float64]func(){0: func() { s.watch(ticket("a", 600), at(0)) }, 1.5: func() { s.adopt(nil, all, at(1.5)) }}
		}, []string{"a 1.0", "a 2.0", "a 3.3"}},
		{"a ticket of another worker is left to it", 4, func(s *schedule) map[float64]func() {
			return map[float64]func(){
				0:   func() { s.watch(ticket("a", 600), at(0)) },
				1.5: func() { s.adopt([]ledger.OpenTicket{ticket("a", 600), ticket("b", 600)}, none, at(1.5)) },
			}
		}, []string{"a 1.0"}},
		{"a payment whose workflow was told is looked at with the longest pause", 6, func(s *schedule) map[float64]func() {
			return map[float64]func(){0: func() { s.watch(ticket("told", 600), at(0)) }}
		}, []string{"told 1.0", "told 3.0", "told 5.0"}},
		{"a payment without a workflow is looked at seldom", 130, func(s *schedule) map[float64]func() {
			return map[float64]func(){0: func() { s.watch(ticket("gone", 600), at(0)) }}
		}, []string{"gone 1.0", "gone 61.0", "gone 121.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSchedule(time.Second, 2*time.Second, exact)
			require.Equal(t, tt.want, looks(s, at(tt.until), tt.happens(s)))
		})
	}
}

// A ticket that was forgotten and watched again during a look is another one.
func TestLookOfAForgottenTicketPlansNothing(t *testing.T) {
	t.Parallel()
	s := newSchedule(time.Second, time.Second, exact)
	s.watch(ticket("a", 600), at(0))
	e := s.next(at(1))
	require.NotNil(t, e)
	s.forget("a")
	s.watch(ticket("a", 600), at(1))
	s.looked(e, at(1.5), false, false)
	require.Len(t, s.waiting, 1)
	due, waits := s.due()
	require.True(t, waits)
	require.Equal(t, at(2), due)
}

// TestAnySchedule does anything in any order, and holds the schedule to what it
// promises: every ticket is in one place, none is looked at twice at once, after
// its deadline, sooner than the shortest pause, or, while there are looks enough,
// later than the longest.
func TestAnySchedule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(c *rapid.T) {
		const first, most = time.Second, 5 * time.Second
		s := newSchedule(first, most, func(d time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(d)).Draw(c, "jitter"))
		})
		now := noon
		until := map[string]time.Time{} // as the model has it: watched, and not forgotten
		rows := map[string]ledger.OpenTicket{}
		under := map[string]*entry{}
		last := map[string]time.Time{}
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		made := func(id string) ledger.OpenTicket {
			return ledger.OpenTicket{PaymentID: id, EcommerceID: id, ExpiresAt: now.Add(time.Duration(rapid.IntRange(0, 60).Draw(c, "life")) * time.Second)}
		}
		c.Repeat(map[string]func(*rapid.T){
			"watch": func(c *rapid.T) {
				t := made(ids.Draw(c, "id"))
				s.watch(t, now)
				if _, known := until[t.PaymentID]; !known && t.ExpiresAt.After(now) {
					until[t.PaymentID] = t.ExpiresAt
					last[t.PaymentID] = now
				}
			},
			"forget": func(c *rapid.T) {
				id := ids.Draw(c, "id")
				s.forget(id)
				delete(until, id)
				delete(rows, id)
				delete(under, id)
			},
			"list": func(c *rapid.T) {
				var open []ledger.OpenTicket
				for id, end := range until {
					if rapid.Bool().Draw(c, "written") || !rows[id].ExpiresAt.IsZero() {
						rows[id] = ledger.OpenTicket{PaymentID: id, EcommerceID: id, ExpiresAt: end, HintedAt: now}
						open = append(open, rows[id])
					}
				}
				s.listing()
				s.adopt(open, all, now)
			},
			"look": func(c *rapid.T) {
				e := s.next(now)
				if e == nil {
					return
				}
				id := e.ticket.PaymentID
				require.NotContains(c, under, id, "two looks at once")
				require.Contains(c, until, id, "a ticket that was forgotten")
				require.True(c, now.Before(e.ticket.ExpiresAt), "a look after the deadline")
				require.GreaterOrEqual(c, now.Sub(last[id]), first*3/4, "sooner than the shortest pause")
				under[id] = e
			},
			"answer": func(c *rapid.T) {
				for _, id := range slices.Sorted(maps.Keys(under)) {
					s.looked(under[id], now, false, false)
					delete(under, id)
					last[id] = now
					return
				}
			},
			"time": func(c *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(c, "passes")) * time.Millisecond)
			},
			"": func(c *rapid.T) {
				for id, end := range until {
					if !end.After(now) { // dropped by the next listing or look
						delete(until, id)
						delete(rows, id)
						delete(under, id)
						s.forget(id)
					}
				}
				require.Len(c, s.tickets, len(until))
				require.Equal(c, len(until), len(s.waiting)+len(under), "in one place each")
				for id, e := range s.tickets {
					require.Contains(c, until, id)
					if e.index >= 0 {
						require.Same(c, e, s.waiting[e.index])
						require.LessOrEqual(c, e.due.Sub(last[id]), most, "later than the longest pause")
					}
				}
			},
		})
	})
}

func TestOwnersShareTheTickets(t *testing.T) {
	t.Parallel()
	workers := []string{"a", "b", "c"}
	shares := map[string]int{}
	for i := range 3000 {
		id := fmt.Sprintf("pay_%d", i)
		of := owner(workers, id)
		shares[of]++
		if of != "c" {
			require.Equal(t, of, owner([]string{"a", "b"}, id), "only what c had moves when c goes")
		}
		require.Equal(t, of, owner([]string{"c", "a", "b"}, id), "whatever their order")
		require.Equal(t, "a", owner([]string{"a"}, id))
	}
	for _, worker := range workers {
		require.InDelta(t, 1000, shares[worker], 120)
	}
	require.Empty(t, owner(nil, "pay_1"))
}
