package stack

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/private"
)

// folder is the data folder. One process at a time uses it.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes the folder where it is missing, for its owner only, and
// takes hold of it. What a process that was killed left behind is no obstacle:
// its hold ended with it.
func openFolder(path string) (*folder, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w (--data names another)", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w (--data names another)", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another dev uses %s: stop it, or name another folder with --data", path), lock.Close())
	}
	f := &folder{path: path, lock: lock}
	// Addresses of an earlier run would mislead whoever waits for this one.
	if err := os.Remove(f.file("addresses.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }

func (f *folder) close() error { return f.lock.Close() }

// keyFile returns the path of the key ring, made where it is missing.
func (f *folder) keyFile() (string, error) {
	path := f.file("keys.json")
	_, err := seal.LoadOrCreate(path)
	return path, err
}

// secrets are made once and kept, so that a merchant's program and the
// simulator know them after a restart.
type secrets struct {
	APIKey        private.Token
	WebhookSecret private.Token
}

// secretsFile is how secrets are kept, readable by the owner only.
type secretsFile struct {
	APIKey        string `json:"api_key"`
	WebhookSecret string `json:"webhook_secret"`
}

func (f *folder) secrets() (secrets, error) {
	path := f.file("secrets.json")
	data, err := private.ReadFile(path)
	var kept secretsFile
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kept = secretsFile{APIKey: "key_" + rand.Text(), WebhookSecret: rand.Text()}
		if err := f.writeJSON("secrets.json", kept); err != nil {
			return secrets{}, err
		}
	case err != nil:
		return secrets{}, err
	default:
		if err := json.Unmarshal([]byte(data.Reveal()), &kept); err != nil {
			return secrets{}, fmt.Errorf("%s: %w", path, err)
		}
	}
	return secrets{APIKey: private.NewToken(kept.APIKey), WebhookSecret: private.NewToken(kept.WebhookSecret)}, nil
}

// writeJSON writes a file for its owner only, whole or not at all.
func (f *folder) writeJSON(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	temporary := f.file(name + ".new")
	if err := os.WriteFile(temporary, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, f.file(name))
}
