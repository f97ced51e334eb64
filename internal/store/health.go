package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// awaitPause is the time between two tries to open a database.
const awaitPause = 500 * time.Millisecond

// CheckDSN returns an error unless the DSN names a supported kind of database.
// It does not connect, and the error never repeats the DSN.
func CheckDSN(dsn string) error {
	_, err := dialectOf(dsn)
	return err
}

// Await is [Open] for a program that may start before its database: it retries
// until wait has passed, also while another process has yet to migrate the
// database. It does not wait where waiting cannot help: a missing file or
// database, a newer schema, a malformed DSN, a rejected password.
func Await(ctx context.Context, cfg Config, wait time.Duration) (*Store, error) {
	if err := CheckDSN(cfg.DSN); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for told := false; ; told = true {
		s, err := Open(ctx, cfg)
		if err == nil && s.dialect.adopt != nil {
			if err = s.dialect.adopt(ctx, cfg.DSN, s.writer); err != nil {
				return nil, errors.Join(fmt.Errorf("open the store: %w", err), s.Close())
			}
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) || newer(err) || refused(err) {
			return s, err
		}
		if !told && cfg.Logger != nil {
			cfg.Logger.InfoContext(ctx, "waiting for the database", "error", err)
		}
		timer := time.NewTimer(awaitPause)
		select {
		case <-timer.C:
		case <-waiting.Done():
			timer.Stop()
			if ctx.Err() != nil {
				return nil, fmt.Errorf("wait for the database: %w", ctx.Err())
			}
			return nil, fmt.Errorf("%w (waited %s: check that the database runs and what COBRO_STORE says; COBRO_START_TIMEOUT changes how long)", err, wait)
		}
	}
}

func newer(err error) bool {
	var schema *SchemaError
	return errors.As(err, &schema) && schema.Have > schema.Want
}

// CheckSchema returns a [*SchemaError] if the database has an older schema than
// this program needs. A newer one is fine: during a rolling upgrade it keeps
// everything that this program reads and writes.
func (s *Store) CheckSchema(ctx context.Context) error {
	return s.bounded(ctx, "check the schema", func(ctx context.Context) error {
		if err := checkSchema(ctx, s.dialect, s.readers); !newer(err) {
			return err
		}
		return nil
	})
}

// Merchant returns the id that [Store.ClaimMerchant] has written, or "" before
// the first start.
func (s *Store) Merchant(ctx context.Context) (string, error) {
	return read(ctx, s, "read whose the store is", func(ctx context.Context, q queryer) (string, error) {
		return textOf(ctx, q, `SELECT value FROM settings WHERE name = 'merchant_id'`)
	})
}
