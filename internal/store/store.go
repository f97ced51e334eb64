// Package store keeps what Cobro knows of payments in a database: SQLite, in
// one file that several programs of a machine may open at once, or PostgreSQL,
// for as many machines as there are.
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
// # Who waits for whom
//
// The one writer of SQLite holds the file from the start of its transaction.
// In PostgreSQL a transaction is READ COMMITTED and locks what it decides on:
// the payment's row for its revision, its sequence of events, its refunds and
// its reviews; a delivery, an event and the merchant's id by their own rows. It locks
// first and reads after that, by statements of their own, and so sees whatever
// was committed by those it waited for. A stricter level would add nothing but
// failures to try again: no decision is taken on rows that are not locked,
// except that an event has no payment yet, and for that both sides lock the
// ticket's name.
//
// # What is tried again
//
// A transaction that PostgreSQL gave up (a deadlock), or whose connection was
// lost, is run again from its start, a few times within two seconds, as long as
// its context allows. That holds for a commit of which nobody knows whether it
// took place, too, because writing anything twice is writing it once. The
// reader of a result must not take it for news, though: who asks again for what
// the first commit did is told that it was there already. Events that the lost
// answer had leased come back when their lease ends.
//
// A [Store] is safe for concurrent use. Every error names the operation that
// failed and wraps its cause: [payment.ErrNotFound] where an id is unknown.
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

	// Timeout bounds each call. A database that has vanished answers nothing, not
	// even with an error, for as long as TCP believes in it: whoever asks gets an
	// [ErrTimeout] before that. [Migrate] and [Store.RehearseImport] take as long
	// as they need. Zero means 5 seconds.
	Timeout time.Duration
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
	readers reader
	dialect dialect
	sealer  Sealer
	now     func() time.Time
	timeout time.Duration // of one call

	observer Observer
	written  chan time.Time // when Ping last wrote; taken out by who writes now
}

// ErrUnreachable says that no database answered: it is away, is starting, or is
// somewhere else. Waiting may help.
var ErrUnreachable = errors.New("the database cannot be reached")

// ErrTimeout says that a call took longer than [Config].Timeout allows. Whether
// a write took place is not known: write it again.
var ErrTimeout = errors.New("the database did not answer in time")

const defaultTimeout = 5 * time.Second

// Open opens a database that [Migrate] has brought to this program's schema.
// One with another schema is a [*SchemaError]; a missing file is an
// [io/fs.ErrNotExist] and is not created; one that does not answer is an
// [ErrUnreachable]. The caller closes the store.
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
	s := &Store{writer: writer, readers: reader{readers, d.passing}, dialect: d, sealer: cfg.Sealer, now: cfg.Now, timeout: cmp.Or(cfg.Timeout, defaultTimeout), observer: cfg.Observer, written: make(chan time.Time, 1)}
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

// fits returns an error unless the database has this program's schema and keeps
// this package's promises.
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

// pingLasts is how long a write of Ping stands for others: whoever asks, and
// however many at once, it costs the disk next to nothing.
const pingLasts = 3 * time.Second

// Ping reports whether the database answers and can be written. One whose disk
// is full, or that has become a standby, answers every read and keeps nothing.
// A write that succeeded is good for [pingLasts]; one that failed is repeated by
// whoever asks next.
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

// tryWriting leaves nothing behind but a commit that the disk has taken. The row
// has a name of its own: processes that ask at once do not wait for each other.
func tryWriting(ctx context.Context, tx *sql.Tx) error {
	name := "ping-" + rand.Text()
	if _, err := tx.ExecContext(ctx, `INSERT INTO settings (name, value) VALUES ($1, '')`, name); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM settings WHERE name = $1`, name)
	return err
}

// bounded runs do with a context that ends after the time of one call. operation
// is named in every error.
func (s *Store) bounded(ctx context.Context, operation string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, ErrTimeout)
	defer cancel()
	err := do(ctx)
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); errors.Is(cause, ErrTimeout) {
		err = fmt.Errorf("%w (%s): %w", cause, s.timeout, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// read asks the readers something within the time of one call.
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

// write runs do, within the time of one call, in one transaction that no other
// writer interleaves with on the rows that it locks. do may run more than once,
// and sets what it answers anew each time.
func (s *Store) write(ctx context.Context, operation string, do func(context.Context, *sql.Tx) error) error {
	return s.bounded(ctx, operation, func(ctx context.Context) error { return s.transact(ctx, do) })
}

// transact runs do in one transaction, and again where the failure passes.
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

// lockName keeps a name to this transaction until it ends, where row locks are
// not enough: a row that is not there yet cannot be locked.
func (s *Store) lockName(ctx context.Context, tx *sql.Tx, name string) error {
	if s.dialect.lockName == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, s.dialect.lockName, name)
	return err
}
