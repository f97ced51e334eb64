package athmovilsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// journalVersion is written in a journal's first line.
const journalVersion = 1

// change is one atomic step of the simulator and one line of the journal. Each
// field is the new value of what changed, so that applying a change needs no rules.
type change struct {
	Version      int           `json:"version,omitempty"`
	Key          []byte        `json:"key,omitempty"` // PKCS #8, signs the auth tokens
	Clock        *clock        `json:"clock,omitempty"`
	Subscription *subscription `json:"subscription,omitempty"`
	Ticket       *ticket       `json:"ticket,omitempty"`
	Entry        *bookEntry    `json:"entry,omitempty"`

	events []event // sent once the line is on the disk
}

// empty reports whether there is nothing to store.
func (c change) empty() bool {
	return c.Version == 0 && c.Key == nil && c.Clock == nil && c.Subscription == nil && c.Ticket == nil && c.Entry == nil
}

// journal is an append-only file of changes. The zero value stores nothing. append
// needs the simulator's lock. sync is safe for concurrent use.
type journal struct {
	file journalFile // nil stores nothing

	mu      sync.Mutex
	written int   // lines handed to the operating system
	broken  error // the first error; after it, nothing is accepted

	syncing sync.Mutex // held during an fsync; waiters share the next one
	synced  int        // lines on the disk
}

// journalFile is the part of [os.File] that a journal writes with.
type journalFile interface {
	io.WriteCloser
	Sync() error
}

var errJournalClosed = errors.New("the simulator is closed")

// openJournal opens the file at path for appending, or creates it, and passes its
// changes to replay. It removes a last line that a crash left incomplete. Any other
// unreadable line is an error. With an empty path nothing is stored.
func openJournal(path string, replay func(change)) (*journal, error) {
	if path == "" {
		return &journal{}, nil
	}
	info, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("journal %s: is not a regular file", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := replayFile(file, replay); err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), file.Close())
	}
	if err := file.Chmod(0o600); err != nil { // it may have been created by hand
		return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), file.Close())
	}
	if fresh {
		if err := syncFolder(filepath.Dir(path)); err != nil {
			return nil, errors.Join(fmt.Errorf("journal %s: %w", path, err), file.Close())
		}
	}
	return &journal{file: file}, nil
}

// replayFile passes every change in file to replay and sets the file's offset after
// the last complete line.
func replayFile(file *os.File, replay func(change)) error {
	content, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	if first := `{"version":`; !strings.HasPrefix(first, string(content[:min(len(content), len(first))])) {
		return errors.New("is not a journal; name another file")
	}
	good := 0
	for line := 1; good < len(content); line++ {
		end := bytes.IndexByte(content[good:], '\n')
		if end < 0 {
			break // a crash left it incomplete, so no response to it was sent
		}
		var c change
		if err := json.Unmarshal(content[good:good+end], &c); err != nil {
			return fmt.Errorf("line %d is not readable; fix it, or start with a new file: %w", line, err)
		}
		if line == 1 && c.Version != journalVersion {
			return fmt.Errorf("has version %d, and this simulator reads version %d; start with a new file", c.Version, journalVersion)
		}
		replay(c)
		good += end + 1
	}
	if err := file.Truncate(int64(good)); err != nil {
		return err
	}
	_, err = file.Seek(int64(good), io.SeekStart)
	return err
}

// append writes c as one line. It is durable once sync has returned.
func (j *journal) append(c change) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.broken
	}
	if j.file == nil {
		return nil
	}
	line, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		// The file may now end in half a line, which would spoil the next one.
		j.broken = fmt.Errorf("journal: %w", err)
		return j.broken
	}
	j.written++
	return nil
}

// sync returns when everything appended before the call is on the disk.
// Concurrent callers share one fsync.
func (j *journal) sync() error {
	written, broken := j.state()
	if broken != nil {
		return broken
	}
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if j.synced >= written {
		return nil
	}
	written, broken = j.state()
	if broken != nil {
		return broken
	}
	if err := j.file.Sync(); err != nil {
		j.fail(fmt.Errorf("journal: %w", err))
		return fmt.Errorf("journal: %w", err)
	}
	j.synced = written
	return nil
}

func (j *journal) state() (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.written, j.broken
}

func (j *journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		j.broken = err
	}
}

// close syncs and closes the file. Later changes are refused.
func (j *journal) close() error {
	err := j.sync()
	j.fail(errJournalClosed)
	if j.file == nil {
		return err
	}
	j.syncing.Lock()
	defer j.syncing.Unlock()
	return errors.Join(err, j.file.Close())
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// bookEntry is one debit or credit that was really made.
type bookEntry struct {
	Kind            string    `json:"kind"` // "debit" or "credit"
	EcommerceID     string    `json:"ecommerce_id"`
	ReferenceNumber string    `json:"reference_number"`
	Amount          cents     `json:"amount"`
	At              time.Time `json:"at"`
}

const (
	debit  = "debit"
	credit = "credit"
)
