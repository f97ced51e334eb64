package athmovilsim

import "time"

// logLimit is how many entries a log keeps. Older ones are dropped.
const logLimit = 10_000

// requestEntry is one call to the gateway, without tokens or personal data.
type requestEntry struct {
	N           int       `json:"n"`
	At          time.Time `json:"at"`
	Op          operation `json:"op"`
	EcommerceID string    `json:"ecommerce_id,omitempty"`
	HTTPStatus  int       `json:"http_status"` // 0: no response, or none yet
	Code        string    `json:"code,omitempty"`
	Fault       string    `json:"fault,omitempty"`
}

// webhookEntry is one event and its delivery.
type webhookEntry struct {
	N           int       `json:"n"`
	At          time.Time `json:"at"`
	Kind        eventKind `json:"kind"`
	EcommerceID string    `json:"ecommerce_id,omitempty"`
	HTTPStatus  int       `json:"http_status"` // 0: not sent, or no response
	Attempts    int       `json:"attempts"`
	Error       string    `json:"error,omitempty"`
	Fault       string    `json:"fault,omitempty"`
	Body        string    `json:"body,omitempty"` // as sent
}

// entryLog keeps the newest entries of one kind. The simulator's lock guards it and
// its entries.
type entryLog[E any] struct {
	entries []*E
	given   int
	number  func(*E, int)
}

// add appends an entry with the next number. The caller may complete it later.
func (l *entryLog[E]) add(entry E) *E {
	l.given++
	l.number(&entry, l.given)
	if len(l.entries) >= logLimit {
		l.entries = append([]*E(nil), l.entries[logLimit/10:]...)
	}
	l.entries = append(l.entries, &entry)
	return &entry
}

// all copies the entries, oldest first.
func (l *entryLog[E]) all() []E {
	entries := make([]E, 0, len(l.entries))
	for _, e := range l.entries {
		entries = append(entries, *e)
	}
	return entries
}

// clear drops the entries. The numbers continue.
func (l *entryLog[E]) clear() { l.entries = nil }

func newRequestLog() entryLog[requestEntry] {
	return entryLog[requestEntry]{number: func(e *requestEntry, n int) { e.N = n }}
}

func newWebhookLog() entryLog[webhookEntry] {
	return entryLog[webhookEntry]{number: func(e *webhookEntry, n int) { e.N = n }}
}
