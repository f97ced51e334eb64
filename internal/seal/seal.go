// Package seal keeps what is private unreadable at rest: in workflow histories
// and in the store.
//
// A [Ring] holds AES-256-GCM keys by id. One of them, the primary, seals; all
// of them open, so a key is changed without touching what older keys sealed.
// A separate key makes keyed digests, by which encrypted values can still be
// found.
//
// To change the key without an interruption: add a new one to the file of every
// process ([AddKey]), then make it the primary everywhere ([UseKey]). A ring
// that was loaded from a file follows the file by itself: it looks every few
// seconds, and at once when it meets a key that it does not hold. Keep the old
// key for as long as anything it sealed is kept. Nonces are random, so change
// the primary before it has sealed 2^32 values.
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

// ErrUnknownKey says that a value was sealed with a key that the ring does not
// hold. The error that wraps it names the key's id.
var ErrUnknownKey = errors.New("seal: the ring does not hold the key")

// ErrTampered says that a sealed value was changed, cut or mixed up with
// another: it is not what this key sealed in this context.
var ErrTampered = errors.New("seal: the value is damaged or belongs elsewhere")

const (
	// keySize is the length of every key in bytes: AES-256 and HMAC-SHA-256.
	keySize = 32
	// layout is the first byte of everything sealed:
	//
	//	layout | length of key id | key id | nonce | ciphertext and tag
	//
	// All up to the nonce is authenticated along with the context.
	layout = 1
)

// Ring seals and opens. One from [Load] follows its file; any other never
// changes. It is safe for concurrent use and prints as [private.Mark].
type Ring struct {
	held *atomic.Pointer[keySet]
	file *file // nil where there is none to follow
}

// keySet is what a key file held at one moment. It never changes.
type keySet struct {
	primary   string
	keys      map[string]cipher.AEAD
	digestKey []byte
}

func ringOf(keys *keySet) *Ring {
	r := &Ring{held: new(atomic.Pointer[keySet])}
	r.held.Store(keys)
	return r
}

// New makes a ring with one fresh key, for tests and for data that dies with
// the process.
func New() (*Ring, error) { return generate(time.Now()).ring() }

// Seal encrypts plain with the primary key and binds it to context, which says
// where the value belongs ("payments.phone"), is not secret, and must be the
// same at [Ring.Open]. Sealing the same value twice gives different bytes. The
// only error is that of the zero Ring.
func (r *Ring) Seal(plain, context []byte) ([]byte, error) {
	now := r.current()
	key, ok := now.keys[now.primary]
	if !ok {
		return nil, errors.New("seal: the ring is empty: get one from Load, Create, Parse or New")
	}
	sealed := make([]byte, 0, 2+len(now.primary)+key.NonceSize()+len(plain)+key.Overhead())
	sealed = append(sealed, layout, byte(len(now.primary)))
	sealed = append(sealed, now.primary...)
	header := sealed
	sealed = sealed[:len(header)+key.NonceSize()]
	nonce := sealed[len(header):]
	_, _ = rand.Read(nonce) // never fails: it ends the process instead
	return key.Seal(sealed, nonce, plain, bind(header, context)), nil
}

// Open decrypts what [Ring.Seal] made with the same context, under any key of
// the ring. A key that another process was given a moment ago is looked for in
// the file. The error is [ErrUnknownKey] or [ErrTampered].
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
	if !ok && r.meets(id) {
		key, ok = r.current().keys[id]
	}
	if !ok {
		return nil, fmt.Errorf("%w %q: add it to the key file", ErrUnknownKey, id)
	}
	if len(rest) < key.NonceSize() {
		return nil, ErrTampered
	}
	nonce, ciphertext := rest[:key.NonceSize()], rest[key.NonceSize():]
	plain, err := key.Open(nil, nonce, ciphertext, bind(header, context))
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}

// Digest returns the keyed digest of data in lower-case hex, 64 characters. It
// is the same for the same purpose and data as long as the digest key is, and
// tells nothing to whoever does not hold that key. The purpose keeps digests of
// different columns from being compared.
func (r *Ring) Digest(purpose string, data []byte) string {
	mac := hmac.New(sha256.New, r.current().digestKey)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(purpose))))
	mac.Write([]byte(purpose))
	mac.Write(data)
	return hex.EncodeToString(mac.Sum(nil))
}

// PrimaryID returns the id of the key that seals.
func (r *Ring) PrimaryID() string { return r.current().primary }

// KeyIDs returns the ids of all keys, sorted.
func (r *Ring) KeyIDs() []string { return slices.Sorted(maps.Keys(r.current().keys)) }

// Format implements [fmt.Formatter] for every verb.
func (Ring) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, private.Mark) // a fmt.State reports its own write errors
}

// LogValue implements [slog.LogValuer].
func (Ring) LogValue() slog.Value { return slog.StringValue(private.Mark) }

// bind is the additional authenticated data: the header carries its own length,
// so no header and context can pass for another pair.
func bind(header, context []byte) []byte { return slices.Concat(header, context) }

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
