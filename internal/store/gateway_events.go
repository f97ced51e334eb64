package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/private"
)

// AddGatewayEvent stores an event and reports whether its digest is new. When
// it returns, the event is durable. A duplicate is only counted; the same event
// again, by its id, gets the same answer again. An event without a verdict is
// pending; one with a verdict is settled on arrival.
func (s *Store) AddGatewayEvent(ctx context.Context, e ledger.GatewayEvent) (added bool, err error) {
	if e.Verdict == "" {
		e.Verdict = ledger.EventPending
	}
	if e.Verdict != ledger.EventPending && e.SettledAt == nil {
		settled := s.now()
		e.SettledAt = &settled
	}
	var fresh bool // written now, and not by an earlier call with the same id
	err = s.write(ctx, "add gateway event "+e.ID, func(ctx context.Context, tx *sql.Tx) error {
		sealed := s.sealing("gateway_events", e.ID)
		row := []column{
			{"id", e.ID},
			{"digest", e.Digest},
			{"kind", e.Kind},
			{"ecommerce_id", e.EcommerceID},
			{"reference_number", e.ReferenceNumber},
			{"payment_id", e.PaymentID},
			{"total_cents", e.Total},
			{"payer_name_sealed", sealed.text("payer_name", e.Payer.Name)},
			{"payer_phone_sealed", sealed.text("payer_phone", e.Payer.PhoneNumber)},
			{"payer_email_sealed", sealed.text("payer_email", e.Payer.Email)},
			{"message_sealed", sealed.text("message", e.Message)},
			{"body_sealed", sealed.text("body", e.Body)},
			{"headers_sealed", sealed.text("headers", e.Headers)},
			{"verdict", e.Verdict},
			{"matched_id", e.MatchedID},
			{"effect", e.Effect},
			{"deliveries", 1},
			{"attempts", 0},
			{"not_before", micros(e.NotBefore)},
			{"leased_until", 0},
			{"received_at", micros(e.ReceivedAt)},
			{"settled_at", microsOrNull(e.SettledAt)},
		}
		if sealed.err != nil {
			return sealed.err
		}
		added, err = insert(ctx, tx, "gateway_events", row)
		fresh = added
		if err != nil || added {
			return err
		}
		var kept string
		err = tx.QueryRowContext(ctx, `
			UPDATE gateway_events SET deliveries = deliveries + CASE WHEN id = $2 THEN 0 ELSE 1 END WHERE digest = $1
			RETURNING id`, e.Digest, e.ID).Scan(&kept)
		if errors.Is(err, sql.ErrNoRows) {
			return errors.New("the id belongs to an event with another digest")
		}
		added = kept == e.ID
		return err
	})
	if fresh && err == nil && e.Verdict != ledger.EventPending {
		s.observer.EventSettled(e.Verdict)
	}
	return added && err == nil, err
}

// LeaseGatewayEvents leases the pending events that are due, oldest first. No
// two callers, in any process, get the same event until its lease has expired.
// Each lease counts as an attempt. An event that cannot be unsealed is returned
// with Unreadable set and blocks no other.
func (s *Store) LeaseGatewayEvents(ctx context.Context, limit int, lease time.Duration) ([]ledger.GatewayEvent, error) {
	leased, err := commit(ctx, s, "lease gateway events", func(ctx context.Context, tx *sql.Tx) ([]ledger.GatewayEvent, error) {
		now := s.now()
		return list(ctx, tx, s.scanGatewayEvent, `
			WITH due AS MATERIALIZED (
				SELECT id FROM gateway_events
				WHERE verdict = 'pending' AND not_before <= $1 AND leased_until <= $1
				ORDER BY received_at, id LIMIT $3`+s.dialect.skipLocked+`)
			UPDATE gateway_events SET leased_until = $2, attempts = attempts + 1
			WHERE id IN (SELECT id FROM due)
			RETURNING `+gatewayEventColumns, micros(now), micros(now.Add(lease)), limit)
	})
	slices.SortFunc(leased, func(a, b ledger.GatewayEvent) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), strings.Compare(a.ID, b.ID))
	})
	return leased, err
}

// SettleGatewayEvent records the verdict of an event and ends its lease. A
// later verdict may replace an earlier one, but an empty matchedID or effect
// never erases a known one, unmatched never replaces a verdict that says more,
// and neither signalled nor late replaces what the workflow has found out
// since: it may be faster than the relay that handed the event over.
//
// If an event is settled as unmatched but its payment exists by now, it stays
// pending: the relay looked a moment too early.
func (s *Store) SettleGatewayEvent(ctx context.Context, id string, verdict ledger.EventVerdict, matchedID, effect string) error {
	if verdict == "" || verdict == ledger.EventPending {
		return fmt.Errorf("settle gateway event %s: %q is not a verdict to settle with", id, verdict)
	}
	fresh, err := commit(ctx, s, "settle gateway event "+id, func(ctx context.Context, tx *sql.Tx) (bool, error) {
		if verdict == ledger.EventUnmatched {
			found, err := s.matchedMeanwhile(ctx, tx, id, matchedID)
			if err != nil || found {
				return false, err
			}
		}
		var before ledger.EventVerdict
		if err := known(tx.QueryRowContext(ctx, `SELECT verdict FROM gateway_events WHERE id = $1`+s.dialect.forUpdate, id).
			Scan(&before)); err != nil {
			return false, err
		}
		changed, err := exec(ctx, tx, `
			UPDATE gateway_events SET
				verdict = $2,
				matched_id = CASE WHEN $3 = '' THEN matched_id ELSE $3 END,
				effect = CASE WHEN $4 = '' THEN effect ELSE $4 END,
				settled_at = $5,
				leased_until = 0
			WHERE id = $1
				AND ($2 <> 'unmatched' OR verdict IN ('pending', 'late', 'unmatched'))
				AND ($2 NOT IN ('signalled', 'late') OR verdict IN ('pending', 'signalled', 'late'))`,
			id, verdict, matchedID, effect, micros(s.now()))
		return changed > 0 && before != verdict, err
	})
	if fresh {
		s.observer.EventSettled(verdict)
	}
	return err
}

// matchedMeanwhile makes a pending event due again if its payment is known by
// now, and reports whether it did. Otherwise a ticket that was recorded between
// the relay's lookup and its verdict would never get the event.
func (s *Store) matchedMeanwhile(ctx context.Context, tx *sql.Tx, id, matchedID string) (bool, error) {
	if matchedID != "" {
		return false, nil // the relay knew the payment and decided all the same
	}
	const query = `SELECT ` + gatewayEventColumns + ` FROM gateway_events WHERE id = $1`
	e, err := s.scanGatewayEvent(tx.QueryRowContext(ctx, query, id))
	if err != nil {
		return false, err
	}
	if err := s.lockClaims(ctx, tx, e.EcommerceID, e.PaymentID); err != nil {
		return false, err
	}
	e, err = s.scanGatewayEvent(tx.QueryRowContext(ctx, query+s.dialect.forUpdate, id))
	if err != nil || e.Verdict != ledger.EventPending {
		return false, err
	}
	if _, err = match(ctx, tx, e); errors.Is(err, ledger.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = exec(ctx, tx, `UPDATE gateway_events SET not_before = $2, leased_until = 0 WHERE id = $1`, id, micros(s.now()))
	return true, err
}

// lockClaims makes a transaction that records a ticket and one that finds no
// ticket for an event take turns: either the second sees the ticket, or the
// first reopens the event. Row locks cannot do that, because an event may
// arrive after its payment has looked for events and before it commits.
func (s *Store) lockClaims(ctx context.Context, tx *sql.Tx, ecommerceID, paymentID string) error {
	for _, claim := range []struct{ kind, id string }{{"ticket ", ecommerceID}, {"payment ", paymentID}} {
		if claim.id == "" {
			continue
		}
		if err := s.lockName(ctx, tx, claim.kind+claim.id); err != nil {
			return err
		}
	}
	return nil
}

// reopenGatewayEvents makes events due again that arrived before their
// payment's ticket was recorded.
func (s *Store) reopenGatewayEvents(ctx context.Context, tx *sql.Tx, paymentID, ecommerceID string) error {
	if err := s.lockClaims(ctx, tx, ecommerceID, paymentID); err != nil {
		return err
	}
	for _, by := range []struct{ column, claim string }{{"ecommerce_id", ecommerceID}, {"payment_id", paymentID}} {
		_, err := exec(ctx, tx, fmt.Sprintf(`
			UPDATE gateway_events SET verdict = 'pending', not_before = $1, settled_at = NULL
			WHERE verdict IN ('pending', 'unmatched') AND %[1]s <> '' AND %[1]s = $2`, by.column),
			micros(s.now()), by.claim)
		if err != nil {
			return err
		}
	}
	return nil
}

// PostponeGatewayEvent ends the lease of a pending event and makes it due at
// notBefore. A settled event stays settled.
func (s *Store) PostponeGatewayEvent(ctx context.Context, id string, notBefore time.Time) error {
	return s.write(ctx, "postpone gateway event "+id, func(ctx context.Context, tx *sql.Tx) error {
		changed, err := exec(ctx, tx, `
			UPDATE gateway_events SET not_before = $2, leased_until = 0 WHERE id = $1 AND verdict = 'pending'`,
			id, micros(notBefore))
		if err != nil || changed > 0 {
			return err
		}
		return exists(ctx, tx, "gateway_events", id)
	})
}

// GatewayEvents returns one page of events, newest first, and the cursor of the
// next page: the zero value at the end.
func (s *Store) GatewayEvents(ctx context.Context, filter ledger.GatewayEventFilter) ([]ledger.GatewayEvent, ledger.Cursor, error) {
	var where selection
	where.equal("verdict", string(filter.Verdict))
	where.equal("matched_id", filter.PaymentID)
	return page(ctx, s, listing[ledger.GatewayEvent]{
		name: "gateway events", columns: gatewayEventColumns, from: "gateway_events", time: "received_at", id: "id",
		scan:  s.scanGatewayEvent,
		place: func(e ledger.GatewayEvent) ledger.Cursor { return ledger.Cursor{CreatedAt: e.ReceivedAt, ID: e.ID} },
	}, where, filter.After, filter.Limit)
}

// HasGatewayEvent reports whether an event with the digest is stored.
func (s *Store) HasGatewayEvent(ctx context.Context, digest string) (bool, error) {
	return read(ctx, s, "look for gateway event "+digest, func(ctx context.Context, q queryer) (bool, error) {
		var events int
		err := q.QueryRowContext(ctx, `SELECT COUNT(*) FROM gateway_events WHERE digest = $1`, digest).Scan(&events)
		return events > 0, err
	})
}

// MatchGatewayEvent returns the id of the payment that an event is about: by
// the ticket's id, then by the reference number of the payment or of one of its
// refunds (docs/athmovil.md §4.2), then by the payment id in its metadata.
func (s *Store) MatchGatewayEvent(ctx context.Context, e ledger.GatewayEvent) (string, error) {
	return read(ctx, s, "match gateway event "+e.ID, func(ctx context.Context, q queryer) (string, error) {
		return match(ctx, q, e)
	})
}

func match(ctx context.Context, q queryer, e ledger.GatewayEvent) (string, error) {
	for _, by := range []struct{ query, claim string }{
		{`SELECT id FROM payments WHERE ecommerce_id <> '' AND ecommerce_id = $1 ORDER BY created_at DESC LIMIT 1`, e.EcommerceID},
		{`SELECT id FROM payments WHERE reference_number <> '' AND reference_number = $1 ORDER BY created_at DESC LIMIT 1`, e.ReferenceNumber},
		{`SELECT payment_id FROM refunds WHERE reference_number <> '' AND reference_number = $1 ORDER BY created_at DESC LIMIT 1`, e.ReferenceNumber},
		{`SELECT id FROM payments WHERE id = $1`, e.PaymentID},
	} {
		if by.claim == "" {
			continue
		}
		if id, err := textOf(ctx, q, by.query, by.claim); id != "" || err != nil {
			return id, err
		}
	}
	return "", ledger.ErrNotFound
}

const gatewayEventColumns = `
	id, digest, kind, ecommerce_id, reference_number, payment_id, total_cents,
	payer_name_sealed, payer_phone_sealed, payer_email_sealed, message_sealed, body_sealed, headers_sealed,
	verdict, matched_id, effect, deliveries, attempts, not_before, received_at, settled_at`

// scanGatewayEvent does not fail on a text that cannot be unsealed: one such
// event must not hide the others of a list or a lease.
func (s *Store) scanGatewayEvent(row scanner) (ledger.GatewayEvent, error) {
	var e ledger.GatewayEvent
	unsealing := s.unsealing("gateway_events", &e.ID)
	sealed := func(column string, dest *private.Text) unsealedColumn {
		return unsealedColumn{unsealing(column, dest), &e.Unreadable}
	}
	err := row.Scan(&e.ID, &e.Digest, &e.Kind, &e.EcommerceID, &e.ReferenceNumber, &e.PaymentID, &e.Total,
		sealed("payer_name", &e.Payer.Name), sealed("payer_phone", &e.Payer.PhoneNumber), sealed("payer_email", &e.Payer.Email),
		sealed("message", &e.Message), sealed("body", &e.Body), sealed("headers", &e.Headers),
		&e.Verdict, &e.MatchedID, &e.Effect, &e.Deliveries, &e.Attempts,
		timeColumn{&e.NotBefore}, timeColumn{&e.ReceivedAt}, maybeTimeColumn{&e.SettledAt})
	return e, known(err)
}
