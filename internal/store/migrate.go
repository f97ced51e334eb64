package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

// schemaTable lists the migrations that ran.
const schemaTable = "schema_versions"

// SchemaError says that a database does not have the schema of this program.
type SchemaError struct {
	Have int64 // the database's version; zero means that nothing was migrated
	Want int64 // this program's
}

// Error implements error.
func (e *SchemaError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("the database has schema %d and this program knows only %d: use the newer program", e.Have, e.Want)
	}
	return fmt.Sprintf("the database has schema %d and this program needs %d: run cobro migrate", e.Have, e.Want)
}

// Migrate brings a database to this program's schema. It creates a missing
// SQLite file, but not a missing PostgreSQL database. It may run in several
// processes at once and while stores are open: one process does the work and
// the others wait for it. If the schema is newer than this program's, Migrate
// changes nothing and returns a [*SchemaError].
func Migrate(ctx context.Context, cfg Config) error {
	if err := migrate(ctx, cfg); err != nil {
		return fmt.Errorf("migrate the store: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, cfg Config) (err error) {
	d, err := dialectOf(cfg.DSN)
	if err != nil {
		return err
	}
	if err := d.create(cfg.DSN); err != nil {
		return err
	}
	writer, readers, err := d.open(cfg.DSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(d.hint(err), readers.Close(), writer.Close()) }()
	if d.adopt != nil {
		if err := d.adopt(ctx, cfg.DSN, writer); err != nil {
			return err
		}
	}

	files, err := fs.Sub(migrationFiles, d.migrations)
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithTableName(schemaTable), goose.WithDisableGlobalRegistry(true)}
	if d.migrating != nil {
		options = append(options, goose.WithSessionLocker(d.migrating))
	}
	provider, err := goose.NewProvider(d.goose, writer, files, options...)
	if err != nil {
		return err
	}
	want, err := newestSchema(d)
	if err != nil {
		return err
	}
	for {
		have, err := schemaVersion(ctx, d, writer)
		switch {
		case err != nil:
			return err
		case have > want:
			return &SchemaError{Have: have, Want: want}
		case have == want:
			return nil
		}
		steps, failed := provider.Up(ctx)
		logSteps(ctx, cfg.Logger, steps)
		if failed == nil {
			continue
		}
		// Another process may have run the same step in between. That is fine
		// as long as the schema moves forward.
		moved, err := schemaVersion(ctx, d, writer)
		if err != nil || moved == have {
			return errors.Join(failed, err)
		}
	}
}

func logSteps(ctx context.Context, logger *slog.Logger, steps []*goose.MigrationResult) {
	if logger == nil {
		return
	}
	for _, step := range steps {
		logger.InfoContext(ctx, "store migrated",
			slog.Int64("schema", step.Source.Version), slog.Duration("took", step.Duration))
	}
}

// checkSchema returns a [*SchemaError] unless the database has this program's
// schema. It only reads.
func checkSchema(ctx context.Context, d dialect, db queryer) error {
	want, err := newestSchema(d)
	if err != nil {
		return err
	}
	have, err := schemaVersion(ctx, d, db)
	if err != nil {
		return err
	}
	if have != want {
		return &SchemaError{Have: have, Want: want}
	}
	return nil
}

// schemaVersion returns the version that the database has, zero where nothing
// was migrated.
func schemaVersion(ctx context.Context, d dialect, db queryer) (int64, error) {
	var tables, version int64
	if err := db.QueryRowContext(ctx, d.hasTable, schemaTable).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	err := db.QueryRowContext(ctx,
		`SELECT COALESCE(MAX(version_id), 0) FROM `+schemaTable+` WHERE is_applied`).Scan(&version)
	return version, err
}

// newestSchema returns the version that this program's migrations lead to.
// They count from 1 without gaps, so it is their number.
func newestSchema(d dialect) (int64, error) {
	files, err := fs.ReadDir(migrationFiles, d.migrations)
	return int64(len(files)), err
}
