package athmovilsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// controlRoutes returns the control API and the phone page. Pages of other origins
// cannot post to it, and neither can a page whose name its owner has pointed here,
// so no website can confirm a developer's payments.
func (s *Simulator) controlRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/tickets", s.listTickets)
	mux.HandleFunc("GET /_sim/tickets/{ecommerceId}", s.showTicket)
	mux.HandleFunc("POST /_sim/tickets/{ecommerceId}/confirm", s.customerDecides(actionConfirm))
	mux.HandleFunc("POST /_sim/tickets/{ecommerceId}/cancel", s.customerDecides(actionCancel))
	mux.HandleFunc("GET /_sim/books", s.showBooks)
	mux.HandleFunc("GET /_sim/requests", s.list("requests", func() any { return s.requestLog.all() }))
	mux.HandleFunc("DELETE /_sim/requests", s.clear(s.requestLog.clear))
	mux.HandleFunc("GET /_sim/faults", s.list("faults", func() any { return append([]fault{}, s.faults.active...) }))
	mux.HandleFunc("POST /_sim/faults", s.addFault)
	mux.HandleFunc("DELETE /_sim/faults", s.clear(func() { s.faults.active = nil }))
	mux.HandleFunc("GET /_sim/webhooks", s.list("webhooks", func() any { return s.webhookLog.all() }))
	mux.HandleFunc("POST /_sim/webhooks", s.sendWebhook)
	mux.HandleFunc("DELETE /_sim/webhooks", s.clear(s.webhookLog.clear))
	mux.HandleFunc("POST /_sim/external-refunds", s.addExternalRefund)
	mux.HandleFunc("GET /_sim/clock", s.showClock)
	mux.HandleFunc("POST /_sim/clock", s.setClock)
	s.phoneRoutes(mux)
	return byKnownName(http.NewCrossOriginProtection().Handler(mux))
}

// byKnownName refuses requests by a name that strangers can own. A page under such a
// name that points here is of our origin to the browser that shows it. Strangers own
// no address, no name without a dot, and none that is reserved for private use.
func byKnownName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		top := strings.ToLower(host[strings.LastIndex(host, ".")+1:])
		reserved := slices.Contains([]string{"localhost", "internal", "local", "test"}, top) || host == "example.com" // of httptest
		if strings.Contains(host, ".") && !reserved && net.ParseIP(host) == nil {
			http.Error(w, "use the address of the simulator, such as 127.0.0.1, and not the name "+strconv.Quote(host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ticketView is a ticket in the control API.
type ticketView struct {
	EcommerceID     string       `json:"ecommerce_id"`
	Status          status       `json:"status"`
	EndedBy         ending       `json:"ended_by,omitempty"` // only if CANCEL
	BusinessName    string       `json:"business_name"`
	Total           string       `json:"total"`
	SubTotal        string       `json:"subtotal"`
	Tax             string       `json:"tax"`
	Refunded        string       `json:"refunded"`
	PhoneNumber     string       `json:"phone_number"`
	Metadata1       string       `json:"metadata1"`
	Metadata2       string       `json:"metadata2"`
	ReferenceNumber string       `json:"reference_number"`
	Items           []itemView   `json:"items"`
	Refunds         []refundView `json:"refunds"`
	CreatedAt       time.Time    `json:"created_at"`
	ExpiresAt       time.Time    `json:"expires_at"`
}

type itemView struct {
	Name     string `json:"name"`
	Quantity int    `json:"quantity"`
	Price    string `json:"price"`
}

type refundView struct {
	ReferenceNumber string    `json:"reference_number"`
	Amount          string    `json:"amount"`
	External        bool      `json:"external"`
	At              time.Time `json:"at"`
}

func (s *Simulator) viewOf(t ticket) ticketView {
	view := ticketView{
		EcommerceID: t.ID, Status: t.Status, EndedBy: t.EndedBy, BusinessName: s.businesses[t.Business].Name,
		Total: t.Total.String(), SubTotal: t.SubTotal.String(), Tax: t.Tax.String(), Refunded: t.refunded().String(),
		PhoneNumber: t.Phone, Metadata1: t.Metadata1, Metadata2: t.Metadata2, ReferenceNumber: t.Reference,
		Items: []itemView{}, Refunds: []refundView{}, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt,
	}
	for _, i := range t.Items {
		view.Items = append(view.Items, itemView{i.Name, i.Quantity, i.Price.String()})
	}
	for _, r := range t.Refunds {
		view.Refunds = append(view.Refunds, refundView{r.Reference, r.Amount.String(), r.External, r.At})
	}
	return view
}

// ticketList is the response to GET /_sim/tickets. Now is the simulator's time, for
// countdowns: it may differ from the caller's.
type ticketList struct {
	Tickets []ticketView `json:"tickets"`
	Now     time.Time    `json:"now"`
}

// listTickets lists tickets, oldest first. The query may filter by status (more
// than one), phone_number, metadata1 and metadata2. With limit it returns only the
// newest tickets.
func (s *Simulator) listTickets(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit := math.MaxInt
	if query.Has("limit") {
		var err error
		if limit, err = strconv.Atoi(query.Get("limit")); err != nil || limit < 1 {
			respond(w, 0, nil, errors.New("limit: must be a number above zero"))
			return
		}
	}
	list := ticketList{Tickets: []ticketView{}}
	err := s.view(func(now time.Time) {
		list.Now = now
		for _, id := range slices.Backward(s.state.order) {
			t := s.state.tickets[id]
			values := map[string]string{
				"status": string(t.Status), "phone_number": t.Phone, "metadata1": t.Metadata1, "metadata2": t.Metadata2,
			}
			wanted := true
			for name, have := range values {
				wanted = wanted && (!query.Has(name) || slices.Contains(query[name], have))
			}
			if wanted {
				list.Tickets = append(list.Tickets, s.viewOf(t))
			}
			if len(list.Tickets) == limit {
				break
			}
		}
	})
	slices.Reverse(list.Tickets)
	respond(w, http.StatusOK, list, err)
}

func (s *Simulator) showTicket(w http.ResponseWriter, r *http.Request) {
	view, err := s.ticketView(r.PathValue("ecommerceId"))
	respond(w, http.StatusOK, view, err)
}

func (s *Simulator) ticketView(id string) (view ticketView, err error) {
	err = s.update(func(time.Time) (change, error) {
		t, err := s.state.ticket(id)
		view = s.viewOf(t)
		return change{}, err
	})
	return view, err
}

// customerDecides confirms or cancels as the customer (docs/athmovil.md §1.11). The
// body may name the phone_number of that customer.
func (s *Simulator) customerDecides(decision action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var who struct {
			PhoneNumber string `json:"phone_number"`
		}
		if !read(w, r, &who) {
			return
		}
		id := r.PathValue("ecommerceId")
		view, err := ticketView{}, s.decide(id, decision, who.PhoneNumber)
		if err == nil {
			view, err = s.ticketView(id)
		}
		respond(w, http.StatusOK, view, err)
	}
}

// decide confirms or cancels a ticket as its customer.
func (s *Simulator) decide(id string, decision action, phone string) error {
	return s.update(func(time.Time) (change, error) {
		if decision == actionConfirm {
			return s.state.confirm(id, phone)
		}
		return s.state.cancel(id, byCustomer, false)
	})
}

// books is the response to GET /_sim/books.
type books struct {
	Entries []bookView `json:"entries"`
	Debits  string     `json:"debits"`
	Credits string     `json:"credits"`
}

type bookView struct {
	Kind            string    `json:"kind"`
	EcommerceID     string    `json:"ecommerce_id"`
	ReferenceNumber string    `json:"reference_number"`
	Amount          string    `json:"amount"`
	At              time.Time `json:"at"`
}

func (s *Simulator) showBooks(w http.ResponseWriter, _ *http.Request) {
	answer := books{Entries: []bookView{}}
	sums := map[string]cents{}
	err := s.view(func(time.Time) {
		for _, e := range s.state.book {
			answer.Entries = append(answer.Entries, bookView{e.Kind, e.EcommerceID, e.ReferenceNumber, e.Amount.String(), e.At})
			sums[e.Kind] += e.Amount
		}
	})
	answer.Debits, answer.Credits = sums[debit].String(), sums[credit].String()
	respond(w, http.StatusOK, answer, err)
}

// list answers with what read returns, under the key name. It calls read under the
// lock.
func (s *Simulator) list(name string, read func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		entries := read()
		s.mu.Unlock()
		respond(w, http.StatusOK, map[string]any{name: entries}, nil)
	}
}

// clear calls forget under the lock.
func (s *Simulator) clear(forget func()) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		forget()
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Simulator) addFault(w http.ResponseWriter, r *http.Request) {
	var f fault
	if !read(w, r, &f) {
		return
	}
	if err := f.problem(); err != nil {
		respond(w, 0, nil, err)
		return
	}
	s.mu.Lock()
	f = s.faults.add(f)
	s.mu.Unlock()
	respond(w, http.StatusCreated, f, nil)
}

// webhookRequest is the body of POST /_sim/webhooks. It has either a kind, or a raw
// body: a JSON value, or a string whose text is sent as is.
type webhookRequest struct {
	Raw         json.RawMessage `json:"raw"`
	Kind        eventKind       `json:"kind"`
	EcommerceID string          `json:"ecommerce_id"`
	Dialect     dialect         `json:"dialect"`
	Times       int             `json:"times"`
}

// webhookResult is the listener's response to a webhookRequest.
type webhookResult struct {
	HTTPStatus int    `json:"http_status"` // of the last delivery; 0 if there was no response
	Error      string `json:"error,omitempty"`
}

// sendWebhook sends an event now, real or forged, to the first business's
// listener, and returns the listener's response. Webhook faults do not apply.
func (s *Simulator) sendWebhook(w http.ResponseWriter, r *http.Request) {
	var f webhookRequest
	if !read(w, r, &f) {
		return
	}
	kind := f.Kind
	if f.Raw != nil {
		kind = "raw"
	}
	e, err := s.prepare(f)
	if err != nil {
		respond(w, 0, nil, err)
		return
	}
	var answer webhookResult
	for range max(1, f.Times) {
		body := rawBody(f.Raw)
		if f.Raw == nil {
			if body, err = s.render(e); err != nil {
				respond(w, 0, nil, err)
				return
			}
		}
		s.mu.Lock()
		entry := s.webhookLog.add(webhookEntry{At: s.now(), Kind: kind, EcommerceID: f.EcommerceID})
		s.mu.Unlock()
		answer = webhookResult{}
		if answer.HTTPStatus, err = s.sender.send(e.url, body); err != nil {
			answer.Error = err.Error()
		}
		s.delivered(entry, 1, string(body), answer.HTTPStatus, err)
	}
	respond(w, http.StatusOK, answer, nil)
}

// prepare checks a webhookRequest, and returns its event and listener URL.
func (s *Simulator) prepare(f webhookRequest) (event, error) {
	var e event
	switch f.Dialect {
	case "", dialectOld, dialectNew:
	default:
		return e, fmt.Errorf("dialect: %q is neither old nor new", f.Dialect)
	}
	err := s.update(func(time.Time) (change, error) {
		var err error
		if f.Raw == nil {
			e, err = s.forge(f.Kind, f.Dialect, f.EcommerceID)
		}
		e.url = s.config.WebhookURL
		if sub, subscribed := s.state.subscriptions[s.config.PublicToken]; subscribed {
			e.url = sub.URL
		}
		return change{}, err
	})
	if err == nil && e.url == "" {
		err = errors.New("no listener: set the webhook URL, or subscribe one")
	}
	return e, err
}

// rawBody returns the text of a JSON string, or any other JSON value as written.
func rawBody(raw json.RawMessage) []byte {
	var inner string
	if json.Unmarshal(raw, &inner) == nil {
		return []byte(inner)
	}
	return raw
}

// addExternalRefund makes a refund as the ATH Business app does. The merchant's
// client learns of it only by webhook.
func (s *Simulator) addExternalRefund(w http.ResponseWriter, r *http.Request) {
	var request struct {
		EcommerceID string `json:"ecommerce_id"`
		Amount      string `json:"amount"`
		Message     string `json:"message"`
	}
	if !read(w, r, &request) {
		return
	}
	amount, err := parseAmount(request.Amount)
	if err != nil {
		respond(w, 0, nil, errors.New(`amount: must be a string such as "5.00"`))
		return
	}
	err = s.update(func(now time.Time) (change, error) {
		t, err := s.state.ticket(request.EcommerceID)
		if err != nil {
			return change{}, err
		}
		made := refund{Amount: amount, Message: request.Message, External: true}
		return s.state.refund(t, made, now, s.config.Settings.RefundEchoesReference)
	})
	var view ticketView
	if err == nil {
		view, err = s.ticketView(request.EcommerceID)
	}
	respond(w, http.StatusCreated, view, err)
}

// clockView is the simulator's clock in the control API.
type clockView struct {
	Now           time.Time `json:"now"`
	Stopped       bool      `json:"stopped"`
	OffsetSeconds int64     `json:"offset_seconds"` // ahead of real time
}

func (s *Simulator) showClock(w http.ResponseWriter, _ *http.Request) {
	var view clockView
	err := s.view(func(now time.Time) {
		view = clockView{
			Now: now, Stopped: !s.state.clock.Stopped.IsZero(),
			OffsetSeconds: int64(now.Sub(s.realNow()).Round(time.Second) / time.Second),
		}
	})
	respond(w, http.StatusOK, view, err)
}

// maxAdvance is the longest step of the clock in seconds, about ten years.
const maxAdvance = 10 * 365 * 24 * 60 * 60

// setClock stops, advances or starts the clock, in this order if the request has
// several. Everything that became due has happened when it responds.
func (s *Simulator) setClock(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Stop           bool  `json:"stop"`
		Run            bool  `json:"run"`
		AdvanceSeconds int64 `json:"advance_seconds"`
	}
	if !read(w, r, &request) {
		return
	}
	if request.AdvanceSeconds < 0 || request.AdvanceSeconds > maxAdvance {
		respond(w, 0, nil, fmt.Errorf("advance_seconds: time only goes forward, by at most %d seconds", maxAdvance))
		return
	}
	err := s.update(func(time.Time) (change, error) {
		c, real := s.state.clock, s.realNow()
		if request.Stop {
			c = c.stop(real)
		}
		c = c.advance(time.Duration(request.AdvanceSeconds) * time.Second)
		if request.Run {
			c = c.run(real)
		}
		return change{Clock: &c}, nil
	})
	if err != nil {
		respond(w, 0, nil, err)
		return
	}
	s.signal()
	s.showClock(w, r)
}

// problem is an error of the control API.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// respond writes value or, if err is not nil, a problem: 404 for an unknown ticket,
// 409 for a refusal of the gateway, 400 for an invalid request.
func respond(w http.ResponseWriter, status int, value any, err error) {
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.code == codeUnknownTicket:
		status, value = http.StatusNotFound, problem{refused.code, refused.message}
	case refused != nil:
		status, value = http.StatusConflict, problem{refused.code, refused.message}
	case err != nil:
		status, value = http.StatusBadRequest, problem{"invalid_request", err.Error()}
	}
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, "athmovilsim: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that disconnected does not matter
}

// read decodes a JSON body, which may be missing, into request. If the body is
// invalid or has an unknown key, it responds with the problem and returns false.
func read(w http.ResponseWriter, r *http.Request, request any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil && len(bytes.TrimSpace(body)) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(request)
	}
	if err != nil {
		respond(w, 0, nil, fmt.Errorf("body: %w", err))
		return false
	}
	return true
}
