package store

import (
	"context"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
)

// UnstartedPayments returns payments that were reserved before a moment and of
// which nothing was recorded since, oldest first. The cursor holds the creation
// time and the id of the last one of the page before.
func (s *Store) UnstartedPayments(ctx context.Context, before time.Time, after ledger.Cursor, limit int) ([]ledger.Record, error) {
	return read(ctx, s, "list unstarted payments", func(ctx context.Context, q queryer) ([]ledger.Record, error) {
		return list(ctx, q, s.scanPayment, `SELECT `+paymentColumns+` FROM payments p
			WHERE p.status = 'pending' AND p.revision = 0 AND p.created_at < $1 AND (p.created_at, p.id) > ($2, $3)
			ORDER BY p.created_at, p.id LIMIT $4`, micros(before), microsAfter(after), after.ID, limit)
	})
}

// UnstartedRefunds does so for refunds.
func (s *Store) UnstartedRefunds(ctx context.Context, before time.Time, after ledger.Cursor, limit int) ([]ledger.RefundRecord, error) {
	return read(ctx, s, "list unstarted refunds", func(ctx context.Context, q queryer) ([]ledger.RefundRecord, error) {
		return list(ctx, q, s.scanRefund, `SELECT `+refundColumns+` FROM refunds
			WHERE status = 'pending' AND revision = 0 AND created_at < $1 AND (created_at, id) > ($2, $3)
			ORDER BY created_at, id LIMIT $4`, micros(before), microsAfter(after), after.ID, limit)
	})
}

// microsAfter is a cursor's time; before every one where it is the start.
func microsAfter(c ledger.Cursor) int64 {
	if c == (ledger.Cursor{}) {
		return -1
	}
	return micros(c.CreatedAt)
}
