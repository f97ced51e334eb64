// Package store keeps what Cobro knows of payments in a database: SQLite, in
// one file that several programs may open at once.
//
// For payments it is a read model. The workflow writes it through upserts that
// carry the payment's revision, so that an older one never overwrites a newer,
// however late it is retried. For refunds it is the truth: a refund without a
// reservation here is never sent to the gateway, and no sequence of writes
// lets the refunds of a payment exceed what was captured.
//
// Writing anything twice is the same as writing it once. Times are kept as UTC
// microseconds, so what is read back is cut to the microsecond. Personal data
// is sealed with the id of its row and the name of its column; where it can be
// searched for, a keyed digest is kept beside it.
//
// A [Store] is safe for concurrent use. Every error names the operation that
// failed and wraps its cause: [payment.ErrNotFound] where an id is unknown.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says which database to open and how.
type Config struct {
	// Required fields

	// DSN is "sqlite:" and the path of a file, or the path alone.
	DSN string
	// Sealer encrypts personal data. [Migrate] does not need it.
	Sealer Sealer

	// Optional fields

	// Now is the clock of leases and retries; nil means time.Now.
	Now func() time.Time
	// Logger hears of migrations; nil means silence.
	Logger *slog.Logger
	// Observer hears of what was written; nil means that nobody listens.
	Observer Observer
}

// Store is an open database.
type Store struct {
	writer  *sql.DB
	readers *sql.DB
	dialect dialect
	sealer  Sealer
	now     func() time.Time

	observer Observer
}

// Open opens a database that [Migrate] has brought to this program's schema.
// One with another schema is a [*SchemaError]; a missing file is an
// [io/fs.ErrNotExist] and is not created. The caller closes the store.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Sealer == nil {
		return nil, errors.New("open the store: a sealer is required")
	}
	d, err := dialectOf(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	writer, readers, err := d.open(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := &Store{writer: writer, readers: readers, dialect: d, sealer: cfg.Sealer, now: cfg.Now, observer: cfg.Observer}
	if s.now == nil {
		s.now = time.Now
	}
	if s.observer == nil {
		s.observer = nobody{}
	}
	if err := checkSchema(ctx, d, readers); err != nil {
		return nil, fmt.Errorf("open the store: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

// Close waits for running statements and closes the database. A second call
// does nothing.
func (s *Store) Close() error {
	return errors.Join(s.readers.Close(), s.writer.Close())
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.readers.QueryRowContext(ctx, `SELECT 1`).Scan(&one); err != nil {
		return fmt.Errorf("ping the store: %w", err)
	}
	return nil
}

// write runs do in one transaction that no other writer interleaves with on
// the rows it locks. operation is named in every error.
func (s *Store) write(ctx context.Context, operation string, do func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	if err := do(tx); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: commit: %w", operation, err)
	}
	return nil
}
