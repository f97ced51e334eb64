package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect holds every difference between the databases. All other SQL in this
// package works in both SQLite and PostgreSQL.
type dialect struct {
	goose      goose.Dialect
	migrations string // the folder of its migrations
	hasTable   string // counts the tables of a name
	forUpdate  string // ends a SELECT that locks its row
	skipLocked string // ends a SELECT that locks rows and passes over locked ones
	lockName   string // waits for a name until no other transaction has it, and has it until this one ends
	isolation  sql.IsolationLevel
	migrating  lock.SessionLocker // keeps two migrations apart; nil where a file's lock does
	// create makes an empty database where a missing one can be made.
	create func(dsn string) error
	// open returns the pool of writers and that of readers, and changes nothing.
	open func(dsn string) (writer, readers *sql.DB, err error)
	// check refuses a database that cannot keep this package's promises, and
	// may be nil.
	check func(ctx context.Context, db *sql.DB) error
	// adopt settles how a database of ours is kept, and may be nil.
	adopt func(ctx context.Context, dsn string, writer *sql.DB) error
	// passing reports whether an error is transient: the same transaction may
	// succeed when it is retried.
	passing func(error) bool
	// busy reports whether the database itself stopped waiting for a lock.
	busy func(error) bool
	// hint adds advice to an error of the first connection.
	hint func(error) error
}

//go:embed migrations
var migrationFiles embed.FS

// dialectOf returns the dialect of a DSN. A DSN of an unknown form is an error
// and never a file name: a mistyped server address would become a file with the
// password in its name. For the same reason an error never repeats any part of
// the DSN.
func dialectOf(dsn string) (dialect, error) {
	scheme, rest, found := strings.Cut(dsn, "://")
	if found && (scheme == "postgres" || scheme == "postgresql") {
		// A / ? or # in a password would end the host early, and the rest of
		// the password would be read as the database name.
		if end := strings.IndexAny(rest, "/?#"); end >= 0 && strings.Contains(rest[end:], "@") {
			return dialect{}, errPostgreSQLForm
		}
		_, _, err := postgresqlConfig(dsn)
		return postgresql(), err
	}
	if !found && (strings.HasPrefix(dsn, "sqlite:") || filepath.IsAbs(dsn) && !strings.HasPrefix(dsn, "//")) {
		return sqlite(), nil
	}
	return dialect{}, fmt.Errorf("unknown kind of database: write sqlite:<file>, or %s", postgresqlForm)
}

// sqlite has no row locks: a write transaction locks the whole file from its
// start.
func sqlite() dialect {
	return dialect{
		goose:      goose.DialectSQLite3,
		migrations: "migrations/sqlite",
		hasTable:   `SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1`,
		create:     createSQLite,
		open:       openSQLite,
		adopt:      adoptSQLite,
		// Writers wait for the file in SQLite's busy handler; no other error is
		// worth a retry.
		passing: func(error) bool { return false },
		busy: func(err error) bool {
			failed, ok := errors.AsType[*driver.Error](err)
			return ok && failed.Code()&0xff == sqlite3.SQLITE_BUSY
		},
		hint: func(err error) error { return err },
	}
}

// sqliteReaders bounds the connections that read at once.
const sqliteReaders = 8

func openSQLite(dsn string) (writer, readers *sql.DB, err error) {
	path, err := sqlitePath(dsn)
	if err != nil {
		return nil, nil, err
	}
	if err := checkSQLiteFile(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no database yet: run cobro migrate: %w", err)
	} else if err != nil {
		return nil, nil, err
	}
	// One writer per process: its transactions queue in Go, where waiting is
	// fair. Only other processes compete in SQLite's busy handler.
	if writer, err = sql.Open("sqlite", sqliteURI(path, url.Values{"_txlock": {"immediate"}})); err != nil {
		return nil, nil, err
	}
	writer.SetMaxOpenConns(1)
	if readers, err = sql.Open("sqlite", sqliteURI(path, url.Values{"_query_only": {"1"}})); err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	readers.SetMaxOpenConns(sqliteReaders)
	readers.SetMaxIdleConns(sqliteReaders)
	return writer, readers, nil
}

func createSQLite(dsn string) error {
	path, err := sqlitePath(dsn)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// sqliteMagic begins every file of SQLite that is not empty.
const sqliteMagic = "SQLite format 3\x00"

// checkSQLiteFile returns an error unless a file can be a database: one that
// COBRO_STORE names by mistake must stay as it is.
func checkSQLiteFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	head := make([]byte, len(sqliteMagic))
	switch n, err := io.ReadFull(file, head); {
	case errors.Is(err, io.EOF): // empty, as createSQLite makes it
		return nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case string(head[:n]) != sqliteMagic:
		return fmt.Errorf("%s is not a database", path)
	}
	return nil
}

// adoptSQLite makes a database file readable by its owner only, unless it is
// another program's.
func adoptSQLite(ctx context.Context, dsn string, writer *sql.DB) error {
	path, err := sqlitePath(dsn)
	if err != nil {
		return err
	}
	var tables, ours int
	if err := writer.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(CASE WHEN name = $1 THEN 1 END) FROM sqlite_master`, schemaTable).
		Scan(&tables, &ours); err != nil {
		return err
	}
	if tables > 0 && ours == 0 {
		return fmt.Errorf("%s is a database of another program", path)
	}
	for _, part := range []string{"", "-wal", "-shm"} { // SQLite gives later ones the mode of the first
		if err := os.Chmod(path+part, 0o600); err != nil && !(part != "" && errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("keep others from the store's file: %w", err)
		}
	}
	_, err = writer.ExecContext(ctx, `PRAGMA journal_mode = WAL`) // the file remembers it
	return err
}

func sqlitePath(dsn string) (string, error) {
	path := strings.TrimPrefix(dsn, "sqlite:")
	if path == "" || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:") {
		return "", errors.New("the store needs the path of a file: write sqlite:<file>")
	}
	return filepath.Abs(path)
}

// sqliteURI names the file, with the settings of every connection. With FULL a
// commit survives a power cut, not only a crash of the process.
func sqliteURI(path string, settings url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	for name, value := range map[string]string{
		"mode":          "rw", // a missing file is an error, not a new database
		"_busy_timeout": "5000",
		"_synchronous":  "FULL",
		"_foreign_keys": "1",
		"_dqs":          "0",
		"_defensive":    "1",
	} {
		settings.Set(name, value)
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: settings.Encode()}).String()
}
