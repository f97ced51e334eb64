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

// lookEvery is how long a changed key file may go unnoticed, at the most, by a
// process that seals or opens anything.
const lookEvery = 5 * time.Second

// file is a key file that a ring follows.
type file struct {
	path    string
	now     func() time.Time
	looked  atomic.Int64 // when, in nanoseconds
	logger  atomic.Pointer[slog.Logger]
	reading sync.Mutex  // guards what follows; one reader at a time
	seen    fs.FileInfo // of the last reading, good or bad; nil before the first
	failed  error       // of the last reading
}

func follow(path string, seen fs.FileInfo) *file {
	f := &file{path: path, now: time.Now, seen: seen}
	f.looked.Store(f.now().UnixNano())
	return f
}

// Tell names the log that hears of a changed key file, and of one that cannot
// be used. Nobody hears where it was not called.
func (r *Ring) Tell(logger *slog.Logger) {
	if r.file != nil {
		r.file.logger.Store(logger)
	}
}

// Refresh reads the key file again if it has changed, now, and reports whether
// the ring has. A file that cannot be used leaves the ring as it is: what it
// holds goes on working. A ring without a file never changes.
func (r *Ring) Refresh() (changed bool, err error) {
	if r.file == nil {
		return false, nil
	}
	f := r.file
	f.reading.Lock()
	defer f.reading.Unlock()
	f.looked.Store(f.now().UnixNano())
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
		logger.Error("the key file is not used: what was read before still is", "error", f.failed)
	case changed:
		logger.Info("the key file has changed", "keys", len(r.held.Load().keys), "writes", r.held.Load().primary)
	}
	return changed, f.failed
}

// read takes over what the file holds.
func (r *Ring) read() (changed bool, err error) {
	data, _, err := read(r.file.path)
	if err != nil {
		return false, err
	}
	next, err := Parse(data)
	if err != nil {
		return false, fmt.Errorf("key file %s: %w", r.file.path, err)
	}
	was, is := r.held.Load(), next.held.Load()
	if !bytes.Equal(was.digestKey, is.digestKey) {
		return false, fmt.Errorf("seal: key file %s has another digest_key: nothing could be found any more; put the old one back", r.file.path)
	}
	changed = was.primary != is.primary || !slices.Equal(ringOf(was).KeyIDs(), next.KeyIDs())
	r.held.Store(is)
	return changed, nil
}

// current returns the keys of now. It looks at the file once in a while.
func (r *Ring) current() *keySet {
	if r.held == nil {
		return &keySet{}
	}
	if r.file != nil && r.file.due() {
		_, _ = r.Refresh() // logged there, and the next one returns it too
	}
	return r.held.Load()
}

// meets looks for an unknown key in the file and reports whether the ring has it
// now. Nobody who asks is put off: a workflow may rest on the answer, and a file
// that has not changed costs no more than a stat.
func (r *Ring) meets(id string) bool {
	if r.held == nil {
		return false
	}
	_, _ = r.Refresh() // as above; it waits for whoever reads the file already
	_, ok := r.held.Load().keys[id]
	return ok
}

// due reports whether the last look is too long ago, to one caller. The others
// go on with the keys that they have.
func (f *file) due() bool {
	last, now := f.looked.Load(), f.now().UnixNano()
	return now-last >= int64(lookEvery) && f.looked.CompareAndSwap(last, now)
}

// errBusy says that two people change a key file at once.
var errBusy = errors.New("somebody else is changing it")
