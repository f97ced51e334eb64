package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery is how often a ring in use checks its key file for a change.
const checkEvery = 5 * time.Second

// file is a key file that a ring follows.
type file struct {
	path    string
	now     func() time.Time
	checked atomic.Int64 // Unix nanoseconds of the last check
	logger  atomic.Pointer[slog.Logger]
	reading sync.Mutex  // guards the fields below; one reader at a time
	seen    fs.FileInfo // of the last read, good or bad; nil before the first
	failed  error       // of the last read
}

func follow(path string, seen fs.FileInfo) *file {
	f := &file{path: path, now: time.Now, seen: seen}
	f.checked.Store(f.now().UnixNano())
	return f
}

// SetLogger sets the log for changes of the key file and for a file that cannot
// be used. Without it, nothing is logged.
func (r *Ring) SetLogger(logger *slog.Logger) {
	if r.file != nil {
		r.file.logger.Store(logger)
	}
}

// Refresh reads the key file again now, if it has changed, and reports whether
// the ring changed too. If the file cannot be used, the ring keeps the keys that
// it has. A ring without a file never changes.
func (r *Ring) Refresh() (changed bool, err error) {
	if r.file == nil {
		return false, nil
	}
	f := r.file
	f.reading.Lock()
	defer f.reading.Unlock()
	f.checked.Store(f.now().UnixNano())
	info, err := os.Stat(f.path)
	if err == nil && f.seen != nil && os.SameFile(info, f.seen) && info.ModTime().Equal(f.seen.ModTime()) && info.Size() == f.seen.Size() {
		return false, f.failed
	}
	f.seen = info
	changed, f.failed = r.read()
	logger := f.logger.Load()
	switch {
	case logger == nil:
	case f.failed != nil:
		logger.Error("cannot use the changed key file; keeping the previous keys", "error", f.failed)
	case changed:
		logger.Info("key file changed", "keys", len(r.held.Load().keys), "writes", r.held.Load().primary)
	}
	return changed, f.failed
}

// read replaces the ring's keys with those of the file.
func (r *Ring) read() (changed bool, err error) {
	data, _, err := read(r.file.path)
	if err != nil {
		return false, err
	}
	next, err := Parse(data)
	if err != nil {
		return false, fmt.Errorf("key file %s: %w", r.file.path, err)
	}
	before, after := r.held.Load(), next.held.Load()
	if !bytes.Equal(before.digestKey, after.digestKey) {
		return false, fmt.Errorf("seal: key file %s has a different digest_key, so no stored digest would match: restore the old one", r.file.path)
	}
	changed = before.primary != after.primary || !slices.Equal(newRing(before).KeyIDs(), next.KeyIDs())
	r.held.Store(after)
	return changed, nil
}

// current returns the current keys. It checks the file every [checkEvery].
func (r *Ring) current() *keySet {
	if r.held == nil {
		return &keySet{}
	}
	if r.file != nil && r.file.due() {
		_, _ = r.Refresh() // Refresh logs the error, and the next call returns it again
	}
	return r.held.Load()
}

// reloadFor reads the file again because of an unknown key id, and reports
// whether the ring has the key now. It does not wait for the next check: a
// workflow may need the value, and an unchanged file costs one stat.
func (r *Ring) reloadFor(id string) bool {
	if r.held == nil {
		return false
	}
	_, _ = r.Refresh() // as above; it waits for a concurrent read to finish
	_, ok := r.held.Load().keys[id]
	return ok
}

// due reports whether it is time for the next check. Only one caller gets true;
// the others use the current keys.
func (f *file) due() bool {
	last, now := f.checked.Load(), f.now().UnixNano()
	return now-last >= int64(checkEvery) && f.checked.CompareAndSwap(last, now)
}

// errBusy means that another process is changing the key file.
var errBusy = errors.New("another process is changing it")
