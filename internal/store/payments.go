package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// unfinished is the condition of the partial index on references. A query must
// repeat it exactly to use that index.
const unfinished = `status IN ('pending', 'open', 'confirmed')`

// ReservePayment keeps a new payment before its workflow is started, and returns
// it. Where the id is known it returns the payment as it stands now, whatever was
// asked for. If the reference has another unfinished payment, the error is a
// [*ledger.ReferenceInUseError], and nothing is written.
func (s *Store) ReservePayment(ctx context.Context, r ledger.Record) (ledger.Record, error) {
	return commit(ctx, s, "reserve payment "+r.Payment.ID, func(ctx context.Context, tx *sql.Tx) (ledger.Record, error) {
		row, err := s.paymentRow(r)
		if err != nil {
			return ledger.Record{}, err
		}
		if _, err := insert(ctx, tx, "payments", append(row, column{"sequence", 0})); err != nil {
			return ledger.Record{}, err
		}
		reserved, err := s.paymentByID(ctx, tx, r.Payment.ID)
		if errors.Is(err, ledger.ErrNotFound) {
			err = referenceInUse(ctx, tx, r.Payment.Reference)
		}
		return reserved, err
	})
}

// RecordPayment writes one step of a payment, all or nothing, and returns the
// sequence and the receivers of the event that it announces: the same ones on
// every retry. A revision that is not newer than the stored one leaves the
// payment alone, but its transitions, review and announcement are still
// written.
//
// A payment that was not reserved here is inserted. If its reference has another
// unfinished payment then, the error is a [*ledger.ReferenceInUseError]. If another
// payment has the gateway's reference number, it is a [*ledger.DebitTakenError].
func (s *Store) RecordPayment(ctx context.Context, change ledger.Change) (ledger.Announced, error) {
	p := change.Record.Payment
	var fresh []ledger.Transition
	announced, err := commit(ctx, s, "record payment "+p.ID, func(ctx context.Context, tx *sql.Tx) (announced ledger.Announced, err error) {
		fresh = nil // what is tried again is written again
		if err := s.putPayment(ctx, tx, change.Record); err != nil {
			return announced, err
		}
		for _, t := range change.Transitions {
			inserted, err := putTransition(ctx, tx, t)
			if err != nil {
				return announced, err
			}
			if inserted {
				fresh = append(fresh, t)
			}
		}
		if err := s.putReview(ctx, tx, change.Review); err != nil {
			return announced, err
		}
		record, err := s.paymentByID(ctx, tx, p.ID)
		if err != nil || change.Announce == "" {
			return ledger.Announced{Payment: record.Payment}, err
		}
		return s.announce(ctx, tx, announcement{
			subject: p.ID, payment: record.Payment, told: change.Notification(), workflow: change.Workflow,
		})
	})
	if err != nil {
		return announced, err
	}
	for _, t := range fresh {
		s.observer.PaymentMoved(t, p.CreatedAt)
	}
	return announced, nil
}

// putPayment inserts the payment or overwrites an older revision.
func (s *Store) putPayment(ctx context.Context, tx *sql.Tx, r ledger.Record) error {
	row, err := s.paymentRow(r)
	if err != nil {
		return err
	}
	inserted, err := insert(ctx, tx, "payments", append(row, column{"sequence", 0}))
	if err != nil {
		return err
	}
	var held heldPayment
	if !inserted {
		held, err = s.lockPayment(ctx, tx, r.Payment.ID)
		if err != nil && !errors.Is(err, ledger.ErrNotFound) || err == nil && held.revision >= r.Revision {
			return err
		}
		if number := r.Payment.ReferenceNumber; number != held.referenceNumber {
			if err := debitTaken(ctx, tx, r.Payment.ID, number); err != nil {
				return err
			}
		}
		if err != nil {
			return referenceInUse(ctx, tx, r.Payment.Reference)
		}
		if held.payerKnown && r.Payment.Customer.IsZero() {
			row = withoutPayer(row)
		}
		if err := update(ctx, tx, "payments", row); err != nil {
			return err
		}
	}
	if id := r.Payment.EcommerceID; id != "" && id != held.ecommerceID {
		if err := s.reopenGatewayEvents(ctx, tx, r.Payment.ID, id); err != nil {
			return err
		}
	}
	return s.putCustomer(ctx, tx, r.Payment)
}

func (s *Store) paymentRow(r ledger.Record) ([]column, error) {
	p := r.Payment
	items, err := encodeItems(p.Items)
	if err != nil {
		return nil, err
	}
	failure := failureColumns(p.Failure)
	sealed := s.sealing("payments", p.ID)
	row := []column{
		{"id", p.ID},
		{"revision", r.Revision},
		{"fingerprint", r.Fingerprint},
		{"status", p.Status},
		{"needs_review", p.NeedsReview},
		{"reference", p.Reference},
		{"total_cents", p.Total},
		{"subtotal_cents", p.Subtotal},
		{"tax_cents", p.Tax},
		{"phone_sealed", sealed.text("phone", p.PhoneNumber)},
		{"phone_digest", s.digest(purposePhone, p.PhoneNumber)},
		{"metadata1_sealed", sealed.text("metadata1", p.Metadata1)},
		{"metadata1_digest", s.digest(purposeMetadata1, p.Metadata1)},
		{"metadata2_sealed", sealed.text("metadata2", p.Metadata2)},
		{"metadata2_digest", s.digest(purposeMetadata2, p.Metadata2)},
		{"items_sealed", sealed.text("items", items)},
		{"ecommerce_id", p.EcommerceID},
		{"reference_number", p.ReferenceNumber},
		{"daily_transaction_id", p.DailyTransactionID},
		{"captured_cents", p.Captured},
		{"fee_cents", p.Fee},
		{"net_cents", p.NetAmount},
		{"failure_code", failure.Code},
		{"failure_message", failure.Message},
		{"expires_at", micros(p.ExpiresAt)},
		{"created_at", micros(p.CreatedAt)},
		{"updated_at", micros(p.UpdatedAt)},
		{"completed_at", microsOrNull(p.CompletedAt)},
	}
	row = append(row, s.payerColumns(sealed, p.Customer)...)
	return row, sealed.err
}

// payerColumns are the columns about who paid.
func (s *Store) payerColumns(sealed *sealing, payer payment.Customer) []column {
	return []column{
		{"payer_name_sealed", sealed.text("payer_name", payer.Name)},
		{"payer_phone_sealed", sealed.text("payer_phone", payer.PhoneNumber)},
		{"payer_phone_digest", s.digest(purposePhone, payer.PhoneNumber)},
		{"payer_email_sealed", sealed.text("payer_email", payer.Email)},
	}
}

// paymentColumns is what scanPayment reads. The refunded amount is the sum of
// the refunds on every read and stored nowhere else.
const paymentColumns = `
	p.id, p.revision, p.fingerprint, p.sequence, p.status, p.needs_review, p.reference,
	p.total_cents, p.subtotal_cents, p.tax_cents,
	p.phone_sealed, p.metadata1_sealed, p.metadata2_sealed, p.items_sealed,
	p.ecommerce_id, p.reference_number, p.daily_transaction_id, p.captured_cents, p.fee_cents, p.net_cents,
	p.payer_name_sealed, p.payer_phone_sealed, p.payer_email_sealed,
	p.failure_code, p.failure_message, p.expires_at, p.created_at, p.updated_at, p.completed_at,
	CAST((SELECT COALESCE(SUM(r.amount_cents), 0) FROM refunds r
		WHERE r.payment_id = p.id AND r.status = 'completed') AS BIGINT)`

func (s *Store) scanPayment(row scanner) (ledger.Record, error) {
	var (
		r       ledger.Record
		items   private.Text
		failure payment.Failure
	)
	p := &r.Payment
	sealed := s.unsealing("payments", &p.ID)
	err := row.Scan(
		&p.ID, &r.Revision, &r.Fingerprint, &r.Sequence, &p.Status, &p.NeedsReview, &p.Reference,
		&p.Total, &p.Subtotal, &p.Tax,
		sealed("phone", &p.PhoneNumber), sealed("metadata1", &p.Metadata1), sealed("metadata2", &p.Metadata2),
		sealed("items", &items),
		&p.EcommerceID, &p.ReferenceNumber, &p.DailyTransactionID, &p.Captured, &p.Fee, &p.NetAmount,
		sealed("payer_name", &p.Customer.Name), sealed("payer_phone", &p.Customer.PhoneNumber),
		sealed("payer_email", &p.Customer.Email),
		&failure.Code, &failure.Message,
		timeColumn{&p.ExpiresAt}, timeColumn{&p.CreatedAt}, timeColumn{&p.UpdatedAt}, maybeTimeColumn{&p.CompletedAt},
		&p.RefundedAmount,
	)
	if err != nil {
		return ledger.Record{}, known(err)
	}
	p.Failure = failureOf(failure)
	p.ExpiresIn = p.ExpiresAt.Sub(p.CreatedAt)
	if items != "" {
		if err := json.Unmarshal([]byte(items), &p.Items); err != nil {
			return ledger.Record{}, fmt.Errorf("read the items of %s: %w", p.ID, err)
		}
	}
	return r, nil
}

// scanPaymentAlone reads a payment without its revision, fingerprint and
// sequence.
func (s *Store) scanPaymentAlone(row scanner) (payment.Payment, error) {
	r, err := s.scanPayment(row)
	return r.Payment, err
}

func encodeItems(items []payment.Item) (private.Text, error) {
	if len(items) == 0 {
		return "", nil
	}
	encoded, err := json.Marshal(items)
	return private.Text(encoded), err
}

// debitTaken returns an error if another payment has the reference number.
func debitTaken(ctx context.Context, q queryer, id, number string) error {
	other, err := textOf(ctx, q, `SELECT id FROM payments WHERE reference_number = $1 AND reference_number <> '' AND id <> $2`, number, id)
	if err != nil || other == "" {
		return err
	}
	return &ledger.DebitTakenError{PaymentID: other}
}

// withoutPayer leaves out the columns about who paid, so that a payer filled in
// by someone else is never erased.
func withoutPayer(row []column) []column {
	return slices.DeleteFunc(row, func(c column) bool { return strings.HasPrefix(c.name, "payer_") })
}

// heldPayment is what a write needs to know about the payment that it locked.
type heldPayment struct {
	revision        int64
	sequence        int
	ecommerceID     string
	referenceNumber string
	payerKnown      bool
}

// lockPayment blocks every other writer of the payment until the transaction
// ends.
func (s *Store) lockPayment(ctx context.Context, tx *sql.Tx, id string) (heldPayment, error) {
	var held heldPayment
	err := tx.QueryRowContext(ctx,
		`SELECT revision, sequence, ecommerce_id, reference_number,
			payer_name_sealed IS NOT NULL OR payer_phone_sealed IS NOT NULL OR payer_email_sealed IS NOT NULL
			FROM payments WHERE id = $1`+s.dialect.forUpdate, id).
		Scan(&held.revision, &held.sequence, &held.ecommerceID, &held.referenceNumber, &held.payerKnown)
	return held, known(err)
}

// errMoved says that the row that blocked a write was gone a moment later.
var errMoved = errors.New("the reference became free in this moment: try again")

// referenceInUse explains why a new payment was not inserted.
func referenceInUse(ctx context.Context, q queryer, reference string) error {
	other, err := textOf(ctx, q, `SELECT id FROM payments WHERE reference = $1 AND reference <> '' AND `+unfinished, reference)
	switch {
	case err != nil:
		return err
	case other == "":
		return errMoved
	default:
		return &ledger.ReferenceInUseError{PaymentID: other}
	}
}

// putTransition writes a transition and reports whether it was new.
func putTransition(ctx context.Context, tx *sql.Tx, t ledger.Transition) (inserted bool, err error) {
	return insert(ctx, tx, "transitions", []column{
		{"payment_id", t.PaymentID},
		{"sequence", t.Sequence},
		{"from_status", t.From},
		{"to_status", t.To},
		{"at", micros(t.At)},
		{"reason", t.Reason},
	})
}

// putCustomer stores who paid. Of a customer's payments, the one that completed
// last decides the name and the e-mail address, in whatever order they are
// written. An empty value never replaces a known one.
func (s *Store) putCustomer(ctx context.Context, tx *sql.Tx, p payment.Payment) error {
	if p.Status != payment.StatusCompleted || p.Customer.PhoneNumber == "" {
		return nil
	}
	at := p.UpdatedAt
	if p.CompletedAt != nil {
		at = *p.CompletedAt
	}
	return s.keepCustomer(ctx, tx, p.Customer, at)
}

// keepCustomer stores what was known about a customer at a point in time.
func (s *Store) keepCustomer(ctx context.Context, tx *sql.Tx, c payment.Customer, at time.Time) error {
	toldAt := func(text private.Text) int64 {
		if text == "" {
			return 0
		}
		return micros(at)
	}
	id := s.digest(purposePhone, c.PhoneNumber)
	sealed := s.sealing("customers", id)
	phone := sealed.text("phone", c.PhoneNumber)
	name := sealed.text("name", c.Name)
	email := sealed.text("email", c.Email)
	if sealed.err != nil {
		return sealed.err
	}
	_, err := exec(ctx, tx, `
		INSERT INTO customers (phone_digest, phone_sealed, name_sealed, name_at, email_sealed, email_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (phone_digest) DO UPDATE SET
			name_sealed = CASE WHEN excluded.name_at >= customers.name_at
				THEN excluded.name_sealed ELSE customers.name_sealed END,
			name_at = CASE WHEN excluded.name_at >= customers.name_at
				THEN excluded.name_at ELSE customers.name_at END,
			email_sealed = CASE WHEN excluded.email_at >= customers.email_at
				THEN excluded.email_sealed ELSE customers.email_sealed END,
			email_at = CASE WHEN excluded.email_at >= customers.email_at
				THEN excluded.email_at ELSE customers.email_at END`,
		id, phone, name, toldAt(c.Name), email, toldAt(c.Email))
	return err
}

// Customer returns what is known about the customer with a phone number, ten
// digits.
func (s *Store) Customer(ctx context.Context, phone private.Text) (payment.Customer, error) {
	return read(ctx, s, "read a customer", func(ctx context.Context, q queryer) (payment.Customer, error) {
		return s.customer(ctx, q, phone)
	})
}

func (s *Store) customer(ctx context.Context, q queryer, phone private.Text) (payment.Customer, error) {
	var (
		id string
		c  payment.Customer
	)
	sealed := s.unsealing("customers", &id)
	err := q.QueryRowContext(ctx,
		`SELECT phone_digest, phone_sealed, name_sealed, email_sealed FROM customers WHERE phone_digest = $1`,
		s.digest(purposePhone, phone)).
		Scan(&id, sealed("phone", &c.PhoneNumber), sealed("name", &c.Name), sealed("email", &c.Email))
	return c, known(err)
}

// Payment returns the latest revision of a payment.
func (s *Store) Payment(ctx context.Context, id string) (ledger.Record, error) {
	return read(ctx, s, "read payment "+id, func(ctx context.Context, q queryer) (ledger.Record, error) {
		return s.paymentByID(ctx, q, id)
	})
}

func (s *Store) paymentByID(ctx context.Context, q queryer, id string) (ledger.Record, error) {
	return s.scanPayment(q.QueryRowContext(ctx, `SELECT `+paymentColumns+` FROM payments p WHERE p.id = $1`, id))
}

// Payments returns one page of payments, newest first, and the cursor of the
// next page: the zero value at the end. A phone number matches both the number
// that the merchant asked for and the number that paid.
func (s *Store) Payments(ctx context.Context, f ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error) {
	var where selection
	where.equal("p.status", string(f.Status))
	where.equal("p.reference", f.Reference)
	if f.PhoneNumber != "" {
		where.add("(p.phone_digest <> '' AND p.phone_digest = $? OR p.payer_phone_digest <> '' AND p.payer_phone_digest = $?)",
			s.digest(purposePhone, f.PhoneNumber))
	}
	where.equal("p.metadata1_digest", s.digest(purposeMetadata1, f.Metadata1))
	where.equal("p.metadata2_digest", s.digest(purposeMetadata2, f.Metadata2))
	where.holds("p.needs_review", f.NeedsReview)
	where.between("p.created_at", f.CreatedFrom, f.CreatedTo)
	return page(ctx, s, listing[payment.Payment]{
		name: "payments", columns: paymentColumns, from: "payments p", time: "p.created_at", id: "p.id",
		scan:  s.scanPaymentAlone,
		place: func(p payment.Payment) ledger.Cursor { return ledger.Cursor{CreatedAt: p.CreatedAt, ID: p.ID} },
	}, where, f.After, f.Limit)
}

// Transitions returns the transitions of a payment, oldest first; none for an
// unknown payment.
func (s *Store) Transitions(ctx context.Context, paymentID string) ([]ledger.Transition, error) {
	return read(ctx, s, "list the transitions of "+paymentID, func(ctx context.Context, q queryer) ([]ledger.Transition, error) {
		return list(ctx, q, scanTransition, `
			SELECT payment_id, sequence, from_status, to_status, at, reason
			FROM transitions WHERE payment_id = $1 ORDER BY sequence`, paymentID)
	})
}

func scanTransition(row scanner) (ledger.Transition, error) {
	var t ledger.Transition
	err := row.Scan(&t.PaymentID, &t.Sequence, &t.From, &t.To, timeColumn{&t.At}, &t.Reason)
	return t, err
}
