package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// putReview adds a review or updates it. A decided review never changes. The
// payment is locked.
func (s *Store) putReview(ctx context.Context, tx *sql.Tx, r *payment.Review) error {
	if r == nil {
		return nil
	}
	sealed := s.sealing("reviews", r.ID)
	evidence, err := json.Marshal(r.Evidence)
	if err != nil {
		return err
	}
	var decision payment.Decision
	var decidedAt *time.Time
	if r.Decision != nil {
		decision, decidedAt = *r.Decision, &r.Decision.At
	}
	changing := []column{
		{"evidence_sealed", sealed.text("evidence", private.Text(evidence))},
		{"verdict", decision.Verdict},
		{"source", decision.Source},
		{"decided_by", decision.By},
		{"reason_sealed", sealed.text("reason", decision.Reason)},
		{"decided_at", microsOrNull(decidedAt)},
	}
	if sealed.err != nil {
		return sealed.err
	}
	inserted, err := insert(ctx, tx, "reviews", append([]column{
		{"id", r.ID},
		{"payment_id", r.PaymentID},
		{"refund_id", r.RefundID},
		{"cause", r.Cause},
		{"opened_at", micros(r.OpenedAt)},
	}, changing...))
	if err != nil || inserted {
		return err
	}
	var decided sql.NullInt64
	err = tx.QueryRowContext(ctx, `SELECT decided_at FROM reviews WHERE id = $1`, r.ID).Scan(&decided)
	if err != nil || decided.Valid {
		return err
	}
	return update(ctx, tx, "reviews", append([]column{{"id", r.ID}}, changing...))
}

// Reviews returns one page of reviews, newest first, and the cursor of the next
// page: the zero value at the end.
func (s *Store) Reviews(ctx context.Context, filter ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error) {
	var where selection
	where.equal("payment_id", filter.PaymentID)
	where.equal("refund_id", filter.RefundID)
	where.holds("decided_at IS NULL", filter.Open)
	return page(ctx, s, listing[payment.Review]{
		name: "reviews", from: "reviews", time: "opened_at", id: "id",
		columns: "id, payment_id, refund_id, cause, evidence_sealed, opened_at, verdict, source, decided_by, reason_sealed, decided_at",
		scan:    s.scanReview,
		place:   func(r payment.Review) ledger.Cursor { return ledger.Cursor{CreatedAt: r.OpenedAt, ID: r.ID} },
	}, where, filter.After, filter.Limit)
}

func (s *Store) scanReview(row scanner) (payment.Review, error) {
	var (
		r         payment.Review
		d         payment.Decision
		evidence  private.Text
		decidedAt *time.Time
	)
	sealed := s.unsealing("reviews", &r.ID)
	err := row.Scan(&r.ID, &r.PaymentID, &r.RefundID, &r.Cause, sealed("evidence", &evidence), timeColumn{&r.OpenedAt},
		&d.Verdict, &d.Source, &d.By, sealed("reason", &d.Reason), maybeTimeColumn{&decidedAt})
	if err != nil {
		return payment.Review{}, err
	}
	if decidedAt != nil {
		d.At = *decidedAt
		r.Decision = &d
	}
	return r, json.Unmarshal([]byte(evidence), &r.Evidence)
}

// RecordMismatch stores a mismatch once. The run that found it first announces
// it, if its kind is announced, and gets the same answer on a retry; any other
// run gets no receivers. workflow is the one that delivers.
func (s *Store) RecordMismatch(ctx context.Context, m payment.Mismatch, workflow string) (ledger.Announced, error) {
	return commit(ctx, s, "record mismatch "+m.ID, func(ctx context.Context, tx *sql.Tx) (announced ledger.Announced, err error) {
		if _, err := insert(ctx, tx, "mismatches", []column{
			{"id", m.ID},
			{"kind", m.Kind},
			{"payment_id", m.PaymentID},
			{"reference_number", m.ReferenceNumber},
			{"ours", m.Ours},
			{"theirs", m.Theirs},
			{"source", m.Source},
			{"found_by", m.FoundBy},
			{"found_at", micros(m.FoundAt)},
		}); err != nil {
			return announced, err
		}
		var foundBy string
		if err := tx.QueryRowContext(ctx, `SELECT found_by FROM mismatches WHERE id = $1`, m.ID).Scan(&foundBy); err != nil {
			return announced, err
		}
		if m.PaymentID != "" {
			record, err := s.paymentByID(ctx, tx, m.PaymentID)
			if err != nil {
				return announced, err
			}
			announced.Payment = record.Payment
		}
		if !m.Kind.Announced() || foundBy != m.FoundBy {
			return announced, nil
		}
		return s.announce(ctx, tx, announcement{
			subject: m.ID, payment: announced.Payment, told: m.Notification(announced.Payment), workflow: workflow,
		})
	})
}

// Mismatches returns at most one page of mismatches, newest first.
func (s *Store) Mismatches(ctx context.Context, filter ledger.MismatchFilter) ([]payment.Mismatch, error) {
	var where selection
	where.equal("kind", string(filter.Kind))
	where.equal("payment_id", filter.PaymentID)
	where.between("found_at", filter.FoundFrom, filter.FoundTo)
	found, _, err := page(ctx, s, listing[payment.Mismatch]{
		name: "mismatches", from: "mismatches", time: "found_at", id: "id",
		columns: "id, kind, payment_id, reference_number, ours, theirs, source, found_by, found_at",
		scan:    scanMismatch,
		place:   func(m payment.Mismatch) ledger.Cursor { return ledger.Cursor{CreatedAt: m.FoundAt, ID: m.ID} },
	}, where, ledger.Cursor{}, filter.Limit)
	return found, err
}

func scanMismatch(row scanner) (payment.Mismatch, error) {
	var m payment.Mismatch
	err := row.Scan(&m.ID, &m.Kind, &m.PaymentID, &m.ReferenceNumber, &m.Ours, &m.Theirs, &m.Source, &m.FoundBy, timeColumn{&m.FoundAt})
	return m, err
}
