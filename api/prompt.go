package api

import (
	"context"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// storeTimeout is how long one call of the store may take. A database that has
// vanished answers nothing, not even with an error, for as long as TCP believes
// in it; whoever asks shall have a 503 before that.
const storeTimeout = 5 * time.Second

// promptStore bounds every call of a store. It names each method, so that a new
// one is not forgotten.
type promptStore struct{ store Store }

var _ Store = promptStore{}

func promptly(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeTimeout)
}

func (p promptStore) Payment(ctx context.Context, id string) (ledger.Record, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Payment(ctx, id)
}

func (p promptStore) Payments(ctx context.Context, filter ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Payments(ctx, filter)
}

func (p promptStore) UnfinishedByReference(ctx context.Context, reference string) (string, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.UnfinishedByReference(ctx, reference)
}

func (p promptStore) Refund(ctx context.Context, id string) (ledger.RefundRecord, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Refund(ctx, id)
}

func (p promptStore) Refunds(ctx context.Context, paymentID string) ([]payment.Refund, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Refunds(ctx, paymentID)
}

func (p promptStore) Reviews(ctx context.Context, filter ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Reviews(ctx, filter)
}

func (p promptStore) Reconciliations(ctx context.Context, limit int) ([]payment.Reconciliation, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Reconciliations(ctx, limit)
}

func (p promptStore) Mismatches(ctx context.Context, filter ledger.MismatchFilter) ([]payment.Mismatch, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Mismatches(ctx, filter)
}

func (p promptStore) AnnounceReceivers(ctx context.Context, host string, receivers []ledger.Receiver) error {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.AnnounceReceivers(ctx, host, receivers)
}

func (p promptStore) Receivers(ctx context.Context) ([]ledger.Receiver, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Receivers(ctx)
}

func (p promptStore) Transitions(ctx context.Context, paymentID string) ([]ledger.Transition, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Transitions(ctx, paymentID)
}

func (p promptStore) Deliveries(ctx context.Context, paymentID string) ([]payment.Delivery, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Deliveries(ctx, paymentID)
}

func (p promptStore) Notifications(ctx context.Context, filter ledger.DeliveryFilter) ([]payment.Delivery, ledger.Cursor, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Notifications(ctx, filter)
}

func (p promptStore) Delivery(ctx context.Context, id string) (payment.Delivery, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Delivery(ctx, id)
}

func (p promptStore) Attempts(ctx context.Context, deliveryID string) ([]ledger.Attempt, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.Attempts(ctx, deliveryID)
}

func (p promptStore) GatewayEvents(ctx context.Context, filter ledger.GatewayEventFilter) ([]ledger.GatewayEvent, ledger.Cursor, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.GatewayEvents(ctx, filter)
}

func (p promptStore) AddGatewayEvent(ctx context.Context, event ledger.GatewayEvent) (added bool, err error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.AddGatewayEvent(ctx, event)
}

func (p promptStore) LeaseGatewayEvents(ctx context.Context, limit int, lease time.Duration) ([]ledger.GatewayEvent, error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.LeaseGatewayEvents(ctx, limit, lease)
}

func (p promptStore) SettleGatewayEvent(ctx context.Context, id string, verdict ledger.EventVerdict, matchedID, effect string) error {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.SettleGatewayEvent(ctx, id, verdict, matchedID, effect)
}

func (p promptStore) PostponeGatewayEvent(ctx context.Context, id string, notBefore time.Time) error {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.PostponeGatewayEvent(ctx, id, notBefore)
}

func (p promptStore) MatchGatewayEvent(ctx context.Context, event ledger.GatewayEvent) (paymentID string, err error) {
	ctx, cancel := promptly(ctx)
	defer cancel()
	return p.store.MatchGatewayEvent(ctx, event)
}
