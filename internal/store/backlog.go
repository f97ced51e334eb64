package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Backlog counts the work that is waiting at one moment.
type Backlog struct {
	Payments       map[payment.Status]int // those that are not terminal
	PaymentReviews int                    // open reviews of payments
	RefundReviews  int                    // open reviews of refunds
	Events         int                    // events that no workflow has yet
	OldestEvent    time.Time              // when the oldest of them came; zero where there is none
	Notifications  []ledger.DeliveryCount
	// ReconciledAt is when the latest reconciliation ended; zero where there was
	// none.
	ReconciledAt time.Time
}

// Backlog counts what is waiting. Each of its queries has an index that holds
// little more than what it counts, so it can run every few seconds however
// large the database is. That is why it leaves out delivered notifications;
// [Store.CountDeliveries] counts them too.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	return read(ctx, s, "count the backlog", backlog)
}

func backlog(ctx context.Context, q queryer) (Backlog, error) {
	b := Backlog{Payments: make(map[payment.Status]int)}
	var oldest, reconciled sql.NullInt64
	type statusCount struct {
		status payment.Status
		count  int
	}
	statuses, err := list(ctx, q, func(row scanner) (c statusCount, err error) {
		return c, row.Scan(&c.status, &c.count)
	}, `SELECT status, COUNT(*) FROM payments WHERE `+unfinished+` GROUP BY status`)
	for _, c := range statuses {
		b.Payments[c.status] = c.count
	}
	if err == nil {
		err = q.QueryRowContext(ctx, `
			SELECT COUNT(CASE WHEN refund_id = '' THEN 1 END), COUNT(CASE WHEN refund_id <> '' THEN 1 END)
			FROM reviews WHERE decided_at IS NULL`).Scan(&b.PaymentReviews, &b.RefundReviews)
	}
	if err == nil {
		err = q.QueryRowContext(ctx, `SELECT COUNT(*), MIN(received_at) FROM gateway_events WHERE verdict = 'pending'`).
			Scan(&b.Events, &oldest)
	}
	if err == nil {
		b.Notifications, err = list(ctx, q, scanDeliveryCount, `
			SELECT host, receiver, event, status, COUNT(*) FROM notifications WHERE status <> 'delivered'
			GROUP BY host, receiver, event, status`)
	}
	if err == nil {
		err = q.QueryRowContext(ctx, `SELECT MAX(ended_at) FROM reconciliations`).Scan(&reconciled)
	}
	if err != nil {
		return Backlog{}, err
	}
	if oldest.Valid {
		b.OldestEvent = time.UnixMicro(oldest.Int64).UTC()
	}
	if reconciled.Valid {
		b.ReconciledAt = time.UnixMicro(reconciled.Int64).UTC()
	}
	return b, nil
}
