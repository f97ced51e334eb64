package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ClaimMerchant stores the merchant's id at the first start and refuses any
// other id from then on. Payment ids are derived from it: if it changed, the
// same idempotency key would charge a second time.
func (s *Store) ClaimMerchant(ctx context.Context, id string) error {
	if id == "" {
		return errors.New("claim the store for a merchant: the merchant id is empty: set COBRO_MERCHANT_ID")
	}
	return s.write(ctx, "claim the store for a merchant", func(ctx context.Context, tx *sql.Tx) error {
		return s.claimMerchant(ctx, tx, id)
	})
}

// claimMerchant blocks every other claim until the transaction ends. Imports
// claim too, so two imports of the same payment take turns.
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
