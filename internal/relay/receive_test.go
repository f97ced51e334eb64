package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

func TestConfigNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := relay.New(relay.Config{})
	require.ErrorContains(t, err, "Store is required")
	require.ErrorContains(t, err, "Flows is required")
}

// TestEventIsKeptWholeAndParsedOnce: what the handover needs is in the row.
func TestEventIsKeptWholeAndParsedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		ours := ledger.DeriveID("default", "k")
		body := fmt.Sprintf(`{"transactionType":"ecommerce","status":"completed","ecommerceId":"ticket-1","referenceNumber":"reference-1",
			"date":"2026-01-15 08:00:31","total":3.00,"name":%q,"phoneNumber":%s,"email":%q,"message":"gracias","metadata1":%q,"new":[1]}`,
			payerName, phone, payerEmail, ours)
		gone, cancel := context.WithCancel(t.Context())
		cancel() // who disconnects has sent the event
		for range 2 {
			malformed, err := r.over(r.store).Receive(gone, []byte(body), map[string]string{"User-Agent": "ATHM/1.0"})
			require.NoError(t, err)
			require.False(t, malformed)
		}
		claim, err := athmovil.ParseWebhook([]byte(body))
		require.NoError(t, err)
		three, now := money.MustParse("3.00"), time.Now().UTC().Truncate(time.Microsecond)
		kept := r.byDigest(claim.Digest())
		require.True(t, ledger.IsGatewayEventID(kept.ID))
		require.Equal(t, ledger.GatewayEvent{
			ID: kept.ID, Digest: claim.Digest(), Kind: "ecommerce_completed",
			EcommerceID: "ticket-1", ReferenceNumber: "reference-1", PaymentID: ours, Total: &three,
			Payer: payment.Customer{Name: payerName, PhoneNumber: phone, Email: payerEmail}, Message: "gracias",
			Body: private.Text(body), Headers: `{"User-Agent":"ATHM/1.0"}`, Verdict: ledger.EventPending,
			Deliveries: 2, NotBefore: now, ReceivedAt: now,
		}, kept)
	})
}

func TestMalformedEventIsKeptAndNeverHandedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		for _, body := range []string{"", "x", `[]`, `{"a":1}{"b":2}`} {
			malformed, err := r.over(r.store).Receive(t.Context(), []byte(body), nil)
			require.NoError(t, err)
			require.True(t, malformed)
		}
		stop := r.run()
		settle(time.Minute)
		stop()
		for _, body := range []string{"", "x", `[]`, `{"a":1}{"b":2}`} {
			kept := r.byDigest(athmovil.RawDigest([]byte(body)))
			require.Equal(t, ledger.EventMalformed, kept.Verdict)
			require.Equal(t, private.Text(body), kept.Body)
			require.NotNil(t, kept.SettledAt)
			require.Zero(t, kept.Attempts)
		}
	})
}

// full is a store that takes no event.
type full struct{ relay.Store }

func (full) AddGatewayEvent(context.Context, ledger.GatewayEvent) (bool, error) {
	return false, errDisk
}

func TestEventThatCannotBeStoredIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		_, err := r.over(full{r.store}).Receive(t.Context(), []byte(completedEvent("ticket-1", "3")), nil)
		require.ErrorIs(t, err, errDisk)

		noEntropy := errors.New("no entropy")
		one, err := relay.New(relay.Config{Store: r.store, Flows: r, Entropy: iotest.ErrReader(noEntropy)})
		require.NoError(t, err)
		_, err = one.Receive(t.Context(), []byte(`{}`), nil)
		require.ErrorIs(t, err, noEntropy)
	})
}

// TestReceivedEventWakesTheRelay: it is handed over before the relay looks
// unasked.
func TestReceivedEventWakesTheRelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		r.payment("ours", "ticket-1")
		one := r.over(r.store)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- one.Run(ctx) }()
		synctest.Wait()
		began := time.Now()
		_, err := one.Receive(t.Context(), []byte(completedEvent("ticket-1", "3")), nil)
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, r.relayed, 1)
		require.Equal(t, began, r.relayed[0].at, "the bubble's clock has not moved")
		cancel()
		require.NoError(t, <-ended)
	})
}

// TestForeignWebhooks: what becomes of every vector of athmovil/testdata/foreign,
// where a payment of ours has its ticket.
func TestForeignWebhooks(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("..", "..", "athmovil", "testdata", "foreign", "webhooks.json"))
	require.NoError(t, err)
	var vectors []struct {
		Name, Body string
		Base64     []byte
		Verdict    ledger.EventVerdict
	}
	require.NoError(t, json.Unmarshal(content, &vectors))
	synctest.Test(t, func(t *testing.T) {
		r := newRelay(t)
		ours := r.payment("ours", "34231295-269d-11f0-a323-6f23e0bf3a42")
		digests := make([]string, len(vectors))
		for i, tt := range vectors {
			body := tt.Base64
			if body == nil {
				body = []byte(strings.ReplaceAll(tt.Body, "PAYMENT_ID", ours.ID))
			}
			malformed, err := r.over(r.store).Receive(t.Context(), body, nil)
			require.NoError(t, err)
			require.Equal(t, tt.Verdict == ledger.EventMalformed, malformed, tt.Name)
			if claim, err := athmovil.ParseWebhook(body); errors.Is(err, athmovil.ErrNotObject) {
				digests[i] = athmovil.RawDigest(body)
			} else {
				digests[i] = claim.Digest()
			}
		}
		stop := r.run()
		settle(time.Minute)
		stop()
		verdicts := map[string]ledger.EventVerdict{}
		for filter := (ledger.GatewayEventFilter{Limit: 100}); ; {
			events, next, err := r.store.GatewayEvents(t.Context(), filter)
			require.NoError(t, err)
			for _, event := range events {
				verdicts[event.Digest] = event.Verdict
			}
			if next == (ledger.Cursor{}) {
				break
			}
			filter.After = next
		}
		for i, tt := range vectors {
			require.Equal(t, tt.Verdict, verdicts[digests[i]], tt.Name)
		}
	})
}
