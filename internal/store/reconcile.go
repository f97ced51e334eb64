package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// PaymentByReference returns the newest payment with the gateway's reference
// number.
func (s *Store) PaymentByReference(ctx context.Context, reference string) (payment.Payment, error) {
	r, err := s.scanPayment(s.readers.QueryRowContext(ctx, `SELECT `+paymentColumns+` FROM payments p
		WHERE p.reference_number <> '' AND p.reference_number = $1 ORDER BY p.created_at DESC LIMIT 1`, reference))
	if err != nil {
		return payment.Payment{}, fmt.Errorf("read the payment of reference %s: %w", reference, err)
	}
	return r.Payment, nil
}

// CompletedPayments returns payments that were completed from a moment on and
// before another, oldest first. The cursor holds the completion time and the id
// of the last one of the page before.
func (s *Store) CompletedPayments(ctx context.Context, from, to time.Time, after ledger.Cursor, limit int) ([]payment.Payment, error) {
	afterTime := int64(-1)
	if after != (ledger.Cursor{}) {
		afterTime = micros(after.CreatedAt)
	}
	records, err := list(ctx, s.readers, s.scanPayment, `SELECT `+paymentColumns+` FROM payments p
		WHERE p.status = 'completed' AND p.completed_at >= $1 AND p.completed_at < $2 AND (p.completed_at, p.id) > ($3, $4)
		ORDER BY p.completed_at, p.id LIMIT $5`, micros(from), micros(to), afterTime, after.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("list completed payments: %w", err)
	}
	payments := make([]payment.Payment, len(records))
	for i, r := range records {
		payments[i] = r.Payment
	}
	return payments, nil
}

// RecordReconciliation keeps what a run came to, once.
func (s *Store) RecordReconciliation(ctx context.Context, r payment.Reconciliation) error {
	return s.write(ctx, "record the reconciliation of "+r.Day, func(tx *sql.Tx) error {
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
	runs, err := list(ctx, s.readers, scanReconciliation, `
		SELECT run_id, day, started_at, ended_at, report_rows, matched, filled, booked, mismatches, quarantined
		FROM reconciliations ORDER BY started_at DESC, run_id DESC LIMIT $1`, pageOf(limit))
	if err != nil {
		return nil, fmt.Errorf("list reconciliations: %w", err)
	}
	return runs, nil
}

func scanReconciliation(row scanner) (payment.Reconciliation, error) {
	var r payment.Reconciliation
	err := row.Scan(&r.RunID, &r.Day, timeColumn{&r.StartedAt}, timeColumn{&r.EndedAt},
		&r.Rows, &r.Matched, &r.Filled, &r.Booked, &r.Mismatches, &r.Quarantined)
	return r, err
}
