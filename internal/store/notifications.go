package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// announcement is one event on its way to its receivers.
type announcement struct {
	subject  string          // the id that its notifications are derived from; it has each event once
	payment  payment.Payment // zero where no payment of ours is concerned
	refundID string          // set for a refund's events
	told     payment.Notification
	workflow string // that delivers
}

// announce gives an event its sequence number, stores its payload, adds a
// pending delivery for each of its receivers, and returns the receivers ordered
// by host and name. The first call decides all of that and a retry gets the
// same answer: a receiver added in between receives only later events, and one
// removed in between still receives this one.
func (s *Store) announce(ctx context.Context, tx *sql.Tx, a announcement) (ledger.Announced, error) {
	to := ledger.Announced{Payment: a.payment}
	event := a.told.Event
	err := tx.QueryRowContext(ctx,
		`SELECT sequence FROM announcements WHERE subject = $1 AND event = $2`, a.subject, event).Scan(&to.Sequence)
	if err == nil {
		// A receiver that was removed since still has its delivery.
		to.Receivers, err = list(ctx, tx, scanReceiver, `
			SELECT n.host, n.event, n.receiver, COALESCE(r.timeout_ns, 0),
				COALESCE(r.retry_first_ns, 0), COALESCE(r.retry_most_ns, 0), COALESCE(r.retry_for_ns, 0)
			FROM notifications n
			LEFT JOIN receivers r ON r.host = n.host AND r.event = n.event AND r.name = n.receiver
			WHERE n.subject = $1 AND n.event = $2
			ORDER BY n.host, n.receiver`, a.subject, event)
		return to, err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return to, err
	}
	if to.Sequence, err = s.nextSequence(ctx, tx, a.payment.ID); err != nil {
		return to, err
	}
	a.told.Sequence = to.Sequence
	payload, err := json.Marshal(a.told)
	if err != nil {
		return to, err
	}
	sealed := s.sealing("announcements", announcementPlace(a.subject, event))
	if _, err := insert(ctx, tx, "announcements", []column{
		{"subject", a.subject},
		{"event", event},
		{"sequence", to.Sequence},
		{"payload_sealed", sealed.text("payload", private.Text(payload))},
	}); err != nil {
		return to, err
	}
	if sealed.err != nil {
		return to, sealed.err
	}
	to.Receivers, err = list(ctx, tx, scanReceiver,
		`SELECT `+receiverColumns+` FROM receivers r WHERE event = $1 ORDER BY host, name`, event)
	if err != nil {
		return to, err
	}
	for _, r := range to.Receivers {
		err := s.putDelivery(ctx, tx, a.subject, payment.Delivery{
			ID:        ledger.NotificationID(a.subject, event, to.Sequence, r.Host, r.Name),
			PaymentID: a.payment.ID, RefundID: a.refundID,
			Event: event, Receiver: r.Name, Host: r.Host, Sequence: to.Sequence,
			Status: payment.DeliveryPending, WorkflowID: a.workflow,
		})
		if err != nil {
			return to, err
		}
	}
	return to, nil
}

// announcementPlace is what a sealed payload is bound to.
func announcementPlace(subject string, event payment.Event) string {
	return subject + "/" + string(event)
}

// nextSequence returns the next sequence number of a payment's events. An event
// without a payment is always number 1.
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

// RecordDeliveries writes the status of deliveries. It never goes backward:
// delivered is final, a dropped delivery can still become delivered, and a
// failed one can become dropped or delivered. Only [Store.ReopenDelivery] makes
// one pending again. An outcome that names its workflow counts only while the
// delivery is that workflow's: another one may have been given it to send again.
func (s *Store) RecordDeliveries(ctx context.Context, deliveries []payment.Delivery) error {
	return s.write(ctx, "record deliveries", func(ctx context.Context, tx *sql.Tx) error {
		for _, d := range deliveries {
			if err := s.putDelivery(ctx, tx, "", d); err != nil {
				return fmt.Errorf("delivery %s: %w", d.ID, err)
			}
		}
		return nil
	})
}

// putDelivery adds a delivery or updates its status. subject is needed only to
// add one.
func (s *Store) putDelivery(ctx context.Context, tx *sql.Tx, subject string, d payment.Delivery) error {
	if d.CreatedAt.IsZero() {
		d.CreatedAt = s.now()
	}
	sealed := s.sealing("notifications", d.ID)
	lastError := sealed.text("last_error", d.LastError)
	if sealed.err != nil {
		return sealed.err
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
		{"workflow_id", d.WorkflowID},
		{"last_error_sealed", lastError},
		{"created_at", micros(d.CreatedAt)},
		{"ended_at", microsOrNull(d.EndedAt)},
	})
	if err != nil || inserted {
		return err
	}
	_, err = exec(ctx, tx, `
		UPDATE notifications SET status = $2, last_error_sealed = COALESCE($3, last_error_sealed), ended_at = $4
		WHERE id = $1 AND ($5 = '' OR workflow_id = $5) AND (status = 'pending' OR status = 'failed' AND $2 = 'dropped' OR status <> 'delivered' AND $2 = 'delivered')`,
		d.ID, d.Status, lastError, microsOrNull(d.EndedAt), d.WorkflowID)
	return err
}

// Of a delivery's attempts only the first and the last are kept: a receiver may
// be called hundreds of times in its week, and thousands where people send again.
const (
	keptFirstAttempts = 10
	keptLastAttempts  = 40
)

// RecordAttempt records a call of a receiver and its result, and forgets one
// between the first 10 and the last 40. Recording the same attempt again changes
// nothing.
func (s *Store) RecordAttempt(ctx context.Context, a ledger.Attempt) error {
	var to ledger.Receiver
	fresh, err := commit(ctx, s, "record an attempt of "+a.DeliveryID, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		if err := known(tx.QueryRowContext(ctx, `SELECT host, event, receiver FROM notifications WHERE id = $1`, a.DeliveryID).
			Scan(&to.Host, &to.Event, &to.Name)); err != nil {
			return false, err
		}
		sealed := s.sealing("notification_attempts", attemptPlace(a.DeliveryID, a.Execution, a.Number))
		row := []column{
			{"notification_id", a.DeliveryID},
			{"execution", a.Execution},
			{"number", a.Number},
			{"at", micros(a.At)},
			{"error_sealed", sealed.text("error", a.Error)},
		}
		if a.Answer != nil {
			row = append(row, column{"answer_status", a.Answer.Status}, column{"answer_sealed", sealed.text("answer", a.Answer.Body)})
		}
		if sealed.err != nil {
			return false, sealed.err
		}
		inserted, err := insert(ctx, tx, "notification_attempts", row)
		if err != nil || !inserted {
			return inserted, err
		}
		return true, s.countAttempt(ctx, tx, a)
	})
	if fresh {
		s.observer.ReceiverCalled(to, a.Error != "")
	}
	return err
}

// countAttempt counts an attempt that was just added, and makes room for it.
func (s *Store) countAttempt(ctx context.Context, tx *sql.Tx, a ledger.Attempt) error {
	sealed := s.sealing("notifications", a.DeliveryID)
	lastError := sealed.text("last_error", a.Error)
	if sealed.err != nil {
		return sealed.err
	}
	var attempts int
	err := tx.QueryRowContext(ctx, `
		UPDATE notifications SET attempts = attempts + 1, last_error_sealed = COALESCE($2, last_error_sealed)
		WHERE id = $1 RETURNING attempts`, a.DeliveryID, lastError).Scan(&attempts)
	if err != nil || attempts <= keptFirstAttempts+keptLastAttempts {
		return err
	}
	_, err = exec(ctx, tx, `
		DELETE FROM notification_attempts WHERE notification_id = $1 AND (execution, number) IN (
			SELECT execution, number FROM notification_attempts WHERE notification_id = $1
			ORDER BY at, execution, number LIMIT 1 OFFSET $2)`, a.DeliveryID, keptFirstAttempts)
	return err
}

// attemptPlace is what an attempt's sealed texts are bound to.
func attemptPlace(deliveryID, execution string, number int) string {
	return fmt.Sprintf("%s/%s/%d", deliveryID, execution, number)
}

// Attempts returns the calls of a delivery's receiver that are kept, oldest first.
func (s *Store) Attempts(ctx context.Context, deliveryID string) ([]ledger.Attempt, error) {
	return read(ctx, s, "list the attempts of "+deliveryID, func(ctx context.Context, q queryer) ([]ledger.Attempt, error) {
		return list(ctx, q, s.scanAttempt, `
			SELECT notification_id, execution, number, at, error_sealed, answer_status, answer_sealed
			FROM notification_attempts WHERE notification_id = $1
			ORDER BY at, execution, number`, deliveryID)
	})
}

func (s *Store) scanAttempt(row scanner) (ledger.Attempt, error) {
	var (
		a      ledger.Attempt
		place  string
		status sql.NullInt64
		body   private.Text
	)
	sealed := s.unsealing("notification_attempts", &place)
	err := row.Scan(&a.DeliveryID, &a.Execution, placeColumn{&a, &place}, timeColumn{&a.At},
		sealed("error", &a.Error), &status, sealed("answer", &body))
	if status.Valid {
		a.Answer = &ledger.Answer{Status: int(status.Int64), Body: body}
	}
	return a, err
}

// placeColumn reads an attempt's number, which completes the place that its
// sealed columns are bound to.
type placeColumn struct {
	attempt *ledger.Attempt
	place   *string
}

// Scan implements [sql.Scanner].
func (c placeColumn) Scan(src any) error {
	number, ok := src.(int64)
	if !ok {
		return fmt.Errorf("an attempt's number is a %T", src)
	}
	c.attempt.Number = int(number)
	*c.place = attemptPlace(c.attempt.DeliveryID, c.attempt.Execution, c.attempt.Number)
	return nil
}

// ReopenDelivery makes a finished delivery pending again for one workflow, and
// returns the notification and its receiver. The same workflow gets the same
// answer again. left names a workflow that ended without delivering, or is
// empty. If any other workflow is delivering it, the error is a
// [*ledger.DeliveryPendingError].
func (s *Store) ReopenDelivery(ctx context.Context, id, workflow, left string) (ledger.Reopened, error) {
	return commit(ctx, s, "reopen notification "+id, func(ctx context.Context, tx *sql.Tx) (reopened ledger.Reopened, err error) {
		d, err := s.deliveryByID(ctx, tx, id, s.dialect.forUpdate)
		if err != nil {
			return reopened, err
		}
		if d.Status == payment.DeliveryPending && d.WorkflowID != workflow && (left == "" || d.WorkflowID != left) {
			return reopened, &ledger.DeliveryPendingError{WorkflowID: d.WorkflowID}
		}
		if _, err := exec(ctx, tx, `UPDATE notifications SET status = 'pending', workflow_id = $2, ended_at = NULL WHERE id = $1`,
			id, workflow); err != nil {
			return reopened, err
		}
		reopened.Receiver, err = scanReceiver(tx.QueryRowContext(ctx, `SELECT `+receiverColumns+` FROM receivers r
			WHERE host = $1 AND event = $2 AND name = $3`, d.Host, d.Event, d.Receiver))
		if errors.Is(err, sql.ErrNoRows) { // removed since; whoever asks wants it all the same
			reopened.Receiver, err = ledger.Receiver{Host: d.Host, Event: d.Event, Name: d.Receiver}, nil
		}
		if err != nil {
			return reopened, err
		}
		reopened.Notification, err = s.told(ctx, tx, id)
		return reopened, err
	})
}

// exists returns [ledger.ErrNotFound] unless the table has the id.
func exists(ctx context.Context, q queryer, table, id string) error {
	var one int
	return known(q.QueryRowContext(ctx, `SELECT 1 FROM `+table+` WHERE id = $1`, id).Scan(&one))
}

// told reads the payload of a notification.
func (s *Store) told(ctx context.Context, q queryer, id string) (payment.Notification, error) {
	var (
		n       payment.Notification
		place   string // as in announcementPlace
		payload private.Text
	)
	err := q.QueryRowContext(ctx, `
		SELECT a.subject || '/' || a.event, a.payload_sealed FROM announcements a
		JOIN notifications n ON n.subject = a.subject AND n.event = a.event WHERE n.id = $1`, id).
		Scan(&place, s.unsealing("announcements", &place)("payload", &payload))
	if err != nil {
		return n, known(err)
	}
	err = json.Unmarshal([]byte(payload), &n)
	n.ID = id
	return n, err
}

const deliveryColumns = `
	n.id, n.payment_id, n.refund_id, n.event, n.host, n.receiver, n.sequence, n.status, n.attempts,
	n.last_error_sealed, n.created_at, n.ended_at, n.workflow_id`

// Deliveries returns the notifications of a payment and of its refunds, in the
// order in which they were announced; none for an unknown payment.
func (s *Store) Deliveries(ctx context.Context, paymentID string) ([]payment.Delivery, error) {
	return read(ctx, s, "list the deliveries of "+paymentID, func(ctx context.Context, q queryer) ([]payment.Delivery, error) {
		return list(ctx, q, s.scanDelivery, `
			SELECT `+deliveryColumns+` FROM notifications n WHERE payment_id = $1
			ORDER BY sequence, event, host, receiver, id`, paymentID)
	})
}

// Delivery returns one notification.
func (s *Store) Delivery(ctx context.Context, id string) (payment.Delivery, error) {
	return read(ctx, s, "read notification "+id, func(ctx context.Context, q queryer) (payment.Delivery, error) {
		return s.deliveryByID(ctx, q, id, "")
	})
}

func (s *Store) deliveryByID(ctx context.Context, q queryer, id, forUpdate string) (payment.Delivery, error) {
	d, err := s.scanDelivery(q.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM notifications n WHERE id = $1`+forUpdate, id))
	return d, known(err)
}

// Notifications returns one page of the deliveries that a filter selects, newest
// first, and the cursor of the next: the zero value at the end.
func (s *Store) Notifications(ctx context.Context, filter ledger.DeliveryFilter) ([]payment.Delivery, ledger.Cursor, error) {
	var where selection
	where.equal("n.payment_id", filter.PaymentID)
	where.equal("n.status", string(filter.Status))
	where.equal("n.event", string(filter.Event))
	where.equal("n.host", filter.Host)
	where.equal("n.receiver", filter.Receiver)
	where.between("n.created_at", filter.CreatedFrom, filter.CreatedTo)
	return page(ctx, s, listing[payment.Delivery]{
		name: "notifications", columns: deliveryColumns, from: "notifications n", time: "n.created_at", id: "n.id",
		scan:  s.scanDelivery,
		place: func(d payment.Delivery) ledger.Cursor { return ledger.Cursor{CreatedAt: d.CreatedAt, ID: d.ID} },
	}, where, filter.After, filter.Limit)
}

// CountDeliveries counts the notifications of each receiver by their status.
func (s *Store) CountDeliveries(ctx context.Context) ([]ledger.DeliveryCount, error) {
	return read(ctx, s, "count notifications", func(ctx context.Context, q queryer) ([]ledger.DeliveryCount, error) {
		return list(ctx, q, scanDeliveryCount,
			`SELECT host, receiver, event, status, COUNT(*) FROM notifications GROUP BY host, receiver, event, status`)
	})
}

func scanDeliveryCount(row scanner) (c ledger.DeliveryCount, err error) {
	return c, row.Scan(&c.Host, &c.Receiver, &c.Event, &c.Status, &c.Count)
}

func (s *Store) scanDelivery(row scanner) (payment.Delivery, error) {
	var (
		d                   payment.Delivery
		paymentID, refundID sql.NullString
	)
	err := row.Scan(&d.ID, &paymentID, &refundID, &d.Event, &d.Host, &d.Receiver, &d.Sequence, &d.Status, &d.Attempts,
		s.unsealing("notifications", &d.ID)("last_error", &d.LastError),
		timeColumn{&d.CreatedAt}, maybeTimeColumn{&d.EndedAt}, &d.WorkflowID)
	d.PaymentID, d.RefundID = paymentID.String, refundID.String
	return d, err
}

// AnnounceReceivers stores the receivers of a host. It adds and updates but
// never removes: the list may come from an older version of the program.
func (s *Store) AnnounceReceivers(ctx context.Context, host string, receivers []ledger.Receiver) error {
	// Always in the same order, so that two announcements never deadlock.
	receivers = slices.Clone(receivers)
	slices.SortFunc(receivers, byEventAndName)
	return s.write(ctx, "announce the receivers of "+host, func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range receivers {
			if r.Host != "" && r.Host != host {
				return fmt.Errorf("receiver %s belongs to host %s", r.Name, r.Host)
			}
			if _, err := exec(ctx, tx, `
				INSERT INTO receivers (host, event, name, timeout_ns, retry_first_ns, retry_most_ns, retry_for_ns)
				VALUES ($1, $2, $3, $4, $5, $6, $7)
				ON CONFLICT (host, event, name) DO UPDATE SET
					timeout_ns = excluded.timeout_ns, retry_first_ns = excluded.retry_first_ns,
					retry_most_ns = excluded.retry_most_ns, retry_for_ns = excluded.retry_for_ns`,
				host, r.Event, r.Name, int64(r.Timeout), int64(r.First), int64(r.Most), int64(r.For)); err != nil {
				return err
			}
		}
		return nil
	})
}

func byEventAndName(a, b ledger.Receiver) int {
	return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Name, b.Name))
}

// RemoveReceivers deletes the receivers of a host, narrowed by event and name
// where these are not empty, and returns those it deleted. Notifications
// already on their way are not touched.
func (s *Store) RemoveReceivers(ctx context.Context, host string, event payment.Event, name string) ([]ledger.Receiver, error) {
	removed, err := commit(ctx, s, "remove the receivers of "+host, func(ctx context.Context, tx *sql.Tx) ([]ledger.Receiver, error) {
		return list(ctx, tx, scanReceiver, `
			DELETE FROM receivers WHERE host = $1 AND ($2 = '' OR event = $2) AND ($3 = '' OR name = $3)
			RETURNING `+strings.ReplaceAll(receiverColumns, "r.", ""), host, event, name)
	})
	slices.SortFunc(removed, byEventAndName)
	return removed, err
}

const receiverColumns = `r.host, r.event, r.name, r.timeout_ns, r.retry_first_ns, r.retry_most_ns, r.retry_for_ns`

// Receivers returns every receiver, ordered by host, event and name.
func (s *Store) Receivers(ctx context.Context) ([]ledger.Receiver, error) {
	return read(ctx, s, "list receivers", func(ctx context.Context, q queryer) ([]ledger.Receiver, error) {
		return list(ctx, q, scanReceiver, `SELECT `+receiverColumns+` FROM receivers r ORDER BY host, event, name`)
	})
}

func scanReceiver(row scanner) (ledger.Receiver, error) {
	var r ledger.Receiver
	err := row.Scan(&r.Host, &r.Event, &r.Name, &r.Timeout, &r.First, &r.Most, &r.For)
	return r, err
}
