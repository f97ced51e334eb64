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

// maxFile bounds what [Load] reads, in bytes: a thousand keys fit.
const maxFile = 1 << 20

// Parse reads a ring from its JSON form, for those who keep it in a secret
// store and not in a file. All problems are reported together, and none of
// them quotes a key.
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
// written in clear beside what the key sealed. The digest key cannot be changed
// without digesting everything again.
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
		return keyFile{}, errors.New("seal: not a key file: more follows the JSON object")
	}
	return f, nil
}

// Load reads the key file at path, and follows it from then on: see [AddKey]. It
// refuses a file that others than its owner can read or write; one of root's may
// be read by its group. The error is [fs.ErrNotExist] if there is none.
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

// read returns the content of a key file that nobody else can use, and what tells
// it from a later one.
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
	if most, mode := permitted(owner(info), os.Geteuid()), info.Mode().Perm(); mode&^most&0o077 != 0 {
		return nil, nil, fmt.Errorf("seal: key file %s can be used by others (mode %04o): run chmod %o %s", path, mode, most, path)
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

// permitted returns the most that the mode of a key file may allow, by the rule
// of PostgreSQL for a server's key. What root owns a service cannot read but by
// its group: so Kubernetes mounts a secret for a user who is not root.
func permitted(owner, self int) fs.FileMode {
	switch {
	case owner < 0: // where there are no such bits, and Go makes them up
		return fs.ModePerm
	case owner == 0 && self != 0:
		return 0o640
	default:
		return 0o600
	}
}

// Create makes a ring with one fresh key and writes it to path, readable by its
// owner only. It is on disk when Create returns. It never replaces a file: the
// error is [fs.ErrExist] if there is one.
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

// LoadOrCreate is [Load], or [Create] where there is no file yet. Processes that
// start together end up with the same ring.
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

// freshKey makes a key. Its day is in its id, where programs that are older than
// this one accept it too.
func freshKey(now time.Time) (id string, key []byte) {
	return "k-" + now.UTC().Format(time.DateOnly) + "-" + hex.EncodeToString(random(4)), random(keySize)
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return b
}

func (f keyFile) ring() (*Ring, error) {
	var problems []error
	held := &keySet{primary: f.Primary, keys: make(map[string]cipher.AEAD, len(f.Keys)), digestKey: f.DigestKey}
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
			held.keys[id] = aead
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
	return ringOf(held), nil
}

func validID(id string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	return len(id) >= 1 && len(id) <= 64 && strings.Trim(id, letters) == ""
}

// plainJSON drops from a JSON error whatever could quote the file.
func plainJSON(err error) error {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType):
		return fmt.Errorf("%s is a JSON %s", cmp.Or(wrongType.Field, "the whole"), wrongType.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("no valid JSON at byte %d", syntax.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON ends too early")
	default:
		return errors.New("it needs the fields primary, keys and digest_key, with keys in base64")
	}
}

// writeNew puts data at path, whole or not at all, and fails where a file
// exists. A link does both at once, which neither rename nor O_EXCL can.
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
			return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist} // and not the name of our temporary file
		}
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // which cannot sync a directory
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
