// Package storetest is what every database behind [store.Store] must do.
package storetest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// Opener opens one more store on the same database, with its own connections,
// as another process would. now is its clock; nil means the real one. The
// opener sees to it that the store is closed when the test ends.
type Opener func(now func() time.Time) *store.Store

// Run tests a kind of database. newDatabase makes an empty, migrated database
// for the test t.
func Run(t *testing.T, newDatabase func(t *testing.T) Opener) {
	tests := []struct {
		name string
		run  func(t *testing.T, open Opener)
	}{
		{"a payment reads as it was written", paymentRoundTrip},
		{"an unknown id is not found", unknownIDs},
		{"an older revision never overwrites", olderRevisions},
		{"revisions converge in any order", revisionsConverge},
		{"a reference has one unfinished payment", referenceInUse},
		{"a reference has one winner", referenceRace},
		{"a debit is of one payment", debits},
		{"what was reserved and not begun is listed", unstarted},
		{"a list has pages and filters", lists},
		{"a list goes on where it stopped", pagesDuringWrites},
		{"a customer is known by the latest payment", customers},
		{"a database belongs to one merchant", merchants},
		{"an old payment is imported once", imports},
		{"an import never changes what is there", importContradictions},
		{"an import leaves Cobro's own books alone", importOwn},
		{"a rehearsed import writes nothing", importRehearsals},
		{"an import made twice at once is made once", importRace},
		{"no import refunds too much", importNeverTooMuch},
		{"a customer is imported", importedCustomers},
		{"an imported payment is one like any other", importedLater},
		{"a reservation is granted once", reservations},
		{"a reservation is refused", reservationRefusals},
		{"refunds at once never exceed the payment", reservationRace},
		{"one run may send a refund", claimRace},
		{"a refund that was taken is sent by nobody", takenRefund},
		{"a refund goes its way", refundLife},
		{"a settled refund stays settled", refundSteps},
		{"a refund made elsewhere counts", externalRefunds},
		{"a refund made elsewhere is booked once", bookings},
		{"one rise of the gateway's total is booked once", bookingRace},
		{"an event about a refund finds what it is about", refundContexts},
		{"a payer is filled in once", payers},
		{"a review is decided once", reviews},
		{"a mismatch is kept and told once", mismatches},
		{"no sequence of writes refunds too much", neverTooMuch},
		{"an event is announced to its receivers", announcements},
		{"a refund's event has one sequence", refundAnnouncements},
		{"a delivery never goes back", deliveries},
		{"what was told can be told again", redeliveries},
		{"notifications are listed", notificationLists},
		{"receivers are never removed unasked", receivers},
		{"what waits is counted", backlogs},
		{"a poller is alive until it is silent", pollers},
		{"open tickets are listed", openTickets},
		{"a gateway event is kept once", eventOnce},
		{"gateway events have pages", eventPages},
		{"a lease ends", leases},
		{"leases never overlap", leaseRace},
		{"a verdict is kept", verdicts},
		{"an unmatched event waits for its ticket", unmatched},
		{"an event finds its payment", matching},
		{"a canceled context writes nothing", cancelledContext},
		{"a text of a stranger is no error", strangeTexts},
		{"an event that is kept again is kept once", repeatedWrites},
		{"texts are ordered by their bytes", byteOrder},
		{"a first write made by many is one", firstWriteRace},
		{"a reference that becomes free is taken", freedReferenceRace},
		{"the newest of many revisions stays", revisionRace},
		{"each of many events has its place", announceRace},
		{"the larger part of a payment is refunded once", refundRace},
		{"a notification is reopened by one", reopenRace},
		{"a delivery that many write stays delivered", deliveryRace},
		{"a review that many decide has one decision", reviewRace},
		{"a payer that many know is filled in once", payerRace},
		{"a customer who pays often has the latest name", customerRace},
		{"a database that many claim belongs to one", merchantRace},
		{"of twins one is imported", twinRace},
		{"receivers are announced and removed by many", receiverRace},
		{"an event that is sent often is added once", eventRace},
		{"what many lease at once each leases once", crowdedLeases},
		{"an event meets its ticket", ticketRace},
		{"many pollers know of each other", pollerRace},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, newDatabase(t))
		})
	}
}

// Sealer is an AES-256-GCM sealer with one key that dies with the test.
type Sealer struct {
	aead cipher.AEAD
	key  []byte
}

// NewSealer returns a sealer with a key of its own.
func NewSealer(t testing.TB) *Sealer {
	t.Helper()
	key := make([]byte, 32)
	_, err := rand.Read(key)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	return &Sealer{aead: aead, key: key}
}

// Seal implements [store.Sealer].
func (s *Sealer) Seal(plain, context []byte) ([]byte, error) {
	nonce := make([]byte, s.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return s.aead.Seal(nonce, nonce, plain, context), nil
}

// Open implements [store.Sealer].
func (s *Sealer) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < s.aead.NonceSize() {
		return nil, io.ErrUnexpectedEOF
	}
	return s.aead.Open(nil, sealed[:s.aead.NonceSize()], sealed[s.aead.NonceSize():], context)
}

// Digest implements [store.Sealer].
func (s *Sealer) Digest(purpose string, data []byte) string {
	h := hmac.New(sha256.New, s.key)
	_, _ = fmt.Fprintf(h, "%s\x00%s", purpose, data) // a hash never fails to write
	return hex.EncodeToString(h.Sum(nil))
}

// clock stands still until it is moved.
type clock struct{ us atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.us.Store(noon().UnixMicro())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

// noon is when the tests take place.
func noon() time.Time { return time.Date(2026, time.March, 2, 12, 0, 0, 123456000, time.UTC) }

// newID returns the id of a new payment.
func newID(t require.TestingT) string {
	id, err := ledger.NewID(noon(), rand.Reader)
	require.NoError(t, err)
	return id
}

// pending returns a payment of $10.00 that was just asked for.
func pending(t require.TestingT) ledger.Record {
	return ledger.Record{
		Revision: 1,
		Payment: payment.Payment{
			ID: newID(t), Status: payment.StatusPending,
			Request:   payment.Request{Total: money.FromCents(10_00), ExpiresIn: 10 * time.Minute},
			CreatedAt: noon(), UpdatedAt: noon(), ExpiresAt: noon().Add(10 * time.Minute),
		},
	}
}

// completed returns a payment of $10.00 that was debited.
func completed(t require.TestingT) ledger.Record {
	r := pending(t)
	at := noon().Add(time.Minute)
	r.Revision = 4
	r.Payment.Status = payment.StatusCompleted
	r.Payment.CompletedAt = &at
	r.Payment.Captured = amount(10_00)
	return r
}

// record writes a payment as it is.
func record(ctx context.Context, t require.TestingT, s *store.Store, r ledger.Record) {
	_, err := s.RecordPayment(ctx, ledger.Change{Record: r})
	require.NoError(t, err)
}

// amount returns a pointer to an amount of cents.
func amount(cents int64) *money.Amount {
	a := money.FromCents(cents)
	return &a
}

// filled returns a payment that uses every field.
func filled(t require.TestingT) ledger.Record {
	r := completed(t)
	r.Fingerprint = "fingerprint"
	p := &r.Payment
	p.Reference = "order " + p.ID[len(p.ID)-8:]
	p.Subtotal, p.Tax = amount(9_00), amount(1_00)
	p.PhoneNumber, p.Metadata1, p.Metadata2 = "7875550001", "first of "+private.Text(p.ID), "second"
	p.Items = []payment.Item{
		{Name: "Café", Description: "con leche", Quantity: 2, Price: money.FromCents(4_50), Tax: amount(50), Metadata: "hot"},
		{Name: "Agua", Quantity: 1, Price: money.FromCents(0)},
	}
	p.EcommerceID, p.ReferenceNumber, p.DailyTransactionID = "ec-"+p.ID, "rn-"+p.ID, "0007"
	p.Fee, p.NetAmount = amount(25), amount(9_75)
	p.Customer = payment.Customer{Name: "María Ñandú", PhoneNumber: "7875550002", Email: "maria@example.com"}
	p.Failure = &payment.Failure{Code: "BTRA_0044", Message: "refused"}
	p.NeedsReview = true
	return r
}
