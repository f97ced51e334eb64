package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// queryer is a pool or a transaction.
type queryer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is one row of an answer.
type scanner interface{ Scan(dest ...any) error }

// column is a value to write. Its name stands next to it, so that nobody has to
// count 30 placeholders.
type column struct {
	name  string
	value any
}

// insert adds a row unless a unique index already has it, and reports whether
// it did.
func insert(ctx context.Context, q queryer, table string, row []column) (inserted bool, err error) {
	names, marks, values := make([]string, len(row)), make([]string, len(row)), make([]any, len(row))
	for i, c := range row {
		names[i], marks[i], values[i] = c.name, fmt.Sprintf("$%d", i+1), c.value
	}
	n, err := exec(ctx, q, fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s) ON CONFLICT DO NOTHING`,
		table, strings.Join(names, ", "), strings.Join(marks, ", ")), values...)
	return n > 0, err
}

// update overwrites the row whose key is the first column.
func update(ctx context.Context, q queryer, table string, row []column) error {
	sets, values := make([]string, len(row)), make([]any, len(row))
	for i, c := range row {
		sets[i], values[i] = fmt.Sprintf("%s = $%d", c.name, i+1), c.value
	}
	_, err := exec(ctx, q, fmt.Sprintf(`UPDATE %s SET %s WHERE %s`,
		table, strings.Join(sets[1:], ", "), sets[0]), values...)
	return err
}

// exec runs a statement and returns how many rows it changed.
func exec(ctx context.Context, q queryer, query string, args ...any) (int64, error) {
	result, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// list runs a query and reads its rows.
func list[T any](ctx context.Context, q queryer, read func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // what went wrong is in rows.Err
	var found []T
	for rows.Next() {
		one, err := read(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}

// textOf returns the text that a query selects, or "" where there is no row.
func textOf(ctx context.Context, q queryer, query string, args ...any) (string, error) {
	var text string
	err := q.QueryRowContext(ctx, query, args...).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return text, err
}

// known turns the absence of a row into [ledger.ErrNotFound].
func known(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.ErrNotFound
	}
	return err
}

// micros is a time as the database holds it.
func micros(t time.Time) int64 { return t.UnixMicro() }

// microsOrNull is a time that may be absent.
func microsOrNull(t *time.Time) any {
	if t == nil {
		return nil
	}
	return micros(*t)
}

// textOrNull is an id that may be absent, for a column with a foreign key.
func textOrNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// timeColumn reads a column of microseconds.
type timeColumn struct{ dest *time.Time }

// Scan implements [sql.Scanner].
func (c timeColumn) Scan(src any) error {
	us, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a column of microseconds holds a %T", src)
	}
	*c.dest = time.UnixMicro(us).UTC()
	return nil
}

// maybeTimeColumn reads a column of microseconds that may be null.
type maybeTimeColumn struct{ dest **time.Time }

// Scan implements [sql.Scanner].
func (c maybeTimeColumn) Scan(src any) error {
	if src == nil {
		*c.dest = nil
		return nil
	}
	*c.dest = new(time.Time)
	return timeColumn{*c.dest}.Scan(src)
}

// failureOf returns the failure in two columns, or nil if they are empty.
func failureOf(f payment.Failure) *payment.Failure {
	if f == (payment.Failure{}) {
		return nil
	}
	return &f
}

// failureColumns is the reverse of failureOf.
func failureColumns(f *payment.Failure) payment.Failure {
	if f == nil {
		return payment.Failure{}
	}
	return *f
}
