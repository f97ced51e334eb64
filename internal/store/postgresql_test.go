package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/store/postgrestest"
	"github.com/cobropay/cobro/internal/store/storetest"
	"github.com/cobropay/cobro/payment"
)

// TestPostgreSQL has the one server of these tests, so that they are its
// subtests.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	p := &postgres{Server: postgrestest.New(t, postgrestest.Config{Settings: map[string]string{"deadlock_timeout": "50ms"}})}
	p.template = p.Database(t, "")
	require.NoError(t, store.Migrate(t.Context(), store.Config{DSN: p.template}))
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		t.Helper()
		cfg := p.migrated(t)
		return func(now func() time.Time) *store.Store {
			one := cfg
			one.Now, one.Timeout = now, time.Minute // many at once on a busy machine
			return open(t, one)
		}
	})
	for name, run := range map[string]func(*testing.T, *postgres){
		"a database that does not fit is refused":         refusals,
		"a URL that cannot be read stays secret":          badURLs,
		"many migrate at once":                            migrations,
		"a migration waits for the one that runs":         waitingMigration,
		"a lost connection is replaced":                   lostConnections,
		"a transaction whose connection is lost is rerun": lostTransaction,
		"a commit whose answer is lost is repeated":       lostCommits,
		"a server that answers nothing is given up":       silentServer,
		"who waits for a row too long is told":            heldRow,
		"a transaction that was given up is rerun":        deadlock,
		"a lease passes over what is locked":              skipLocked,
		"an event meets a ticket that is not committed":   uncommittedTicket,
		"a process has as many connections as it may":     poolSize,
		"a server that takes no writes is waited for":     standby,
		"a connection that takes no writes is replaced":   demoted,
		"a pooler in session mode is good enough":         pooled,
		"both databases have the same tables":             sameTables,
		"files hold no personal data":                     postgresFiles,
		"an event that cannot be read hides no other":     func(t *testing.T, p *postgres) { unreadable(t, p.migrated(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, p)
		})
	}
}

// postgres is a server and a migrated database to copy.
type postgres struct {
	*postgrestest.Server
	template string
}

// migrated returns a fresh database.
func (p *postgres) migrated(t testing.TB) store.Config {
	t.Helper()
	return store.Config{DSN: p.Database(t, p.template), Sealer: storetest.NewSealer(t)}
}

// with returns the DSN with one more setting.
func with(dsn, name, value string) string {
	return dsn + "&" + url.Values{name: {value}}.Encode()
}

func execute(t *testing.T, db interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, query string, args ...any,
) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// waits returns when so many sessions of the database wait for a lock.
func waits(t *testing.T, db *sql.DB, sessions int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		return err == nil && waiting == sessions
	}, time.Minute, 5*time.Millisecond, "nobody waits")
}

// begun does something and returns a channel with its error.
func begun(do func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- do() }() // whoever calls reads it
	return done
}

func refusals(t *testing.T, p *postgres) {
	sealer := storetest.NewSealer(t)
	parsed, err := url.Parse(p.DSN("postgres"))
	require.NoError(t, err)
	change := func(do func(u *url.URL)) string {
		changed := *parsed
		do(&changed)
		return changed.String()
	}
	admin := p.Raw(t, p.DSN("postgres"))
	execute(t, admin, `CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0`)
	execute(t, admin, `CREATE ROLE weak LOGIN PASSWORD 'canary'`)
	require.NoError(t, store.Migrate(t.Context(), store.Config{DSN: p.DSN("latin")}))
	newer := p.migrated(t).DSN
	execute(t, p.Raw(t, newer), `INSERT INTO schema_versions (version_id, is_applied) VALUES (99, TRUE)`)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())

	for name, tt := range map[string]struct {
		dsn  string
		says string
	}{
		"no such database": {p.DSN("nothing"), "create the database first"},
		"a wrong password": {change(func(u *url.URL) { u.User = url.UserPassword("cobro", "canary") }), "check the user, the password"},
		"nobody answers":   {change(func(u *url.URL) { u.Host = closed.Addr().String() }), store.ErrUnreachable.Error()},
		"no schema":        {p.Database(t, ""), "run cobro migrate"},
		"a newer schema":   {newer, "use the newer program"},
		"forgetful":        {with(p.template, "synchronous_commit", "off"), "set its synchronous_commit to on"},
		"another encoding": {p.DSN("latin"), "ENCODING 'UTF8'"},
		"too few":          {with(p.template, "pool_max_conns", "3"), "pool_max_conns=3: write a number from 4 on"},
	} {
		cfg := store.Config{DSN: tt.dsn, Sealer: sealer}
		_, err := store.Open(t.Context(), cfg)
		require.ErrorContains(t, err, tt.says, name)
		if name == "no such database" || name == "a wrong password" {
			_, err = store.Await(t.Context(), cfg, time.Hour) // no wait would help
			require.ErrorContains(t, err, tt.says, name)
		}
		require.NotContains(t, err.Error(), "canary", name)
		require.Equal(t, name == "nobody answers", errors.Is(err, store.ErrUnreachable), name)
	}
	var schema *store.SchemaError
	require.ErrorAs(t, store.Migrate(t.Context(), store.Config{DSN: newer}), &schema)
	require.EqualValues(t, 99, schema.Have)

	own := p.Database(t, "")
	execute(t, p.Raw(t, own), `REVOKE CREATE ON SCHEMA public FROM PUBLIC`)
	own = change(func(u *url.URL) {
		u.User = url.UserPassword("weak", "canary")
		database, err := url.Parse(own)
		require.NoError(t, err)
		u.Path = database.Path
	})
	err = store.Migrate(t.Context(), store.Config{DSN: own})
	require.ErrorContains(t, err, "GRANT CREATE ON SCHEMA")
	require.NotContains(t, err.Error(), "canary")
}

func badURLs(t *testing.T, _ *postgres) {
	for _, dsn := range []string{
		"postgres://user:canary@host:port/db", "postgres://user:can ary%@host/db", "postgresql://user:canary@host/db?sslmode=canary",
		"postgres://user:canary/x@host/db", "postgres://host/db?connect_timeout=canary",
	} {
		_, err := store.Open(t.Context(), store.Config{DSN: dsn, Sealer: storetest.NewSealer(t)})
		require.ErrorContains(t, err, "write postgres://user:password@host:5432", dsn)
		require.NotContains(t, strings.ReplaceAll(err.Error(), "can ary", "canary"), "canary")
		require.Equal(t, err.Error(), "open the store: "+store.CheckDSN(dsn).Error(), "before anybody connects")
	}
}

func migrations(t *testing.T, p *postgres) {
	var log bytes.Buffer
	cfg := store.Config{DSN: p.Database(t, ""), Sealer: storetest.NewSealer(t), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	errs := make([]error, 12)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = store.Migrate(t.Context(), cfg) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, 1, strings.Count(log.String(), `msg="store migrated" schema=1`), "one does the work: %s", log.String())

	s := open(t, cfg)
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)
	log.Reset()
	require.NoError(t, store.Migrate(t.Context(), cfg), "beside an open store")
	require.Empty(t, log.String(), "there was nothing to do")
	_, err = s.Payment(t.Context(), "pay_1")
	require.NoError(t, err)
}

func waitingMigration(t *testing.T, p *postgres) {
	cfg := store.Config{DSN: p.Database(t, "")}
	other, err := p.Raw(t, cfg.DSN).Conn(t.Context())
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	const theirs = `SELECT %s(x'636f62726f01'::bigint)`
	execute(t, other, strings.Replace(theirs, "%s", "pg_advisory_lock", 1))

	impatient, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err = store.Migrate(impatient, cfg)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = store.Open(t.Context(), store.Config{DSN: cfg.DSN, Sealer: storetest.NewSealer(t)})
	require.ErrorContains(t, err, "run cobro migrate", "it did not begin")

	done := begun(func() error { return store.Migrate(t.Context(), cfg) })
	execute(t, other, strings.Replace(theirs, "%s", "pg_advisory_unlock", 1))
	require.NoError(t, <-done)
}

const cutOff = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`

func lostConnections(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	s, raw := open(t, cfg), p.Raw(t, cfg.DSN)
	for range 10 {
		_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
		require.NoError(t, err)
		_, err = s.Payment(t.Context(), "pay_1")
		require.NoError(t, err)
		found, _, err := s.Payments(t.Context(), ledger.PaymentFilter{})
		require.NoError(t, err)
		require.Len(t, found, 1)
		execute(t, raw, cutOff)
	}
}

func lostTransaction(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	s, raw := open(t, cfg), p.Raw(t, cfg.DSN)
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)
	tx, err := raw.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	execute(t, tx, `SELECT 1 FROM payments FOR UPDATE`)
	ask := ledger.Reservation{RefundID: ledger.DeriveRefundID("pay_1", "k"), PaymentID: "pay_1"}
	done := begun(func() error { _, err := s.ReserveRefund(t.Context(), ask); return err })
	waits(t, raw, 1)
	execute(t, raw, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	waits(t, raw, 1) // it is back
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-done)
}

// thief is a wire to the server that is cut when the answer to a commit comes
// back, for as many commits as it is told. While it is mute it carries nothing to
// the client.
type thief struct {
	net.Listener
	server string
	mute   atomic.Bool
	steals atomic.Int32
	stolen atomic.Int32
}

// robbed returns the DSN of a wire to the database with a thief on it.
func robbed(t *testing.T, dsn string) (*thief, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &thief{Listener: listener, server: u.Host}
	u.Host = listener.Addr().String()
	t.Cleanup(func() { _ = listener.Close() })
	go w.serve() // until the listener is closed
	return w, u.String()
}

func (w *thief) serve() {
	for {
		client, err := w.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		var commits atomic.Bool
		carry := func(from, to net.Conn, look func(message []byte) (cut bool)) { // until either side is closed
			defer func() { _, _ = from.Close(), to.Close() }()
			buffer := make([]byte, 1<<16)
			for {
				n, err := from.Read(buffer)
				if n > 0 && look(buffer[:n]) {
					return
				}
				if n > 0 && (to != client || !w.mute.Load()) {
					_, err = to.Write(buffer[:n])
				}
				if err != nil {
					return
				}
			}
		}
		go carry(client, server, func(message []byte) bool {
			commits.Store(bytes.Contains(message, []byte("commit\x00")))
			return false
		})
		go carry(server, client, func([]byte) bool {
			if !commits.Load() || w.steals.Add(-1) < 0 {
				return false
			}
			w.stolen.Add(1)
			return true
		})
	}
}

// silentServer has a server vanish without closing its connections, as a machine
// does that loses its network. Every method is tried, so that a new one is not
// forgotten.
func silentServer(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	var wire *thief
	wire, cfg.DSN = robbed(t, cfg.DSN)
	s := open(t, cfg)
	wire.mute.Store(true)
	store.SetTimeout(s, 5*time.Millisecond)
	all := reflect.ValueOf(s)
	for i := range all.NumMethod() {
		name := all.Type().Method(i).Name
		if name == "Close" || name == "RehearseImport" { // which takes as long as it needs
			continue
		}
		call := all.Method(i)
		args := []reflect.Value{reflect.ValueOf(t.Context())}
		for j := 1; j < call.Type().NumIn(); j++ {
			arg := reflect.New(call.Type().In(j)).Elem()
			if arg.Kind() == reflect.String {
				arg.SetString("some")
			}
			if event, ok := arg.Addr().Interface().(*ledger.GatewayEvent); ok {
				event.EcommerceID = "some" // of an event that claims nothing nobody is asked
			}
			args = append(args, arg)
		}
		results := call.Call(args)
		err, _ := results[len(results)-1].Interface().(error)
		require.ErrorIs(t, err, store.ErrTimeout, name)
		require.ErrorContains(t, err, "did not answer in time (5ms)", name)
	}

	cfg.Timeout = 5 * time.Millisecond
	_, err := store.Open(t.Context(), cfg)
	require.ErrorIs(t, err, store.ErrTimeout)
	require.ErrorIs(t, err, store.ErrUnreachable)

	wire.mute.Store(false)
	store.SetTimeout(s, time.Minute)
	_, err = s.Payment(t.Context(), "pay_1")
	require.ErrorIs(t, err, ledger.ErrNotFound, "it is back, and so are we")
}

func heldRow(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	s := open(t, cfg)
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)
	tx, err := p.Raw(t, cfg.DSN).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	execute(t, tx, `SELECT 1 FROM payments FOR UPDATE`)
	store.SetTimeout(s, 5*time.Millisecond)
	_, err = s.FillPayer(t.Context(), "pay_1", payment.Customer{Name: "Ana"})
	require.ErrorIs(t, err, store.ErrTimeout)
	require.NoError(t, tx.Rollback())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Payment(ended, "pay_1")
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, store.ErrTimeout, "the caller went away by himself")
}

func lostCommits(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	w, dsn := robbed(t, cfg.DSN)
	cfg.DSN = dsn
	s, ctx := open(t, cfg), t.Context()
	require.NoError(t, s.AnnounceReceivers(ctx, "shop", []ledger.Receiver{{Host: "shop", Event: payment.EventCompleted, Name: "book"}}))

	ask := ledger.Reservation{RefundID: ledger.DeriveRefundID("pay_1", "k"), PaymentID: "pay_1"}
	event := ledger.GatewayEvent{ID: "whe_1", Digest: "d"}
	for name, write := range map[string]func() error{
		"payment": func() error {
			announced, err := s.RecordPayment(ctx, ledger.Change{Record: sample("pay_1"), Announce: payment.EventCompleted})
			require.Equal(t, 1, announced.Sequence)
			require.Len(t, announced.Receivers, 1)
			return err
		},
		"event": func() error {
			added, err := s.AddGatewayEvent(ctx, event)
			require.True(t, added, "it is ours that was added")
			return err
		},
		"merchant": func() error { return s.ClaimMerchant(ctx, "tienda") },
	} {
		w.stolen.Store(0)
		w.steals.Store(2)
		require.NoError(t, write(), name)
		require.EqualValues(t, 2, w.stolen.Load(), "%s: both answers were lost", name)
	}
	w.steals.Store(1)
	granted, err := s.ReserveRefund(ctx, ask)
	require.NoError(t, err)
	require.Equal(t, ask.RefundID, granted.Refund.ID)
	w.steals.Store(0)
	deliveries, err := s.Deliveries(ctx, "pay_1")
	require.NoError(t, err)
	require.Len(t, deliveries, 1)
	refunds, err := s.Refunds(ctx, "pay_1")
	require.NoError(t, err)
	require.Len(t, refunds, 1)
	events, _, err := s.GatewayEvents(ctx, ledger.GatewayEventFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, 1, events[0].Deliveries)

	w.steals.Store(1000)
	require.Error(t, s.ClaimMerchant(ctx, "tienda"), "it does not go on for ever")
}

// deadlock makes the store the one that PostgreSQL gives up, whatever it does.
func deadlock(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	raw := p.Raw(t, cfg.DSN)
	cfg.DSN = with(cfg.DSN, "deadlock_timeout", "1s")
	s, ctx := open(t, cfg), t.Context()
	_, err := s.RecordPayment(ctx, ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)
	both := []payment.Delivery{
		{ID: "ntf_1", PaymentID: "pay_1", Status: payment.DeliveryPending}, {ID: "ntf_2", PaymentID: "pay_1", Status: payment.DeliveryPending},
	}
	require.NoError(t, s.RecordDeliveries(ctx, both))
	tx, err := raw.BeginTx(ctx, nil)
	require.NoError(t, err)
	execute(t, tx, `SET LOCAL deadlock_timeout = '10min'`)
	const touch = `UPDATE notifications SET host = 'other' WHERE id = $1`
	execute(t, tx, touch, "ntf_2")
	both[0].Status, both[1].Status = payment.DeliveryFailed, payment.DeliveryFailed
	done := begun(func() error { return s.RecordDeliveries(ctx, both) })
	waits(t, raw, 1)
	execute(t, tx, touch, "ntf_1") // it has this one, and wants the other
	require.NoError(t, tx.Commit())
	require.NoError(t, <-done)
	deliveries, err := s.Deliveries(ctx, "pay_1")
	require.NoError(t, err)
	for _, d := range deliveries {
		require.Equal(t, payment.DeliveryFailed, d.Status)
		require.Equal(t, "other", d.Host)
	}
}

func skipLocked(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	s, raw, ctx := open(t, cfg), p.Raw(t, cfg.DSN), t.Context()
	for _, id := range []string{"whe_1", "whe_2"} {
		_, err := s.AddGatewayEvent(ctx, ledger.GatewayEvent{ID: id, Digest: id})
		require.NoError(t, err)
	}
	tx, err := raw.BeginTx(ctx, nil)
	require.NoError(t, err)
	execute(t, tx, `SELECT 1 FROM gateway_events WHERE id = 'whe_1' FOR UPDATE`)
	patience, cancel := context.WithTimeout(ctx, 10*time.Second) // much more than it needs
	defer cancel()
	leased, err := s.LeaseGatewayEvents(patience, 10, time.Hour)
	require.NoError(t, err)
	require.Len(t, leased, 1)
	require.Equal(t, "whe_2", leased[0].ID)
	require.NoError(t, tx.Rollback())
	leased, err = s.LeaseGatewayEvents(ctx, 10, time.Hour)
	require.NoError(t, err)
	require.Len(t, leased, 1)
}

// uncommittedTicket lets an event come, and be given up, after its payment has
// looked for events and before it has committed.
func uncommittedTicket(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	s, raw, ctx := open(t, cfg), p.Raw(t, cfg.DSN), t.Context()
	first := sample("pay_1")
	first.Payment.Customer = payment.Customer{Name: "Ana", PhoneNumber: "7875550001"}
	_, err := s.RecordPayment(ctx, ledger.Change{Record: first})
	require.NoError(t, err)
	tx, err := raw.BeginTx(ctx, nil)
	require.NoError(t, err)
	execute(t, tx, `SELECT 1 FROM customers FOR UPDATE`) // which is written after the look

	second := first
	second.Payment.ID, second.Payment.EcommerceID = "pay_2", "ticket"
	recorded := begun(func() error { _, err := s.RecordPayment(ctx, ledger.Change{Record: second}); return err })
	waits(t, raw, 1)
	_, err = s.AddGatewayEvent(ctx, ledger.GatewayEvent{ID: "whe_1", Digest: "d", EcommerceID: "ticket"})
	require.NoError(t, err)
	settled := begun(func() error { return s.SettleGatewayEvent(ctx, "whe_1", ledger.EventUnmatched, "", "") })
	select {
	case err = <-settled:
		t.Fatalf("it was given up although its ticket is on its way: %v", err)
	case <-begun(func() error { waits(t, raw, 2); return nil }):
	}
	require.NoError(t, tx.Rollback())
	require.NoError(t, <-recorded)
	require.NoError(t, <-settled)
	events, _, err := s.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventPending, Limit: 10})
	require.NoError(t, err)
	require.Len(t, events, 1)
}

func poolSize(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	raw := p.Raw(t, cfg.DSN)
	cfg.DSN = with(cfg.DSN, "pool_max_conns", "4")
	s := open(t, cfg)
	errs := make([]error, 40)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
			_, readErr := s.Payment(t.Context(), "pay_1")
			errs[i] = errors.Join(err, readErr)
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	var connections int
	require.NoError(t, raw.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'cobro'`).Scan(&connections))
	require.Positive(t, connections)
	require.LessOrEqual(t, connections, 4)
}

// standby has a server like one that a failover left behind. Nobody may keep a
// connection to it.
func standby(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	admin := p.Raw(t, p.DSN("postgres"))
	database := strings.TrimPrefix(parsed(t, cfg.DSN).Path, "/")
	execute(t, admin, `ALTER DATABASE `+database+` SET default_transaction_read_only = on`)
	_, err := store.Open(t.Context(), cfg)
	require.ErrorIs(t, err, store.ErrUnreachable)
	require.ErrorContains(t, err, "takes no writes: name the primary")

	log := &signalled{told: make(chan struct{})}
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	opened := begun(func() error {
		s, err := store.Await(t.Context(), cfg, time.Minute)
		if err != nil {
			return err
		}
		return s.Close()
	})
	<-log.told
	execute(t, admin, `ALTER DATABASE `+database+` RESET default_transaction_read_only`)
	require.NoError(t, <-opened)
}

// demoted has a database whose every write makes the connection read-only that
// made it.
func demoted(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	s, raw := open(t, cfg), p.Raw(t, cfg.DSN)
	execute(t, raw, `CREATE FUNCTION demote() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM set_config('default_transaction_read_only', 'on', false); RETURN NEW; END $$`)
	execute(t, raw, `CREATE TRIGGER demote BEFORE INSERT OR UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION demote()`)
	for i := range 5 {
		_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample(fmt.Sprintf("pay_%d", i))})
		require.NoError(t, err)
	}
}

// pooled has a wire that lets in who a session pooler lets in: one with no other
// parameters than PgBouncer takes.
func pooled(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	cfg.DSN = pooler(t, cfg.DSN)
	s := open(t, cfg)
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)

	raw := p.Raw(t, cfg.DSN)
	execute(t, raw, `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN RAISE EXCEPTION 'limit: %', current_setting('idle_in_transaction_session_timeout'); END $$`)
	execute(t, raw, `CREATE TRIGGER tell BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION tell()`)
	for dsn, limit := range map[string]string{cfg.DSN: "30s", with(cfg.DSN, "idle_in_transaction_session_timeout", "7s"): "7s"} {
		cfg.DSN = dsn
		_, err = open(t, cfg).RecordPayment(t.Context(), ledger.Change{Record: sample("pay_2")})
		require.ErrorContains(t, err, "limit: "+limit)
	}

	cfg.DSN = with(cfg.DSN, "statement_timeout", "1s") // which the pooler does not know
	_, err = store.Await(t.Context(), cfg, time.Hour)  // no wait would help
	require.ErrorContains(t, err, "a pooler refuses a parameter")
	require.NotErrorIs(t, err, store.ErrUnreachable)
}

func parsed(t *testing.T, dsn string) *url.URL {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	return u
}

// pooler returns the DSN of a wire to the database that refuses parameters as
// PgBouncer does.
func pooler(t *testing.T, dsn string) string {
	t.Helper()
	u := parsed(t, dsn)
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() { // until the listener is closed
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go admit(client, server) // until either side is closed
		}
	}()
	u.Host = listener.Addr().String()
	return u.String()
}

// admit reads how a client introduces itself, and connects it or tells it off.
func admit(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	front := pgproto3.NewBackend(client, client)
	hello, err := front.ReceiveStartupMessage()
	if _, asks := hello.(*pgproto3.SSLRequest); asks {
		_, _ = client.Write([]byte("N"))
		hello, err = front.ReceiveStartupMessage()
	}
	start, ok := hello.(*pgproto3.StartupMessage)
	if err != nil || !ok {
		return
	}
	for name := range start.Parameters {
		switch name {
		case "user", "database", "application_name", "client_encoding", "datestyle", "timezone", "standard_conforming_strings":
		default:
			front.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: " + name})
			_ = front.Flush()
			return
		}
	}
	back, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = back.Close() }()
	again, err := start.Encode(nil)
	if err != nil {
		return
	}
	if _, err := back.Write(again); err != nil {
		return
	}
	go func() { // until either side is closed
		_, _ = io.Copy(back, client)
		_ = back.Close()
	}()
	_, _ = io.Copy(client, back)
}

// sameTables compares tables, columns and indexes, so that a migration of one
// database is not forgotten for the other.
func sameTables(t *testing.T, p *postgres) {
	names := func(db *sql.DB, query string) []string {
		rows, err := db.QueryContext(t.Context(), query)
		require.NoError(t, err)
		defer func() { _ = rows.Close() }()
		var found []string
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			found = append(found, name)
		}
		require.NoError(t, rows.Err())
		require.NotEmpty(t, found)
		return found
	}
	ours, theirs := p.Raw(t, p.migrated(t).DSN), raw(t, migrated(t))
	require.Equal(t,
		names(theirs, `SELECT m.name || '.' || c.name || CASE WHEN c."notnull" OR c.pk THEN '' ELSE '?' END
			FROM sqlite_master m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name <> 'schema_versions' ORDER BY m.name, c.cid`),
		names(ours, `SELECT table_name || '.' || column_name || CASE WHEN is_nullable = 'NO' THEN '' ELSE '?' END
			FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_versions'
			ORDER BY table_name COLLATE "C", ordinal_position`))
	require.Equal(t,
		names(theirs, `SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name`),
		names(ours, `SELECT indexname FROM pg_indexes WHERE schemaname = 'public'
			AND indexname NOT LIKE '%\_pkey' AND indexname NOT LIKE '%\_key' ORDER BY indexname COLLATE "C"`))
}

func postgresFiles(t *testing.T, p *postgres) {
	cfg := p.migrated(t)
	s := open(t, cfg)
	found, canaries := confide(t, s)
	execute(t, p.Raw(t, cfg.DSN), `CHECKPOINT`)
	seen := false
	err := fs.WalkDir(os.DirFS(p.Folder()), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // files come and go beside a running server
		}
		content, err := os.ReadFile(filepath.Join(p.Folder(), path))
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		seen = seen || bytes.Contains(content, []byte(found))
		for _, canary := range canaries {
			require.False(t, bytes.Contains(content, []byte(canary)), "%s is in clear in %s", canary, path)
		}
		return nil
	})
	require.NoError(t, err)
	require.True(t, seen, "the scan must be able to find something")
}

// TestPostgreSQLCrashes has a server of its own, to crash.
func TestPostgreSQLCrashes(t *testing.T) {
	t.Parallel()
	server := postgrestest.New(t, postgrestest.Config{})
	cfg := store.Config{DSN: server.Database(t, ""), Sealer: storetest.NewSealer(t)}
	require.NoError(t, store.Migrate(t.Context(), cfg))
	s := open(t, cfg)
	_, err := s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_1")})
	require.NoError(t, err)

	require.NoError(t, server.Crash())
	require.Error(t, s.Ping(t.Context()))
	_, err = store.Open(t.Context(), cfg)
	require.ErrorIs(t, err, store.ErrUnreachable)
	require.NoError(t, server.Resume(t.Context()))
	got, err := s.Payment(t.Context(), "pay_1")
	require.NoError(t, err)
	require.Equal(t, sample("pay_1"), got)
	_, err = s.RecordPayment(t.Context(), ledger.Change{Record: sample("pay_2")})
	require.NoError(t, err)
}
