package temporal

import (
	"crypto/rand"
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

	"github.com/cobropay/cobro/internal/engine"
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
// in memory for an empty path.
func openDatabase(path string) (*serverconfig.SQL, error) {
	if path == "" {
		return &serverconfig.SQL{
			PluginName:        sqliteplugin.PluginName,
			DatabaseName:      "memory-" + rand.Text(),
			ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
		}, nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("temporal database: %w", err)
	}
	database := &serverconfig.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(filepath.ToSlash(path)), // part of a URI
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			"synchronous":  "2", // FULL: what was acknowledged survives a power cut
			"locking_mode": "exclusive",
		},
	}
	return database, prepareFile(path, database)
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
		return fmt.Errorf("%s exists, but not %s, which tells what server wrote it: move it away to start empty", path, versionFile)
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
	// Histories and search attributes are the owner's business only, and SQLite
	// gives its -wal and -shm files the mode of the file.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("temporal database: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("temporal database: %w", err)
	}
	if err := sqlite.SetupSchema(database); err != nil {
		return fmt.Errorf("temporal database %s: %w", path, explain(err))
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
	settings, err := sqlite.NewNamespaceConfig(clusterName, namespace, false, engine.SearchAttributes())
	if err != nil {
		return fmt.Errorf("temporal namespace %q: %w", namespace, err)
	}
	settings.Detail.Config.Retention = durationpb.New(retention)
	if err := sqlite.CreateNamespaces(database, settings); err != nil {
		return fmt.Errorf("temporal namespace %q: %w", namespace, explain(err))
	}
	return nil
}

// explain adds what to do about a database that another process holds.
func explain(err error) error {
	if e, ok := errors.AsType[*sqlitedriver.Error](err); ok && e.Code()&0xff == sqlitecode.SQLITE_BUSY {
		return fmt.Errorf("another process uses the database: stop it, or choose another file (%w)", err)
	}
	return err
}
