package athmovilsim

import (
	"time"
)

// state is everything that the journal stores. Only apply modifies it. The other
// methods return the change to make.
type state struct {
	tickets       map[string]ticket
	order         []string            // ids, oldest first
	subjects      map[string]string   // claim "sub" → id
	references    map[string]string   // reference number of a payment → id
	daily         map[businessDay]int // last dailyTransactionId given out
	subscriptions map[string]subscription
	book          []bookEntry
	clock         clock
	key           []byte
}

// businessDay is a day of one business, in Puerto Rico. Daily ids start again each
// day (docs/athmovil.md §3).
type businessDay struct{ business, day string }

func newState() *state {
	return &state{
		tickets:       map[string]ticket{},
		subjects:      map[string]string{},
		references:    map[string]string{},
		daily:         map[businessDay]int{},
		subscriptions: map[string]subscription{},
	}
}

// apply applies c. It cannot fail, because c was checked when it was made.
func (st *state) apply(c change) {
	if c.Key != nil {
		st.key = c.Key
	}
	if c.Clock != nil {
		st.clock = *c.Clock
	}
	if c.Subscription != nil {
		st.subscriptions[c.Subscription.Business] = *c.Subscription
	}
	if c.Entry != nil {
		st.book = append(st.book, *c.Entry)
	}
	if c.Ticket == nil {
		return
	}
	t := *c.Ticket
	if _, known := st.tickets[t.ID]; !known {
		st.order = append(st.order, t.ID)
		st.subjects[t.Subject] = t.ID
	}
	st.tickets[t.ID] = t
	if t.Reference != "" {
		st.references[t.Reference] = t.ID
		st.usedDaily(t.Business, t.CompletedAt, t.DailyID)
	}
	for _, r := range t.Refunds {
		st.usedDaily(t.Business, r.At, r.DailyID)
	}
}

func (st *state) usedDaily(business string, at time.Time, id int) {
	day := dayOf(business, at)
	st.daily[day] = max(st.daily[day], id)
}

func (st *state) nextDaily(business string, at time.Time) int {
	return st.daily[dayOf(business, at)] + 1
}

func dayOf(business string, at time.Time) businessDay {
	return businessDay{business, at.In(puertoRico).Format(time.DateOnly)}
}

// all returns the tickets, oldest first.
func (st *state) all() []ticket {
	tickets := make([]ticket, 0, len(st.order))
	for _, id := range st.order {
		tickets = append(tickets, st.tickets[id])
	}
	return tickets
}

// ticket returns a ticket by its id.
func (st *state) ticket(id string) (ticket, error) {
	t, known := st.tickets[id]
	if !known {
		return ticket{}, refuse(codeUnknownTicket)
	}
	return t, nil
}

// confirm is the customer's confirmation, from a script, the phone page or the
// control API. It sends no webhook.
func (st *state) confirm(id, phone string) (change, error) {
	t, err := st.ticket(id)
	if err != nil {
		return change{}, err
	}
	t, err = t.confirmed(phone)
	if err != nil {
		return change{}, err
	}
	return change{Ticket: &t}, nil
}

// cancel ends a ticket. It sends a webhook unless silent.
func (st *state) cancel(id string, by ending, silent bool) (change, error) {
	t, err := st.ticket(id)
	if err != nil {
		return change{}, err
	}
	t, err = t.cancelled(by)
	if err != nil {
		return change{}, err
	}
	c := change{Ticket: &t}
	switch {
	case by == byTimer:
		c.events = []event{{kind: eventExpired, ticket: t}}
	case !silent:
		c.events = []event{{kind: eventCancelled, ticket: t}}
	}
	return c, nil
}

// authorize is the debit. The caller has checked that t is authorizable.
func (st *state) authorize(t ticket, now time.Time, fee cents) change {
	t = t.completed(now, newReference(), st.nextDaily(t.Business, now), fee)
	return change{
		Ticket: &t,
		Entry:  &bookEntry{debit, t.ID, t.Reference, t.Total, now},
		events: []event{{kind: eventCompleted, ticket: t}},
	}
}

// refund is a credit. The caller sets the amount, message and origin of r.
func (st *state) refund(t ticket, r refund, now time.Time, echo bool) (change, error) {
	r.At = now
	r.DailyID = st.nextDaily(t.Business, now)
	r.Reference = newReference()
	if echo {
		r.Reference = t.Reference
	}
	t, err := t.withRefund(r)
	if err != nil {
		return change{}, err
	}
	return change{
		Ticket: &t,
		Entry:  &bookEntry{credit, t.ID, r.Reference, r.Amount, now},
		events: []event{{kind: eventRefund, ticket: t, refund: r}},
	}, nil
}
