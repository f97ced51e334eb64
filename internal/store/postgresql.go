package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// postgresqlForm is how a DSN of PostgreSQL is written.
const postgresqlForm = "postgres://user:password@host:5432/database?sslmode=verify-full"

var errPostgreSQLForm = fmt.Errorf("the database's URL cannot be read: write %s, with special characters of the password as %%xx", postgresqlForm)

// postgresql locks row by row. NO KEY is enough among writers, since no id ever
// changes, and lets others refer to the row meanwhile.
func postgresql() dialect {
	return dialect{
		goose:      goose.DialectPostgres,
		migrations: "migrations/postgresql",
		hasTable:   `SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1`,
		forUpdate:  ` FOR NO KEY UPDATE`,
		skipLocked: ` FOR NO KEY UPDATE SKIP LOCKED`,
		lockName:   `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`,
		isolation:  sql.LevelReadCommitted, // whatever the database's default is
		migrating:  advisoryLock(migrationLock),
		create:     func(string) error { return nil }, // who may create databases is not for Cobro to say
		open:       openPostgreSQL,
		check:      checkPostgreSQL,
		passing:    passing,
		hint:       hint,
	}
}

// Connections of one process. A writer that waits for a row's lock keeps its
// connection, so that reads have a pool of their own. One that is idle gives its
// connection back, and each is replaced in time: that spreads the load again
// after a failover, and forgets what a server remembers of a session.
const (
	poolSize     = 16 // half for writers, half for readers
	idleTime     = 5 * time.Minute
	lifetime     = time.Hour
	connectLimit = 10 * time.Second
)

func openPostgreSQL(dsn string) (writer, readers *sql.DB, err error) {
	cfg, size, err := postgresqlConfig(dsn)
	if err != nil {
		return nil, nil, err
	}
	pool := func() *sql.DB {
		db := sql.OpenDB(connector{stdlib.GetConnector(*cfg)})
		db.SetMaxOpenConns(size / 2)
		db.SetMaxIdleConns(size / 2)
		db.SetConnMaxIdleTime(idleTime)
		db.SetConnMaxLifetime(lifetime)
		return db
	}
	return pool(), pool(), nil
}

// postgresqlConfig reads a DSN, and how many connections a process may have.
func postgresqlConfig(dsn string) (cfg *pgx.ConnConfig, size int, err error) {
	if cfg, err = pgx.ParseConfig(dsn); err != nil {
		if file, ok := errors.AsType[*fs.PathError](err); ok { // a certificate or a key
			return nil, 0, file
		}
		// What else pgx says of it may repeat a part of the password.
		return nil, 0, errPostgreSQLForm
	}
	size = poolSize
	if text, set := cfg.RuntimeParams["pool_max_conns"]; set {
		delete(cfg.RuntimeParams, "pool_max_conns") // it is not the server's
		if size, err = strconv.Atoi(text); err != nil || size < 4 {
			return nil, 0, fmt.Errorf("pool_max_conns=%s: write a number from 4 on", text)
		}
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectLimit
	}
	if _, set := cfg.RuntimeParams["application_name"]; !set {
		cfg.RuntimeParams["application_name"] = "cobro"
	}
	// A machine that vanished in the middle of a transaction must not keep its
	// locks for as long as TCP believes in it: hours. A pooler refuses this among
	// the parameters of a connection, so that it is set after that.
	limit, set := cfg.RuntimeParams[idleLimit]
	if !set {
		limit = "30s"
	}
	delete(cfg.RuntimeParams, idleLimit)
	cfg.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		return conn.ExecParams(ctx, `SELECT set_config($1, $2, false)`, [][]byte{[]byte(idleLimit), []byte(limit)}, nil, nil, nil).Read().Err
	}
	// After a failover a name may lead to the old server for a while, or to a
	// standby, where every write fails for as long as the connection lives.
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return cfg, size, nil
}

const idleLimit = "idle_in_transaction_session_timeout"

// checkPostgreSQL refuses a server that could forget what it has committed, that
// cannot be written, or that does not keep every text.
func checkPostgreSQL(ctx context.Context, db *sql.DB) error {
	var commit, encoding string
	var standby bool
	err := db.QueryRowContext(ctx,
		`SELECT current_setting('synchronous_commit'), current_setting('server_encoding'), pg_is_in_recovery()`).
		Scan(&commit, &encoding, &standby)
	switch {
	case err != nil:
		return err
	case commit == "off":
		return errors.New("the database may forget what it has committed: set its synchronous_commit to on")
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s: create it with ENCODING 'UTF8'", encoding)
	case standby:
		return errors.New("the database is a standby: name its primary, or all of its hosts without target_session_attrs")
	default:
		return nil
	}
}

// passing reports whether PostgreSQL gave a transaction up for the sake of
// others, or the connection was lost, or none could be made.
func passing(err error) bool {
	if errors.Is(err, errMoved) || readOnly(err) {
		return true
	}
	if told, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch told.Code {
		case "40001", // serialization_failure
			"40P01", // deadlock_detected
			"57P01", // admin_shutdown
			"57P02", // crash_shutdown
			"57P03", // cannot_connect_now: it is starting
			"25P03", // idle_in_transaction_session_timeout: this process stood still
			"53300": // too_many_connections
			return true
		case "08P01": // protocol_violation: a pooler refuses a parameter, now and always
			return false
		default:
			return strings.HasPrefix(told.Code, "08") // connection_exception
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, lost := range []error{driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return pgconn.SafeToRetry(err) // nothing was sent
}

// readOnly reports whether a server that takes no writes was met: a standby, or
// one that was the primary before a failover.
func readOnly(err error) bool {
	told, ok := errors.AsType[*pgconn.PgError](err)
	return ok && told.Code == "25006" || // read_only_sql_transaction
		errors.Is(err, pgconn.ErrReadOnlyConnection) || errors.Is(err, pgconn.ErrStandbyConnection)
}

// refused reports whether a server answered and will answer the same next time:
// it has no such database, does not let this user in, or takes no such parameter.
func refused(err error) bool {
	told, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (told.Code == "3D000" || told.Code == "08P01" || strings.HasPrefix(told.Code, "28"))
}

// hint says what to do about an error of the first contact.
func hint(err error) error {
	told, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && told.Code == "3D000": // invalid_catalog_name
		return fmt.Errorf("create the database first (CREATE DATABASE … ENCODING 'UTF8') and run cobro migrate: %w", err)
	case ok && strings.HasPrefix(told.Code, "28"): // invalid_authorization_specification
		return fmt.Errorf("check the user, the password and sslmode of COBRO_STORE: %w", err)
	case ok && told.Code == "42501": // insufficient_privilege
		return fmt.Errorf("its user lacks a right; the one who migrates may create tables (GRANT CREATE ON SCHEMA …): %w", err)
	case ok && told.Code == "08P01": // protocol_violation
		return fmt.Errorf("a pooler refuses a parameter of COBRO_STORE: remove it there, or see the pooler's ignore_startup_parameters: %w", err)
	case readOnly(err):
		return fmt.Errorf("%w: the server takes no writes: name the primary, or all hosts: %w", ErrUnreachable, err)
	case passing(err):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	default:
		return err
	}
}

// connector makes connections that write any text of Go.
type connector struct{ driver.Connector }

// Connect implements [driver.Connector].
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	made, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := made.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("pgx made a %T", made), made.Close())
	}
	return &connection{Conn: conn}, nil
}

// connection writes U+FFFD for what PostgreSQL's texts cannot hold: NUL, and
// bytes that are no UTF-8. Strangers send both, in the ids of an event or in a
// filter; they shall find nothing, and not be an error of the database.
//
// One that has become read-only goes back to no pool.
type connection struct {
	*stdlib.Conn
	stale bool
}

// ExecContext implements [driver.ExecerContext].
func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.ExecContext(ctx, query, args)
	c.stale = c.stale || readOnly(err)
	return result, err
}

// QueryContext implements [driver.QueryerContext].
func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, query, args)
	c.stale = c.stale || readOnly(err)
	return rows, err
}

// IsValid implements [driver.Validator].
func (c *connection) IsValid() bool { return !c.stale }

// CheckNamedValue implements [driver.NamedValueChecker].
func (c *connection) CheckNamedValue(v *driver.NamedValue) error {
	if _, writesItself := v.Value.(driver.Valuer); !writesItself {
		if text := reflect.ValueOf(v.Value); text.Kind() == reflect.String {
			v.Value = strings.ReplaceAll(strings.ToValidUTF8(text.String(), "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return c.Conn.CheckNamedValue(v)
}

// advisoryLock is a number that one session at a time can hold. It belongs to
// the connection that migrates: were that lost, so would be both.
type advisoryLock int64

// migrationLock is Cobro's number: its name in ASCII, and one for migrations.
const migrationLock = 0x636f62726f<<8 | 1

// SessionLock implements goose's SessionLocker. It asks again and again instead
// of waiting inside PostgreSQL, where its own old snapshot would be in the way
// of a migration that builds an index beside running writers.
func (l advisoryLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		var held bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`, int64(l)).Scan(&held); err != nil || held {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("another migration is running: %w", ctx.Err())
		}
	}
}

// SessionUnlock implements goose's SessionLocker.
func (l advisoryLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, int64(l))
	return err
}
