package rig

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/payment"
)

// Tour does everything once, as merchants and customers do: a sale with
// refunds, one that the customer cancels, one that nobody confirms, one that
// the merchant cancels, one whose phone is given later, and a refund made
// elsewhere. name begins the keys of its orders, so that one system sees many
// tours.
func (m *Merchant) Tour(ctx context.Context, name string) error {
	var steps errgroup.Group
	for step, do := range map[string]func(context.Context, *Merchant, string) error{
		"sale": sale, "cancelled": cancelled, "expired": expired, "withdrawn": withdrawn, "phone": phone, "elsewhere": elsewhere,
	} {
		steps.Go(func() error {
			if err := do(ctx, m, name); err != nil {
				return fmt.Errorf("%s%s: %w", name, step, err)
			}
			return nil
		})
	}
	return steps.Wait()
}

// Sell opens a payment of five dollars.
func (m *Merchant) Sell(ctx context.Context, key string, more M) (payment.Payment, error) {
	request := M{"total": "5.00", "reference": key}
	for name, value := range more {
		request[name] = value
	}
	p, ok, err := m.Open(ctx, key, request)
	if err == nil && !ok {
		err = fmt.Errorf("%s was refused", key)
	}
	return p, err
}

// Paid is a completed payment of five dollars.
func (m *Merchant) Paid(ctx context.Context, key string, more M) (payment.Payment, error) {
	p, err := m.Sell(ctx, key, more)
	if err != nil {
		return p, err
	}
	return m.Confirm(ctx, p)
}

// Confirm confirms, and waits until the payment is settled: a killed process may have
// kept the customer waiting.
func (m *Merchant) Confirm(ctx context.Context, p payment.Payment) (payment.Payment, error) {
	if err := m.System.Phone(ctx, "confirm", p.EcommerceID); err != nil {
		return p, err
	}
	p, err := m.Await(ctx, p.ID, Ended)
	if err == nil && p.Status != payment.StatusCompleted {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return p, err
}

func sale(ctx context.Context, m *Merchant, tour string) error {
	p, err := m.Paid(ctx, tour+"sale", M{"phone_number": "7875551001"})
	if err != nil {
		return err
	}
	for _, key := range []string{"back-1", "back-2", "back-1"} {
		r, made, err := m.Refund(ctx, p.ID, key, "1.00")
		if err == nil && r.NeedsReview {
			// Nobody knows whether a process that died had sent it. A person who
			// has seen that the total did not rise says so; the books then say no.
			_, err = m.Review(ctx, p.ID, r.ID, payment.VerdictNotExecuted)
		} else if err == nil && (!made || r.Status == payment.RefundPending) {
			err = fmt.Errorf("made %t, %s", made, r.Status)
		}
		if err != nil {
			return fmt.Errorf("refund %s: %w", key, err)
		}
	}
	return nil
}

func cancelled(ctx context.Context, m *Merchant, tour string) error {
	p, err := m.Sell(ctx, tour+"cancelled", M{"phone_number": "7875551002"})
	if err != nil {
		return err
	}
	if err := m.System.Phone(ctx, "cancel", p.EcommerceID); err != nil {
		return err
	}
	p, err = m.Await(ctx, p.ID, Ended)
	if err == nil && p.Status != payment.StatusCancelled {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return err
}

func expired(ctx context.Context, m *Merchant, tour string) error {
	p, err := m.Sell(ctx, tour+"expired", M{"phone_number": "7875550200", "expires_in": 1})
	if err != nil {
		return err
	}
	p, err = m.Await(ctx, p.ID, Ended)
	if err == nil && p.Status != payment.StatusExpired {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return err
}

func withdrawn(ctx context.Context, m *Merchant, tour string) error {
	p, err := m.Sell(ctx, tour+"withdrawn", nil)
	if err != nil {
		return err
	}
	if _, _, err := m.Ask(ctx, "POST", "/v1/payments/"+p.ID+"/cancel", "", nil); err != nil {
		return err
	}
	p, err = m.Await(ctx, p.ID, Ended)
	if err == nil && p.Status != payment.StatusCancelled {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return err
}

func phone(ctx context.Context, m *Merchant, tour string) error {
	p, err := m.Sell(ctx, tour+"phone", nil)
	if err != nil {
		return err
	}
	// Whether the number was taken may stay unknown; the payment goes on.
	if _, _, err := m.Ask(ctx, "PUT", "/v1/payments/"+p.ID+"/phone-number", "phone", M{"phone_number": "7875551003"}); err != nil {
		return err
	}
	_, err = m.Confirm(ctx, p)
	return err
}

func elsewhere(ctx context.Context, m *Merchant, tour string) error {
	p, err := m.Paid(ctx, tour+"elsewhere", M{"phone_number": "7875551004"})
	if err != nil {
		return err
	}
	_, _, err = m.System.Control(ctx, "POST", "/_sim/external-refunds", M{"ecommerce_id": p.EcommerceID, "amount": "2.00"})
	if err != nil {
		return err
	}
	_, err = m.Await(ctx, p.ID, func(p payment.Payment) bool { return p.RefundedAmount.String() == "2.00" })
	return err
}
