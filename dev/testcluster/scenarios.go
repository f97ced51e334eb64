package testcluster

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/payment"
)

// RunScenarios does everything once that merchants and customers do: a sale with
// refunds, a cancel by the customer and one by the merchant, a payment that
// expires, one whose phone number comes later, and a refund made in the ATH
// Business app. prefix begins the references, so that scenarios can run many
// times on one system.
func (m *Merchant) RunScenarios(ctx context.Context, prefix string) error {
	var all errgroup.Group
	for name, run := range map[string]func(ctx context.Context, key string) error{
		"refunds": m.refundTwice, "customer-cancels": m.customerCancels, "expires": m.expires, "merchant-cancels": m.merchantCancels,
		"phone-later": m.phoneNumberLater, "refund-in-app": m.refundInApp,
	} {
		all.Go(func() error {
			if err := run(ctx, prefix+name); err != nil {
				return fmt.Errorf("%s%s: %w", prefix, name, err)
			}
			return nil
		})
	}
	return all.Wait()
}

var errRefused = errors.New("refused")

// Sell opens a payment of five dollars.
func (m *Merchant) Sell(ctx context.Context, key string, more M) (payment.Payment, error) {
	request := M{"total": "5.00", "reference": key}
	maps.Copy(request, more)
	p, ok, err := m.Open(ctx, key, request)
	if err == nil && !ok {
		err = fmt.Errorf("%s was %w", key, errRefused)
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

// Confirm confirms a payment and waits until it is completed. It takes as long as
// a killed process needs to come back.
func (m *Merchant) Confirm(ctx context.Context, p payment.Payment) (payment.Payment, error) {
	if err := m.System.Phone(ctx, "confirm", p.EcommerceID); err != nil {
		return p, err
	}
	return m.awaitStatus(ctx, p, payment.StatusCompleted)
}

// awaitStatus waits until a payment has ended, and requires its status.
func (m *Merchant) awaitStatus(ctx context.Context, p payment.Payment, want payment.Status) (payment.Payment, error) {
	p, err := m.Await(ctx, p.ID, Ended)
	if err == nil && p.Status != want {
		err = fmt.Errorf("%s is %s", p.ID, p.Status)
	}
	return p, err
}

// RefundOrReview refunds one dollar. A refund whose outcome is unknown, since the
// process that sent it died, is decided as by a person who has seen that the
// total did not increase; the invariants check the decision.
func (m *Merchant) RefundOrReview(ctx context.Context, p payment.Payment, key string) error {
	r, created, err := m.Refund(ctx, p.ID, key, "1.00")
	switch {
	case err != nil:
	case r.NeedsReview:
		_, err = m.Review(ctx, p.ID, r.ID, payment.VerdictNotExecuted)
	case !created || r.Status == payment.RefundPending:
		err = fmt.Errorf("created %t, %s", created, r.Status)
	}
	if err != nil {
		return fmt.Errorf("refund %s of %s: %w", key, p.ID, err)
	}
	return nil
}

// SellUnderLoad makes so many sales, several at a time, and refunds a part of
// each. The channel has the result once all have ended.
func (m *Merchant) SellUnderLoad(ctx context.Context, sales, parallel int) <-chan error {
	var load errgroup.Group
	load.SetLimit(parallel)
	done := make(chan error, 1)
	go func() { // ends with the load
		for i := range sales {
			load.Go(func() error {
				key := fmt.Sprintf("load-%d", i)
				phone := M{"phone_number": fmt.Sprintf("787555%04d", 2000+i)}
				p, err := m.Paid(ctx, key, phone)
				if errors.Is(err, errRefused) { // an outage was longer than a request may wait
					p, err = m.Paid(ctx, key+"-again", phone)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", key, err)
				}
				return m.RefundOrReview(ctx, p, key)
			})
		}
		done <- load.Wait()
	}()
	return done
}

func (m *Merchant) refundTwice(ctx context.Context, key string) error {
	p, err := m.Paid(ctx, key, M{"phone_number": "7875551001"})
	if err != nil {
		return err
	}
	for _, key := range []string{"refund-1", "refund-2", "refund-1"} {
		if err := m.RefundOrReview(ctx, p, key); err != nil {
			return err
		}
	}
	return nil
}

func (m *Merchant) customerCancels(ctx context.Context, key string) error {
	p, err := m.Sell(ctx, key, M{"phone_number": "7875551002"})
	if err != nil {
		return err
	}
	if err := m.System.Phone(ctx, "cancel", p.EcommerceID); err != nil {
		return err
	}
	_, err = m.awaitStatus(ctx, p, payment.StatusCancelled)
	return err
}

func (m *Merchant) expires(ctx context.Context, key string) error {
	p, err := m.Sell(ctx, key, M{"phone_number": "7875550200", "expires_in": 1})
	if err != nil {
		return err
	}
	_, err = m.awaitStatus(ctx, p, payment.StatusExpired)
	return err
}

func (m *Merchant) merchantCancels(ctx context.Context, key string) error {
	p, err := m.Sell(ctx, key, nil)
	if err != nil {
		return err
	}
	if _, _, err := m.Ask(ctx, "POST", "/v1/payments/"+p.ID+"/cancel", "", nil); err != nil {
		return err
	}
	_, err = m.awaitStatus(ctx, p, payment.StatusCancelled)
	return err
}

func (m *Merchant) phoneNumberLater(ctx context.Context, key string) error {
	p, err := m.Sell(ctx, key, nil)
	if err != nil {
		return err
	}
	// Whether the number was accepted may stay unknown; the payment goes on.
	if _, _, err := m.Ask(ctx, "PUT", "/v1/payments/"+p.ID+"/phone-number", "phone", M{"phone_number": "7875551003"}); err != nil {
		return err
	}
	_, err = m.Confirm(ctx, p)
	return err
}

func (m *Merchant) refundInApp(ctx context.Context, key string) error {
	p, err := m.Paid(ctx, key, M{"phone_number": "7875551004"})
	if err != nil {
		return err
	}
	if err := m.System.RefundInApp(ctx, p, "2.00"); err != nil {
		return err
	}
	_, err = m.Await(ctx, p.ID, func(p payment.Payment) bool { return p.RefundedAmount.String() == "2.00" })
	return err
}
