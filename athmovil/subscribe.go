package athmovil

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"

	"github.com/cobropay/cobro/private"
)

// SubscribeRequest says which events the gateway sends to which URL
// (docs/athmovil.md §1.7). A business has one listener: a new subscription
// replaces the old one.
type SubscribeRequest struct {
	// ListenerURL must be https, with a certificate that is not self-signed.
	// Plain http is accepted for this machine only, for a simulator. Required.
	// The URL is a secret: nothing but its path tells real events from forged
	// ones (docs/athmovil.md §4.4).
	ListenerURL private.Token

	PaymentReceived           bool
	RefundSent                bool
	DonationReceived          bool
	EcommercePaymentReceived  bool
	EcommercePaymentCancelled bool
	EcommercePaymentExpired   bool
}

// AllEvents returns a subscription to every kind of event.
func AllEvents(listenerURL private.Token) SubscribeRequest {
	return SubscribeRequest{
		ListenerURL:     listenerURL,
		PaymentReceived: true, RefundSent: true, DonationReceived: true,
		EcommercePaymentReceived: true, EcommercePaymentCancelled: true, EcommercePaymentExpired: true,
	}
}

type subscribeBody struct {
	PublicToken               string `json:"publicToken"`
	PrivateToken              string `json:"privateToken"`
	ListenerURL               string `json:"listenerURL"`
	PaymentReceived           bool   `json:"paymentReceivedEvent"`
	RefundSent                bool   `json:"refundSentEvent"`
	DonationReceived          bool   `json:"donationReceivedEvent"`
	EcommercePaymentReceived  bool   `json:"ecommercePaymentReceivedEvent"`
	EcommercePaymentCancelled bool   `json:"ecommercePaymentCancelledEvent"`
	EcommercePaymentExpired   bool   `json:"ecommercePaymentExpiredEvent"`
}

// SubscribeWebhook registers the listener for webhooks. The gateway's response is
// undocumented, so any 2xx counts as a success if its body is empty, or is JSON
// and not an error.
func (c *Client) SubscribeWebhook(ctx context.Context, r SubscribeRequest) error {
	if !isListenerURL(r.ListenerURL.Reveal()) {
		return invalid(OpSubscribeWebhook, errors.New("listener URL must be like https://your.site/webhook"))
	}
	return c.do(ctx, request{
		op: OpSubscribeWebhook, method: http.MethodPost, url: c.config.ReportBaseURL + "/transactions/webhook/post",
		body: subscribeBody{
			PublicToken: c.config.PublicToken, PrivateToken: c.config.PrivateToken.Reveal(),
			ListenerURL:     r.ListenerURL.Reveal(),
			PaymentReceived: r.PaymentReceived, RefundSent: r.RefundSent, DonationReceived: r.DonationReceived,
			EcommercePaymentReceived:  r.EcommercePaymentReceived,
			EcommercePaymentCancelled: r.EcommercePaymentCancelled,
			EcommercePaymentExpired:   r.EcommercePaymentExpired,
		},
		read: func(body []byte) error {
			if body = trimBody(body); len(body) == 0 || json.Valid(body) {
				return nil
			}
			return errNotJSON
		},
	})
}

// isListenerURL reports whether a URL is https, or http to this machine.
func isListenerURL(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}
