package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cobropay/cobro/payment"
)

// Merchant asks as a good client does: a POST without an answer is repeated
// with the same key, and what was answered is remembered, because it was
// promised.
type Merchant struct {
	System *System

	mu       sync.Mutex
	payments map[string]payment.Status // by id, as last told; guarded by mu
	refunds  map[string]payment.Refund // guarded by mu
	posted   []string                  // webhooks answered with 200; guarded by mu
}

// M is a JSON object.
type M map[string]any

// NewMerchant returns a merchant of a system.
func NewMerchant(s *System) *Merchant {
	return &Merchant{System: s, payments: map[string]payment.Status{}, refunds: map[string]payment.Refund{}}
}

// call is one HTTP request.
func call(ctx context.Context, method, url string, header http.Header, body any) (int, []byte, error) {
	var reader io.Reader = http.NoBody
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := web.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, data, err
}

// Ask calls the API until it is answered with something that time does not
// change: no error of the connection, and no 5xx but one that tells of a payment
// that failed.
func (m *Merchant) Ask(ctx context.Context, method, path, key string, body any) (int, []byte, error) {
	header := http.Header{"Authorization": {"Bearer " + m.System.At().APIKey}}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		status, answer, err := call(ctx, method, m.System.At().API+path, header, body)
		var problem struct{ Code string }
		if err == nil && status >= 400 {
			if err := json.Unmarshal(answer, &problem); err != nil {
				return status, answer, fmt.Errorf("%s %s: %d is no problem document: %s", method, path, status, answer)
			}
		}
		var doubtful struct {
			NeedsReview bool `json:"needs_review"`
		}
		if err == nil && status == http.StatusAccepted {
			if err := json.Unmarshal(answer, &doubtful); err != nil {
				return status, answer, fmt.Errorf("%s %s: %s: %w", method, path, answer, err)
			}
		}
		again := err != nil || problem.Code == "temporarily_unavailable" ||
			status == http.StatusAccepted && method == http.MethodPost && !doubtful.NeedsReview
		if !again {
			if status >= 500 && problem.Code != "gateway_unavailable" {
				return status, answer, fmt.Errorf("%s %s: %d: %s", method, path, status, answer)
			}
			return status, answer, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return status, answer, fmt.Errorf("%s %s: never answered: last %d %s: %w", method, path, status, answer, ctx.Err())
		}
	}
}

// Order posts once, to where 202 says that the order was taken.
func (m *Merchant) Order(ctx context.Context, path string) error {
	status, answer, err := call(ctx, http.MethodPost, m.System.At().API+path, http.Header{"Authorization": {"Bearer " + m.System.At().APIKey}}, nil)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("POST %s: %d: %s", path, status, answer)
	}
	return err
}

// Open asks for a payment. It returns false where the gateway or a rule refused.
func (m *Merchant) Open(ctx context.Context, key string, request M) (payment.Payment, bool, error) {
	status, answer, err := m.Ask(ctx, http.MethodPost, "/v1/payments", key, request)
	if err != nil {
		return payment.Payment{}, false, err
	}
	if status != http.StatusCreated {
		var refused struct {
			PaymentID string `json:"payment_id"`
		}
		if err := json.Unmarshal(answer, &refused); err != nil {
			return payment.Payment{}, false, err
		}
		m.told(refused.PaymentID, payment.StatusFailed)
		return payment.Payment{ID: refused.PaymentID}, false, nil
	}
	var p payment.Payment
	if err := json.Unmarshal(answer, &p); err != nil {
		return payment.Payment{}, false, err
	}
	m.told(p.ID, p.Status)
	return p, true, nil
}

func (m *Merchant) told(id string, status payment.Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if id != "" {
		m.payments[id] = status
	}
}

// Show reads a payment.
func (m *Merchant) Show(ctx context.Context, id string) (payment.Payment, error) {
	status, answer, err := m.Ask(ctx, http.MethodGet, "/v1/payments/"+id, "", nil)
	if err != nil || status != http.StatusOK {
		return payment.Payment{}, fmt.Errorf("GET %s: %d %s: %w", id, status, answer, err)
	}
	var p payment.Payment
	if err := json.Unmarshal(answer, &p); err != nil {
		return payment.Payment{}, err
	}
	m.told(id, p.Status)
	return p, nil
}

// Await reads a payment until it is settled: terminal, or in review.
func (m *Merchant) Await(ctx context.Context, id string, settled func(payment.Payment) bool) (payment.Payment, error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		p, err := m.Show(ctx, id)
		if err != nil || settled(p) {
			return p, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return p, fmt.Errorf("%s stays %s: %w", id, p.Status, ctx.Err())
		}
	}
}

// Ended reports whether a payment is terminal.
func Ended(p payment.Payment) bool { return p.Status.Terminal() }

// Settled reports whether a payment is terminal or in review.
func Settled(p payment.Payment) bool { return p.Status.Terminal() || p.NeedsReview }

// Refund asks for a refund, and remembers one that was made. An answer that
// another refund is in the way is final for its key: nothing was refunded, and
// the next try has a key of its own, the same for everybody who asks for this
// one.
func (m *Merchant) Refund(ctx context.Context, paymentID, key, amount string) (payment.Refund, bool, error) {
	body := M{"message": "sorry"}
	if amount != "" {
		body["amount"] = amount
	}
	status, answer, err := m.Ask(ctx, http.MethodPost, "/v1/payments/"+paymentID+"/refunds", key, body)
	for ; err == nil && inTheWay(answer); status, answer, err = m.Ask(ctx, http.MethodPost, "/v1/payments/"+paymentID+"/refunds", key, body) {
		key += "+"
	}
	if err != nil || status != http.StatusCreated && status != http.StatusAccepted {
		return payment.Refund{}, false, err
	}
	var r payment.Refund
	if err := json.Unmarshal(answer, &r); err != nil {
		return payment.Refund{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, ok := m.refunds[r.ID]; ok && before.Status != payment.RefundPending && (before.Status != r.Status || before.Amount != r.Amount) {
		return r, true, fmt.Errorf("refund %s was %s of %s and is %s of %s", r.ID, before.Status, before.Amount, r.Status, r.Amount)
	}
	m.refunds[r.ID] = r
	return r, true, nil
}

// inTheWay reports whether another refund was not settled.
func inTheWay(answer []byte) bool {
	var problem struct{ Code string }
	return json.Unmarshal(answer, &problem) == nil && problem.Code == "refund_in_progress"
}

// Review is a person's word on a payment or, where refundID is not empty, on a
// refund in review. It reports whether the word was taken.
func (m *Merchant) Review(ctx context.Context, paymentID, refundID string, verdict payment.Verdict) (bool, error) {
	path := "/v1/payments/" + paymentID
	if refundID != "" {
		path += "/refunds/" + refundID
	}
	status, _, err := m.Ask(ctx, http.MethodPost, path+"/review", "", M{"verdict": verdict, "reason": "looked into it"})
	return status == http.StatusOK, err
}

// Control calls the simulator's control surface.
func (s *System) Control(ctx context.Context, method, path string, body any) (int, []byte, error) {
	return call(ctx, method, s.At().Control+path, nil, body)
}

// Phone does what the customer does: "confirm" or "cancel". A ticket that is
// over, or that the simulator does not know, is no error.
func (s *System) Phone(ctx context.Context, decision, ecommerceID string) error {
	_, _, err := s.Control(ctx, http.MethodPost, "/_sim/tickets/"+ecommerceID+"/"+decision, nil)
	return err
}

// Fault orders a fault of the simulator.
func (s *System) Fault(ctx context.Context, fault M) error {
	status, answer, err := s.Control(ctx, http.MethodPost, "/_sim/faults", fault)
	if err == nil && status >= 300 {
		return fmt.Errorf("fault %v: %d %s", fault, status, answer)
	}
	return err
}

// Post posts a webhook as the gateway does, once, and remembers one that was
// accepted.
func (m *Merchant) Post(ctx context.Context, body M) error {
	status, _, err := call(ctx, http.MethodPost, m.System.At().WebhookURL, nil, body)
	if err != nil || status != http.StatusOK {
		return nil // the gateway would not post it again either
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posted = append(m.posted, string(data))
	return nil
}

// Promised lists the ids of the payments that the merchant was told of.
func (m *Merchant) Promised() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, 0, len(m.payments))
	for id := range m.payments {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
