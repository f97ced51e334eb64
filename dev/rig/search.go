package rig

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

// AnyAuthToken is how every auth token of ATH Móvil begins, and nothing else.
const AnyAuthToken = "eyJhbGciOi" // {"alg": in base64

// Search looks for what nobody may be told, keys, tokens and who paid, in
// everything that a system puts out. It is safe for concurrent use.
type Search struct {
	mu       sync.Mutex
	secrets  map[string]string // what each is, by its text; guarded by mu
	unseen   map[string]bool   // marks; guarded by mu
	problems []error           // guarded by mu
}

// NewSearch returns a search without secrets. Marks are texts that the outputs
// must hold: a search that doesn't see them would see no secret either.
func NewSearch(marks ...string) *Search {
	s := &Search{secrets: map[string]string{}, unseen: map[string]bool{}}
	for _, mark := range marks {
		s.unseen[mark] = true
	}
	return s
}

// For adds secrets. An empty one is nobody's.
func (s *Search) For(what string, secrets ...string) {
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

// ForPayers adds the keys of a key file and, from the store that they open, the
// phone, name and e-mail of everybody who was asked to pay and who paid. It
// returns how many payments that were.
func (s *Search) ForPayers(ctx context.Context, dsn, keyFile string) (payments int, err error) {
	if err := s.forKeys(keyFile); err != nil {
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
				s.For("a phone number", phone, "("+phone[:3]+") "+phone[3:6]+"-"+phone[6:], phone[:3]+"-"+phone[3:6]+"-"+phone[6:])
			}
		}
		s.For("a name", string(p.Customer.Name))
		s.For("an e-mail address", string(p.Customer.Email))
	}
	return len(all), err
}

// forKeys adds the keys as bytes and as the file holds them.
func (s *Search) forKeys(keyFile string) error {
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
			return fmt.Errorf("%s has a key of %d bytes: its form is another than this search knows", keyFile, len(key))
		}
		s.For("an encryption key", string(key), base64.StdEncoding.EncodeToString(key), fmt.Sprintf("%x", key))
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

// In searches one output.
func (s *Search) In(where string, output []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for secret, what := range s.secrets {
		if bytes.Contains(output, []byte(secret)) {
			s.problems = append(s.problems, fmt.Errorf("%s, %q, is in %s", what, secret, where))
		}
	}
	for mark := range s.unseen {
		if bytes.Contains(output, []byte(mark)) {
			delete(s.unseen, mark)
		}
	}
}

// InFolder searches every byte of every file under a folder, which may be in
// use, except those of these names.
func (s *Search) InFolder(folder string, except ...string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && (!entry.Type().IsRegular() || slices.Contains(except, entry.Name())) {
			return nil
		}
		var data []byte
		if err == nil {
			data, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // whoever uses the folder goes on meanwhile
			return nil
		}
		if err == nil {
			s.In(strings.TrimPrefix(path, folder+string(filepath.Separator)), data)
		}
		return err
	})
}

// Found returns what was found where it must not be, as an error.
func (s *Search) Found() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.problems...)
}

// Saw returns an error unless the search saw every mark.
func (s *Search) Saw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unseen) == 0 {
		return nil
	}
	return fmt.Errorf("the search saw nothing of %q: it would see no secret either", slices.Sorted(maps.Keys(s.unseen)))
}

// Secret returns the names of the files in which a system, or a dev, keeps what
// a [Search] looks for on purpose, readable by their owner alone.
func Secret() []string {
	return []string{
		"keys.json", "secrets.json", "addresses.json",
		"simulator.jsonl", string(Simulator) + ".log", // they are ATH Móvil's, who knows its customers
	}
}
