package store

import (
	"fmt"

	"github.com/cobropay/cobro/private"
)

// Sealer encrypts what a stolen database must not reveal. It is safe for
// concurrent use.
type Sealer interface {
	// Seal encrypts plain and binds it to context: only [Sealer.Open] with the
	// same context can read it.
	Seal(plain, context []byte) ([]byte, error)
	// Open returns what was sealed, or an error if either argument was changed.
	Open(sealed, context []byte) ([]byte, error)
	// Digest returns a keyed digest of data that nobody can compute without
	// the key. Different purposes give different digests.
	Digest(purpose string, data []byte) string
}

// Purposes of the keyed digests. Stored digests depend on them: never change
// one.
const (
	purposePhone     = "phone"
	purposeMetadata1 = "metadata1"
	purposeMetadata2 = "metadata2"
)

// digest returns the keyed digest of a text, or "" for the empty one.
func (s *Store) digest(purpose string, text private.Text) string {
	if text == "" {
		return ""
	}
	return s.sealer.Digest(purpose, []byte(text))
}

// sealing seals the columns of one row. It keeps the first error in err, so
// that a row can be written as one list.
type sealing struct {
	sealer    Sealer
	table, id string
	err       error
}

func (s *Store) sealing(table, id string) *sealing {
	return &sealing{sealer: s.sealer, table: table, id: id}
}

// text seals one column; the empty text is null.
func (s *sealing) text(column string, plain private.Text) []byte {
	if plain == "" || s.err != nil {
		return nil
	}
	sealed, err := s.sealer.Seal([]byte(plain), place(s.table, column, s.id))
	if err != nil {
		s.err = fmt.Errorf("seal %s.%s: %w", s.table, column, err)
	}
	return sealed
}

// sealedColumn reads what [sealing.text] wrote. The row's id is read before
// it, from a column further left.
type sealedColumn struct {
	sealer        Sealer
	table, column string
	id            *string
	dest          *private.Text
}

// unsealing returns the columns of one row.
func (s *Store) unsealing(table string, id *string) func(column string, dest *private.Text) sealedColumn {
	return func(column string, dest *private.Text) sealedColumn {
		return sealedColumn{sealer: s.sealer, table: table, column: column, id: id, dest: dest}
	}
}

// Scan implements [database/sql.Scanner].
func (c sealedColumn) Scan(src any) error {
	if src == nil {
		*c.dest = ""
		return nil
	}
	sealed, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("the sealed column %s.%s holds a %T", c.table, c.column, src)
	}
	plain, err := c.sealer.Open(sealed, place(c.table, c.column, *c.id))
	if err != nil {
		return fmt.Errorf("unseal %s.%s of %s: %w", c.table, c.column, *c.id, err)
	}
	*c.dest = private.Text(plain)
	return nil
}

// unsealedColumn reads a sealed column where it can, and otherwise keeps why not.
type unsealedColumn struct {
	sealedColumn
	why *error // the first one
}

// Scan implements [database/sql.Scanner].
func (c unsealedColumn) Scan(src any) error {
	if err := c.sealedColumn.Scan(src); err != nil && *c.why == nil {
		*c.why = err
	}
	return nil
}

// place is what a sealed value is bound to, so that an attacker who can write
// the database cannot move a value to another row or column.
func place(table, column, id string) []byte { return []byte(table + "." + column + "/" + id) }
