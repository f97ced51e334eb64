package worker

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/orders"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/payment"
)

// connect opens the store and Temporal for an order, and closes them after it.
func (c *Config) connect(ctx context.Context, order func(*store.Store, client.Client) error) (err error) {
	p, err := c.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return order(p.Store, p.Temporal)
}

// Receivers lists every receiver that was announced and not removed.
func Receivers(ctx context.Context, cfg Config) (receivers []ledger.Receiver, err error) {
	p, err := cfg.open(ctx, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	return p.Store.Receivers(ctx)
}

// RemoveReceivers forgets the receivers of a host, narrowed down by event and
// name where they are not empty, and drops what is on its way to them and what
// has failed: nobody is to mend it any more. It returns those that were
// forgotten, and how many deliveries it dropped. Doing
// it again is harmless, and drops what an announcement in the same moment had
// still made.
func RemoveReceivers(ctx context.Context, cfg Config, host string, event payment.Event, name string) ([]ledger.Receiver, int, error) {
	var (
		removed []ledger.Receiver
		dropped int
	)
	err := cfg.connect(ctx, func(db *store.Store, temporal client.Client) (err error) {
		if removed, err = db.RemoveReceivers(ctx, host, event, name); err != nil {
			return err
		}
		for _, status := range []payment.DeliveryStatus{payment.DeliveryPending, payment.DeliveryFailed} {
			filter := ledger.DeliveryFilter{Host: host, Event: event, Receiver: name, Status: status}
			if err := eachPage(ctx, db, filter, func(page []payment.Delivery) error {
				dropped += len(page)
				return orders.Drop(ctx, temporal, db, page, cfg.Now().UTC())
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return removed, dropped, err
}

// Redeliver has every notification sent again that a filter selects, and
// returns them as they stood. With dryRun it only lists them.
func Redeliver(ctx context.Context, cfg Config, filter ledger.DeliveryFilter, dryRun bool) ([]payment.Delivery, error) {
	var found []payment.Delivery
	err := cfg.connect(ctx, func(db *store.Store, temporal client.Client) error {
		return eachPage(ctx, db, filter, func(page []payment.Delivery) error {
			for _, d := range page {
				if !dryRun {
					if err := orders.Redeliver(ctx, temporal, d); err != nil {
						return fmt.Errorf("notification %s: %w", d.ID, err)
					}
				}
				found = append(found, d)
			}
			return nil
		})
	})
	return found, err
}

// eachPage walks through the deliveries that a filter selects.
func eachPage(ctx context.Context, db *store.Store, filter ledger.DeliveryFilter, see func([]payment.Delivery) error) error {
	for {
		page, next, err := db.Notifications(ctx, filter)
		if err != nil {
			return err
		}
		if err := see(page); err != nil || next == (ledger.Cursor{}) {
			return err
		}
		filter.After = next
	}
}
