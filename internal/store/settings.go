package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ClaimMerchant writes the merchant's id at the first start and refuses any
// other one from then on: payment ids are derived from it, so that a changed
// one would make the same idempotency key charge a second time.
func (s *Store) ClaimMerchant(ctx context.Context, id string) error {
	if id == "" {
		return errors.New("claim the store for a merchant: the merchant id is empty: set COBRO_MERCHANT_ID")
	}
	return s.write(ctx, "claim the store for a merchant", func(ctx context.Context, tx *sql.Tx) error {
		return s.claimMerchant(ctx, tx, id)
	})
}

// claimMerchant keeps every other claim waiting until the transaction ends, and
// with them every import: two that bring the same payment meet here.
func (s *Store) claimMerchant(ctx context.Context, tx *sql.Tx, id string) error {
	if _, err := insert(ctx, tx, "settings", []column{{"name", "merchant_id"}, {"value", id}}); err != nil {
		return err
	}
	var owner string
	err := tx.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = 'merchant_id'`+s.dialect.forUpdate).Scan(&owner)
	if err == nil && owner != id {
		return fmt.Errorf("it belongs to merchant %q, not %q: set COBRO_MERCHANT_ID=%s or use another database", owner, id, owner)
	}
	return err
}
