package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// errNotPositive refuses a refund of zero or less.
var errNotPositive = errors.New("the amount of a refund must be positive")

// ReserveRefund grants the right to send one refund to the gateway: it locks
// the payment, checks how much is left to refund, and inserts the refund as
// pending. The same id and fingerprint again return the refund as it stands
// now. Every refusal is a [*payment.RefundRefusal], and nothing is written.
func (s *Store) ReserveRefund(ctx context.Context, ask ledger.Reservation) (ledger.Reserved, error) {
	return commit(ctx, s, "reserve refund "+ask.RefundID, func(ctx context.Context, tx *sql.Tx) (granted ledger.Reserved, err error) {
		_, err = s.lockPayment(ctx, tx, ask.PaymentID)
		if errors.Is(err, ledger.ErrNotFound) {
			return granted, &payment.RefundRefusal{Code: payment.RefusedNoPayment}
		}
		if err != nil {
			return granted, err
		}
		record, err := s.paymentByID(ctx, tx, ask.PaymentID)
		if err != nil {
			return granted, err
		}
		refund, err := s.reservedBefore(ctx, tx, ask)
		if errors.Is(err, ledger.ErrNotFound) {
			refund, err = s.reserve(ctx, tx, record.Payment, ask)
		}
		return ledger.Reserved{Refund: refund, Payment: record.Payment}, err
	})
}

// reservedBefore returns the refund that the same request reserved earlier, or
// [ledger.ErrNotFound]. It refuses a different request with the same id.
func (s *Store) reservedBefore(ctx context.Context, tx *sql.Tx, ask ledger.Reservation) (payment.Refund, error) {
	before, err := s.refundByID(ctx, tx, ask.RefundID)
	if err != nil {
		return payment.Refund{}, err
	}
	if before.Fingerprint != ask.Fingerprint || before.Refund.PaymentID != ask.PaymentID {
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedKeyReused}
	}
	return before.Refund, nil
}

// ClaimRefund gives the right to send a refund once for each of its tries, which
// count from 1. Whoever asks for a try again, or for one before the last that was
// given, gets a [*payment.RefundRefusal] with RefusedHeld, the same workflow run
// too: one that was reset, or that Temporal has from a backup, does not know what
// came of the first. So does everyone once the refund is settled or taken. by is
// the execution that asks; only that one may hear the same answer twice.
func (s *Store) ClaimRefund(ctx context.Context, refundID string, try int, by string) error {
	return s.write(ctx, "claim refund "+refundID, func(ctx context.Context, tx *sql.Tx) error {
		changed, err := exec(ctx, tx, `
			UPDATE refunds SET claims = $2, sent_by = $3
			WHERE id = $1 AND status = 'pending' AND (claims < $2 OR claims = $2 AND sent_by = $3)`, refundID, try, by)
		if err != nil || changed > 0 {
			return err
		}
		if err := exists(ctx, tx, "refunds", refundID); err != nil {
			return err
		}
		return &payment.RefundRefusal{Code: payment.RefusedHeld}
	})
}

// everyTry is above the number of every try.
const everyTry = math.MaxInt32

// TakeRefund takes the right to send a refund away from every workflow run: its
// workflow is gone, and a person is about to record the outcome. by says who
// took it. If the refund is settled, the error is a [*payment.RefundRefusal]
// with RefusedHeld.
func (s *Store) TakeRefund(ctx context.Context, paymentID, refundID, by string) (ledger.Reserved, error) {
	return commit(ctx, s, "take refund "+refundID, func(ctx context.Context, tx *sql.Tx) (taken ledger.Reserved, err error) {
		if _, err := s.lockPayment(ctx, tx, paymentID); err != nil {
			return taken, err
		}
		record, err := s.refundByID(ctx, tx, refundID)
		switch {
		case err != nil:
			return taken, err
		case record.Refund.PaymentID != paymentID:
			return taken, ledger.ErrNotFound
		case record.Refund.Status != payment.RefundPending:
			return taken, &payment.RefundRefusal{Code: payment.RefusedHeld}
		}
		if _, err := exec(ctx, tx, `UPDATE refunds SET claims = $2, sent_by = $3 WHERE id = $1`, refundID, everyTry, by); err != nil {
			return taken, err
		}
		of, err := s.paymentByID(ctx, tx, paymentID)
		return ledger.Reserved{Refund: record.Refund, Payment: of.Payment}, err
	})
}

// reserve inserts a pending refund. The payment is locked.
func (s *Store) reserve(ctx context.Context, tx *sql.Tx, p payment.Payment, ask ledger.Reservation) (payment.Refund, error) {
	if p.Status != payment.StatusCompleted {
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedNotCompleted, Status: p.Status}
	}
	blocking, err := unsettledRefund(ctx, tx, p.ID)
	if err != nil {
		return payment.Refund{}, err
	}
	if blocking != "" {
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: blocking}
	}
	left := p.Left() // nothing is pending here
	amount := left
	if ask.Amount != nil {
		amount = *ask.Amount
		if amount.Cmp(money.FromCents(1)) < 0 {
			return payment.Refund{}, errNotPositive
		}
	}
	if amount.Cmp(left) > 0 || left.Cmp(money.FromCents(1)) < 0 {
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedExceeds, Left: left}
	}
	record := ledger.RefundRecord{
		Refund: payment.Refund{
			ID: ask.RefundID, PaymentID: p.ID, Amount: amount, Status: payment.RefundPending,
			Message: ask.Message, Source: payment.SourceAPI, CreatedAt: ask.At,
		},
		Fingerprint: ask.Fingerprint,
	}
	if err := s.insertRefund(ctx, tx, record); err != nil {
		return payment.Refund{}, err
	}
	stored, err := s.refundByID(ctx, tx, ask.RefundID)
	return stored.Refund, err
}

// unsettledRefund returns the oldest refund of a payment that is pending or in
// review, or "".
func unsettledRefund(ctx context.Context, q queryer, paymentID string) (string, error) {
	return textOf(ctx, q, `
		SELECT id FROM refunds WHERE payment_id = $1 AND (status = 'pending' OR needs_review)
		ORDER BY created_at, id LIMIT 1`, paymentID)
}

// RecordRefund writes one step of a refund, all or nothing, and returns the
// sequence and the receivers of the event that it announces: the same ones on
// every retry. A revision that is not newer than the stored one leaves the
// refund alone; a reservation has revision zero. A settled refund is never
// unsettled: a completed one stays completed, and a failed one stays failed
// unless it is in review.
//
// A refund made elsewhere needs no reservation; its first write inserts it. If
// the completed refunds would exceed what was captured, the error is a
// [*payment.RefundRefusal] with RefusedExceeds, and nothing is written.
func (s *Store) RecordRefund(ctx context.Context, change ledger.RefundChange) (ledger.Announced, error) {
	refund := change.Record.Refund
	return commit(ctx, s, "record refund "+refund.ID, func(ctx context.Context, tx *sql.Tx) (announced ledger.Announced, err error) {
		if _, err := s.lockPayment(ctx, tx, refund.PaymentID); err != nil {
			return announced, fmt.Errorf("payment %s: %w", refund.PaymentID, err)
		}
		if err := s.putRefund(ctx, tx, change.Record); err != nil {
			return announced, err
		}
		if err := s.neverBelowZero(ctx, tx, refund); err != nil {
			return announced, err
		}
		if err := s.putReview(ctx, tx, change.Review); err != nil {
			return announced, err
		}
		record, err := s.paymentByID(ctx, tx, refund.PaymentID)
		if err != nil || change.Announce == "" {
			return ledger.Announced{Payment: record.Payment}, err
		}
		return s.announce(ctx, tx, announcement{
			subject: refund.ID, payment: record.Payment, refundID: refund.ID, told: change.Notification(record.Payment), workflow: change.Workflow,
		})
	})
}

// putRefund inserts the refund or overwrites an older revision. The amount and
// the source never change.
func (s *Store) putRefund(ctx context.Context, tx *sql.Tx, r ledger.RefundRecord) error {
	before, err := s.refundByID(ctx, tx, r.Refund.ID)
	if errors.Is(err, ledger.ErrNotFound) {
		return s.insertRefund(ctx, tx, r)
	}
	if err != nil || before.Revision >= r.Revision {
		return err
	}
	switch was := before.Refund; {
	case was.PaymentID != r.Refund.PaymentID:
		return fmt.Errorf("the refund belongs to payment %s, not %s", was.PaymentID, r.Refund.PaymentID)
	case was.Amount != r.Refund.Amount:
		return fmt.Errorf("the refund's amount is %s and cannot become %s", was.Amount, r.Refund.Amount)
	}
	if err := follows(before.Refund, r.Refund); err != nil {
		return fmt.Errorf("a refund that is settled as %s cannot be reopened as %s: %w", before.Refund.Status, r.Refund.Status, err)
	}
	changing, err := s.refundChanges(r)
	if err != nil {
		return err
	}
	return update(ctx, tx, "refunds", append([]column{{"id", r.Refund.ID}}, changing...))
}

// follows returns an error unless [payment.NextRefund] allows the step from one
// state to the other. A settled refund is never unsettled, because its money
// may be part of the next refund by now. The exception is a failed refund in
// review, which may turn out to be completed: no other refund is granted while
// the review is open.
func follows(was, is payment.Refund) error {
	var facts []payment.RefundFact
	if is.NeedsReview && !was.NeedsReview {
		facts = append(facts, payment.RefundFactUnknown)
	}
	switch {
	case is.Status == payment.RefundCompleted && was.NeedsReview:
		facts = append(facts, payment.RefundFactCorrected)
	case is.Status == payment.RefundCompleted:
		facts = append(facts, payment.RefundFactCompleted)
	case is.Status == payment.RefundFailed:
		facts = append(facts, payment.RefundFactFailed)
	default:
		facts = append(facts, payment.RefundFactUnknown)
	}
	status := was.Status
	for _, fact := range facts {
		var err error
		if status, err = payment.NextRefund(status, fact); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) insertRefund(ctx context.Context, tx *sql.Tx, r ledger.RefundRecord) error {
	if r.Refund.Amount.Cmp(money.FromCents(1)) < 0 {
		return errNotPositive
	}
	changing, err := s.refundChanges(r)
	if err != nil {
		return err
	}
	inserted, err := insert(ctx, tx, "refunds", append([]column{
		{"id", r.Refund.ID},
		{"payment_id", r.Refund.PaymentID},
		{"fingerprint", r.Fingerprint},
		{"claims", 0},
		{"sent_by", ""},
		{"short_id", ledger.ShortRefundID(r.Refund.ID)},
		{"amount_cents", r.Refund.Amount},
		{"source", r.Refund.Source},
		{"created_at", micros(r.Refund.CreatedAt)},
	}, changing...))
	if err != nil || inserted {
		return err
	}
	blocking, err := unsettledRefund(ctx, tx, r.Refund.PaymentID)
	if err != nil {
		return err
	}
	return &payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: blocking}
}

// refundChanges are the columns that may change.
func (s *Store) refundChanges(r ledger.RefundRecord) ([]column, error) {
	failure := failureColumns(r.Refund.Failure)
	sealed := s.sealing("refunds", r.Refund.ID)
	row := []column{
		{"revision", r.Revision},
		{"status", r.Refund.Status},
		{"needs_review", r.Refund.NeedsReview},
		{"failure_code", failure.Code},
		{"failure_message", failure.Message},
		{"reference_number", r.Refund.ReferenceNumber},
		{"message_sealed", sealed.text("message", r.Refund.Message)},
		{"completed_at", microsOrNull(r.Refund.CompletedAt)},
	}
	return row, sealed.err
}

// neverBelowZero refuses a write that refunds more than was captured.
func (s *Store) neverBelowZero(ctx context.Context, tx *sql.Tx, refund payment.Refund) error {
	if refund.Status != payment.RefundCompleted {
		return nil
	}
	record, err := s.paymentByID(ctx, tx, refund.PaymentID)
	if err != nil {
		return err
	}
	left := record.Payment.Left()
	if left.IsNegative() {
		return &payment.RefundRefusal{Code: payment.RefusedExceeds, Left: left.Add(refund.Amount)}
	}
	return nil
}

const refundColumns = `
	id, payment_id, revision, fingerprint, amount_cents, status, needs_review,
	failure_code, failure_message, reference_number, message_sealed, source, created_at, completed_at`

func (s *Store) scanRefund(row scanner) (ledger.RefundRecord, error) {
	var (
		r       ledger.RefundRecord
		failure payment.Failure
	)
	refund := &r.Refund
	sealed := s.unsealing("refunds", &refund.ID)
	err := row.Scan(
		&refund.ID, &refund.PaymentID, &r.Revision, &r.Fingerprint, &refund.Amount, &refund.Status, &refund.NeedsReview,
		&failure.Code, &failure.Message, &refund.ReferenceNumber, sealed("message", &refund.Message), &refund.Source,
		timeColumn{&refund.CreatedAt}, maybeTimeColumn{&refund.CompletedAt},
	)
	if err != nil {
		return ledger.RefundRecord{}, known(err)
	}
	refund.Failure = failureOf(failure)
	return r, nil
}

// Refund returns the latest revision of a refund.
func (s *Store) Refund(ctx context.Context, id string) (ledger.RefundRecord, error) {
	return read(ctx, s, "read refund "+id, func(ctx context.Context, q queryer) (ledger.RefundRecord, error) {
		return s.refundByID(ctx, q, id)
	})
}

func (s *Store) refundByID(ctx context.Context, q queryer, id string) (ledger.RefundRecord, error) {
	return s.scanRefund(q.QueryRowContext(ctx, `SELECT `+refundColumns+` FROM refunds WHERE id = $1`, id))
}

// Refunds returns the refunds of a payment, oldest first; none for an unknown
// payment.
func (s *Store) Refunds(ctx context.Context, paymentID string) ([]payment.Refund, error) {
	return read(ctx, s, "list the refunds of "+paymentID, func(ctx context.Context, q queryer) ([]payment.Refund, error) {
		return list(ctx, q, func(row scanner) (payment.Refund, error) {
			r, err := s.scanRefund(row)
			return r.Refund, err
		}, `SELECT `+refundColumns+` FROM refunds WHERE payment_id = $1 ORDER BY created_at, id`, paymentID)
	})
}
