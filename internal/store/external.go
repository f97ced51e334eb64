package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// BookExternalRefund records a refund that was not requested through Cobro,
// once and as completed, and announces it. The gateway's total proves it, so it
// is refused where our books already explain that total. The lock on the
// payment keeps one unexplained amount from being booked twice. Every refusal
// is a [*payment.RefundRefusal], and nothing is written.
func (s *Store) BookExternalRefund(ctx context.Context, external ledger.ExternalRefund) (ledger.Announced, payment.Refund, error) {
	var (
		announced ledger.Announced
		booked    payment.Refund
	)
	err := s.write(ctx, "book refund "+external.RefundID, func(ctx context.Context, tx *sql.Tx) error {
		_, err := s.lockPayment(ctx, tx, external.PaymentID)
		if errors.Is(err, ledger.ErrNotFound) {
			return &payment.RefundRefusal{Code: payment.RefusedNoPayment}
		}
		if err != nil {
			return err
		}
		before, err := s.refundByID(ctx, tx, external.RefundID)
		booked = before.Refund
		if errors.Is(err, ledger.ErrNotFound) {
			booked, err = s.book(ctx, tx, external)
		}
		if err != nil {
			return err
		}
		record, err := s.paymentByID(ctx, tx, external.PaymentID)
		if err != nil {
			return err
		}
		announced, err = s.announce(ctx, tx, announcement{
			subject: booked.ID, payment: record.Payment, refundID: booked.ID,
			told: external.Notification(booked, record.Payment), workflow: external.Workflow,
		})
		return err
	})
	if err != nil {
		return ledger.Announced{}, payment.Refund{}, err
	}
	return announced, booked, nil
}

// book inserts a refund that was made elsewhere. The payment is locked.
func (s *Store) book(ctx context.Context, tx *sql.Tx, external ledger.ExternalRefund) (payment.Refund, error) {
	record, err := s.paymentByID(ctx, tx, external.PaymentID)
	if err != nil {
		return payment.Refund{}, err
	}
	p := record.Payment
	blocking, err := unsettledRefund(ctx, tx, p.ID)
	after := p.RefundedAmount.Add(external.Amount)
	switch {
	case err != nil:
		return payment.Refund{}, err
	case p.Status != payment.StatusCompleted:
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedNotCompleted, Status: p.Status}
	case blocking != "" && blocking != external.For:
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedInProgress, Blocking: blocking}
	case after.Cmp(external.Total) > 0:
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedExplained}
	case external.Amount.Cmp(p.Left()) > 0:
		return payment.Refund{}, &payment.RefundRefusal{Code: payment.RefusedExceeds, Left: p.Left()}
	}
	at := external.At
	err = s.insertRefund(ctx, tx, ledger.RefundRecord{Revision: 1, Refund: payment.Refund{
		ID: external.RefundID, PaymentID: p.ID, Amount: external.Amount, Status: payment.RefundCompleted,
		ReferenceNumber: external.ReferenceNumber, Message: external.Message, Source: external.Source,
		CreatedAt: at, CompletedAt: &at,
	}})
	if err != nil {
		return payment.Refund{}, err
	}
	stored, err := s.refundByID(ctx, tx, external.RefundID)
	return stored.Refund, err
}

// refundCandidates limits how many payments of one phone number an event may be
// about.
const refundCandidates = 20

// RefundContext finds what a refund event may refer to: a refund of ours, the
// payment that it names, or the payments of its phone number.
func (s *Store) RefundContext(ctx context.Context, claim ledger.RefundClaim) (ledger.RefundContext, error) {
	return read(ctx, s, "find the refund of an event", func(ctx context.Context, q queryer) (ledger.RefundContext, error) {
		return s.refundContext(ctx, q, claim)
	})
}

func (s *Store) refundContext(ctx context.Context, q queryer, claim ledger.RefundClaim) (ledger.RefundContext, error) {
	echo, err := s.echo(ctx, q, claim)
	if err != nil || echo.EchoOf != "" {
		return echo, err
	}
	var found ledger.RefundContext
	for _, by := range []struct{ condition, claim string }{
		{`p.id = $1`, claim.PaymentID},
		{`p.ecommerce_id <> '' AND p.ecommerce_id = $1`, claim.EcommerceID},
		{`p.reference_number <> '' AND p.reference_number = $1`, claim.ReferenceNumber},
	} {
		if by.claim == "" || found.Named {
			continue
		}
		if found.Candidates, err = s.candidates(ctx, q, by.condition+` AND p.status = 'completed'`, by.claim); err != nil {
			return ledger.RefundContext{}, err
		}
		found.Named = len(found.Candidates) > 0
	}
	if found.Named || claim.PhoneNumber == "" {
		return found, nil
	}
	digest := s.digest(purposePhone, claim.PhoneNumber)
	all, err := s.candidates(ctx, q, `
		(p.phone_digest <> '' AND p.phone_digest = $1 OR p.payer_phone_digest <> '' AND p.payer_phone_digest = $1)
		AND p.status = 'completed' AND p.completed_at >= $2`, digest, micros(claim.CompletedAfter))
	for _, c := range all {
		if c.Payment.Left().Cmp(claim.Amount) >= 0 && len(found.Candidates) < refundCandidates {
			found.Candidates = append(found.Candidates, c)
		}
	}
	return found, err
}

// echo finds the refund of ours that an event reports, and how it stands.
func (s *Store) echo(ctx context.Context, q queryer, claim ledger.RefundClaim) (ledger.RefundContext, error) {
	id, err := echoed(ctx, q, claim)
	if err != nil || id == "" {
		return ledger.RefundContext{}, err
	}
	record, err := s.refundByID(ctx, q, id)
	if err != nil || record.Refund.Status != payment.RefundFailed {
		return ledger.RefundContext{EchoOf: id, EchoStatus: record.Refund.Status}, err
	}
	booked, err := s.refundByID(ctx, q, ledger.DeriveEchoedRefundID(id))
	if !errors.Is(err, ledger.ErrNotFound) {
		return ledger.RefundContext{EchoOf: id, EchoStatus: booked.Refund.Status}, err
	}
	found := ledger.RefundContext{EchoOf: id, EchoStatus: payment.RefundFailed, Named: true}
	found.Candidates, err = s.candidates(ctx, q, `p.id = $1`, record.Refund.PaymentID)
	return found, err
}

// echoed returns the refund of ours, or of the system before us, that an event
// reports, or "": the one whose short id ends the message, or whose reference
// number the event has.
func echoed(ctx context.Context, q queryer, claim ledger.RefundClaim) (string, error) {
	short := ""
	if i := strings.LastIndexByte(string(claim.Message), '#'); i >= 0 {
		short = strings.TrimSpace(string(claim.Message)[i+1:])
	}
	return textOf(ctx, q, `
		SELECT r.id FROM refunds r JOIN payments p ON p.id = r.payment_id
		WHERE r.source IN ('api', 'imported') AND r.amount_cents = $1 AND (
			r.short_id = $2
			OR r.reference_number <> '' AND r.reference_number = $3 AND p.reference_number <> $3)
		ORDER BY r.created_at DESC LIMIT 1`,
		claim.Amount, short, claim.ReferenceNumber)
}

func (s *Store) candidates(ctx context.Context, q queryer, condition string, args ...any) ([]ledger.RefundCandidate, error) {
	records, err := list(ctx, q, s.scanPayment,
		`SELECT `+paymentColumns+` FROM payments p WHERE `+condition+` ORDER BY p.completed_at DESC, p.id DESC`, args...)
	if err != nil {
		return nil, err
	}
	var found []ledger.RefundCandidate
	for _, r := range records {
		unsettled, err := unsettledRefund(ctx, q, r.Payment.ID)
		if err != nil {
			return nil, err
		}
		found = append(found, ledger.RefundCandidate{Payment: r.Payment, Unsettled: unsettled})
	}
	return found, nil
}

// FillPayer writes who paid a completed payment, unless that is already known.
// It reports whether it wrote.
func (s *Store) FillPayer(ctx context.Context, paymentID string, payer payment.Customer) (bool, error) {
	return commit(ctx, s, "fill in the payer of "+paymentID, func(ctx context.Context, tx *sql.Tx) (filled bool, err error) {
		held, err := s.lockPayment(ctx, tx, paymentID)
		if err != nil {
			return false, err
		}
		record, err := s.paymentByID(ctx, tx, paymentID)
		if err != nil || held.payerKnown || payer.IsZero() || record.Payment.Status != payment.StatusCompleted {
			return false, err
		}
		record.Payment.Customer = payer
		row := []column{{"id", paymentID}, {"updated_at", micros(s.now())}}
		sealed := s.sealing("payments", paymentID)
		row = append(row, s.payerColumns(sealed, payer)...)
		if sealed.err != nil {
			return false, sealed.err
		}
		if err := update(ctx, tx, "payments", row); err != nil {
			return false, err
		}
		return true, s.putCustomer(ctx, tx, record.Payment)
	})
}
