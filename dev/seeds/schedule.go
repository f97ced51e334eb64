package seeds

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cobropay/cobro/dev/testcluster"
)

// schedule is everything that will happen. The same seed always has the same one.
type schedule struct {
	Seed      uint64    `json:"seed"`
	Sales     []sale    `json:"sales"`
	Outages   []outage  `json:"outages"`
	Forgeries []forgery `json:"forgeries"`
}

// sale is one payment and what happens to it.
type sale struct {
	At        time.Duration `json:"at"`
	Key       string        `json:"key"`
	Cents     int64         `json:"cents"`
	Phone     string        `json:"phone,omitempty"` // empty: it comes later
	ExpiresIn int           `json:"expires_in"`      // seconds
	Create    string        `json:"create,omitempty"`
	Faults    []fault       `json:"faults,omitempty"`
	Decision  string        `json:"decision"`         // what the customer does
	After     time.Duration `json:"after"`            // how long after the payment was opened
	Cancel    time.Duration `json:"cancel,omitempty"` // when the merchant cancels
	Refunds   []refund      `json:"refunds,omitempty"`
	InApp     []int64       `json:"in_app,omitempty"` // refunds made in the ATH Business app once the outages are over
}

// fault is one of the simulator, aimed at the sale's ticket.
type fault struct {
	Op    string `json:"op"`
	Fault string `json:"fault"`
	Times int    `json:"times"`
}

// refund is requested several times with one key.
type refund struct {
	Key   string `json:"key"`
	Cents int64  `json:"cents"`
	Times int    `json:"times"`
	Fault string `json:"fault,omitempty"`
}

// outage takes a part away for a while.
type outage struct {
	At   time.Duration    `json:"at"`
	Part testcluster.Part `json:"part"`
	Kill bool             `json:"kill"` // SIGKILL, else SIGTERM
	For  time.Duration    `json:"for"`
}

// length is how long outages begin.
const length = 5 * time.Second

// plan draws a schedule.
func plan(seed uint64) schedule {
	r := rand.New(rand.NewPCG(seed, 0xC0B80))
	s := schedule{Seed: seed}
	for i := range 20 + r.IntN(6) {
		s.Sales = append(s.Sales, drawSale(r, i))
	}
	for range 2 + r.IntN(4) {
		s.Outages = append(s.Outages, outage{
			At: moment(r, length), Part: testcluster.Parts()[r.IntN(len(testcluster.Parts()))], Kill: r.IntN(4) > 0, For: moment(r, time.Second),
		})
	}
	s.Forgeries = drawForgeries(r, len(s.Sales))
	return s
}

// moment is any time before most.
func moment(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most/time.Millisecond))) * time.Millisecond
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// money lists the ways in which a call that moves money goes wrong.
func money(r *rand.Rand) string {
	return pick(r, "drop_before", "drop_after", "drop_after", "error_500", "error_9998", "html_403", "cut_body", "http_200_error", "delay", "bom")
}

func drawSale(r *rand.Rand, i int) sale {
	s := sale{
		At: moment(r, length), Key: fmt.Sprintf("sale-%d", i), Cents: 100 + r.Int64N(5000), ExpiresIn: 2 + r.IntN(8),
		Decision: pick(r, "confirm", "confirm", "confirm", "confirm", "confirm", "cancel", "ignore"), After: moment(r, 2*time.Second),
	}
	if r.IntN(4) > 0 {
		s.Phone = fmt.Sprintf("787556%04d", i)
	}
	if r.IntN(6) == 0 {
		s.Create = pick(r, "drop_before", "drop_after", "error_500", "html_403", "delay")
	}
	if r.IntN(3) == 0 {
		s.Faults = append(s.Faults, fault{"authorize", money(r), 1 + r.IntN(2)})
	}
	if r.IntN(4) == 0 {
		s.Faults = append(s.Faults, fault{"find", pick(r, "drop_before", "error_500", "html_403", "cut_body", "bom"), 1 + r.IntN(5)})
	}
	if r.IntN(6) == 0 {
		s.Faults = append(s.Faults, fault{"cancel", money(r), 1})
	}
	if r.IntN(3) == 0 {
		s.Faults = append(s.Faults, fault{"webhook", pick(r, "webhook_lost", "webhook_delayed", "webhook_duplicated", "webhook_reordered", "webhook_old_dialect"), 1})
	}
	if r.IntN(8) == 0 {
		s.Cancel = moment(r, 2*time.Second) + time.Millisecond
	}
	for j := range r.IntN(3) {
		back := refund{Key: fmt.Sprintf("%s-back-%d", s.Key, j), Cents: 1 + r.Int64N(s.Cents), Times: 1 + r.IntN(3)}
		if r.IntN(3) == 0 {
			back.Fault = money(r)
		}
		s.Refunds = append(s.Refunds, back)
	}
	if s.Phone != "" && r.IntN(4) == 0 {
		one := 1 + r.Int64N(20)
		s.InApp = []int64{one, one} // equal ones are the hardest to tell apart
	}
	return s
}

// forgery is what a stranger posts who knows the webhook's address, with its secret,
// and the ids of every sale.
type forgery struct {
	At     time.Duration `json:"at"`
	Sale   int           `json:"sale"` // whose ids it has; one that was not opened yet gives it made-up ones
	Kind   string        `json:"kind"`
	Change string        `json:"change,omitempty"`
	Cents  int64         `json:"cents,omitempty"` // zero: the sale's total
	Times  int           `json:"times"`
	Differ bool          `json:"differ,omitempty"` // no two of them are equal
}

// drawForgeries draws what he posts, from the first sale to the end of the outages.
func drawForgeries(r *rand.Rand, sales int) []forgery {
	forgeries := make([]forgery, 30+r.IntN(30))
	for i := range forgeries {
		f := forgery{
			At: moment(r, length+2*time.Second), Sale: r.IntN(sales),
			Kind: pick(r, "completed", "completed", "completed", "cancelled", "expired", "refund", "refund", "simulated", "payment",
				"donation", "unknown", "replay", "replay", "replay", "garbage", "too large"),
			Change: pick(r, "", "", "", "no total", "no date", "no ticket", "no reference", "another's ticket", "another type", "nested", "long", "exponent"),
			Times:  1 + r.IntN(4), Differ: r.IntN(2) == 0,
		}
		if r.IntN(2) == 0 {
			f.Cents = 1 + r.Int64N(5000)
		}
		forgeries[i] = f
	}
	return forgeries
}
