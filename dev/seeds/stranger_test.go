package seeds

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/payment"
)

// forge posts a forgery. What nobody answers is lost, as it is to the gateway.
func (s *shop) forge(ctx context.Context, plan schedule, f forgery) error {
	if err := testcluster.Pause(ctx, f.At); err != nil {
		return err
	}
	sale := plan.Sales[f.Sale]
	p, err := s.target(ctx, sale)
	if err != nil {
		return err
	}
	event, err := s.event(ctx, p, sale, f)
	if event == nil || err != nil {
		return err
	}
	other := s.known(plan.Sales[(f.Sale+1)%len(plan.Sales)].Key)
	change(event, f.Change, other.EcommerceID)
	for i := range f.Times {
		if f.Differ {
			event["metadata1"] = fmt.Sprintf("forged %s %d", f.At, i)
		}
		body, err := json.Marshal(event)
		if err != nil {
			return err
		}
		switch f.Kind {
		case "garbage":
			body = body[:len(body)/2]
		case "too large":
			body = append(body, bytes.Repeat([]byte(" "), 1<<20)...)
		}
		if err := s.Post(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// target is the payment whose ids a forgery has, as it is now.
func (s *shop) target(ctx context.Context, sale sale) (payment.Payment, error) {
	p := s.known(sale.Key)
	if p.ID == "" {
		return payment.Payment{ID: "pay_" + strings.Repeat("0", 26), EcommerceID: "forged-" + sale.Key}, nil
	}
	return s.Show(ctx, p.ID)
}

func (s *shop) known(key string) payment.Payment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened[key]
}

// event makes up an event, or takes one of the gateway's. It returns nil where there
// is none.
func (s *shop) event(ctx context.Context, p payment.Payment, sale sale, f forgery) (testcluster.M, error) {
	if f.Kind == "replay" {
		return s.sent(ctx, p.EcommerceID)
	}
	cents := f.Cents
	if cents == 0 {
		cents = sale.Cents
	}
	if f.Kind == "refund" && !*budgets {
		cents += sale.Cents // more than there is: see budgets
	}
	reference := p.ReferenceNumber
	if reference == "" {
		reference = "forged-" + sale.Key
	}
	event := testcluster.M{
		"transactionType": "ecommerce", "status": "completed", "date": "2026-01-02 03:04:05", "referenceNumber": reference,
		"total": dollars(cents), "name": "Mallory", "phoneNumber": "7875559999", "email": "mallory@example.com", "message": "sorry",
	}
	switch f.Kind {
	case "expired":
		event["status"], event["metadata2"] = "expired", p.ID // it has no ticket
		return event, nil
	case "cancelled":
		event["status"] = "CANCEL"
	case "refund", "simulated", "payment", "donation":
		event["transactionType"] = f.Kind
	case "unknown":
		event["transactionType"] = "lottery"
	}
	event["ecommerceId"] = p.EcommerceID
	return event, nil
}

// sent returns the last event that the gateway has sent about a ticket, except about
// its refunds: see budgets.
func (s *shop) sent(ctx context.Context, ecommerceID string) (testcluster.M, error) {
	var sent struct {
		Webhooks []struct {
			Kind        string `json:"kind"`
			EcommerceID string `json:"ecommerce_id"`
			Body        string `json:"body"`
		}
	}
	_, answer, err := s.System.Control(ctx, http.MethodGet, "/_sim/webhooks", nil)
	if err != nil {
		return nil, ctx.Err() // an outage
	}
	if err := json.Unmarshal(answer, &sent); err != nil {
		return nil, err
	}
	var event testcluster.M
	for _, one := range sent.Webhooks {
		if one.EcommerceID == ecommerceID && one.Body != "" && (one.Kind != "refund" || *budgets) {
			event = testcluster.M{}
			if err := json.Unmarshal([]byte(one.Body), &event); err != nil {
				return nil, err
			}
		}
	}
	return event, nil
}

// change changes an event as its name says.
func change(event testcluster.M, how, otherTicket string) {
	switch how {
	case "no total":
		delete(event, "total")
	case "no date":
		delete(event, "date")
	case "no ticket":
		delete(event, "ecommerceId")
	case "no reference":
		event["referenceNumber"] = nil
	case "another's ticket":
		event["ecommerceId"] = otherTicket
	case "another type":
		event["transactionType"] = "ECOMMERCE"
	case "nested":
		event["metadata2"] = testcluster.M{"id": event["metadata2"]}
	case "long":
		event["name"] = strings.Repeat("Mallory ", 4000)
	case "exponent":
		event["phoneNumber"] = json.Number("7.875559999E9")
	}
}
