package seal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Key describes a key of a key file, without the key material.
type Key struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created,omitzero"` // the day, in UTC; zero if the id does not contain it
	Primary bool      `json:"writes"`           // it seals new values
}

// Keys lists the keys of a file, oldest first.
func Keys(path string) ([]Key, error) {
	ring, err := Load(path)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, 0, len(ring.KeyIDs()))
	for _, id := range ring.KeyIDs() {
		keys = append(keys, Key{ID: id, Created: createdOn(id), Primary: id == ring.PrimaryID()})
	}
	slices.SortStableFunc(keys, func(a, b Key) int { return a.Created.Compare(b.Created) })
	return keys, nil
}

// datedID matches an id that [AddKey] or [Create] made.
var datedID = regexp.MustCompile(`^k-(\d{4}-\d{2}-\d{2})-[0-9a-f]{8}$`)

func createdOn(id string) time.Time {
	match := datedID.FindStringSubmatch(id)
	if match == nil {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, match[1])
	if err != nil {
		return time.Time{} // no calendar day, such as 2026-13-45
	}
	return day
}

// AddKey adds a new key to the file at path and returns its id. The key opens
// values at once, and seals none until [UseKey]. In between, give the file to
// every process, so that none meets a value that it cannot read.
func AddKey(path string, now time.Time) (string, error) {
	id, key := freshKey(now)
	return id, change(path, func(f *keyFile) error {
		f.Keys[id] = key
		return nil
	})
}

// UseKey makes a key of the file at path the primary. All other keys still open
// values.
func UseKey(path, id string) error {
	return change(path, func(f *keyFile) error {
		if _, ok := f.Keys[id]; !ok {
			return fmt.Errorf("it holds no key %q, only %q: add one first", id, slices.Sorted(maps.Keys(f.Keys)))
		}
		f.Primary = id
		return nil
	})
}

// change edits the file at path and replaces it atomically. The new file keeps
// the owner and has mode 0600. A lock file rejects a concurrent change.
func change(path string, edit func(*keyFile) error) (err error) {
	lock := path + ".lock"
	held, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("seal: key file %s: %w; if that is not so, remove %s", path, errBusy, lock)
	}
	if err != nil {
		return fmt.Errorf("seal: key file: %w", err)
	}
	defer func() { err = errors.Join(err, held.Close(), os.Remove(lock)) }()

	data, info, err := read(path)
	if err != nil {
		return err
	}
	f, err := decode(data)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	if err := edit(&f); err != nil {
		return fmt.Errorf("seal: key file %s: %w", path, err)
	}
	if _, err := f.ring(); err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	next, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if err := replace(path, append(next, '\n'), info); err != nil {
		return fmt.Errorf("seal: key file: %w", err)
	}
	return nil
}

// replace writes data over the file at path, whose info is old. A concurrent
// reader gets the old or the new content, never a mix.
func replace(path string, data []byte, old fs.FileInfo) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".keys-*") // mode 0600, O_EXCL
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // nothing is left to remove after the rename
	_, err = temp.Write(data)
	if err := errors.Join(err, keepOwner(temp, old), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("%w (a file mounted on its own cannot be replaced: change the original)", err)
	}
	return syncDir(dir)
}
