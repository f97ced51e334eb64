package seal

import (
	"bytes"
	"cmp"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// maxFile limits the size of a key file in bytes. A thousand keys fit.
const maxFile = 1 << 20

// Parse reads a ring from JSON, for callers that keep it in a secret store
// instead of a file. It reports all problems together, and quotes no key.
//
//	{
//	  "primary": "2026-02",
//	  "keys": {
//	    "2026-01": "base64 of 32 bytes",
//	    "2026-02": "base64 of 32 bytes"
//	  },
//	  "digest_key": "base64 of 32 bytes"
//	}
//
// Key ids are 1 to 64 letters, digits, dots, dashes and underscores. They are
// stored in clear next to each sealed value. Changing the digest key means
// computing every digest again.
func Parse(data []byte) (*Ring, error) {
	f, err := decode(data)
	if err != nil {
		return nil, err
	}
	return f.ring()
}

func decode(data []byte) (keyFile, error) {
	var f keyFile
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return keyFile{}, fmt.Errorf("seal: not a key file: %w", plainJSON(err))
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return keyFile{}, errors.New("seal: not a key file: there is more data after the JSON object")
	}
	return f, nil
}

// Load reads the key file at path and follows it from then on; see [AddKey]. It
// rejects a file that anyone but its owner can read or write, except that a file
// owned by root may be readable by its group. The error is [fs.ErrNotExist] if
// there is no file.
func Load(path string) (*Ring, error) {
	data, seen, err := read(path)
	if err != nil {
		return nil, err
	}
	ring, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	ring.file = follow(path, seen)
	return ring, nil
}

// read returns the content of a key file with safe permissions, and its info, by
// which a later change shows.
func read(path string) ([]byte, fs.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("seal: key file: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("seal: key file: %w", err)
	}
	if allowed, mode := maxMode(owner(info), os.Geteuid()), info.Mode().Perm(); mode&^allowed&0o077 != 0 {
		return nil, nil, fmt.Errorf("seal: other users can access key file %s (mode %04o): run chmod %o %s", path, mode, allowed, path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("seal: key file: %w", err)
	}
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("seal: key file %s is larger than %d bytes", path, maxFile)
	}
	return data, info, nil
}

// maxMode returns the widest mode that a key file may have. It is PostgreSQL's
// rule for a server key: a file of root may be group-readable, because Kubernetes
// mounts secrets that way for a service that is not root.
func maxMode(owner, self int) fs.FileMode {
	switch {
	case owner < 0: // the system has no permission bits; Go reports made-up ones
		return fs.ModePerm
	case owner == 0 && self != 0:
		return 0o640
	default:
		return 0o600
	}
}

// Create makes a ring with one new key and writes it to path, readable only by
// its owner. The file is synced to disk when Create returns. Create never
// replaces a file: the error is [fs.ErrExist] if there is one.
func Create(path string) (*Ring, error) {
	f := generate(time.Now())
	ring, err := f.ring()
	if err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := writeNew(path, append(data, '\n')); err != nil {
		return nil, fmt.Errorf("seal: key file: %w", err)
	}
	ring.file = follow(path, nil)
	return ring, nil
}

// LoadOrCreate calls [Load], or [Create] if there is no file yet. Processes that
// start together get the same ring.
func LoadOrCreate(path string) (*Ring, error) {
	ring, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	ring, err = Create(path)
	if errors.Is(err, fs.ErrExist) {
		return Load(path)
	}
	return ring, err
}

// keyFile is the JSON form of a [Ring].
type keyFile struct {
	Primary   string            `json:"primary"`
	Keys      map[string][]byte `json:"keys"`
	DigestKey []byte            `json:"digest_key"`
}

func generate(now time.Time) keyFile {
	id, key := freshKey(now)
	return keyFile{Primary: id, Keys: map[string][]byte{id: key}, DigestKey: random(keySize)}
}

// freshKey makes a key. The id contains the day, since the file format has no
// field for it.
func freshKey(now time.Time) (id string, key []byte) {
	return "k-" + now.UTC().Format(time.DateOnly) + "-" + hex.EncodeToString(random(4)), random(keySize)
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // it never returns an error: it crashes the process instead
	return b
}

func (f keyFile) ring() (*Ring, error) {
	var problems []error
	set := &keySet{primary: f.Primary, keys: make(map[string]cipher.AEAD, len(f.Keys)), digestKey: f.DigestKey}
	for _, id := range slices.Sorted(maps.Keys(f.Keys)) {
		key := f.Keys[id]
		switch {
		case !validID(id):
			problems = append(problems, fmt.Errorf("seal: key id %q: use 1 to 64 letters, digits, dots, dashes and underscores", id))
		case len(key) != keySize:
			problems = append(problems, fmt.Errorf("seal: key %q has %d bytes, not %d", id, len(key), keySize))
		default:
			aead, err := newAEAD(key)
			if err != nil {
				problems = append(problems, fmt.Errorf("seal: key %q: %w", id, err))
			}
			set.keys[id] = aead
		}
	}
	if _, ok := f.Keys[f.Primary]; !ok {
		problems = append(problems, fmt.Errorf("seal: primary %q is not among the keys", f.Primary))
	}
	if len(f.DigestKey) != keySize {
		problems = append(problems, fmt.Errorf("seal: digest_key has %d bytes, not %d", len(f.DigestKey), keySize))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return newRing(set), nil
}

func validID(id string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return len(id) >= 1 && len(id) <= 64 && strings.Trim(id, letters) == ""
}

// plainJSON describes a JSON error without quoting the file.
func plainJSON(err error) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		return fmt.Errorf("%s is a JSON %s", cmp.Or(wrongType.Field, "the document"), wrongType.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("invalid JSON at byte %d", syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("unexpected end of JSON")
	default:
		return errors.New("it needs the fields primary, keys and digest_key, with keys in base64")
	}
}

// writeNew creates the file at path atomically, and fails if it exists. A hard
// link does both: rename would replace a file, and O_EXCL could leave half of
// one.
func writeNew(path string, data []byte) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, ".keys-*") // mode 0600, O_EXCL
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist} // without the name of our temporary file
		}
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // Windows cannot sync a directory
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
