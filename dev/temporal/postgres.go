package temporal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	serverconfig "go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/schema"
	v12 "go.temporal.io/server/schema/postgresql/v12"
)

// visibilitySuffix names the second database, which lists workflows.
const visibilitySuffix = "_visibility"

// postgresConnections bounds each of the server's pools.
const postgresConnections = 20

// openPostgres describes the two databases of a server on PostgreSQL, made and
// filled with the server's own schema where they are missing.
func openPostgres(dsn string) (stores, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" || u.Host == "" || strings.Trim(u.Path, "/") == "" || u.User == nil {
		return stores{}, errors.New("temporal database: the DSN must be like postgres://user:password@host:5432/temporal") // and may hold a password
	}
	main := postgresDatabase(u, strings.Trim(u.Path, "/"))
	s := stores{main: main, visibility: postgresDatabase(u, main.DatabaseName+visibilitySuffix), shards: postgresShards}
	for _, one := range []struct {
		database         *serverconfig.SQL
		kind             sqlplugin.DbKind
		tables, versions string
	}{
		{s.main, sqlplugin.DbKindMain, "postgresql/v12/temporal/schema.sql", v12.Version},
		{s.visibility, sqlplugin.DbKindVisibility, "postgresql/v12/visibility/schema.sql", v12.VisibilityVersion},
	} {
		if err := createPostgres(u, one.database.DatabaseName); err != nil {
			return stores{}, fmt.Errorf("temporal database %s: %w", one.database.DatabaseName, err)
		}
		if err := fillPostgres(one.database, one.kind, one.tables, one.versions); err != nil {
			return stores{}, fmt.Errorf("temporal database %s: %w", one.database.DatabaseName, err)
		}
	}
	return s, nil
}

func postgresDatabase(u *url.URL, name string) *serverconfig.SQL {
	password, _ := u.User.Password()
	attributes := map[string]string{}
	for key, values := range u.Query() {
		attributes[key] = values[0]
	}
	return &serverconfig.SQL{
		PluginName: postgresql.PluginNamePGX, DatabaseName: name, ConnectAddr: u.Host, ConnectProtocol: "tcp",
		User: u.User.Username(), Password: password, ConnectAttributes: attributes,
		MaxConns: postgresConnections, MaxIdleConns: postgresConnections,
	}
}

func administer(database *serverconfig.SQL, kind sqlplugin.DbKind) (sqlplugin.AdminDB, error) {
	return sql.NewSQLAdminDB(kind, database, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
}

// createPostgres makes a database that is missing.
func createPostgres(u *url.URL, name string) error {
	server, err := administer(postgresDatabase(u, "postgres"), sqlplugin.DbKindUnknown)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }() // what was written is committed
	err = server.CreateDatabase(name)
	if err != nil && strings.Contains(err.Error(), "already exists") { // the plug-in hides the code
		return nil
	}
	return err
}

// fillPostgres writes the schema into an empty database. The version comes
// last: a database without one that has tables was left half done.
func fillPostgres(database *serverconfig.SQL, kind sqlplugin.DbKind, tables, version string) error {
	db, err := administer(database, kind)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // what was written is committed
	if err := db.CreateSchemaVersionTables(); err != nil {
		return err
	}
	switch wrote, err := db.ReadSchemaVersion(database.DatabaseName); {
	case err == nil && wrote == version:
		return nil
	case err == nil:
		return &VersionError{Path: database.DatabaseName, Wrote: "with schema " + wrote, Have: "schema " + version}
	}
	found, err := db.ListTables(database.DatabaseName)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(table string) bool { return !strings.HasPrefix(table, "schema_") }) {
		return errors.New("it holds tables and no schema version: drop it, or name another")
	}
	text, err := schema.Assets().Open(tables)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(text)
	if err := errors.Join(err, text.Close()); err != nil {
		return err
	}
	statements, err := persistence.LoadAndSplitQueryFromReaders([]io.Reader{bytes.NewReader(data)})
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if err := db.Exec(statement); err != nil {
			return err
		}
	}
	return db.UpdateSchemaVersion(database.DatabaseName, version, version)
}
