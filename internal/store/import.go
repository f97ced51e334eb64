package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// Import is a finished payment from another system, with its refunds.
type Import struct {
	// Merchant is whose id the payment's id is derived from. The import claims
	// the store for this merchant; see [Store.ClaimMerchant].
	Merchant string
	// Origin names the other system; a payment of another origin is never
	// touched.
	Origin string

	Payment     payment.Payment
	Transitions []ledger.Transition
	Refunds     []payment.Refund // completed ones, oldest first
}

// CustomerImport is what another system knew about a customer at a point in
// time.
type CustomerImport struct {
	Merchant string // as in [Import]
	Customer payment.Customer
	At       time.Time
}

// Imported is what became of an [Import].
type Imported struct {
	Payment ImportResult
	Refunds []ImportResult // one for each
}

// ImportResult is what became of one thing that was to be imported.
type ImportResult struct {
	Outcome ImportOutcome
	Reason  string // for people, where the outcome is ImportOwn or ImportContradicts; no personal data
}

// ImportOutcome says whether something was imported.
type ImportOutcome string

// The outcomes. Only the first has written anything.
const (
	ImportWritten     ImportOutcome = "imported"
	ImportKnown       ImportOutcome = "already_there"
	ImportOwn         ImportOutcome = "own"         // Cobro has it in books of its own
	ImportContradicts ImportOutcome = "contradicts" // what is there, or what was paid, says otherwise
)

// Import writes a payment from another system with its refunds, all or nothing,
// and announces nothing. It never changes what is already stored, so importing
// again is harmless and a later dump adds only what is new. If the gateway has
// sent an event about the payment in the meantime, that event becomes pending
// again.
func (s *Store) Import(ctx context.Context, in Import) (Imported, error) {
	return commit(ctx, s, "import payment "+in.Payment.ID, func(ctx context.Context, tx *sql.Tx) (Imported, error) {
		return s.importSale(ctx, tx, in)
	})
}

// ImportCustomer stores what another system knew about a customer at a point in
// time. Anything learned later stays.
func (s *Store) ImportCustomer(ctx context.Context, in CustomerImport) (ImportOutcome, error) {
	return commit(ctx, s, "import a customer", func(ctx context.Context, tx *sql.Tx) (ImportOutcome, error) {
		return s.importCustomer(ctx, tx, in)
	})
}

// errRehearsed rolls back a rehearsal.
var errRehearsed = errors.New("rehearsed")

// RehearseImport returns what importing these one after another would return,
// customers first, and writes nothing. Pass together only what may depend on each other: SQLite
// accepts no other write meanwhile.
func (s *Store) RehearseImport(ctx context.Context, sales []Import, customers []CustomerImport) ([]Imported, []ImportOutcome, error) {
	var done []Imported
	var kept []ImportOutcome
	err := s.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
		done, kept = make([]Imported, len(sales)), make([]ImportOutcome, len(customers))
		var err error
		for i, customer := range customers {
			if kept[i], err = s.importCustomer(ctx, tx, customer); err != nil {
				return err
			}
		}
		for i, sale := range sales {
			if done[i], err = s.importSale(ctx, tx, sale); err != nil {
				return fmt.Errorf("payment %s: %w", sale.Payment.ID, err)
			}
		}
		return errRehearsed
	})
	if !errors.Is(err, errRehearsed) {
		return nil, nil, fmt.Errorf("rehearse an import: %w", err)
	}
	return done, kept, nil
}

func (s *Store) importSale(ctx context.Context, tx *sql.Tx, in Import) (Imported, error) {
	done := Imported{Refunds: make([]ImportResult, len(in.Refunds))}
	if err := s.claimMerchant(ctx, tx, in.Merchant); err != nil {
		return Imported{}, err
	}
	var err error
	if done.Payment, err = s.importPayment(ctx, tx, in); err != nil {
		return Imported{}, err
	}
	for i, refund := range in.Refunds {
		switch done.Payment.Outcome {
		case ImportWritten, ImportKnown:
			if done.Refunds[i], err = s.importRefund(ctx, tx, in.Origin, refund); err != nil {
				return Imported{}, fmt.Errorf("refund %s: %w", refund.ID, err)
			}
		case ImportOwn:
			done.Refunds[i] = ImportResult{ImportOwn, done.Payment.Reason}
		case ImportContradicts:
			done.Refunds[i] = ImportResult{ImportContradicts, "its payment is not imported"}
		}
	}
	return done, nil
}

// importPayment inserts the payment, or compares it with the stored one.
func (s *Store) importPayment(ctx context.Context, tx *sql.Tx, in Import) (ImportResult, error) {
	p := in.Payment
	if !p.Status.Terminal() {
		return ImportResult{}, fmt.Errorf("a payment that is %s has not ended", p.Status)
	}
	_, err := s.lockPayment(ctx, tx, p.ID)
	if err == nil {
		there, err := s.paymentByID(ctx, tx, p.ID)
		if err != nil {
			return ImportResult{}, err
		}
		if reason := contradiction(there, in); reason != "" {
			return ImportResult{ImportContradicts, reason}, nil
		}
		return ImportResult{Outcome: ImportKnown}, nil
	}
	if !errors.Is(err, ledger.ErrNotFound) {
		return ImportResult{}, err
	}
	// The gateway may have sent django-athm events about tickets that Cobro
	// created.
	other, err := match(ctx, tx, ledger.GatewayEvent{EcommerceID: p.EcommerceID})
	if err == nil {
		return ImportResult{ImportOwn, "it is Cobro's own payment " + other}, nil
	}
	if errors.Is(err, ledger.ErrNotFound) {
		other, err = match(ctx, tx, ledger.GatewayEvent{ReferenceNumber: p.ReferenceNumber})
	}
	if err == nil {
		return ImportResult{ImportContradicts, "its reference number belongs to " + other}, nil
	}
	if !errors.Is(err, ledger.ErrNotFound) {
		return ImportResult{}, err
	}
	if err := s.putPayment(ctx, tx, ledger.Record{Payment: p, Revision: 1, Fingerprint: in.Origin}); err != nil {
		return ImportResult{}, err
	}
	for _, t := range in.Transitions {
		if _, err := putTransition(ctx, tx, t); err != nil {
			return ImportResult{}, err
		}
	}
	return ImportResult{Outcome: ImportWritten}, nil
}

// contradiction says where the stored payment and the import disagree, or
// returns "". What only one of them knows is no disagreement.
func contradiction(there ledger.Record, in Import) string {
	was, is := there.Payment, in.Payment
	differ := func(a, b *money.Amount) bool { return a != nil && b != nil && *a != *b }
	switch {
	case there.Fingerprint != in.Origin:
		return "a payment that was not imported has its id"
	case was.Status != is.Status:
		return fmt.Sprintf("it was imported as %s and is %s now", was.Status, is.Status)
	case was.Total != is.Total:
		return fmt.Sprintf("it was imported with a total of $%s and has $%s now", was.Total, is.Total)
	case was.ReferenceNumber != is.ReferenceNumber:
		return "it was imported with another reference number"
	case differ(was.Fee, is.Fee):
		return fmt.Sprintf("it was imported with a fee of $%s and has $%s now", was.Fee, is.Fee)
	case differ(was.NetAmount, is.NetAmount):
		return fmt.Sprintf("it was imported with a net amount of $%s and has $%s now", was.NetAmount, is.NetAmount)
	default:
		return ""
	}
}

// importRefund inserts a refund, or compares it with the stored one. The
// payment is locked.
func (s *Store) importRefund(ctx context.Context, tx *sql.Tx, origin string, refund payment.Refund) (ImportResult, error) {
	if refund.Status != payment.RefundCompleted || refund.Source != payment.SourceImported {
		return ImportResult{}, errors.New("only a completed refund is imported, under its own source")
	}
	there, err := s.refundByID(ctx, tx, refund.ID)
	switch {
	case err == nil && there.Refund.Amount != refund.Amount:
		return ImportResult{ImportContradicts, fmt.Sprintf("it was imported with $%s and has $%s now", there.Refund.Amount, refund.Amount)}, nil
	case err == nil:
		return ImportResult{Outcome: ImportKnown}, nil
	case !errors.Is(err, ledger.ErrNotFound):
		return ImportResult{}, err
	}
	record, err := s.paymentByID(ctx, tx, refund.PaymentID)
	if err != nil {
		return ImportResult{}, err
	}
	p := record.Payment
	if p.Status != payment.StatusCompleted {
		return ImportResult{ImportContradicts, fmt.Sprintf("its payment is %s", p.Status)}, nil
	}
	// If Cobro has refunded the payment or booked a refund of it, it compared
	// its books with the gateway's total: they already include this refund.
	own, err := textOf(ctx, tx, `SELECT id FROM refunds WHERE payment_id = $1 AND source <> $2 ORDER BY created_at, id LIMIT 1`,
		p.ID, payment.SourceImported)
	if err != nil {
		return ImportResult{}, err
	}
	if own != "" {
		return ImportResult{ImportOwn, "Cobro keeps the refunds of its payment itself since " + own}, nil
	}
	if left := p.Left(); refund.Amount.Cmp(left) > 0 {
		return ImportResult{ImportContradicts, fmt.Sprintf("it is of $%s, and $%s of its payment is left", refund.Amount, left)}, nil
	}
	return ImportResult{Outcome: ImportWritten}, s.insertRefund(ctx, tx, ledger.RefundRecord{Refund: refund, Revision: 1, Fingerprint: origin})
}

func (s *Store) importCustomer(ctx context.Context, tx *sql.Tx, in CustomerImport) (ImportOutcome, error) {
	if err := s.claimMerchant(ctx, tx, in.Merchant); err != nil {
		return "", err
	}
	if in.Customer.PhoneNumber == "" {
		return "", errors.New("a customer is known by a phone number")
	}
	before, err := s.customer(ctx, tx, in.Customer.PhoneNumber)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return "", err
	}
	if err := s.keepCustomer(ctx, tx, in.Customer, in.At); err != nil {
		return "", err
	}
	after, err := s.customer(ctx, tx, in.Customer.PhoneNumber)
	if err == nil && after != before {
		return ImportWritten, nil
	}
	return ImportKnown, err
}
