package temporal

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	serverconfig "go.temporal.io/server/common/config"
	"go.temporal.io/server/common/headers"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
	sqlitedriver "modernc.org/sqlite"
	sqlitecode "modernc.org/sqlite/lib"

	"github.com/cobropay/cobro/internal/temporalclient"
)

// settingUp stands in the version file while the schema is written: a file
// left like that by a killed process has never been used.
const settingUp = "setting up"

// VersionError says that another version of the server wrote a database. The
// server cannot upgrade a SQLite file.
type VersionError struct {
	Path  string // the database
	Wrote string // the version that wrote it
	Have  string // the version of this program
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s was written by Temporal server %s and this program has %s, which cannot read it: use the program that wrote it, or move the file away to start empty",
		e.Path, e.Wrote, e.Have)
}

// openDatabase describes the database at path, made if it is not there, or one
// in memory for an empty path. The caller releases it when nothing uses it any
// more.
func openDatabase(ctx context.Context, path string) (database *serverconfig.SQL, release func(), err error) {
	if path == "" {
		return &serverconfig.SQL{
			PluginName:        sqliteplugin.PluginName,
			DatabaseName:      "memory-" + rand.Text(),
			ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
		}, func() {}, nil
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, nil, fmt.Errorf("temporal database: %w", err)
	}
	release, err = lockFile(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	database = &serverconfig.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: inURI(path),
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			"synchronous":  "2", // FULL: what was acknowledged survives a power cut
		},
	}
	if err := prepareFile(path, database); err != nil {
		release()
		return nil, nil, err
	}
	return database, release, nil
}

// lockFile makes sure that one server only uses the file at path, until release
// is called or the process ends: two would fight over its shards. The lock is
// that of SQLite on an empty file of our own, which works on every system.
func lockFile(ctx context.Context, path string) (release func(), err error) {
	path += ".lock"
	if err := touch(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+inURI(path))
	if err != nil {
		return nil, fmt.Errorf("temporal database: %w", err)
	}
	release = func() { _ = db.Close() } // unlocks; nothing was written
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		release()
		if e, ok := errors.AsType[*sqlitedriver.Error](err); ok && e.Code()&0xff == sqlitecode.SQLITE_BUSY {
			return nil, fmt.Errorf("%s is used by another server: stop it, or choose another file", strings.TrimSuffix(path, ".lock"))
		}
		return nil, fmt.Errorf("temporal database: %w", err)
	}
	return release, nil
}

// touch makes a file that only its owner can read. SQLite gives the same mode
// to what it writes beside it.
func touch(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("temporal database: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("temporal database: %w", err)
	}
	return nil
}

// inURI writes a path as SQLite reads it between "file:" and "?".
func inURI(path string) string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(path))
}

// prepareFile writes the schema to a new file and refuses one that this server
// cannot use.
func prepareFile(path string, database *serverconfig.SQL) error {
	versionFile := path + ".version"
	wrote, err := readVersion(versionFile)
	if err != nil {
		return err
	}
	_, err = os.Stat(path)
	switch {
	case err == nil && wrote == "":
		return fmt.Errorf("%s exists, but not %s, which says what server wrote it: move it away to start empty", path, versionFile)
	case err == nil && wrote == headers.ServerVersion:
		return nil
	case err == nil && wrote != settingUp:
		return &VersionError{Path: path, Wrote: wrote, Have: headers.ServerVersion}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("temporal database: %w", err)
	}

	for _, half := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(half); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("temporal database: %w", err)
		}
	}
	if err := writeVersion(versionFile, settingUp); err != nil {
		return err
	}
	if err := touch(path); err != nil {
		return err
	}
	if err := sqlite.SetupSchema(database); err != nil {
		return fmt.Errorf("temporal database %s: %w", path, err)
	}
	return writeVersion(versionFile, headers.ServerVersion)
}

func readVersion(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("temporal database: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// writeVersion replaces the file in one step, so that a killed process leaves
// either text.
func writeVersion(path, version string) error {
	next := path + ".new"
	file, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("temporal database: %w", err)
	}
	_, err = file.WriteString(version + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("temporal database: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("temporal database: %w", err)
	}
	return nil
}

// createNamespace does nothing to a namespace that exists.
func createNamespace(database *serverconfig.SQL, namespace string, retention time.Duration) error {
	settings, err := sqlite.NewNamespaceConfig(clusterName, namespace, false, temporalclient.SearchAttributes())
	if err != nil {
		return fmt.Errorf("temporal namespace %q: %w", namespace, err)
	}
	settings.Detail.Config.Retention = durationpb.New(retention)
	if err := sqlite.CreateNamespaces(database, settings); err != nil {
		return fmt.Errorf("temporal namespace %q: %w", namespace, err)
	}
	return nil
}
