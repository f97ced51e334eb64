package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// MaxBody is the longest event, in bytes. A sale of ours causes none that long: a
// request of 64 KiB is at most 384 KiB where every byte is escaped (\u003c), and the
// keys of an event and of 100 items are less than 16 KiB.
const MaxBody = 1 << 20

// keptOfTooLarge is how much is kept of a longer one, in bytes: who knows the address
// may send many.
const keptOfTooLarge = 64 << 10

// Receive makes an event durable, whole, and wakes [Relay.Run]. headers are those
// worth keeping. The event is stored even if ctx ends meanwhile, since its sender
// may not send it again. An error says that it may not be stored: ask for it once
// more. Receiving an event twice is the same as receiving it once. A malformed
// event is not a JSON object: it is kept for people, and handed to nobody.
func (r *Relay) Receive(ctx context.Context, body []byte, headers map[string]string) (malformed bool, err error) {
	event, err := r.event(body, headers)
	if err != nil {
		return false, err
	}
	failpoint.Reach(failpoint.WebhookBefore)
	if _, err := r.cfg.Store.AddGatewayEvent(context.WithoutCancel(ctx), event); err != nil {
		return false, err
	}
	failpoint.Reach(failpoint.WebhookStored)
	if event.Verdict == ledger.EventMalformed {
		return true, nil
	}
	r.wakeUp()
	return false, nil
}

// ReceiveTooLarge keeps the beginning of an event that is longer than [MaxBody], for
// people, and hands it to nobody. Events with one beginning count as one.
func (r *Relay) ReceiveTooLarge(ctx context.Context, beginning []byte, headers map[string]string) error {
	beginning = beginning[:min(len(beginning), keptOfTooLarge)]
	event, err := r.unrelayed(beginning, headers)
	if err != nil {
		return err
	}
	event.Verdict = ledger.EventTooLarge
	event.Effect = fmt.Sprintf("longer than %d bytes: the first %d are kept", MaxBody, len(beginning))
	_, err = r.cfg.Store.AddGatewayEvent(context.WithoutCancel(ctx), event)
	return err
}

// unrelayed is an event that is kept for people alone.
func (r *Relay) unrelayed(body []byte, headers map[string]string) (ledger.GatewayEvent, error) {
	now := r.cfg.Now().UTC().Truncate(time.Microsecond) // as the store keeps it
	id, err := ledger.NewGatewayEventID(now, r.cfg.Entropy)
	if err != nil {
		return ledger.GatewayEvent{}, err
	}
	kept, err := json.Marshal(headers)
	if err != nil {
		return ledger.GatewayEvent{}, err
	}
	return ledger.GatewayEvent{
		ID: id, Digest: athmovil.RawDigest(body), Kind: string(athmovil.EventUnknown),
		Body: private.Text(body), Headers: private.Text(kept), ReceivedAt: now, NotBefore: now, SettledAt: &now,
	}, nil
}

// event is what the store keeps. An event that lacks a field is still a hint to
// look, and is relayed like any other.
func (r *Relay) event(body []byte, headers map[string]string) (ledger.GatewayEvent, error) {
	event, err := r.unrelayed(body, headers)
	if err != nil {
		return ledger.GatewayEvent{}, err
	}
	claim, err := athmovil.ParseWebhook(body)
	if errors.Is(err, athmovil.ErrNotObject) {
		event.Verdict, event.Effect = ledger.EventMalformed, "not a JSON object"
		return event, nil
	}
	event.Verdict, event.SettledAt = ledger.EventPending, nil
	event.Digest = claim.Digest()
	event.Kind = string(claim.Kind)
	event.EcommerceID = claim.EcommerceID
	event.ReferenceNumber = claim.ReferenceNumber
	event.PaymentID = claimedPaymentID(claim)
	event.Total = claim.Total
	event.Payer = payment.Customer{Name: claim.Name, PhoneNumber: claim.PhoneNumber, Email: claim.Email}
	event.Message = claim.Message
	return event, nil
}

// claimedPaymentID finds our payment's id in an event's metadata. It was put
// into the one of the two that the merchant left empty, the second first.
func claimedPaymentID(claim athmovil.Event) string {
	for _, metadata := range []private.Text{claim.Metadata2, claim.Metadata1} {
		if id := string(metadata); ledger.IsID(id) {
			return id
		}
	}
	return ""
}
