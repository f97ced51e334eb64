package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/store/storetest"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		t.Helper()
		cfg := migrated(t)
		return func(now func() time.Time) *store.Store {
			one := cfg
			one.Now, one.Timeout = now, time.Minute // many at once on a busy machine
			return open(t, one)
		}
	})
}

// migrated returns a fresh database.
func migrated(t *testing.T) store.Config {
	t.Helper()
	cfg := store.Config{DSN: "sqlite:" + filepath.Join(t.TempDir(), "a ?#%20 folder.db"), Sealer: storetest.NewSealer(t)}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	return cfg
}

func open(t *testing.T, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// raw opens the file of a store without the store.
func raw(t *testing.T, cfg store.Config) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path(cfg)}).String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func path(cfg store.Config) string { return strings.TrimPrefix(cfg.DSN, "sqlite:") }

func sample(id string) ledger.Record {
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	captured := money.FromCents(10_00)
	return ledger.Record{Revision: 1, Payment: payment.Payment{
		ID: id, Status: payment.StatusCompleted,
		Request:   payment.Request{Total: money.FromCents(10_00), PhoneNumber: "7875550001"},
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now, Captured: &captured,
	}}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	sealer := storetest.NewSealer(t)
	missing := filepath.Join(t.TempDir(), "missing.db")
	_, err := store.Open(t.Context(), store.Config{DSN: missing, Sealer: sealer})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "run cobro migrate")
	require.NoFileExists(t, missing)

	empty := filepath.Join(t.TempDir(), "empty.db")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	_, err = store.Open(t.Context(), store.Config{DSN: empty, Sealer: sealer})
	var schema *store.SchemaError
	require.ErrorAs(t, err, &schema)
	require.Zero(t, schema.Have)
	require.ErrorContains(t, err, "run cobro migrate")

	newer := migrated(t)
	_, err = raw(t, newer).ExecContext(t.Context(), `INSERT INTO schema_versions (version_id, is_applied) VALUES (99, 1)`)
	require.NoError(t, err)
	_, err = store.Open(t.Context(), newer)
	require.ErrorAs(t, err, &schema)
	require.EqualValues(t, 99, schema.Have)
	require.ErrorContains(t, err, "use the newer program")
	require.ErrorAs(t, store.Migrate(t.Context(), newer), &schema)

	for _, dsn := range []string{"", "mysql://user:canary@host/db", ":memory:", "sqlite:", "sqlite::memory:", "file:x.db?mode=memory"} {
		_, err = store.Open(t.Context(), store.Config{DSN: dsn, Sealer: sealer})
		require.ErrorContains(t, err, "write sqlite:<file>", dsn)
		require.NotContains(t, err.Error(), "canary", "a DSN may hold a password")
	}
	_, err = store.Open(t.Context(), store.Config{DSN: missing})
	require.ErrorContains(t, err, "sealer")
}

func TestMigrateAtOnceAndAgain(t *testing.T) {
	t.Parallel()
	cfg := store.Config{DSN: filepath.Join(t.TempDir(), "cobro.db"), Sealer: storetest.NewSealer(t)}
	errs := make([]error, 6)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = store.Migrate(t.Context(), cfg) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	s := open(t, cfg)
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)

	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	require.NoError(t, store.Migrate(t.Context(), cfg), "beside an open store")
	require.Empty(t, log.String(), "there was nothing to do")
	_, err = s.Payment(t.Context(), "pay_1")
	require.NoError(t, err)
}

func TestMigrateSaysWhatItDid(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	cfg := store.Config{DSN: filepath.Join(t.TempDir(), "cobro.db"), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	require.Contains(t, log.String(), `msg="store migrated" schema=1`)
}

// What COBRO_STORE names by mistake stays as it is.
func TestFilesOfOthersStayAsTheyAre(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	text, short, other := filepath.Join(folder, "text"), filepath.Join(folder, "short"), filepath.Join(folder, "other.db")
	require.NoError(t, os.WriteFile(text, []byte("not a database, and longer than its first bytes"), 0o600))
	require.NoError(t, os.WriteFile(short, []byte("SQLite"), 0o600))
	db := raw(t, store.Config{DSN: other})
	_, err := db.ExecContext(t.Context(), `CREATE TABLE theirs (id INTEGER)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for file, want := range map[string]string{
		text: "is not a database", short: "is not a database", other: "of another program", folder: "is not a regular file",
	} {
		require.NoError(t, os.Chmod(file, 0o755))
		before, err := os.Stat(file)
		require.NoError(t, err)
		content, _ := os.ReadFile(file) // of a folder there is none
		cfg := store.Config{DSN: "sqlite:" + file, Sealer: storetest.NewSealer(t)}
		require.ErrorContains(t, store.Migrate(t.Context(), cfg), want, file)
		_, err = store.Open(t.Context(), cfg)
		require.Error(t, err, file)
		after, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, before.Mode(), after.Mode(), file)
		left, _ := os.ReadFile(file)
		require.Equal(t, content, left, file)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	require.NoError(t, os.Chmod(path(cfg), 0o644))
	opened, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, opened.Close())
	info, err := os.Stat(path(cfg))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), info.Mode().Perm(), "to open it changes nothing")
	s, err := store.Await(t.Context(), cfg, time.Minute)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path(cfg)), "*"))
	require.NoError(t, err)
	require.Len(t, files, 3, "the database, its journal and its index")
	for _, file := range files {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), filepath.Base(file))
	}
}

func TestEverythingIsThereAfterClose(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	want := sample("pay_1")
	_, err = s.RecordPayment(t.Context(), ledger.Change{Record: want})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "twice")
	require.Error(t, s.Ping(t.Context()))

	got, err := open(t, cfg).Payment(t.Context(), "pay_1")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// confide writes personal data into every column that holds some, and returns a
// text that may be found in the database's files and those that must not.
func confide(t *testing.T, s *store.Store) (found string, canaries []string) {
	t.Helper()
	ctx := t.Context()

	found = "order-in-clear"
	canaries = []string{
		"7875551111", "7875552222", "canary-name", "canary-mail", "canary-first", "canary-second",
		"canary-item", "canary-message", "canary-body", "canary-header", "7875553333", "canary-claimed",
	}
	r := sample("pay_1")
	p := &r.Payment
	p.Reference, p.PhoneNumber = found, "7875551111"
	p.Metadata1, p.Metadata2 = "canary-first", "canary-second"
	p.Items = []payment.Item{{Name: "canary-item", Quantity: 1}}
	p.Customer = payment.Customer{Name: "canary-name", PhoneNumber: "7875552222", Email: "canary-mail@example.com"}
	_, err := s.RecordPayment(ctx, ledger.Change{Record: r})
	require.NoError(t, err)
	_, err = s.ReserveRefund(ctx, ledger.Reservation{RefundID: "ref_1", PaymentID: p.ID, Message: "canary-message"})
	require.NoError(t, err)
	_, err = s.AddGatewayEvent(ctx, ledger.GatewayEvent{
		ID: "whe_1", Digest: "d", Body: `{"name":"canary-body"}`, Headers: `{"X":"canary-header"}`,
		Payer:   payment.Customer{Name: "canary-claimed-name", PhoneNumber: "7875553333", Email: "canary-claimed-mail@example.com"},
		Message: "canary-claimed-message",
	})
	require.NoError(t, err)
	return found, canaries
}

func TestFilesHoldNoPersonalData(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	ctx := t.Context()
	found, canaries := confide(t, s)

	scan := func(when string) {
		t.Helper()
		var all []byte
		for _, suffix := range []string{"", "-wal"} {
			content, err := os.ReadFile(path(cfg) + suffix)
			if suffix == "" {
				require.NoError(t, err)
			}
			all = append(all, content...)
		}
		require.True(t, bytes.Contains(all, []byte(found)), "%s: the scan must be able to find something", when)
		for _, canary := range canaries {
			require.False(t, bytes.Contains(all, []byte(canary)), "%s: %s is in clear", when, canary)
		}
	}
	scan("in the journal")
	_, err = raw(t, cfg).ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	require.NoError(t, err)
	scan("after a checkpoint")
	require.NoError(t, s.Close())
	scan("after close")
}

func TestASealedValueStaysInItsPlace(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	s := open(t, cfg)
	for _, id := range []string{"pay_1", "pay_2", "pay_3"} {
		_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample(id)})
		require.NoError(t, err)
	}
	for _, attack := range []string{
		`UPDATE payments SET phone_sealed = (SELECT phone_sealed FROM payments WHERE id = 'pay_2') WHERE id = 'pay_1'`,
		`UPDATE payments SET payer_name_sealed = phone_sealed WHERE id = 'pay_2'`,
	} {
		_, err := raw(t, cfg).ExecContext(t.Context(), attack)
		require.NoError(t, err)
	}
	_, err := s.Payment(t.Context(), "pay_1")
	require.ErrorContains(t, err, "unseal payments.phone of pay_1")
	_, err = s.Payment(t.Context(), "pay_2")
	require.ErrorContains(t, err, "unseal payments.payer_name of pay_2")

	cfg.Sealer = storetest.NewSealer(t)
	_, err = open(t, cfg).Payment(t.Context(), "pay_3")
	require.ErrorContains(t, err, "unseal", "another key")
}

func TestAnEventThatCannotBeReadHidesNoOther(t *testing.T) {
	t.Parallel()
	unreadable(t, migrated(t))
}

// unreadable adds an event under a key that is lost and one under the next.
func unreadable(t *testing.T, cfg store.Config) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	lost := ledger.GatewayEvent{ID: "whe_1", Digest: "1", Body: "lost", Headers: "{}", ReceivedAt: now, NotBefore: now}
	_, err := open(t, cfg).AddGatewayEvent(t.Context(), lost)
	require.NoError(t, err)
	cfg.Sealer = storetest.NewSealer(t)
	s := open(t, cfg)
	kept := ledger.GatewayEvent{ID: "whe_2", Digest: "2", Body: "kept", Headers: "{}", ReceivedAt: now.Add(time.Second), NotBefore: now}
	_, err = s.AddGatewayEvent(t.Context(), kept)
	require.NoError(t, err)

	leased, err := s.LeaseGatewayEvents(t.Context(), 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, leased, 2)
	require.ErrorContains(t, leased[0].Unreadable, "unseal gateway_events.body of whe_1")
	require.Empty(t, leased[0].Body)
	require.NoError(t, leased[1].Unreadable)
	require.EqualValues(t, "kept", leased[1].Body)
	listed, _, err := s.GatewayEvents(t.Context(), ledger.GatewayEventFilter{})
	require.NoError(t, err)
	require.Len(t, listed, 2)
	require.Error(t, listed[1].Unreadable)
	require.NoError(t, s.PostponeGatewayEvent(t.Context(), "whe_1", now.Add(time.Hour)))
	require.NoError(t, s.SettleGatewayEvent(t.Context(), "whe_1", ledger.EventUnmatched, "", ""))
}

// brokenSealer fails where a test wants it to.
type brokenSealer struct{ store.Sealer }

func (brokenSealer) Seal(_, _ []byte) ([]byte, error) { return nil, context.DeadlineExceeded }

func TestNothingIsWrittenThatCannotBeSealed(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	cfg.Sealer = brokenSealer{cfg.Sealer}
	s := open(t, cfg)
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.AddGatewayEvent(t.Context(), ledger.GatewayEvent{ID: "whe_1", Digest: "d", Body: private.Text("{}")})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.Payment(t.Context(), "pay_1")
	require.ErrorIs(t, err, ledger.ErrNotFound)
	events, _, err := s.GatewayEvents(t.Context(), ledger.GatewayEventFilter{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, events)
}

func TestOpenTicketsTellOfHints(t *testing.T) {
	t.Parallel()
	cfg := migrated(t)
	s, at := open(t, cfg), time.Now().UTC().Truncate(time.Microsecond)
	for _, id := range []string{"pay_1", "pay_2"} {
		_, err := s.RecordPayment(t.Context(), ledger.Change{Record: ledger.Record{Revision: 1, Payment: payment.Payment{
			ID: id, Status: payment.StatusOpen, EcommerceID: "ticket of " + id, Request: payment.Request{Total: money.FromCents(10_00)},
			CreatedAt: at, UpdatedAt: at, ExpiresAt: at.Add(time.Minute),
		}}})
		require.NoError(t, err)
	}
	db := raw(t, cfg)
	_, err := db.ExecContext(t.Context(), `UPDATE payments SET hinted_at = $1 WHERE id = 'pay_2'`, at.UnixMicro())
	require.NoError(t, err)
	got, err := s.OpenTickets(t.Context())
	require.NoError(t, err)
	require.Equal(t, []ledger.OpenTicket{
		{PaymentID: "pay_1", EcommerceID: "ticket of pay_1", ExpiresAt: at.Add(time.Minute)},
		{PaymentID: "pay_2", EcommerceID: "ticket of pay_2", ExpiresAt: at.Add(time.Minute), HintedAt: at},
	}, got)

	// Ten thousand open payments are listed every two seconds.
	var id, parent, unused int
	var plan string
	require.NoError(t, db.QueryRowContext(t.Context(), `
		EXPLAIN QUERY PLAN SELECT id, ecommerce_id, expires_at, hinted_at FROM payments
		WHERE status = 'open' AND expires_at > 0 ORDER BY expires_at, id`).Scan(&id, &parent, &unused, &plan))
	require.Contains(t, plan, "COVERING INDEX payments_open")
}
