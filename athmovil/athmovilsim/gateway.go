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

// prefix is common to the calls of docs/athmovil.md §1.1–1.6.
const prefix = "/api/business-transaction/ecommerce"

// maxBody is more than any documented request needs.
const maxBody = 1 << 20

// call is one request to the gateway.
type call struct {
	header http.Header
	body   []byte
}

// effect is what a call does to the gateway: a change to commit, and the
// answer once it is durable.
type effect struct {
	change change
	answer any
}

// endpoint is one call of the gateway.
type endpoint struct {
	op     operation
	method string
	path   string
	legacy bool // speaks without an envelope (docs/athmovil.md §1.0)

	// run decides what a call does. The lock is held.
	run func(s *Simulator, c call, now time.Time) (effect, error)

	// ticket finds the ticket that a call is about, for faults and the log, or
	// false. The lock is held.
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

// serve answers one call: what befalls it is decided first, then it takes
// effect, then it is answered, if at all.
func (s *Simulator) serve(e endpoint, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		answerWith(w, s.refused(refuse(codeInvalidFormat)), ruin{})
		return
	}
	c := call{header: r.Header, body: body}
	logged, befallen := s.arrive(e, c)
	if !s.pause(r, befallen.delay) {
		return // the caller gave up, or the simulator closes
	}
	var truth *reply
	if befallen.effect {
		truth = s.take(e, c, logged)
	}
	answer := truth
	if befallen.instead != nil {
		answer = befallen.instead
	}
	if befallen.dropped {
		drop(w)
		return
	}
	s.mu.Lock()
	logged.HTTPStatus, logged.Code = answer.status, answer.code
	s.mu.Unlock()
	answerWith(w, answer, befallen)
}

// arrive logs a call and decides what befalls it.
func (s *Simulator) arrive(e endpoint, c call) (*requestEntry, ruin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.settle()
	var about ticket
	if e.ticket != nil {
		about, _ = e.ticket(s, c)
	}
	befallen := s.ruinOf(s.befall(e.op, about.ID, about.Phone))
	return s.requestLog.add(requestEntry{At: now, Op: e.op, EcommerceID: about.ID, Fault: befallen.faultName}), befallen
}

// take lets a call take effect and returns the true answer to it.
func (s *Simulator) take(e endpoint, c call, logged *requestEntry) *reply {
	var done effect
	err := s.update(func(now time.Time) (change, error) {
		var err error
		done, err = e.run(s, c, now)
		if t := done.change.Ticket; t != nil {
			logged.EcommerceID = t.ID // a create knows it only now
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

// pause waits for a delay and reports whether to go on.
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

// reply is an answer on its way.
type reply struct {
	status int
	code   string // of an error
	json   any
	html   string // in place of json
}

// envelope is the form of a success, docs/athmovil.md §1.0.
type envelope struct {
	Status string `json:"status"`
	Data   any    `json:"data"`
}

// errorEnvelope is the form of an error, docs/athmovil.md §1.0.
type errorEnvelope struct {
	Status    string `json:"status"`
	Message   string `json:"message"`
	ErrorCode string `json:"errorcode"`
	Data      any    `json:"data"`
}

// legacyError is the form of an error on the older host, docs/athmovil.md
// §1.10.
type legacyError struct {
	ErrorCode   string `json:"errorCode"`
	Description string `json:"description"`
}

// refused answers err in the gateway's form. What is no refusal is an internal
// error, and its text stays here.
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
	return cmp.Or(s.config.Settings.HTTPStatus[code], meanings[code].status)
}

// answerWith writes a reply, as far as its ruin lets it.
func answerWith(w http.ResponseWriter, answer *reply, befallen ruin) {
	body, kind := []byte(answer.html), "text/html; charset=utf-8"
	if answer.html == "" {
		kind = "application/json"
		var err error
		if body, err = json.Marshal(answer.json); err != nil {
			http.Error(w, "athmovilsim: "+err.Error(), http.StatusInternalServerError)
			return
		}
	}
	if befallen.bom {
		body = append([]byte("\xef\xbb\xbf"), body...)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(answer.status)
	if befallen.cut {
		_, _ = w.Write(body[:len(body)/2]) // the caller is to see a broken answer anyway
		_ = http.NewResponseController(w).Flush()
		drop(w)
		return
	}
	_, _ = w.Write(body) // a caller that left does not matter to the gateway
}

// drop closes the connection without another byte. HTTP/1.1 only: other
// transports get an empty answer.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = conn.Close() // whether it closes cleanly is of no interest
}

// byPhone stands in for the ticket that a create is about to make.
func byPhone(_ *Simulator, c call) (ticket, bool) {
	phone, _ := lenient(c.body).phone()
	return ticket{Phone: phone}, phone != ""
}

func byEcommerceID(s *Simulator, c call) (ticket, bool) {
	id, _ := lenient(c.body).optional("ecommerceId")
	t, known := s.state.tickets[strings.TrimSpace(id)]
	return t, known
}

func byToken(s *Simulator, c call) (ticket, bool) {
	t, err := s.bearer(c.header, s.now())
	return t, err == nil
}

func byReference(s *Simulator, c call) (ticket, bool) {
	reference, _ := lenient(c.body).optional("referenceNumber")
	t, known := s.state.tickets[s.state.references[strings.TrimSpace(reference)]]
	return t, known
}

// lenient reads a body that may not be readable; the call itself complains.
func lenient(body []byte) fields {
	f, _ := parseFields(body)
	return f
}
