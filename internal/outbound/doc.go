// Package outbound sends notifications to the URLs that a merchant lists in the
// endpoints file, signed by the Standard Webhooks specification.
//
// # The file
//
//	endpoints:
//	  - name: shop
//	    url: https://shop.example.com/cobro
//	    events: [payment_completed, refund_completed] # none means all
//	    secrets: ["env:SHOP_WEBHOOK_SECRET"]          # or "file:/run/secrets/shop", or the secret itself
//	    timeout: 15s                                  # of one attempt; at most 60s
//	    retry: {first: 1s, most: 1h, for: 168h}       # pauses that double, and how long in all
//	allow_private_addresses: false                    # true only in development
//
// Several secrets sign side by side, so that a receiver accepts both the old
// and the new one while they are exchanged. [File] reads everything again every
// few seconds, secrets in files included, and keeps what it had when the file
// has become wrong.
//
// # What is sent
//
// A POST of the notification's JSON, with the headers webhook-id (the
// notification's id, the same in every attempt), webhook-timestamp and
// webhook-signature (one for each secret). An answer of 2xx is a delivery; see
// [Error] for the rest. docs/webhooks.md says what a receiver must do.
//
// # Where it is sent
//
// Only to public addresses, unless the file allows private ones: whoever may
// name a URL could reach everything that this process reaches, such as the
// metadata service of a cloud. What counts is the address that a connection is
// about to be made to, not the name, so a name that resolves to something else
// the next time finds the same door closed. Any port will do. Redirects are
// not followed. No proxy is taken from the environment: through one, the
// address that is looked at would be the proxy's.
//
// # What is never shown
//
// Secrets are private.Tokens, and so are URLs, whose paths and queries may be
// secrets too: errors name an endpoint, and of its URL no more than host and
// port. What an endpoint answers is a private.Text: it may name a customer.
package outbound
