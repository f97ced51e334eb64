package relay

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

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

// event is what the store keeps. An event that lacks a field is still a hint to
// look, and is relayed like any other.
func (r *Relay) event(body []byte, headers map[string]string) (ledger.GatewayEvent, error) {
	now := r.cfg.Now().UTC().Truncate(time.Microsecond) // as the store keeps it
	id, err := ledger.NewGatewayEventID(now, r.cfg.Entropy)
	if err != nil {
		return ledger.GatewayEvent{}, err
	}
	kept, err := json.Marshal(headers)
	if err != nil {
		return ledger.GatewayEvent{}, err
	}
	event := ledger.GatewayEvent{
		ID: id, Body: private.Text(body), Headers: private.Text(kept), ReceivedAt: now, NotBefore: now,
		Verdict: ledger.EventPending,
	}
	claim, err := athmovil.ParseWebhook(body)
	if errors.Is(err, athmovil.ErrNotObject) {
		event.Digest = athmovil.RawDigest(body)
		event.Kind = string(athmovil.EventUnknown)
		event.Verdict, event.SettledAt = ledger.EventMalformed, &now
		event.Effect = "not a JSON object"
		return event, nil
	}
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
