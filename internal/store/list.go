package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
)

// maxPage is the longest page of a list, and the length of one whose limit is
// out of range.
const maxPage = 100

// pageOf returns the limit, or maxPage where it is out of range.
func pageOf(limit int) int {
	if limit < 1 || limit > maxPage {
		return maxPage
	}
	return limit
}

// selection is a filter in SQL. Its zero value selects everything.
type selection struct {
	conditions []string
	args       []any
}

// add adds a condition with one argument, whose placeholder replaces each $?.
func (w *selection) add(condition string, arg any) {
	w.conditions = append(w.conditions, strings.ReplaceAll(condition, "$?", w.bind(arg)))
}

// bind returns the placeholder of an argument.
func (w *selection) bind(arg any) string {
	w.args = append(w.args, arg)
	return fmt.Sprintf("$%d", len(w.args))
}

// equal selects rows whose column is text; an empty text selects all rows.
// Saying that the column is not empty is redundant, but lets the database use a
// partial index.
func (w *selection) equal(column, text string) {
	if text != "" {
		w.add(column+" <> '' AND "+column+" = $?", text)
	}
}

// between selects times in [from, to); a zero time means no bound.
func (w *selection) between(column string, from, to time.Time) {
	if !from.IsZero() {
		w.add(column+" >= $?", micros(from))
	}
	if !to.IsZero() {
		w.add(column+" < $?", micros(to))
	}
}

// holds selects rows for which a condition is true, or is false; nil selects
// both.
func (w *selection) holds(condition string, wanted *bool) {
	switch {
	case wanted == nil:
	case *wanted:
		w.conditions = append(w.conditions, condition)
	default:
		w.conditions = append(w.conditions, "NOT ("+condition+")")
	}
}

// listing describes a list that is read page by page, newest first.
type listing[T any] struct {
	name     string // in errors
	columns  string // that scan reads
	from     string
	time, id string // the columns that it is ordered by
	scan     func(scanner) (T, error)
	place    func(T) ledger.Cursor
}

// page returns one page of the selected rows, and the cursor of the next page:
// the zero value at the end.
func page[T any](ctx context.Context, s *Store, l listing[T], where selection, after ledger.Cursor, limit int) ([]T, ledger.Cursor, error) {
	conditions := "TRUE"
	for _, condition := range where.conditions {
		conditions += " AND " + condition
	}
	if after != (ledger.Cursor{}) {
		conditions += fmt.Sprintf(" AND (%s, %s) < (%s, %s)", l.time, l.id, where.bind(micros(after.CreatedAt)), where.bind(after.ID))
	}
	limit = pageOf(limit)
	query := fmt.Sprintf(`SELECT %s FROM %s WHERE %s ORDER BY %s DESC, %s DESC LIMIT %s`,
		l.columns, l.from, conditions, l.time, l.id, where.bind(limit+1)) // one more tells whether there is a next page
	found, err := read(ctx, s, "list "+l.name, func(ctx context.Context, q queryer) ([]T, error) {
		return list(ctx, q, l.scan, query, where.args...)
	})
	if err != nil || len(found) <= limit {
		return found, ledger.Cursor{}, err
	}
	found = found[:limit]
	return found, l.place(found[limit-1]), nil
}
