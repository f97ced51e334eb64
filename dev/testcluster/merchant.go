package testcluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/cobropay/cobro/payment"
)

// Merchant calls the API as a good client does: it repeats an unanswered POST
// with the same key. It remembers what the API acknowledged, which must never be
// lost.
type Merchant struct {
	System *System

	mu       sync.Mutex
	payments map[string]payment.Status // by id, as last shown; guarded by mu
	refunds  map[string]payment.Refund // guarded by mu
	posted   []string                  // webhooks answered with 200; guarded by mu
	received map[string]int            // notifications, by id; guarded by mu
	// mismatches are the notifications of mismatches by payment and id, "" for those
	// that concern none; guarded by mu.
	mismatches map[string]map[string]bool
}

// M is a JSON object.
type M map[string]any

// NewMerchant returns a merchant of a system.
func NewMerchant(s *System) *Merchant {
	return &Merchant{
		System: s, payments: map[string]payment.Status{}, refunds: map[string]payment.Refund{}, received: map[string]int{},
		mismatches: map[string]map[string]bool{},
	}
}

// call is one HTTP request. A body that is no []byte is sent as JSON.
func call(ctx context.Context, method, url string, header http.Header, body any) (int, []byte, error) {
	var reader io.Reader = http.NoBody
	data, raw := body.([]byte)
	if body != nil && !raw {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	if body != nil {
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
	response, err := httpClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// Ask calls the API until the answer is final: neither a broken connection nor a
// 5xx, except one that tells of a payment that failed.
func (m *Merchant) Ask(ctx context.Context, method, path, key string, body any) (status int, answer []byte, err error) {
	header := m.authorization()
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	var last error
	err = Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		if status, answer, last = call(ctx, method, m.System.Addresses().API+path, header, body); last != nil {
			return false, nil //nolint:nilerr // asked again
		}
		var problem struct{ Code string }
		if status >= 400 {
			if err := json.Unmarshal(answer, &problem); err != nil {
				return false, fmt.Errorf("%d is no problem document: %s", status, answer)
			}
		}
		var accepted struct {
			NeedsReview bool `json:"needs_review"`
		}
		if status == http.StatusAccepted {
			if err := json.Unmarshal(answer, &accepted); err != nil {
				return false, fmt.Errorf("%s: %w", answer, err)
			}
		}
		if problem.Code == "temporarily_unavailable" || status == http.StatusAccepted && method == http.MethodPost && !accepted.NeedsReview {
			return false, nil
		}
		if status >= 500 && problem.Code != "gateway_unavailable" {
			return false, fmt.Errorf("%d: %s", status, answer)
		}
		return true, nil
	})
	if err != nil {
		return status, answer, fmt.Errorf("%s %s: %w (last answer: %d %s)", method, path, errors.Join(err, last), status, answer)
	}
	return status, answer, nil
}

func (m *Merchant) authorization() http.Header {
	return http.Header{"Authorization": {"Bearer " + m.System.Addresses().APIKey}}
}

// Once calls the API once, whatever it answers.
func (m *Merchant) Once(ctx context.Context, method, path, key string, body any) (status int, answer []byte, err error) {
	header := m.authorization()
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	return call(ctx, method, m.System.Addresses().API+path, header, body)
}

// PostAccepted posts once, and requires 202.
func (m *Merchant) PostAccepted(ctx context.Context, path string) error {
	status, answer, err := call(ctx, http.MethodPost, m.System.Addresses().API+path, m.authorization(), nil)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("POST %s: %d: %s", path, status, answer)
	}
	return err
}

// Open opens a payment. It returns false if the gateway or a rule refused it.
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
		m.acknowledge(refused.PaymentID, payment.StatusFailed)
		return payment.Payment{ID: refused.PaymentID}, false, nil
	}
	var p payment.Payment
	if err := json.Unmarshal(answer, &p); err != nil {
		return payment.Payment{}, false, err
	}
	m.acknowledge(p.ID, p.Status)
	return p, true, nil
}

func (m *Merchant) acknowledge(id string, status payment.Status) {
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
	m.acknowledge(id, p.Status)
	return p, nil
}

// Await reads a payment until a condition holds, such as [Ended].
func (m *Merchant) Await(ctx context.Context, id string, condition func(payment.Payment) bool) (p payment.Payment, err error) {
	err = Poll(ctx, 100*time.Millisecond, func() (ok bool, err error) {
		p, err = m.Show(ctx, id)
		return err == nil && condition(p), err
	})
	if err != nil {
		err = fmt.Errorf("%s is %s: %w", id, p.Status, err)
	}
	return p, err
}

// Ended reports whether a payment is terminal.
func Ended(p payment.Payment) bool { return p.Status.Terminal() }

// Settled reports whether a payment is terminal or in review.
func Settled(p payment.Payment) bool { return p.Status.Terminal() || p.NeedsReview }

// Refund requests a refund, of all that is left where the amount is empty, and
// remembers one that was created. While another refund is in progress, it repeats
// the request: nothing was kept, and the key is free.
func (m *Merchant) Refund(ctx context.Context, paymentID, key, amount string) (payment.Refund, bool, error) {
	body := M{"amount": cmp.Or(amount, "all"), "message": "sorry"}
	var status int
	var answer []byte
	var err error
	for again := true; again; again = err == nil && inProgress(answer) {
		status, answer, err = m.Ask(ctx, http.MethodPost, "/v1/payments/"+paymentID+"/refunds", key, body)
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

// inProgress reports whether the answer says that another refund is in progress.
func inProgress(answer []byte) bool {
	var problem struct{ Code string }
	return json.Unmarshal(answer, &problem) == nil && problem.Code == "refund_in_progress"
}

// Review decides on a payment in review or, where refundID is not empty, on a
// refund in review. It reports whether the decision was accepted.
func (m *Merchant) Review(ctx context.Context, paymentID, refundID string, verdict payment.Verdict) (bool, error) {
	path := "/v1/payments/" + paymentID
	if refundID != "" {
		path += "/refunds/" + refundID
	}
	status, _, err := m.Ask(ctx, http.MethodPost, path+"/review", "", M{"verdict": verdict, "reason": "checked in the app"})
	return status == http.StatusOK, err
}

// Control calls the simulator's control surface.
func (s *System) Control(ctx context.Context, method, path string, body any) (int, []byte, error) {
	return call(ctx, method, s.Addresses().Control+path, nil, body)
}

// Phone does what the customer does in the app: "confirm" or "cancel". A ticket
// that is over or unknown is no error.
func (s *System) Phone(ctx context.Context, decision, ecommerceID string) error {
	_, _, err := s.Control(ctx, http.MethodPost, "/_sim/tickets/"+ecommerceID+"/"+decision, nil)
	return err
}

// RefundInApp refunds a payment in the ATH Business app. A refund that exceeds
// what is left is refused, which is no error.
func (s *System) RefundInApp(ctx context.Context, p payment.Payment, amount string) error {
	_, _, err := s.Control(ctx, http.MethodPost, "/_sim/external-refunds", M{"ecommerce_id": p.EcommerceID, "amount": amount})
	return err
}

// Fault injects a fault into the simulator.
func (s *System) Fault(ctx context.Context, fault M) error {
	status, answer, err := s.Control(ctx, http.MethodPost, "/_sim/faults", fault)
	if err == nil && status >= 300 {
		return fmt.Errorf("fault %v: %d %s", fault, status, answer)
	}
	return err
}

// Post posts a webhook once, as the gateway does, and remembers an accepted one. A
// body that is no []byte is sent as JSON.
func (m *Merchant) Post(ctx context.Context, body any) error {
	data, raw := body.([]byte)
	if !raw {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	status, _, err := call(ctx, http.MethodPost, m.System.Addresses().WebhookURL, nil, data)
	if err != nil || status != http.StatusOK {
		return nil // the gateway does not retry either
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.posted = append(m.posted, string(data))
	return nil
}

// Acknowledged lists the ids of the payments that the API answered with.
func (m *Merchant) Acknowledged() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.payments))
}
