package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cobropay/cobro/payment"
)

// announcement is one event on its way to its receivers.
type announcement struct {
	subject   string // the id that its notifications are derived from; it has each event once
	paymentID string // empty where no payment of ours is concerned
	refundID  string // set for a refund's events
	event     payment.Event
}

// announce gives an event its place among the payment's events, notes a pending
// delivery for each of its receivers and returns them, ordered by host and name.
// The first announcement decides all of that: a retry gives the same answer, and
// a receiver that appears in between hears of later events only.
func (s *Store) announce(ctx context.Context, tx *sql.Tx, a announcement, to *payment.Announced) error {
	err := tx.QueryRowContext(ctx,
		`SELECT sequence FROM announcements WHERE subject = $1 AND event = $2`, a.subject, a.event).Scan(&to.Sequence)
	if err == nil {
		to.Receivers, err = list(ctx, tx, scanReceiver, `
			SELECT r.host, r.event, r.name, r.timeout_ns FROM receivers r
			JOIN notifications n ON n.host = r.host AND n.event = r.event AND n.receiver = r.name
			WHERE n.subject = $1 AND n.event = $2
			ORDER BY r.host, r.name`, a.subject, a.event)
		return err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if to.Sequence, err = s.nextSequence(ctx, tx, a.paymentID); err != nil {
		return err
	}
	if _, err := insert(ctx, tx, "announcements", []column{
		{"subject", a.subject},
		{"event", a.event},
		{"sequence", to.Sequence},
	}); err != nil {
		return err
	}
	to.Receivers, err = list(ctx, tx, scanReceiver,
		`SELECT host, event, name, timeout_ns FROM receivers WHERE event = $1 ORDER BY host, name`, a.event)
	if err != nil {
		return err
	}
	for _, r := range to.Receivers {
		err := s.putDelivery(ctx, tx, a.subject, payment.Delivery{
			ID:        payment.NotificationID(a.subject, a.event, to.Sequence, r.Host, r.Name),
			PaymentID: a.paymentID, RefundID: a.refundID,
			Event: a.event, Receiver: r.Name, Host: r.Host, Sequence: to.Sequence,
			Status: payment.DeliveryPending,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// nextSequence counts one more event of a payment. An event that concerns none
// is the first and only one.
func (s *Store) nextSequence(ctx context.Context, tx *sql.Tx, paymentID string) (int, error) {
	if paymentID == "" {
		return 1, nil
	}
	held, err := s.lockPayment(ctx, tx, paymentID)
	if err != nil {
		return 0, err
	}
	next := held.sequence + 1
	_, err = exec(ctx, tx, `UPDATE payments SET sequence = $2 WHERE id = $1`, paymentID, next)
	return next, err
}

// RecordDeliveries notes how deliveries stand. What is known is never taken
// back: attempts only grow, a delivered one stays delivered, and a failed one
// can only still be delivered, by being sent again.
func (s *Store) RecordDeliveries(ctx context.Context, deliveries []payment.Delivery) error {
	return s.write(ctx, "record deliveries", func(tx *sql.Tx) error {
		return s.putDeliveries(ctx, tx, deliveries)
	})
}

func (s *Store) putDeliveries(ctx context.Context, tx *sql.Tx, deliveries []payment.Delivery) error {
	for _, d := range deliveries {
		if err := s.putDelivery(ctx, tx, "", d); err != nil {
			return fmt.Errorf("delivery %s: %w", d.ID, err)
		}
	}
	return nil
}

// putDelivery adds a delivery, or notes how a known one stands. subject is only
// needed to add one.
func (s *Store) putDelivery(ctx context.Context, tx *sql.Tx, subject string, d payment.Delivery) error {
	if d.CreatedAt.IsZero() {
		d.CreatedAt = s.now()
	}
	inserted, err := insert(ctx, tx, "notifications", []column{
		{"id", d.ID},
		{"subject", subject},
		{"payment_id", textOrNull(d.PaymentID)},
		{"refund_id", textOrNull(d.RefundID)},
		{"event", d.Event},
		{"host", d.Host},
		{"receiver", d.Receiver},
		{"sequence", d.Sequence},
		{"status", d.Status},
		{"attempts", d.Attempts},
		{"last_error", d.LastError},
		{"created_at", micros(d.CreatedAt)},
		{"ended_at", microsOrNull(d.EndedAt)},
	})
	if err != nil || inserted {
		return err
	}
	_, err = exec(ctx, tx, `
		UPDATE notifications SET
			status = $2,
			attempts = CASE WHEN attempts < $3 THEN $3 ELSE attempts END,
			last_error = CASE WHEN $4 = '' THEN last_error ELSE $4 END,
			ended_at = $5
		WHERE id = $1 AND (status = 'pending' OR status = 'failed' AND $2 = 'delivered')`,
		d.ID, d.Status, d.Attempts, d.LastError, microsOrNull(d.EndedAt))
	return err
}

// RecordAttempt notes that a receiver was called for the attempt-th time, and
// how that ended: lastError is empty where it is not known yet, and holds no
// personal data. An attempt earlier than the stored one and a delivery that
// has ended are left alone.
func (s *Store) RecordAttempt(ctx context.Context, deliveryID string, attempt int, lastError string, at time.Time) error {
	return s.write(ctx, "record an attempt of "+deliveryID, func(tx *sql.Tx) error {
		changed, err := exec(ctx, tx, `
			UPDATE notifications SET
				attempts = $2,
				last_error = CASE WHEN $3 = '' THEN last_error ELSE $3 END,
				attempted_at = $4
			WHERE id = $1 AND status = 'pending' AND attempts <= $2`,
			deliveryID, attempt, lastError, micros(at))
		if err != nil || changed > 0 {
			return err
		}
		return exists(ctx, tx, "notifications", deliveryID)
	})
}

// exists returns [payment.ErrNotFound] unless the table has the id.
func exists(ctx context.Context, q queryer, table, id string) error {
	var one int
	return known(q.QueryRowContext(ctx, `SELECT 1 FROM `+table+` WHERE id = $1`, id).Scan(&one))
}

// Deliveries returns the notifications of a payment and of its refunds, in the
// order in which they were announced; none for an unknown payment.
func (s *Store) Deliveries(ctx context.Context, paymentID string) ([]payment.Delivery, error) {
	deliveries, err := list(ctx, s.readers, scanDelivery, `
		SELECT id, payment_id, refund_id, event, host, receiver, sequence,
			status, attempts, last_error, created_at, ended_at
		FROM notifications WHERE payment_id = $1
		ORDER BY sequence, event, host, receiver, id`, paymentID)
	if err != nil {
		return nil, fmt.Errorf("list the deliveries of %s: %w", paymentID, err)
	}
	return deliveries, nil
}

func scanDelivery(row scanner) (payment.Delivery, error) {
	var (
		d                   payment.Delivery
		paymentID, refundID sql.NullString
	)
	err := row.Scan(&d.ID, &paymentID, &refundID, &d.Event, &d.Host, &d.Receiver, &d.Sequence,
		&d.Status, &d.Attempts, &d.LastError, timeColumn{&d.CreatedAt}, maybeTimeColumn{&d.EndedAt})
	d.PaymentID, d.RefundID = paymentID.String, refundID.String
	return d, err
}

// AnnounceReceivers notes which receivers a host has. It adds and updates, and
// never removes: an absent one may be a program of an older version.
func (s *Store) AnnounceReceivers(ctx context.Context, host string, receivers []payment.Receiver) error {
	return s.write(ctx, "announce the receivers of "+host, func(tx *sql.Tx) error {
		for _, r := range receivers {
			if r.Host != "" && r.Host != host {
				return fmt.Errorf("receiver %s belongs to host %s", r.Name, r.Host)
			}
			if _, err := exec(ctx, tx, `
				INSERT INTO receivers (host, event, name, timeout_ns) VALUES ($1, $2, $3, $4)
				ON CONFLICT (host, event, name) DO UPDATE SET timeout_ns = excluded.timeout_ns`,
				host, r.Event, r.Name, int64(r.Timeout)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Receivers returns every receiver, ordered by host, event and name.
func (s *Store) Receivers(ctx context.Context) ([]payment.Receiver, error) {
	receivers, err := list(ctx, s.readers, scanReceiver,
		`SELECT host, event, name, timeout_ns FROM receivers ORDER BY host, event, name`)
	if err != nil {
		return nil, fmt.Errorf("list receivers: %w", err)
	}
	return receivers, nil
}

func scanReceiver(row scanner) (payment.Receiver, error) {
	var r payment.Receiver
	err := row.Scan(&r.Host, &r.Event, &r.Name, &r.Timeout)
	return r, err
}
