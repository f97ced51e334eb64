package store_test

import (
	"crypto/rand"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/store/postgrestest"
	"github.com/cobropay/cobro/internal/store/storetest"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// BenchmarkPayment is what a payment writes in its life: four steps, each
// announced to one receiver, whose deliveries are noted with the next step, and
// a refund that is reserved, claimed and settled. Both databases wait for their
// disk, as in production. At 1 one payment writes after another; at 16 as many
// at once, which one writer cannot do.
func BenchmarkPayment(b *testing.B) {
	for name, config := range map[string]func(b *testing.B) store.Config{
		"SQLite": func(b *testing.B) store.Config {
			return store.Config{DSN: "sqlite:" + filepath.Join(b.TempDir(), "cobro.db")}
		},
		"PostgreSQL": func(b *testing.B) store.Config {
			server := postgrestest.New(b, postgrestest.Config{Settings: map[string]string{"fsync": "on", "full_page_writes": "on"}})
			return store.Config{DSN: server.Database(b, "")}
		},
	} {
		b.Run(name, func(b *testing.B) {
			cfg := config(b)
			cfg.Sealer = storetest.NewSealer(b)
			require.NoError(b, store.Migrate(b.Context(), cfg))
			s, err := store.Open(b.Context(), cfg)
			require.NoError(b, err)
			defer func() { require.NoError(b, s.Close()) }()
			for _, event := range payment.Events() {
				require.NoError(b, s.AnnounceReceivers(b.Context(), "shop", []ledger.Receiver{{Host: "shop", Event: event, Name: "note"}}))
			}
			b.Run("1", func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, life(b, s))
				}
			})
			b.Run("16", func(b *testing.B) {
				var failed atomic.Pointer[error]
				b.SetParallelism(8) // for each of this machine's processors, of which CI has two
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := life(b, s); err != nil {
							failed.Store(&err)
						}
					}
				})
				if err := failed.Load(); err != nil {
					b.Fatal(*err)
				}
			})
		})
	}
}

// life writes one payment from its beginning to its refund.
func life(b *testing.B, s *store.Store) error {
	ctx := b.Context()
	r := sample("pay_" + rand.Text())
	p := &r.Payment
	p.Reference, p.Customer = "order "+p.ID, payment.Customer{Name: "Ana Ruiz", PhoneNumber: private.Text("787555" + p.ID[len(p.ID)-4:])}
	deliver := func(subject string, event payment.Event, told ledger.Announced) error {
		var ended []payment.Delivery
		for _, receiver := range told.Receivers {
			at := p.CreatedAt
			ended = append(ended, payment.Delivery{
				ID: ledger.NotificationID(subject, event, told.Sequence, receiver.Host, receiver.Name), Status: payment.DeliveryDelivered, EndedAt: &at,
			})
		}
		return s.RecordDeliveries(ctx, ended)
	}
	for i, step := range []struct {
		status payment.Status
		event  payment.Event
	}{
		{payment.StatusPending, payment.EventCreated}, {payment.StatusOpen, ""},
		{payment.StatusConfirmed, ""}, {payment.StatusCompleted, payment.EventCompleted},
	} {
		r.Revision, p.Status = int64(i+1), step.status
		if step.status == payment.StatusOpen {
			p.EcommerceID = "ticket " + p.ID
		}
		told, err := s.RecordPayment(ctx, ledger.Change{
			Record: r, Announce: step.event, Workflow: p.ID,
			Transitions: []ledger.Transition{{PaymentID: p.ID, Sequence: i + 1, To: step.status, At: p.CreatedAt}},
		})
		if err != nil {
			return err
		}
		if step.event == "" {
			continue
		}
		if err := deliver(p.ID, step.event, told); err != nil {
			return err
		}
	}
	ask := ledger.Reservation{RefundID: ledger.DeriveRefundID(p.ID, "k"), PaymentID: p.ID, At: p.CreatedAt}
	granted, err := s.ReserveRefund(ctx, ask)
	if err != nil {
		return err
	}
	if err := s.ClaimRefund(ctx, ask.RefundID, 1, "run"); err != nil {
		return err
	}
	done := ledger.RefundRecord{Refund: granted.Refund, Revision: 1}
	done.Refund.Status = payment.RefundCompleted
	_, err = s.RecordRefund(ctx, ledger.RefundChange{Record: done, Announce: payment.EventRefundCompleted, Workflow: ask.RefundID})
	return err
}
