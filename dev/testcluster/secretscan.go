package testcluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/payment"
)

// AuthTokenPrefix begins every auth token of ATH Móvil, and nothing else.
const AuthTokenPrefix = "eyJhbGciOi" // {"alg": in base64

// SecretScanner looks for keys, tokens and personal data in everything that a
// system writes. It is safe for concurrent use.
type SecretScanner struct {
	mu      sync.Mutex
	secrets map[string]string // what each is, by its text; guarded by mu
	unseen  map[string]bool   // marks; guarded by mu
	leaks   []error           // guarded by mu
}

// NewSecretScanner returns a scanner without secrets. Marks are texts that the
// outputs must contain: a scanner that misses them would miss a secret, too.
func NewSecretScanner(marks ...string) *SecretScanner {
	s := &SecretScanner{secrets: map[string]string{}, unseen: map[string]bool{}}
	for _, mark := range marks {
		s.unseen[mark] = true
	}
	return s
}

// Add adds secrets. It ignores an empty one.
func (s *SecretScanner) Add(what string, secrets ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		quoted := strconv.QuoteToASCII(secret)
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), quoted[1 : len(quoted)-1]} {
			s.secrets[form] = what
		}
	}
}

// AddCustomers adds the keys of a key file and, from the store that they open,
// the phone number, name and email address of every customer. It returns how many
// payments it read.
func (s *SecretScanner) AddCustomers(ctx context.Context, dsn, keyFile string) (payments int, err error) {
	if err := s.addKeys(keyFile); err != nil {
		return 0, err
	}
	ring, err := seal.Load(keyFile)
	if err != nil {
		return 0, err
	}
	db, err := store.Open(ctx, store.Config{DSN: dsn, Sealer: ring})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	all, err := everyPayment(ctx, db)
	for _, p := range all {
		for _, phone := range []string{string(p.PhoneNumber), string(p.Customer.PhoneNumber)} {
			if len(phone) == 10 {
				s.Add("a phone number", phone, "("+phone[:3]+") "+phone[3:6]+"-"+phone[6:], phone[:3]+"-"+phone[3:6]+"-"+phone[6:])
			}
		}
		s.Add("a name", string(p.Customer.Name))
		s.Add("an email address", string(p.Customer.Email))
	}
	return len(all), err
}

// addKeys adds the keys as bytes and as the file has them.
func (s *SecretScanner) addKeys(keyFile string) error {
	data, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	var file struct {
		Keys      map[string][]byte `json:"keys"`
		DigestKey []byte            `json:"digest_key"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	for _, key := range append(slices.Collect(maps.Values(file.Keys)), file.DigestKey) {
		if len(key) != 32 {
			return fmt.Errorf("%s has a key of %d bytes: this scanner does not know its format", keyFile, len(key))
		}
		s.Add("an encryption key", string(key), base64.StdEncoding.EncodeToString(key), fmt.Sprintf("%x", key))
	}
	return nil
}

// everyPayment reads every page.
func everyPayment(ctx context.Context, db *store.Store) ([]payment.Payment, error) {
	var all []payment.Payment
	for filter := (ledger.PaymentFilter{Limit: 100}); ; {
		page, next, err := db.Payments(ctx, filter)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == (ledger.Cursor{}) {
			return all, nil
		}
		filter.After = next
	}
}

// Scan scans one output.
func (s *SecretScanner) Scan(where string, output []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, what := range s.secrets {
		if bytes.Contains(output, []byte(secret)) {
			s.leaks = append(s.leaks, fmt.Errorf("%s, %q, is in %s", what, secret, where))
		}
	}
	for mark := range s.unseen {
		if bytes.Contains(output, []byte(mark)) {
			delete(s.unseen, mark)
		}
	}
}

// ScanFolder scans every byte of every file under a folder, which may be in use,
// except the files of these names.
func (s *SecretScanner) ScanFolder(folder string, except ...string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (!entry.Type().IsRegular() || slices.Contains(except, entry.Name())) {
			return nil
		}
		var data []byte
		if err == nil {
			data, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		if err == nil {
			s.Scan(strings.TrimPrefix(path, folder+string(filepath.Separator)), data)
		}
		return err
	})
}

// Leaks returns every secret that was found, as an error.
func (s *SecretScanner) Leaks() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.leaks...)
}

// MissingMarks returns an error unless the scanner found every mark.
func (s *SecretScanner) MissingMarks() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unseen) == 0 {
		return nil
	}
	return fmt.Errorf("the scanner did not find %q: it would not find a secret either", slices.Sorted(maps.Keys(s.unseen)))
}

// SecretFiles names the files of a system that contain secrets on purpose. Only
// their owner can read them.
func SecretFiles() []string {
	return []string{
		"keys.json", "secrets.json", "addresses.json",
		"simulator.jsonl", string(Simulator) + ".log", // they are ATH Móvil's, which knows its customers
	}
}
