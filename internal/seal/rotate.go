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

// Key describes a key of a file. What the key is made of is not in it.
type Key struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created,omitzero"` // the day, in UTC; zero where the id does not tell
	Writes  bool      `json:"writes"`           // it seals what is written from now on
}

// Keys lists the keys of a file, oldest first.
func Keys(path string) ([]Key, error) {
	ring, err := Load(path)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, 0, len(ring.KeyIDs()))
	for _, id := range ring.KeyIDs() {
		keys = append(keys, Key{ID: id, Created: created(id), Writes: id == ring.PrimaryID()})
	}
	slices.SortStableFunc(keys, func(a, b Key) int { return a.Created.Compare(b.Created) })
	return keys, nil
}

// dated is an id that [AddKey] or [Create] made.
var dated = regexp.MustCompile(`^k-(\d{4}-\d{2}-\d{2})-[0-9a-f]{8}$`)

func created(id string) time.Time {
	match := dated.FindStringSubmatch(id)
	if match == nil {
		return time.Time{}
	}
	day, err := time.Parse(time.DateOnly, match[1])
	if err != nil {
		return time.Time{} // 2026-13-45
	}
	return day
}

// AddKey adds a fresh key to the file at path and returns its id. The key reads
// at once and writes nothing until [UseKey]: in between, every process gets to
// know it, so that none meets a value that it cannot read.
func AddKey(path string, now time.Time) (string, error) {
	id, key := freshKey(now)
	return id, change(path, func(f *keyFile) error {
		f.Keys[id] = key
		return nil
	})
}

// UseKey makes a key of the file at path the one that writes. All others go on
// reading.
func UseKey(path, id string) error {
	return change(path, func(f *keyFile) error {
		if _, ok := f.Keys[id]; !ok {
			return fmt.Errorf("it holds no key %q, only %q: add one first", id, slices.Sorted(maps.Keys(f.Keys)))
		}
		f.Primary = id
		return nil
	})
}

// change replaces the file at path, whole or not at all. Its owner stays, as
// does its mode 0600. A second one at the same time is refused.
func change(path string, do func(*keyFile) error) (err error) {
	lock := path + ".lock"
	held, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("seal: key file %s: %w; if nobody is, remove %s", path, errBusy, lock)
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
	if err := do(&f); err != nil {
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

// replace puts data in the place of the file at path, which was was. Whoever
// reads meanwhile gets the old or the new one.
func replace(path string, data []byte, was fs.FileInfo) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".keys-*") // mode 0600, O_EXCL
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // which is gone once it was renamed
	_, err = temp.Write(data)
	if err := errors.Join(err, keepOwner(temp, was), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return fmt.Errorf("%w (a file that is mounted by itself cannot be replaced: change the original)", err)
	}
	return syncDir(dir)
}
