package athmovilsim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// eventKind is a kind of webhook event (docs/athmovil.md §4.2).
type eventKind string

const (
	eventCompleted eventKind = "completed"
	eventCancelled eventKind = "cancelled"
	eventExpired   eventKind = "expired"
	eventRefund    eventKind = "refund"
	eventSimulated eventKind = "simulated"
	eventPayment   eventKind = "payment"
	eventDonation  eventKind = "donation"
)

// dialect is the dialect of an event. Empty means the one that production uses.
type dialect string

const (
	dialectOld dialect = "old"
	dialectNew dialect = "new"
)

// event is a webhook event for the merchant's listener.
type event struct {
	kind    eventKind
	dialect dialect
	ticket  ticket // as of the event
	refund  refund // of a refund event

	url   string
	entry *webhookEntry   // in the log
	after <-chan struct{} // done of the event to send first, or nil
	done  chan struct{}   // closed when it is delivered or has failed
}

// flag returns the subscription flag that an event needs (docs/athmovil.md §4.2).
// The test button needs none.
func (k eventKind) flag() string {
	switch k {
	case eventCompleted:
		return "ecommercePaymentReceivedEvent"
	case eventCancelled:
		return "ecommercePaymentCancelledEvent"
	case eventExpired:
		return "ecommercePaymentExpiredEvent"
	case eventRefund:
		return "refundSentEvent"
	case eventPayment:
		return "paymentReceivedEvent"
	case eventDonation:
		return "donationReceivedEvent"
	default:
		return ""
	}
}

// subscriptionFlags lists the booleans of docs/athmovil.md §1.7.
func subscriptionFlags() []string {
	return []string{
		"paymentReceivedEvent", "refundSentEvent", "donationReceivedEvent",
		"ecommercePaymentReceivedEvent", "ecommercePaymentCancelledEvent", "ecommercePaymentExpiredEvent",
	}
}

// subscription is a business's listener and the events that it receives.
type subscription struct {
	Business string          `json:"business"`
	URL      string          `json:"url"`
	Events   map[string]bool `json:"events"` // by flag
}

// isListenerURL reports whether a URL can be subscribed: https, as documented, or
// plain http to this machine, for development.
func isListenerURL(listener string) bool {
	u, err := url.Parse(listener)
	if err != nil || u.Host == "" {
		return false
	}
	host := u.Hostname()
	local := host == "localhost" || net.ParseIP(host).IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// listener returns the URL that a business's event is sent to, or "" if it is not
// subscribed. The lock is held.
func (s *Simulator) listener(business string, kind eventKind) string {
	sub, subscribed := s.state.subscriptions[business]
	switch {
	case subscribed && (kind.flag() == "" || sub.Events[kind.flag()]):
		return sub.URL
	case !subscribed && business == s.config.PublicToken:
		return s.config.WebhookURL
	default:
		return ""
	}
}

// The delays of webhook faults without a delay_ms.
const (
	webhookDelay   = 30 * time.Second
	webhookReorder = 2 * time.Second
)

// dispatch applies the faults to an event, which decide whether and when it is sent,
// in which dialect and how often. The lock is held.
func (s *Simulator) dispatch(e event) {
	if e.url = s.listener(e.ticket.Business, e.kind); e.url == "" {
		return
	}
	faults := s.faultsFor(opWebhook, e.ticket.ID, e.ticket.Phone)
	delay, copies, lost, reordered := s.config.Settings.WebhookDelay, 1, false, false
	for _, f := range faults {
		asked := time.Duration(f.DelayMS) * time.Millisecond
		switch f.Fault { //nolint:exhaustive // the other faults act elsewhere
		case faultWebhookLost:
			lost = true
		case faultWebhookDelayed:
			delay += cmp.Or(asked, webhookDelay)
		case faultWebhookDuplicated:
			copies++
		case faultWebhookReordered:
			reordered = true
			delay += cmp.Or(asked, webhookReorder)
		case faultWebhookOldDialect:
			e.dialect = dialectOld
		case faultWebhookNewDialect:
			e.dialect = dialectNew
		}
	}
	for range copies {
		e.entry = s.webhookLog.add(webhookEntry{At: s.now(), Kind: e.kind, EcommerceID: e.ticket.ID, Fault: namesOf(faults)})
		switch {
		case lost:
		case reordered:
			s.hold(e, delay)
		case delay > 0:
			s.scheduleAt(s.now().Add(delay), func(time.Time) { s.release(e) })
		default:
			s.release(e)
		}
	}
}

// hold delays an event until the next one is sent, but no longer than delay. The
// lock is held.
func (s *Simulator) hold(e event, delay time.Duration) {
	s.held = append(s.held, e)
	s.scheduleAt(s.now().Add(delay), func(time.Time) { s.releaseHeld() })
}

// release appends an event to pendingEvents, to be sent after the last one about
// the same ticket and before the held ones. The lock is held.
func (s *Simulator) release(e event) {
	e.after = s.lastEvent[e.ticket.ID]
	e.done = make(chan struct{})
	s.lastEvent[e.ticket.ID] = e.done
	s.pendingEvents = append(s.pendingEvents, e)
	held := s.held
	s.held = nil
	for _, h := range held {
		h.after, h.done = e.done, make(chan struct{})
		s.lastEvent[h.ticket.ID] = h.done
		s.pendingEvents = append(s.pendingEvents, h)
	}
}

// releaseHeld releases the held events when their delay is over. The lock is held.
func (s *Simulator) releaseHeld() {
	held := s.held
	s.held = nil
	for _, e := range held {
		s.release(e)
	}
}

// webhookSender sends events. Events about one ticket are sent in order, and those
// about different tickets concurrently.
type webhookSender struct {
	sim    *Simulator
	client *http.Client
	slots  chan struct{}

	mu      sync.Mutex
	closed  bool
	sending sync.WaitGroup // one for each event; close waits for them
}

const (
	webhookTimeout = 5 * time.Second
	webhookSlots   = 64
)

func newWebhookSender(s *Simulator) *webhookSender {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = webhookSlots
	return &webhookSender{
		sim: s,
		client: &http.Client{
			Transport: transport,
			Timeout:   webhookTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // a redirect is not a delivery
			},
		},
		slots: make(chan struct{}, webhookSlots),
	}
}

// post sends an event in a new goroutine.
func (p *webhookSender) post(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		close(e.done)
		return
	}
	p.sending.Go(func() {
		defer close(e.done)
		if e.after != nil {
			<-e.after
		}
		p.slots <- struct{}{}
		defer func() { <-p.slots }()
		p.deliver(e)
	})
}

// close refuses further events and waits for those in flight. Each attempt takes at
// most [webhookTimeout].
func (p *webhookSender) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.sending.Wait()
	p.client.CloseIdleConnections()
}

// deliver sends an event until a 2xx, as often as the settings allow.
func (p *webhookSender) deliver(e event) {
	for attempt := range 1 + p.sim.config.Settings.WebhookRetries {
		body, err := p.sim.render(e)
		status := 0
		if err == nil {
			status, err = p.send(e.url, body)
		}
		p.sim.delivered(e.entry, attempt+1, string(body), status, err)
		if err == nil && status/100 == 2 {
			return
		}
		p.sim.logger.Warn("webhook was not delivered", "event", string(e.kind), "ecommerce_id", e.ticket.ID, "http_status", status, "error", err)
	}
}

// send posts a body and returns the HTTP status of the response.
func (p *webhookSender) send(listener string, body []byte) (int, error) {
	// An event has no request context. The client's timeout ends the call.
	req, err := http.NewRequest(http.MethodPost, listener, bytes.NewReader(body)) //nolint:noctx // see above
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // without the URL, which may contain the listener's secret
		}
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be reused
	return res.StatusCode, nil
}

// delivered records the outcome of an attempt in the log.
func (s *Simulator) delivered(entry *webhookEntry, attempts int, body string, status int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.Attempts, entry.Body, entry.HTTPStatus, entry.Error = attempts, body, status, ""
	if err != nil {
		entry.Error = err.Error()
	}
}

// render returns the body of an event that is sent now.
func (s *Simulator) render(e event) ([]byte, error) {
	s.mu.Lock()
	now := s.now()
	s.mu.Unlock()
	return json.Marshal(s.eventBody(e, now))
}

// eventBody returns the body of an event, in the event's dialect or else in the one
// that production uses for its kind (docs/athmovil.md §4.2).
func (s *Simulator) eventBody(e event, now time.Time) any {
	t := e.ticket
	old := oldEvent{
		oldHead: oldHead{TransactionType: "ecommerce", Status: string(e.kind), Date: naiveOld(now)},
		Total:   text(t.Total), Tax: text(t.Tax), Subtotal: text(t.SubTotal),
		Metadata1: t.Metadata1, Metadata2: t.Metadata2, Items: oldItems(t.Items),
	}
	switch e.kind {
	case eventCompleted:
		if e.dialect == dialectOld {
			return old.paidBy(customerOf(t.Phone), t)
		}
		return s.newEvent(t, "COMPLETED", now).paidBy(customerOf(t.Phone), t)
	case eventCancelled:
		if e.dialect == dialectOld {
			return old
		}
		return s.newEvent(t, "CANCEL", now)
	case eventExpired:
		if e.dialect == dialectNew {
			return s.newEvent(t, "EXPIRED", now)
		}
		return old
	case eventRefund:
		if e.dialect == dialectOld {
			return oldRefund(t, e.refund, now)
		}
		return capturedRefund(t, e.refund, now)
	default:
		return sampleEvent(e.kind, now)
	}
}

// newEvent is an event in the new dialect (docs/athmovil.md §4.2 "New style").
type newEvent struct {
	TransactionType        string    `json:"transactionType"`
	Status                 string    `json:"status"`
	EcommerceID            string    `json:"ecommerceId"`
	ReferenceNumber        string    `json:"referenceNumber"`
	ReferenceTransactionID string    `json:"referenceTransactionId"`
	DailyTransactionID     string    `json:"dailyTransactionId"`
	Date                   string    `json:"date"`
	TransactionDate        string    `json:"transactionDate"`
	BusinessName           string    `json:"businessName"`
	Name                   string    `json:"name"`
	PhoneNumber            int64     `json:"phoneNumber"` // a number, 0 for none
	Email                  string    `json:"email"`
	Message                string    `json:"message"`
	Total                  number    `json:"total"`
	SubTotal               number    `json:"subTotal"`
	Tax                    decimal   `json:"tax"`
	Fee                    decimal   `json:"fee"`
	NetAmount              number    `json:"netAmount"`
	TotalRefundedAmount    number    `json:"totalRefundedAmount"`
	Metadata1              string    `json:"metadata1"`
	Metadata2              string    `json:"metadata2"`
	IsNonProfit            bool      `json:"isNonProfit"`
	Items                  []newItem `json:"items"`
}

type newItem struct {
	reportItem
	SKU            string `json:"sku"`
	FormattedPrice string `json:"formattedPrice"`
}

func (s *Simulator) newEvent(t ticket, status string, now time.Time) newEvent {
	e := newEvent{
		TransactionType: "ECOMMERCE", Status: status, EcommerceID: t.ID,
		Date: naive(now), BusinessName: s.businesses[t.Business].Name,
		Total: number(t.Total), SubTotal: number(t.SubTotal), Tax: decimal(t.Tax),
		Metadata1: t.Metadata1, Metadata2: t.Metadata2, Items: []newItem{},
	}
	for i, line := range reportItems(t.Items) {
		e.Items = append(e.Items, newItem{reportItem: line, SKU: t.Items[i].SKU})
	}
	return e
}

// paidBy sets the fields that only a completed event has.
func (e newEvent) paidBy(payer customer, t ticket) newEvent {
	e.ReferenceNumber, e.DailyTransactionID, e.TransactionDate = t.Reference, dailyText(t.DailyID), naive(t.CompletedAt)
	e.Fee, e.NetAmount = decimal(t.Fee), number(t.net())
	e.Name, e.Email = payer.name, payer.email
	e.PhoneNumber, _ = strconv.ParseInt(t.Phone, 10, 64) // 0 if there is no number, as documented
	return e
}

// oldEvent is an event in the old dialect, in which every value is a string
// (docs/athmovil.md §4.2).
type oldEvent struct {
	oldHead
	Total               text      `json:"total"`
	Tax                 text      `json:"tax"`
	Subtotal            text      `json:"subtotal"`
	Fee                 text      `json:"fee"`
	NetAmount           text      `json:"netAmount"`
	TotalRefundedAmount text      `json:"totalRefundedAmount"`
	Metadata1           string    `json:"metadata1"`
	Metadata2           string    `json:"metadata2"`
	Items               []oldItem `json:"items"`
}

type oldItem struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Quantity    string `json:"quantity"`
	Price       text   `json:"price"`
	Tax         text   `json:"tax"`
	Metadata    string `json:"metadata"`
}

func oldItems(items []item) []oldItem {
	lines := make([]oldItem, 0, len(items))
	for _, i := range items {
		lines = append(lines, oldItem{i.Name, i.Description, strconv.Itoa(i.Quantity), text(i.Price), text(i.Tax), i.Metadata})
	}
	return lines
}

func (e oldEvent) paidBy(payer customer, t ticket) oldEvent {
	e.ReferenceNumber, e.DailyTransactionID = t.Reference, dailyText(t.DailyID)
	e.Fee, e.NetAmount = text(t.Fee), text(t.net())
	e.Name, e.PhoneNumber, e.Email = payer.name, t.Phone, payer.email
	return e
}

// oldRefund is the documented refund event (docs/athmovil.md §4.2).
func oldRefund(t ticket, r refund, now time.Time) oldEvent {
	payer := customerOf(t.Phone)
	return oldEvent{
		oldHead: oldHead{
			TransactionType: "refund", Status: "completed", Date: naiveOld(now),
			ReferenceNumber: r.Reference, DailyTransactionID: dailyText(r.DailyID),
			Name: payer.name, PhoneNumber: t.Phone, Email: payer.email, Message: r.Message,
		},
		Total: text(r.Amount), Items: []oldItem{},
	}
}

// refundEvent is the refund event that was captured in production
// (docs/athmovil.md §4.2).
type refundEvent struct {
	oldHead
	Total               text   `json:"total"`
	Fee                 text   `json:"fee"`
	NetAmount           text   `json:"netAmount"`
	TotalRefundedAmount string `json:"totalRefundedAmount"` // "0", even after a refund
}

func capturedRefund(t ticket, r refund, now time.Time) refundEvent {
	payer := customerOf(t.Phone)
	return refundEvent{
		oldHead: oldHead{
			TransactionType: "REFUND", Status: "COMPLETED", Date: naive(now),
			ReferenceNumber: r.Reference, DailyTransactionID: strconv.Itoa(r.DailyID),
			Name: payer.name, PhoneNumber: formatPhone(t.Phone), Email: payer.email, Message: r.Message,
		},
		Total: text(r.Amount), TotalRefundedAmount: "0",
	}
}

// sampleEvent is an event without a ticket: the test button, "Pay a Business" or a
// donation, as in docs/athmovil.md §4.2.
func sampleEvent(kind eventKind, now time.Time) oldEvent {
	e := oldEvent{
		oldHead: oldHead{
			TransactionType: string(kind), Status: "completed", Date: naiveOld(now),
			ReferenceNumber: newReference(), DailyTransactionID: "0001",
			Name: "Valeria Herrero", PhoneNumber: "7871234567", Email: "customer@example.com", Message: "Test message",
		},
		Total: 1_00, Fee: 6, NetAmount: 94, Items: []oldItem{},
	}
	if kind == eventSimulated {
		// Net amount and total do not match in the documentation either.
		e.ReferenceNumber = "000000-00000000abcd"
		e.Total, e.Tax, e.Subtotal = 3_00, 1_00, 2_00
		e.Metadata1, e.Metadata2 = "metadata1 test", "metadata2 test"
		e.Items = []oldItem{
			{"First Item", "This is a description.", "1", 1_00, 50, "metadata test"},
			{"Second Item", "This is another description.", "1", 1_00, 50, "metadata test"},
		}
	}
	return e
}

// forge returns an event of a kind about a ticket for POST /_sim/webhooks, whatever
// the ticket's status is. The lock is held.
func (s *Simulator) forge(kind eventKind, spelling dialect, ecommerceID string) (event, error) {
	e := event{kind: kind, dialect: spelling, ticket: ticket{Business: s.config.PublicToken}}
	switch kind {
	case eventSimulated, eventPayment, eventDonation:
		return e, nil
	case eventCompleted, eventCancelled, eventExpired, eventRefund:
	default:
		return e, fmt.Errorf("kind: %q is none of completed, cancelled, expired, refund, simulated, payment, donation", kind)
	}
	t, err := s.state.ticket(ecommerceID)
	if err != nil {
		return e, err
	}
	e.ticket = t
	e.refund = refund{Reference: t.Reference, DailyID: t.DailyID, Amount: t.Total}
	if len(t.Refunds) > 0 {
		e.refund = t.Refunds[len(t.Refunds)-1]
	}
	return e, nil
}
