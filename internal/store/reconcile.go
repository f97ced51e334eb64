package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// PaymentByReference returns the newest payment with the gateway's reference
// number.
func (s *Store) PaymentByReference(ctx context.Context, reference string) (payment.Payment, error) {
	return read(ctx, s, "read the payment of reference "+reference, func(ctx context.Context, q queryer) (payment.Payment, error) {
		return s.scanPaymentAlone(q.QueryRowContext(ctx, `SELECT `+paymentColumns+` FROM payments p
			WHERE p.reference_number <> '' AND p.reference_number = $1 ORDER BY p.created_at DESC LIMIT 1`, reference))
	})
}

// CompletedPayments returns payments that were completed from a moment on and
// before another, oldest first. The cursor holds the completion time and the id
// of the last one of the page before.
func (s *Store) CompletedPayments(ctx context.Context, from, to time.Time, after ledger.Cursor, limit int) ([]payment.Payment, error) {
	return read(ctx, s, "list completed payments", func(ctx context.Context, q queryer) ([]payment.Payment, error) {
		return list(ctx, q, s.scanPaymentAlone, `SELECT `+paymentColumns+` FROM payments p
			WHERE p.status = 'completed' AND p.completed_at >= $1 AND p.completed_at < $2 AND (p.completed_at, p.id) > ($3, $4)
			ORDER BY p.completed_at, p.id LIMIT $5`, micros(from), micros(to), microsAfter(after), after.ID, limit)
	})
}

// RecordReconciliation stores the result of a run, once.
func (s *Store) RecordReconciliation(ctx context.Context, r payment.Reconciliation) error {
	return s.write(ctx, "record the reconciliation of "+r.Day, func(ctx context.Context, tx *sql.Tx) error {
		_, err := insert(ctx, tx, "reconciliations", []column{
			{"run_id", r.RunID},
			{"day", r.Day},
			{"started_at", micros(r.StartedAt)},
			{"ended_at", micros(r.EndedAt)},
			{"report_rows", r.Rows},
			{"matched", r.Matched},
			{"filled", r.Filled},
			{"booked", r.Booked},
			{"mismatches", r.Mismatches},
			{"quarantined", r.Quarantined},
		})
		return err
	})
}

// Reconciliations returns the latest runs, newest first. A limit outside 1 to
// 100 means 100.
func (s *Store) Reconciliations(ctx context.Context, limit int) ([]payment.Reconciliation, error) {
	return read(ctx, s, "list reconciliations", func(ctx context.Context, q queryer) ([]payment.Reconciliation, error) {
		return list(ctx, q, scanReconciliation, `
			SELECT run_id, day, started_at, ended_at, report_rows, matched, filled, booked, mismatches, quarantined
			FROM reconciliations ORDER BY started_at DESC, run_id DESC LIMIT $1`, pageOf(limit))
	})
}

func scanReconciliation(row scanner) (payment.Reconciliation, error) {
	var r payment.Reconciliation
	err := row.Scan(&r.RunID, &r.Day, timeColumn{&r.StartedAt}, timeColumn{&r.EndedAt},
		&r.Rows, &r.Matched, &r.Filled, &r.Booked, &r.Mismatches, &r.Quarantined)
	return r, err
}
