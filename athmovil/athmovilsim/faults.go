package athmovilsim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// operation names what a fault can befall.
type operation string

// The calls of docs/athmovil.md §1, and the webhooks of §4.
const (
	opCreate      operation = "create"
	opFind        operation = "find"
	opAuthorize   operation = "authorize"
	opUpdatePhone operation = "update_phone"
	opRefund      operation = "refund"
	opCancel      operation = "cancel"
	opSubscribe   operation = "subscribe"
	opReport      operation = "report"
	opSearch      operation = "search"
	opWebhook     operation = "webhook"
)

// faultKind is a way to go wrong.
type faultKind string

// What can go wrong with a call.
const (
	faultDelay      faultKind = "delay"
	faultDropBefore faultKind = "drop_before"
	faultDropAfter  faultKind = "drop_after"
	faultError500   faultKind = "error_500"
	faultError9998  faultKind = "error_9998"
	faultErrorCode  faultKind = "error_code"
	faultHTML403    faultKind = "html_403"
	faultHTTP200    faultKind = "http_200_error"
	faultBOM        faultKind = "bom"
	faultCutBody    faultKind = "cut_body"
)

// What can go wrong with a webhook.
const (
	faultWebhookLost       faultKind = "webhook_lost"
	faultWebhookDelayed    faultKind = "webhook_delayed"
	faultWebhookDuplicated faultKind = "webhook_duplicated"
	faultWebhookReordered  faultKind = "webhook_reordered"
	faultWebhookOldDialect faultKind = "webhook_old_dialect"
	faultWebhookNewDialect faultKind = "webhook_new_dialect"
)

// faultHelp is one row of the table of faults. README.md shows the table, and
// a test compares the two.
type faultHelp struct {
	kind faultKind
	does string
}

// faultKinds lists every fault. It is never written to.
//
//nolint:gochecknoglobals // see above
var faultKinds = []faultHelp{
	{faultDelay, "waits `delay_ms` of real time before anything happens"},
	{faultDropBefore, "closes the connection; nothing happened"},
	{faultDropAfter, "does what was asked, then closes the connection without an answer"},
	{faultError500, "answers 500 `BTRA_9999`"},
	{faultError9998, "answers 409 `BTRA_9998`"},
	{faultErrorCode, "answers with `code`, under its usual HTTP status"},
	{faultHTML403, "answers 403 with a front end's HTML page"},
	{faultHTTP200, "answers HTTP 200 with an error in the body: `code`, or `BTRA_9999`"},
	{faultBOM, "answers truthfully, behind a UTF-8 byte order mark"},
	{faultCutBody, "answers truthfully, but the connection dies in the middle of the body"},
	{faultWebhookLost, "the event is never sent"},
	{faultWebhookDelayed, "the event waits `delay_ms`, or 30 seconds, by the simulator's clock"},
	{faultWebhookDuplicated, "the event is sent twice"},
	{faultWebhookReordered, "the event waits for the next one and follows it, or for `delay_ms`, or 2 seconds"},
	{faultWebhookOldDialect, "the event is sent in the old dialect: strings, and no ecommerceId"},
	{faultWebhookNewDialect, "the event is sent in the new dialect, with its ecommerceId"},
}

// fault is an order to go wrong: the body of POST /_sim/faults. It fits the
// operations it names, as often as it says.
type fault struct {
	ID          int       `json:"id"`
	Op          operation `json:"op,omitempty"`           // empty: every operation its kind fits
	EcommerceID string    `json:"ecommerce_id,omitempty"` // empty: every ticket
	Fault       faultKind `json:"fault"`
	Times       int       `json:"times,omitempty"`       // uses left; zero with a probability: no end
	Probability int       `json:"probability,omitempty"` // percent; zero: always
	Seed        uint64    `json:"seed,omitempty"`        // of the probability; zero: the simulator's
	DelayMS     int       `json:"delay_ms,omitempty"`
	Code        string    `json:"code,omitempty"`
	AfterEffect bool      `json:"after_effect,omitempty"` // an error answer hides that it was done

	random *rand.Rand
}

// forWebhooks reports whether the fault is one of webhooks.
func (f fault) forWebhooks() bool {
	switch f.Fault {
	case faultWebhookLost, faultWebhookDelayed, faultWebhookDuplicated, faultWebhookReordered,
		faultWebhookOldDialect, faultWebhookNewDialect:
		return true
	default:
		return false
	}
}

// fits reports whether the fault is meant for op on a ticket.
func (f fault) fits(op operation, ecommerceID string) bool {
	return f.forWebhooks() == (op == opWebhook) &&
		(f.Op == "" || f.Op == op) &&
		(f.EcommerceID == "" || f.EcommerceID == ecommerceID)
}

// problem says what is wrong with an order, or nothing.
func (f fault) problem() error {
	known := slices.ContainsFunc(faultKinds, func(h faultHelp) bool { return h.kind == f.Fault })
	_, knownCode := meanings[f.Code]
	switch {
	case !known:
		return fmt.Errorf("fault: %q is not one of %v", f.Fault, kindsOf(faultKinds))
	case f.Op != "" && !slices.Contains(operations(), f.Op):
		return fmt.Errorf("op: %q is not one of %v", f.Op, operations())
	case f.Op != "" && f.forWebhooks() != (f.Op == opWebhook):
		return fmt.Errorf("op: %s cannot befall %q", f.Fault, f.Op)
	case f.Op == opCreate && f.EcommerceID != "":
		return fmt.Errorf("ecommerce_id: a ticket has none before it is created")
	case f.Times < 0 || f.DelayMS < 0:
		return fmt.Errorf("times, delay_ms: must not be negative")
	case f.Probability < 0 || f.Probability > 100:
		return fmt.Errorf("probability: give percent, 1 to 100")
	case f.Fault == faultDelay && f.DelayMS == 0:
		return fmt.Errorf("delay_ms: say how long to delay")
	case f.Fault == faultErrorCode && f.Code == "", f.Code != "" && !knownCode:
		return fmt.Errorf("code: %q is not one of %v", f.Code, codes())
	}
	return nil
}

func kindsOf(rows []faultHelp) []faultKind {
	var kinds []faultKind
	for _, h := range rows {
		kinds = append(kinds, h.kind)
	}
	return kinds
}

// operations lists every operation.
func operations() []operation {
	return []operation{
		opCreate, opFind, opAuthorize, opUpdatePhone, opRefund, opCancel, opSubscribe, opReport, opSearch, opWebhook,
	}
}

// faultList holds the orders in force. The simulator's lock guards it.
type faultList struct {
	orders   []fault
	given    int
	troubled map[trouble]bool // scripted troubles already had
}

// trouble is one ticket's meeting with its customer's scripted trouble.
type trouble struct {
	ecommerceID string
	op          operation
}

// add puts an order in force and returns it with its id.
func (l *faultList) add(f fault) fault {
	l.given++
	f.ID = l.given
	if f.Times == 0 && f.Probability == 0 {
		f.Times = 1
	}
	if f.Seed != 0 {
		f.random = rand.New(rand.NewPCG(f.Seed, 0))
	}
	l.orders = append(l.orders, f)
	return f
}

// take returns the faults that befall op now, and uses them up. Chance is
// where a probability has no seed of its own.
func (l *faultList) take(op operation, ecommerceID string, chance *rand.Rand) []fault {
	var taken []fault
	for i := range l.orders {
		f := &l.orders[i]
		if !f.fits(op, ecommerceID) {
			continue
		}
		random := chance
		if f.random != nil {
			random = f.random
		}
		if f.Probability > 0 && random.IntN(100) >= f.Probability {
			continue
		}
		taken = append(taken, *f)
		if f.Times--; f.Times == 0 {
			f.Fault = "" // used up
		}
		f.Times = max(0, f.Times)
	}
	l.orders = slices.DeleteFunc(l.orders, func(f fault) bool { return f.Fault == "" })
	return taken
}

// scripted returns the trouble that c's ticket meets, the first time only.
func (l *faultList) scripted(c customer, op operation, ecommerceID string) []fault {
	met := trouble{ecommerceID, op}
	if !c.befalls(op) || ecommerceID != "" && l.troubled[met] {
		return nil
	}
	if ecommerceID != "" { // a create has no ticket yet, and every one meets it
		if l.troubled == nil {
			l.troubled = map[trouble]bool{}
		}
		l.troubled[met] = true
	}
	return []fault{c.trouble}
}

// befall returns every fault that befalls op, from orders and from the table
// of customers. The simulator's lock is held.
func (s *Simulator) befall(op operation, ecommerceID, phone string) []fault {
	return append(s.faults.take(op, ecommerceID, s.random), s.faults.scripted(customerOf(phone), op, ecommerceID)...)
}

// ruin is what a call's faults make of its answer.
type ruin struct {
	delay     time.Duration
	instead   *reply // answered in place of the truth
	effect    bool   // whether what was asked is done
	dropped   bool   // no answer at all
	bom, cut  bool
	faultName string // for the request log
}

// ruinOf sums up faults; the first that decides the answer wins.
func (s *Simulator) ruinOf(faults []fault) ruin {
	r := ruin{effect: true, faultName: namesOf(faults)}
	decided := false
	for _, f := range faults {
		switch f.Fault { //nolint:exhaustive // the other faults act elsewhere
		case faultDelay:
			r.delay += time.Duration(f.DelayMS) * time.Millisecond
			continue
		case faultBOM:
			r.bom = true
			continue
		case faultCutBody:
			r.cut = true
			continue
		}
		if decided {
			continue
		}
		decided = true
		r.effect = f.AfterEffect || f.Fault == faultDropAfter
		switch f.Fault { //nolint:exhaustive // the other faults act elsewhere
		case faultDropBefore, faultDropAfter:
			r.dropped = true
		case faultError500:
			r.instead = s.refused(refuse(codeInternal))
		case faultError9998:
			r.instead = s.refused(refuse(codeCommunication))
		case faultErrorCode:
			r.instead = s.refused(refuseAsTold(f.Code))
		case faultHTML403:
			r.instead = &reply{status: http.StatusForbidden, html: blockedPage}
		case faultHTTP200:
			r.instead = s.refused(refuseAsTold(cmp.Or(f.Code, codeInternal)))
			r.instead.status = http.StatusOK
		}
	}
	return r
}

// namesOf lists faults for a log.
func namesOf(faults []fault) string {
	var names []string
	for _, f := range faults {
		names = append(names, string(f.Fault))
	}
	return strings.Join(names, ",")
}

// blockedPage is what a front end shows to a foreign address (docs/athmovil.md
// §1.0).
const blockedPage = `<!DOCTYPE html>
<html>
<head><title>Attention Required! | Cloudflare</title></head>
<body><h1>Sorry, you have been blocked</h1></body>
</html>
`
