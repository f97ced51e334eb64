package store

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

// Tries of one transaction or query, and the longest pause after the first. It
// doubles from one to the next: together they stay within two seconds.
const (
	mostTries  = 7
	firstPause = 30 * time.Millisecond
)

// again runs do until it succeeds, fails for a reason that does not pass, or
// has failed too often.
func again(ctx context.Context, passing func(error) bool, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil || ctx.Err() != nil || !passing(err) || try == mostTries-1 || !pause(ctx, try) {
			return err
		}
	}
}

// pause waits for up to firstPause, doubled for each try before, so that those
// who failed together do not meet again. It reports false when ctx ends.
func pause(ctx context.Context, try int) bool {
	timer := time.NewTimer(rand.N(firstPause << try))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reader is the pool of readers. A query whose connection was lost before its
// first row is asked again; nothing was changed by it.
type reader struct {
	*sql.DB
	passing func(error) bool
}

// QueryContext implements queryer.
func (r reader) QueryContext(ctx context.Context, query string, args ...any) (rows *sql.Rows, err error) {
	err = again(ctx, r.passing, func() error {
		rows, err = r.DB.QueryContext(ctx, query, args...) //nolint:sqlclosecheck,rowserrcheck // the caller reads and closes them
		return err
	})
	return rows, err
}

// QueryRowContext implements queryer.
func (r reader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	var row *sql.Row
	_ = again(ctx, r.passing, func() error {
		row = r.DB.QueryRowContext(ctx, query, args...)
		return row.Err()
	}) // the row tells its error to whoever scans it
	return row
}
