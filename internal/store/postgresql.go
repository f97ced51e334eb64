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

// postgresqlForm is the form of a PostgreSQL DSN.
const postgresqlForm = "postgres://user:password@host:5432/database?sslmode=verify-full"

var errPostgreSQLForm = fmt.Errorf("the database's URL cannot be read: write %s, with special characters of the password as %%xx", postgresqlForm)

// postgresql has row locks. NO KEY is enough, since no id ever changes, and
// still allows foreign keys to the row meanwhile.
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
		busy:       func(error) bool { return false },
		hint:       hint,
	}
}

// Connections of one process. A writer that waits for a row lock holds its
// connection, so reads have their own pool. Idle connections are closed and old
// ones replaced, which spreads the load again after a failover and drops
// session state on the server.
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
		// Any other error of pgx may repeat a part of the password.
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
	// A machine that disappears in the middle of a transaction must not hold
	// its locks until TCP notices, which can take hours. A pooler rejects this
	// as a startup parameter, so it is set afterwards.
	limit, set := cfg.RuntimeParams[idleLimit]
	if !set {
		limit = "30s"
	}
	delete(cfg.RuntimeParams, idleLimit)
	cfg.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		return conn.ExecParams(ctx, `SELECT set_config($1, $2, false)`, [][]byte{[]byte(idleLimit), []byte(limit)}, nil, nil, nil).Read().Err
	}
	// After a failover a host name may still point to the old server or to a
	// standby, where every write would fail for the lifetime of the connection.
	if cfg.ValidateConnect == nil {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	return cfg, size, nil
}

const idleLimit = "idle_in_transaction_session_timeout"

// checkPostgreSQL refuses a server that could lose committed data, that is
// read-only, or that cannot store every text.
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

// passing reports whether PostgreSQL aborted a transaction in favor of others,
// or the connection was lost or could not be made.
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

// readOnly reports whether the server accepts no writes: a standby, or the
// former primary after a failover.
func readOnly(err error) bool {
	told, ok := errors.AsType[*pgconn.PgError](err)
	return ok && told.Code == "25006" || // read_only_sql_transaction
		errors.Is(err, pgconn.ErrReadOnlyConnection) || errors.Is(err, pgconn.ErrStandbyConnection)
}

// refused reports whether the server would give the same answer next time: the
// database does not exist, the user is not allowed in, or a parameter is
// rejected.
func refused(err error) bool {
	told, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (told.Code == "3D000" || told.Code == "08P01" || strings.HasPrefix(told.Code, "28"))
}

// hint adds advice to an error of the first connection.
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

// connector makes connections that can write any Go string.
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

// connection writes U+FFFD for what a PostgreSQL text cannot hold: NUL and
// invalid UTF-8. Strangers send both, in the ids of an event or in a filter.
// That must find nothing, and must not be a database error.
//
// A connection that has become read-only is not returned to the pool.
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

// advisoryLock is a number that one session at a time can hold. It is held by
// the connection that migrates, so the lock and the migration end together.
type advisoryLock int64

// migrationLock is Cobro's number: its name in ASCII, then 1 for migrations.
const migrationLock = 0x636f62726f<<8 | 1

// SessionLock implements goose's SessionLocker. It polls instead of waiting
// inside PostgreSQL, where its own old snapshot would block a migration that
// builds an index concurrently.
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
