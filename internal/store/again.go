package store

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

// Limits of retries: how often a transaction or a query is tried, and the
// longest pause after the first try. The pause doubles each time; all together
// take less than two seconds.
const (
	mostTries  = 7
	firstPause = 30 * time.Millisecond
)

// again runs do until it succeeds, fails for a reason that a retry cannot fix,
// or has failed too often.
func again(ctx context.Context, passing func(error) bool, do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if err == nil || ctx.Err() != nil || !passing(err) || try == mostTries-1 || !pause(ctx, try) {
			return err
		}
	}
}

// pause waits a random time of up to firstPause, doubled for each try before,
// so that callers who collided do not collide again. It reports false when ctx
// ends.
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

// reader is the pool of connections for reads. A query whose connection was
// lost before its first row is retried: a read changes nothing.
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
