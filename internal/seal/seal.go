// Package seal encrypts private values at rest: in workflow histories and in the
// store.
//
// A [Ring] holds AES-256-GCM keys by id. The primary key seals. Every key opens,
// so rotating the primary leaves older values readable. A separate key makes
// keyed digests, which let the store look up values that it holds encrypted.
//
// To rotate the key without downtime, add a new one to the key file of every
// process ([AddKey]), then make it the primary everywhere ([UseKey]). A ring
// that was loaded from a file follows the file: it checks for a change every few
// seconds, and immediately when it meets an unknown key id. Keep an old key for
// as long as you keep anything that it sealed. Nonces are random, so rotate
// before the primary has sealed 2^32 values.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cobropay/cobro/private"
)

// ErrUnknownKey means that a value was sealed with a key that is not in the ring.
// The error that wraps it names the key id.
var ErrUnknownKey = errors.New("seal: the ring does not hold the key")

// ErrTampered means that a sealed value was changed or truncated, or was sealed
// for another context.
var ErrTampered = errors.New("seal: the value is damaged or was sealed for another context")

const (
	// keySize is the length of every key in bytes: AES-256 and HMAC-SHA-256.
	keySize = 32
	// layout is the version byte that every sealed value starts with:
	//
	//	layout | length of key id | key id | nonce | ciphertext and tag
	//
	// Everything before the nonce is authenticated, together with the context.
	layout = 1
)

// Ring seals and opens values. One from [Load] follows its file; any other never
// changes. It is safe for concurrent use and prints as [private.Mark].
type Ring struct {
	held *atomic.Pointer[keySet]
	file *file // nil if the ring came from no file
}

// keySet is the content of a key file at one moment. It is immutable.
type keySet struct {
	primary   string
	keys      map[string]cipher.AEAD
	digestKey []byte
}

func newRing(keys *keySet) *Ring {
	r := &Ring{held: new(atomic.Pointer[keySet])}
	r.held.Store(keys)
	return r
}

// New makes a ring with one new key, for tests and for data that does not outlive
// the process.
func New() (*Ring, error) { return generate(time.Now()).ring() }

// Seal encrypts plain with the primary key and binds it to context, which names
// where the value belongs, such as "payments.phone". The context is not secret,
// and [Ring.Open] needs the same one. Sealing a value twice gives different
// bytes. Only the zero Ring returns an error.
func (r *Ring) Seal(plain, context []byte) ([]byte, error) {
	set := r.current()
	key, ok := set.keys[set.primary]
	if !ok {
		return nil, errors.New("seal: the ring is empty: get one from Load, Create, Parse or New")
	}
	sealed := make([]byte, 0, 2+len(set.primary)+key.NonceSize()+len(plain)+key.Overhead())
	sealed = append(sealed, layout, byte(len(set.primary)))
	sealed = append(sealed, set.primary...)
	header := sealed
	sealed = sealed[:len(header)+key.NonceSize()]
	nonce := sealed[len(header):]
	_, _ = rand.Read(nonce) // it never returns an error: it crashes the process instead
	// The header holds its own length, so header and context concatenate without
	// ambiguity.
	return key.Seal(sealed, nonce, plain, slices.Concat(header, context)), nil
}

// Open decrypts a value that [Ring.Seal] made with the same context and any key
// of the ring. If the key is unknown, Open reads the key file again first:
// another process may have the new key already. The error is [ErrUnknownKey] or
// [ErrTampered].
func (r *Ring) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != layout || len(sealed) < 2+int(sealed[1]) {
		return nil, ErrTampered
	}
	header, rest := sealed[:2+int(sealed[1])], sealed[2+int(sealed[1]):]
	id := string(header[2:])
	if !validID(id) {
		return nil, ErrTampered
	}
	key, ok := r.current().keys[id]
	if !ok && r.reloadFor(id) {
		key, ok = r.current().keys[id]
	}
	if !ok {
		return nil, fmt.Errorf("%w %q: add it to the key file", ErrUnknownKey, id)
	}
	if len(rest) < key.NonceSize() {
		return nil, ErrTampered
	}
	nonce, ciphertext := rest[:key.NonceSize()], rest[key.NonceSize():]
	plain, err := key.Open(nil, nonce, ciphertext, slices.Concat(header, context))
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}

// Digest returns the HMAC-SHA-256 of data in lowercase hex, 64 characters. It is
// stable for the same purpose, data and digest key, and reveals nothing without
// that key. The purpose makes digests of different columns incomparable.
func (r *Ring) Digest(purpose string, data []byte) string {
	mac := hmac.New(sha256.New, r.current().digestKey)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(purpose))))
	mac.Write([]byte(purpose))
	mac.Write(data)
	return hex.EncodeToString(mac.Sum(nil))
}

// PrimaryID returns the id of the primary key.
func (r *Ring) PrimaryID() string { return r.current().primary }

// KeyIDs returns the ids of all keys, sorted.
func (r *Ring) KeyIDs() []string { return slices.Sorted(maps.Keys(r.current().keys)) }

// Format implements [fmt.Formatter] for every verb.
func (Ring) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, private.Mark) // a fmt.State reports its own write errors
}

// LogValue implements [slog.LogValuer].
func (Ring) LogValue() slog.Value { return slog.StringValue(private.Mark) }

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
