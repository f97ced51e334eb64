// Package store keeps what Cobro knows about payments in a database: SQLite,
// one file that several programs on one machine may open at once, or
// PostgreSQL, for any number of machines.
//
// For payments it is a read model. The workflow writes upserts that carry the
// payment's revision, so that an older revision never overwrites a newer one,
// however late it is retried. For refunds it is the source of truth: a refund
// without a reservation here is never sent to the gateway, and no sequence of
// writes lets the refunds of a payment exceed what was captured.
//
// Every write is idempotent. Times are stored as UTC microseconds, so a time
// that is read back is truncated to the microsecond. Personal data is sealed
// and bound to its row and column; data that can be searched for has a keyed
// digest next to it.
//
// # Locks
//
// In SQLite the only writer locks the file from the start of its transaction.
// In PostgreSQL a transaction is READ COMMITTED and locks what it decides on:
// the payment's row for its revision, its sequence of events, its refunds and
// its reviews; a delivery, an event and the merchant's id by their own rows. It
// locks first and then reads in a separate statement, so it sees everything
// that was committed by those it waited for. A stricter isolation level would
// only add failures to retry, since no decision depends on rows that are not
// locked. One case has no row to lock, an event whose payment does not exist
// yet: there both sides lock the name of the ticket.
//
// # Retries
//
// A transaction that PostgreSQL aborted (a deadlock), or whose connection was
// lost, is run again from the start, a few times within two seconds and within
// the time of the call. That includes a commit whose outcome is unknown,
// because every write is idempotent. The caller may then hear that a row was
// already there although this very call wrote it. Events that were leased by a
// lost answer come back when their lease ends.
//
// A [Store] is safe for concurrent use. Every error names the operation that
// failed and wraps its cause: [ledger.ErrNotFound] where an id is unknown.
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config says which database to open and how.
type Config struct {
	// Required fields

	// DSN is "sqlite:" and the path of a file, or an absolute path alone; or a URL
	// such as postgres://user@host:5432/database?sslmode=verify-full. PostgreSQL's
	// own settings may follow in it, and pool_max_conns, the connections that
	// one process may have (default 16). Its password can as well be in
	// PGPASSWORD or in the file that PGPASSFILE names.
	DSN string
	// Sealer encrypts personal data. [Migrate] does not need it.
	Sealer Sealer

	// Optional fields

	// Timeout limits each call. When a database server disappears, TCP may wait
	// for minutes before it reports an error; the caller gets [ErrTimeout] long
	// before that. [Migrate] and [Store.RehearseImport] take as long as they
	// need. Zero means 5 seconds.
	Timeout time.Duration
	// Now is the clock of leases and retries; nil means time.Now.
	Now func() time.Time
	// Logger logs migrations; nil means no logging.
	Logger *slog.Logger
	// Observer is notified of writes; nil means none.
	Observer Observer
}

// Store is an open database.
type Store struct {
	writer  *sql.DB
	readers reader
	dialect dialect
	sealer  Sealer
	now     func() time.Time
	timeout time.Duration // of one call

	observer Observer
	written  chan time.Time // when Ping last wrote; taken out by who writes now
}

// ErrUnreachable says that the database did not answer: it is down, starting,
// or at another address. Waiting may help.
var ErrUnreachable = errors.New("the database cannot be reached")

// ErrTimeout says that a call took longer than Config.Timeout. A write may or
// may not have been committed: repeat it.
var ErrTimeout = errors.New("the database did not answer in time")

const defaultTimeout = 5 * time.Second

// Open opens a database that [Migrate] has brought to this program's schema.
// The error is a [*SchemaError] if it has another schema, an
// [io/fs.ErrNotExist] if the file is missing, and an [ErrUnreachable] if it
// does not answer. It leaves a SQLite file as it is, its mode included; [Migrate]
// and [Await] make it readable by its owner only. The caller closes the store.
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
	s := &Store{
		writer: writer, readers: reader{readers, d.passing}, dialect: d, sealer: cfg.Sealer, now: cfg.Now,
		timeout: cmp.Or(cfg.Timeout, defaultTimeout), observer: cfg.Observer, written: make(chan time.Time, 1),
	}
	s.written <- time.Time{}
	if s.now == nil {
		s.now = time.Now
	}
	if s.observer == nil {
		s.observer = nobody{}
	}
	if err := s.bounded(ctx, "open the store", func(ctx context.Context) error { return d.hint(s.fits(ctx)) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// fits returns an error unless the database has this program's schema and
// settings that make its commits durable.
func (s *Store) fits(ctx context.Context) error {
	err := checkSchema(ctx, s.dialect, s.readers)
	if err == nil && s.dialect.check != nil {
		err = s.dialect.check(ctx, s.readers.DB)
	}
	return err
}

// Close waits for running statements and closes the database. A second call
// does nothing.
func (s *Store) Close() error {
	return errors.Join(s.readers.Close(), s.writer.Close())
}

// pingLasts is how long a successful write counts for later calls of Ping, so
// that frequent pings cost the disk almost nothing.
const pingLasts = 3 * time.Second

// Ping returns an error unless the database answers and accepts writes. A
// database with a full disk, or one that has become a standby, still answers
// reads. A successful write counts for a few seconds; a failed one is repeated
// by the next call.
func (s *Store) Ping(ctx context.Context) error {
	return s.bounded(ctx, "ping the store", s.ping)
}

func (s *Store) ping(ctx context.Context) error {
	var one int
	if err := s.readers.QueryRowContext(ctx, `SELECT 1`).Scan(&one); err != nil {
		return err
	}
	var last time.Time
	select {
	case last = <-s.written:
	case <-ctx.Done():
		return fmt.Errorf("another write lasts: %w", ctx.Err())
	}
	defer func() { s.written <- last }()
	now := s.now()
	if !last.IsZero() && now.Sub(last).Abs() < pingLasts {
		return nil
	}
	err := s.write(ctx, "write to the store", tryWriting)
	if err == nil {
		last = now
	}
	return err
}

// tryWriting commits to disk and leaves no row behind. Each call uses its own
// row, so that concurrent pings do not wait for each other.
func tryWriting(ctx context.Context, tx *sql.Tx) error {
	name := "ping-" + rand.Text()
	if _, err := tx.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, '')`, name); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM settings WHERE name = $1`, name)
	return err
}

// bounded runs do with a context that ends after Config.Timeout. Every error
// names the operation.
func (s *Store) bounded(ctx context.Context, operation string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, ErrTimeout)
	defer cancel()
	err := do(ctx)
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), ErrTimeout) || s.dialect.busy(err) {
		err = fmt.Errorf("%w (%s): %w", ErrTimeout, s.timeout, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// read runs do with a connection for reads, within Config.Timeout.
func read[T any](ctx context.Context, s *Store, operation string, do func(context.Context, queryer) (T, error)) (T, error) {
	var found T
	err := s.bounded(ctx, operation, func(ctx context.Context) (err error) {
		found, err = do(ctx, s.readers)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return found, nil
}

// write runs do in one transaction, within Config.Timeout. do may run more than
// once, so it must reset its results each time.
func (s *Store) write(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	return s.bounded(ctx, operation, func(ctx context.Context) error { return s.transact(ctx, do) })
}

// commit is write for a transaction with a result.
func commit[T any](ctx context.Context, s *Store, operation string, do func(context.Context, *sql.Tx) (T, error)) (T, error) {
	var result T
	err := s.write(ctx, operation, func(ctx context.Context, tx *sql.Tx) (err error) {
		result, err = do(ctx, tx)
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return result, nil
}

// transact runs do in one transaction, and again after a transient error.
func (s *Store) transact(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	return again(ctx, s.dialect.passing, func() error {
		tx, err := s.writer.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after a commit this does nothing
		if err := do(ctx, tx); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	})
}

// lockName locks a name until the transaction ends, for a row that does not
// exist yet and so cannot be locked.
func (s *Store) lockName(ctx context.Context, tx *sql.Tx, name string) error {
	if s.dialect.lockName == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, s.dialect.lockName, name)
	return err
}
