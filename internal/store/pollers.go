package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
)

const (
	// pollerLasts is how long after its last renewal a poller counts as alive.
	pollerLasts = 4 * time.Second
	// pollerForgotten is when the row of one that died is removed.
	pollerForgotten = time.Hour
)

// RenewPoller notes that a worker polls, and returns every worker that does,
// itself included, in the order of their names.
func (s *Store) RenewPoller(ctx context.Context, worker string) (alive []string, err error) {
	return commit(ctx, s, "renew poller "+worker, func(ctx context.Context, tx *sql.Tx) ([]string, error) {
		now := s.now()
		if _, err := exec(ctx, tx, `
			INSERT INTO pollers (worker, seen_at) VALUES ($1, $2)
			ON CONFLICT (worker) DO UPDATE SET seen_at = excluded.seen_at`, worker, micros(now)); err != nil {
			return nil, err
		}
		if _, err := exec(ctx, tx, `DELETE FROM pollers WHERE seen_at < $1`, micros(now.Add(-pollerForgotten))); err != nil {
			return nil, err
		}
		return list(ctx, tx, func(row scanner) (name string, err error) { return name, row.Scan(&name) },
			`SELECT worker FROM pollers WHERE seen_at > $1 OR worker = $2 ORDER BY worker`, micros(now.Add(-pollerLasts)), worker)
	})
}

// RemovePoller says that a worker polls no longer.
func (s *Store) RemovePoller(ctx context.Context, worker string) error {
	return s.write(ctx, "remove poller "+worker, func(ctx context.Context, tx *sql.Tx) error {
		_, err := exec(ctx, tx, `DELETE FROM pollers WHERE worker = $1`, worker)
		return err
	})
}

// OpenTickets lists the tickets of all open payments whose deadline has not
// passed, soonest deadline first.
func (s *Store) OpenTickets(ctx context.Context) ([]ledger.OpenTicket, error) {
	return read(ctx, s, "list open tickets", func(ctx context.Context, q queryer) ([]ledger.OpenTicket, error) {
		return list(ctx, q, scanOpenTicket, `
			SELECT id, ecommerce_id, expires_at, hinted_at FROM payments
			WHERE status = 'open' AND expires_at > $1 ORDER BY expires_at, id`, micros(s.now()))
	})
}

func scanOpenTicket(row scanner) (ledger.OpenTicket, error) {
	var (
		t      ledger.OpenTicket
		hinted *time.Time
	)
	err := row.Scan(&t.PaymentID, &t.EcommerceID, timeColumn{&t.ExpiresAt}, maybeTimeColumn{&hinted})
	if hinted != nil {
		t.HintedAt = *hinted
	}
	return t, err
}
