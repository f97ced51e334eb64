package athmovilsim

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// prefix is the path prefix of the calls of docs/athmovil.md §1.1–1.6.
const prefix = "/api/business-transaction/ecommerce"

// maxBody is the largest request in bytes, more than any documented one needs.
const maxBody = 1 << 20

// call is one request to the gateway.
type call struct {
	header http.Header
	body   []byte
}

// effect is the outcome of a call: a change to commit, and the answer to send once
// the change is durable.
type effect struct {
	change change
	answer any
}

// endpoint is one call of the gateway.
type endpoint struct {
	op     operation
	method string
	path   string
	legacy bool // without an envelope (docs/athmovil.md §1.0)

	// run decides what a call does. The lock is held.
	run func(s *Simulator, c call, now time.Time) (effect, error)

	// ticket finds the ticket of a call, for faults and the log. It may be nil.
	// The lock is held.
	ticket func(s *Simulator, c call) (ticket, bool)
}

// endpoints lists the calls that the simulator answers.
func endpoints() []endpoint {
	return []endpoint{
		{op: opCreate, method: http.MethodPost, path: prefix + "/payment", run: (*Simulator).create, ticket: byPhone},
		{op: opFind, method: http.MethodPost, path: prefix + "/business/findPayment", run: (*Simulator).find, ticket: byEcommerceID},
		{op: opAuthorize, method: http.MethodPost, path: prefix + "/authorization", run: (*Simulator).authorization, ticket: byToken},
		{op: opUpdatePhone, method: http.MethodPut, path: prefix + "/business/updatePhoneNumber", run: (*Simulator).updatePhoneNumber, ticket: byToken},
		{op: opRefund, method: http.MethodPost, path: prefix + "/refund", run: (*Simulator).refund, ticket: byReference},
		{op: opCancel, method: http.MethodPost, path: prefix + "/business/cancel", run: (*Simulator).cancelTicket, ticket: byEcommerceID},
		{op: opSubscribe, method: http.MethodPost, path: "/transactions/webhook/post", run: (*Simulator).subscribe},
		{op: opReport, method: http.MethodGet, path: "/transactions/v4/transactionReport", legacy: true, run: (*Simulator).report},
		{op: opSearch, method: http.MethodPost, path: "/api/v4/searchTransaction", legacy: true, run: (*Simulator).search, ticket: byReference},
	}
}

func (s *Simulator) gatewayRoutes() http.Handler {
	mux := http.NewServeMux()
	for _, e := range endpoints() {
		mux.HandleFunc(e.method+" "+e.path, func(w http.ResponseWriter, r *http.Request) { s.serve(e, w, r) })
	}
	return mux
}

// serve handles one call: it collects the faults, executes the call, then responds,
// as far as the faults allow.
func (s *Simulator) serve(e endpoint, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeReply(w, s.refused(refuse(codeInvalidFormat)), faultPlan{})
		return
	}
	c := call{header: r.Header, body: body}
	logged, plan := s.receive(e, c)
	if !s.pause(r, plan.delay) {
		return // the caller disconnected, or the simulator is closing
	}
	var actual *reply
	if plan.effect {
		actual = s.execute(e, c, logged)
	}
	answer := actual
	if plan.override != nil {
		answer = plan.override
	}
	if plan.dropped {
		drop(w)
		return
	}
	s.mu.Lock()
	logged.HTTPStatus, logged.Code = answer.status, answer.code
	s.mu.Unlock()
	writeReply(w, answer, plan)
}

// receive logs a call and collects its faults.
func (s *Simulator) receive(e endpoint, c call) (*requestEntry, faultPlan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.runDue()
	var about ticket
	if e.ticket != nil {
		about, _ = e.ticket(s, c)
	}
	plan := s.planOf(s.faultsFor(e.op, about.ID, about.Phone))
	return s.requestLog.add(requestEntry{At: now, Op: e.op, EcommerceID: about.ID, Fault: plan.faultName}), plan
}

// execute executes a call and returns its response.
func (s *Simulator) execute(e endpoint, c call, logged *requestEntry) *reply {
	var done effect
	err := s.update(func(now time.Time) (change, error) {
		var err error
		done, err = e.run(s, c, now)
		if t := done.change.Ticket; t != nil {
			logged.EcommerceID = t.ID // a create has no id before
		}
		return done.change, err
	})
	switch {
	case err != nil && e.legacy:
		return s.refusedLegacy(err)
	case err != nil:
		return s.refused(err)
	case e.legacy:
		return &reply{status: http.StatusOK, json: done.answer}
	default:
		return &reply{status: http.StatusOK, json: envelope{Status: "success", Data: done.answer}}
	}
}

// pause waits for a delay and reports whether to continue.
func (s *Simulator) pause(r *http.Request, delay time.Duration) bool {
	if delay == 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closing:
	}
	return false
}

// reply is a response to send.
type reply struct {
	status int
	code   string // the error code, if any
	json   any

	contentType, text string // sent instead of json, if there is a type
}

const jsonType = "application/json"

// envelope is the form of a success (docs/athmovil.md §1.0).
type envelope struct {
	Status string `json:"status"`
	Data   any    `json:"data"`
}

// errorEnvelope is the form of an error (docs/athmovil.md §1.0).
type errorEnvelope struct {
	Status    string `json:"status"`
	Message   string `json:"message"`
	ErrorCode string `json:"errorcode"`
	Data      any    `json:"data"`
}

// legacyError is the form of an error on the www host (docs/athmovil.md §1.10).
type legacyError struct {
	ErrorCode   string `json:"errorCode"`
	Description string `json:"description"`
}

// refused returns the response to err. An error that is not a refusal is an
// internal error, whose text is not sent.
func (s *Simulator) refused(err error) *reply {
	r := s.refusalOf(err)
	return &reply{
		status: s.statusOf(r.code), code: r.code,
		json: errorEnvelope{Status: "error", Message: r.message, ErrorCode: r.code},
	}
}

func (s *Simulator) refusedLegacy(err error) *reply {
	r := s.refusalOf(err)
	return &reply{status: s.statusOf(r.code), code: r.code, json: legacyError{r.code, r.message}}
}

func (s *Simulator) refusalOf(err error) *refusal {
	var r *refusal
	if !errors.As(err, &r) {
		errors.As(refuse(codeInternal), &r)
	}
	return r
}

func (s *Simulator) statusOf(code string) int {
	return cmp.Or(s.config.Settings.HTTPStatus[code], errorCodes[code].status)
}

// writeReply sends a reply, as far as the faults allow.
func writeReply(w http.ResponseWriter, answer *reply, plan faultPlan) {
	body, kind := []byte(answer.text), answer.contentType
	if kind == "" {
		kind = jsonType
		var err error
		if body, err = json.Marshal(answer.json); err != nil {
			http.Error(w, "athmovilsim: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if plan.bom {
		body = append([]byte("\xef\xbb\xbf"), body...)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(answer.status)
	if plan.cut {
		_, _ = w.Write(body[:len(body)/2]) // the response is broken anyway
		_ = http.NewResponseController(w).Flush()
		drop(w)
		return
	}
	_, _ = w.Write(body) // a caller that disconnected does not matter
}

// drop closes the connection without another byte. That needs HTTP/1.1: other
// transports get an empty response.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = conn.Close() // whether it closes cleanly does not matter
}

// byPhone returns a ticket with the phone number of a create.
func byPhone(_ *Simulator, c call) (ticket, bool) {
	phone, _ := parseLenient(c.body).phone()
	return ticket{Phone: phone}, phone != ""
}

func byEcommerceID(s *Simulator, c call) (ticket, bool) {
	id, _ := parseLenient(c.body).optional("ecommerceId")
	t, known := s.state.tickets[strings.TrimSpace(id)]
	return t, known
}

func byToken(s *Simulator, c call) (ticket, bool) {
	t, err := s.bearer(c.header, s.now())
	return t, err == nil
}

func byReference(s *Simulator, c call) (ticket, bool) {
	reference, _ := parseLenient(c.body).optional("referenceNumber")
	t, known := s.state.tickets[s.state.references[strings.TrimSpace(reference)]]
	return t, known
}

// parseLenient parses a body and ignores errors, which the call itself reports.
func parseLenient(body []byte) fields {
	f, _ := parseFields(body)
	return f
}
