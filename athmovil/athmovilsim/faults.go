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

// operation names a call, or the sending of a webhook, that a fault applies to.
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

// faultKind says what goes wrong.
type faultKind string

// The faults of calls.
const (
	faultDelay      faultKind = "delay"
	faultDropBefore faultKind = "drop_before"
	faultDropAfter  faultKind = "drop_after"
	faultError500   faultKind = "error_500"
	faultError9998  faultKind = "error_9998"
	faultErrorCode  faultKind = "error_code"
	faultHTML403    faultKind = "html_403"
	faultHTTP200    faultKind = "http_200_error"
	faultAnswer     faultKind = "answer"
	faultBOM        faultKind = "bom"
	faultCutBody    faultKind = "cut_body"
)

// The faults of webhooks.
const (
	faultWebhookLost       faultKind = "webhook_lost"
	faultWebhookDelayed    faultKind = "webhook_delayed"
	faultWebhookDuplicated faultKind = "webhook_duplicated"
	faultWebhookReordered  faultKind = "webhook_reordered"
	faultWebhookOldDialect faultKind = "webhook_old_dialect"
	faultWebhookNewDialect faultKind = "webhook_new_dialect"
)

// faultHelp is one row of the fault table. README.md shows the table, and a test
// compares the two.
type faultHelp struct {
	kind faultKind
	does string
}

// faultKinds lists every fault. It is never modified.
//
//nolint:gochecknoglobals // see above
var faultKinds = []faultHelp{
	{faultDelay, "waits `delay_ms` of real time, then executes the call"},
	{faultDropBefore, "closes the connection without executing the call"},
	{faultDropAfter, "executes the call, then closes the connection without a response"},
	{faultError500, "answers 500 `BTRA_9999`"},
	{faultError9998, "answers 409 `BTRA_9998`"},
	{faultErrorCode, "answers with `code`, under its usual HTTP status"},
	{faultHTML403, "answers 403 with the HTML page of a proxy"},
	{faultHTTP200, "answers HTTP 200 with an error in the body: `code`, or `BTRA_9999`"},
	{faultAnswer, "answers with `http_status`, `content_type` (JSON by default) and `body`, whatever they are"},
	{faultBOM, "sends the real response after a UTF-8 byte order mark"},
	{faultCutBody, "sends half of the real response, then closes the connection"},
	{faultWebhookLost, "the event is never sent"},
	{faultWebhookDelayed, "the event waits `delay_ms`, or 30 seconds, by the simulator's clock"},
	{faultWebhookDuplicated, "the event is sent twice"},
	{faultWebhookReordered, "the event waits for the next one and follows it, or for `delay_ms`, or 2 seconds"},
	{faultWebhookOldDialect, "the event is sent in the old dialect: strings, and no ecommerceId"},
	{faultWebhookNewDialect, "the event is sent in the new dialect, with its ecommerceId"},
}

// fault is an active fault, and the body of POST /_sim/faults.
type fault struct {
	ID          int       `json:"id"`
	Op          operation `json:"op,omitempty"`           // empty: every operation that its kind can apply to
	EcommerceID string    `json:"ecommerce_id,omitempty"` // empty: every ticket
	Fault       faultKind `json:"fault"`
	Times       int       `json:"times,omitempty"`       // uses left; zero with a probability: unlimited
	Probability int       `json:"probability,omitempty"` // percent; zero: always
	Seed        uint64    `json:"seed,omitempty"`        // for the probability; zero: Config.Seed
	DelayMS     int       `json:"delay_ms,omitempty"`
	Code        string    `json:"code,omitempty"`
	AfterEffect bool      `json:"after_effect,omitempty"` // the call is executed before the error response
	HTTPStatus  int       `json:"http_status,omitempty"`
	ContentType string    `json:"content_type,omitempty"`
	Body        string    `json:"body,omitempty"`

	random *rand.Rand
}

// forWebhooks reports whether the fault applies to webhooks.
func (f fault) forWebhooks() bool {
	switch f.Fault {
	case faultWebhookLost, faultWebhookDelayed, faultWebhookDuplicated, faultWebhookReordered,
		faultWebhookOldDialect, faultWebhookNewDialect:
		return true
	default:
		return false
	}
}

// fits reports whether the fault applies to op on a ticket.
func (f fault) fits(op operation, ecommerceID string) bool {
	return f.forWebhooks() == (op == opWebhook) &&
		(f.Op == "" || f.Op == op) &&
		(f.EcommerceID == "" || f.EcommerceID == ecommerceID)
}

// problem returns why the fault is invalid, or nil.
func (f fault) problem() error {
	known := slices.ContainsFunc(faultKinds, func(h faultHelp) bool { return h.kind == f.Fault })
	_, knownCode := errorCodes[f.Code]
	switch {
	case !known:
		return fmt.Errorf("fault: %q is not one of %v", f.Fault, faultNames(faultKinds))
	case f.Op != "" && !slices.Contains(operations(), f.Op):
		return fmt.Errorf("op: %q is not one of %v", f.Op, operations())
	case f.Op != "" && f.forWebhooks() != (f.Op == opWebhook):
		return fmt.Errorf("op: %s cannot apply to %q", f.Fault, f.Op)
	case f.Op == opCreate && f.EcommerceID != "":
		return fmt.Errorf("ecommerce_id: a ticket has no id before it is created")
	case f.Times < 0 || f.DelayMS < 0:
		return fmt.Errorf("times, delay_ms: must not be negative")
	case f.Probability < 0 || f.Probability > 100:
		return fmt.Errorf("probability: must be a percentage, 1 to 100")
	case f.Fault == faultDelay && f.DelayMS == 0:
		return fmt.Errorf("delay_ms: is required for a delay")
	case f.Fault == faultAnswer && (f.HTTPStatus < 200 || f.HTTPStatus > 599):
		return fmt.Errorf("http_status: must be a final HTTP status, 200 to 599")
	case f.Fault == faultErrorCode && f.Code == "", f.Code != "" && !knownCode:
		return fmt.Errorf("code: %q is not one of %v", f.Code, codes())
	}
	return nil
}

func faultNames(rows []faultHelp) []faultKind {
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

// faultList holds the active faults. The simulator's lock guards it.
type faultList struct {
	active  []fault
	lastID  int
	applied map[scriptedUse]bool // scripted faults that have been applied
}

// scriptedUse is the use of a customer's scripted fault on one ticket.
type scriptedUse struct {
	ecommerceID string
	op          operation
}

// add activates a fault and returns it with its id.
func (l *faultList) add(f fault) fault {
	l.lastID++
	f.ID = l.lastID
	if f.Times == 0 && f.Probability == 0 {
		f.Times = 1
	}
	if f.Seed != 0 {
		f.random = rand.New(rand.NewPCG(f.Seed, 0))
	}
	l.active = append(l.active, f)
	return f
}

// take returns the faults that apply to op now, and counts their use. Chance
// decides for a probability without a seed.
func (l *faultList) take(op operation, ecommerceID string, chance *rand.Rand) []fault {
	var taken []fault
	for i := range l.active {
		f := &l.active[i]
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
	l.active = slices.DeleteFunc(l.active, func(f fault) bool { return f.Fault == "" })
	return taken
}

// scripted returns the scripted fault of c, the first time for each ticket.
func (l *faultList) scripted(c customer, op operation, ecommerceID string) []fault {
	met := scriptedUse{ecommerceID, op}
	if !c.hasFault(op) || ecommerceID != "" && l.applied[met] {
		return nil
	}
	if ecommerceID != "" { // a create has no ticket yet: the fault applies to every create
		if l.applied == nil {
			l.applied = map[scriptedUse]bool{}
		}
		l.applied[met] = true
	}
	return []fault{c.scripted}
}

// faultsFor returns every fault that applies to op now, active or scripted. The
// simulator's lock is held.
func (s *Simulator) faultsFor(op operation, ecommerceID, phone string) []fault {
	return append(s.faults.take(op, ecommerceID, s.random), s.faults.scripted(customerOf(phone), op, ecommerceID)...)
}

// faultPlan is the effect of a call's faults.
type faultPlan struct {
	delay     time.Duration
	override  *reply // sent in place of the real response
	effect    bool   // whether the call is executed
	dropped   bool   // no response at all
	bom, cut  bool
	faultName string // for the request log
}

// planOf combines faults. The first one that decides the response wins.
func (s *Simulator) planOf(faults []fault) faultPlan {
	r := faultPlan{effect: true, faultName: namesOf(faults)}
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
			r.override = s.refused(refuse(codeInternal))
		case faultError9998:
			r.override = s.refused(refuse(codeCommunication))
		case faultErrorCode:
			r.override = s.refused(refuseWithSample(f.Code))
		case faultHTML403:
			r.override = &reply{status: http.StatusForbidden, text: blockedPage, contentType: "text/html; charset=utf-8"}
		case faultAnswer:
			r.override = &reply{status: f.HTTPStatus, text: f.Body, contentType: cmp.Or(f.ContentType, jsonType)}
		case faultHTTP200:
			r.override = s.refused(refuseWithSample(cmp.Or(f.Code, codeInternal)))
			r.override.status = http.StatusOK
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

// blockedPage is what a proxy shows to a foreign IP address (docs/athmovil.md
// §1.0).
const blockedPage = `<!DOCTYPE html>
<html>
<head><title>Attention Required! | Cloudflare</title></head>
<body><h1>Sorry, you have been blocked</h1></body>
</html>
`
