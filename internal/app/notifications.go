package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Notifications returns one page of notifications, newest first.
func (a *App) Notifications(ctx context.Context, filter ledger.DeliveryFilter) (Page[payment.Delivery], error) {
	return page(a.store.Notifications(ctx, filter))
}

// Notification is one notification with every call of its receiver, oldest first.
// Its JSON is the API's.
type Notification struct {
	payment.Delivery
	AttemptLog []ledger.Attempt `json:"attempt_log"`
}

// Notification returns a notification.
func (a *App) Notification(ctx context.Context, id string) (Notification, error) {
	d, err := a.delivery(ctx, id)
	if err != nil {
		return Notification{}, err
	}
	attempts, err := a.store.Attempts(ctx, d.ID)
	return Notification{d, attempts}, fromStore(err)
}

func (a *App) delivery(ctx context.Context, id string) (payment.Delivery, error) {
	if !ledger.IsNotificationID(id) {
		return payment.Delivery{}, &Error{Kind: KindNotificationNotFound}
	}
	d, err := a.store.Delivery(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return d, &Error{Kind: KindNotificationNotFound}
	}
	return d, fromStore(err)
}

// orderTimeout is how long a workflow may take to decide an order.
const orderTimeout = 5 * time.Second

// Redelivered is a notification that was ordered to be sent again. Its JSON is
// the API's.
type Redelivered struct {
	payment.Delivery
	Redelivery ledger.Redelivery `json:"redelivery,omitempty"` // empty where nothing was ordered
}

// Redeliver sends a notification now, under its own id, whatever came of it
// before. One that is on its way is tried at once. It returns the notification as
// it stands, which may be as it stood.
func (a *App) Redeliver(ctx context.Context, id string) (Redelivered, error) {
	d, err := a.delivery(ctx, id)
	if err != nil {
		return Redelivered{}, err
	}
	redelivery, err := a.redeliver(ctx, d)
	if err != nil {
		return Redelivered{}, err
	}
	d, err = a.delivery(ctx, id)
	return Redelivered{d, redelivery}, err
}

func (a *App) redeliver(ctx context.Context, d payment.Delivery) (ledger.Redelivery, error) {
	ordering, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	redelivery, err := a.flows.Redeliver(ordering, d)
	return redelivery, fromFlows(err)
}

// RedeliverAll sends every notification again that a filter selects, and returns
// them as they stood. With dryRun it only lists them.
func (a *App) RedeliverAll(ctx context.Context, filter ledger.DeliveryFilter, dryRun bool) ([]Redelivered, error) {
	var found []Redelivered
	err := a.eachPage(ctx, filter, func(deliveries []payment.Delivery) error {
		for _, d := range deliveries {
			one := Redelivered{Delivery: d}
			if !dryRun {
				var err error
				if one.Redelivery, err = a.redeliver(ctx, d); err != nil {
					return fmt.Errorf("notification %s: %w", d.ID, err)
				}
			}
			found = append(found, one)
		}
		return nil
	})
	return found, err
}

// eachPage walks through the deliveries that a filter selects.
func (a *App) eachPage(ctx context.Context, filter ledger.DeliveryFilter, see func([]payment.Delivery) error) error {
	for {
		deliveries, err := a.Notifications(ctx, filter)
		if err != nil {
			return err
		}
		if err := see(deliveries.Items); err != nil || deliveries.Next == (ledger.Cursor{}) {
			return err
		}
		filter.After = deliveries.Next
	}
}

// Receivers returns every receiver that was announced and not removed, by host,
// event and name. Cobro's own are among them.
func (a *App) Receivers(ctx context.Context) ([]ledger.Receiver, error) {
	receivers, err := a.store.Receivers(ctx)
	return receivers, fromStore(err)
}

// AnnounceReceivers adds a host's receivers or updates them, and returns all of
// the host's. It never removes one: a receiver that is absent from the list stays,
// since the list may be that of an older copy of the program.
func (a *App) AnnounceReceivers(ctx context.Context, host string, announced []ledger.Receiver) ([]ledger.Receiver, error) {
	if err := a.store.AnnounceReceivers(ctx, host, announced); err != nil {
		return nil, fromStore(err)
	}
	all, err := a.Receivers(ctx)
	return slices.DeleteFunc(all, func(r ledger.Receiver) bool { return r.Host != host }), err
}

// RemoveReceiversInput selects the receivers of a host.
type RemoveReceiversInput struct {
	Host  string
	Event payment.Event // empty selects those of all events
	Name  string        // empty selects those of all names
}

// RemovedReceivers is what [App.RemoveReceivers] did.
type RemovedReceivers struct {
	Receivers []ledger.Receiver // those that were forgotten
	Dropped   int               // deliveries
}

// RemoveReceivers forgets receivers, and drops what is on its way to them and what
// has failed: nobody is to fix it any more. Doing it again is harmless, and drops
// what an announcement in the same moment had still made.
func (a *App) RemoveReceivers(ctx context.Context, in RemoveReceiversInput) (RemovedReceivers, error) {
	receivers, err := a.store.RemoveReceivers(ctx, in.Host, in.Event, in.Name)
	if err != nil {
		return RemovedReceivers{}, fromStore(err)
	}
	removed := RemovedReceivers{Receivers: receivers}
	for _, status := range []payment.DeliveryStatus{payment.DeliveryPending, payment.DeliveryFailed} {
		filter := ledger.DeliveryFilter{Host: in.Host, Event: in.Event, Receiver: in.Name, Status: status}
		if err := a.eachPage(ctx, filter, func(deliveries []payment.Delivery) error {
			removed.Dropped += len(deliveries)
			return a.drop(ctx, deliveries)
		}); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// drop ends deliveries. Those whose workflow has ended are noted at once, and
// those of running ones soon.
func (a *App) drop(ctx context.Context, deliveries []payment.Delivery) error {
	byWorkflow := map[string][]string{}
	for _, d := range deliveries {
		byWorkflow[d.WorkflowID] = append(byWorkflow[d.WorkflowID], d.ID)
	}
	now := a.cfg.Now().UTC()
	var left []payment.Delivery
	for workflowID, ids := range byWorkflow {
		err := a.flows.Drop(ctx, workflowID, ids)
		if err == nil {
			continue
		}
		if !errors.Is(err, flows.ErrEnded) {
			return fmt.Errorf("drop notifications of workflow %s: %w", workflowID, fromFlows(err))
		}
		for _, id := range ids {
			left = append(left, payment.Delivery{ID: id, Status: payment.DeliveryDropped, EndedAt: &now})
		}
	}
	if len(left) == 0 {
		return nil
	}
	return fromStore(a.store.RecordDeliveries(ctx, left))
}
