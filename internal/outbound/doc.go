// Package outbound sends notifications to the URLs in a merchant's endpoints file,
// signed according to the Standard Webhooks specification.
//
// # The file
//
//	endpoints:
//	  - name: shop
//	    url: https://shop.example.com/cobro
//	    events: [payment_completed, refund_completed] # omit it for all events
//	    secrets: ["env:SHOP_WEBHOOK_SECRET"]          # or "file:/run/secrets/shop", or the secret itself
//	    timeout: 15s                                  # for one attempt; at most 60s
//	    retry: {first: 1s, most: 1h, for: 168h}       # delays double from first to most; give up after for
//	allow_private_addresses: false                    # true only in development
//
// Every secret signs, so that a receiver can verify with the old or the new one
// during a rotation. [File] reloads the file and the secrets every few seconds. If
// the file has become invalid, it keeps the last valid version.
//
// # Requests
//
// Each attempt is a POST of the notification as JSON, with the headers webhook-id
// (the notification's id, the same for every attempt), webhook-timestamp and
// webhook-signature (one signature for each secret). Any 2xx response means
// delivered; see [Error] for the rest. docs/webhooks.md says what a receiver must
// do.
//
// # Protection against SSRF
//
// Requests go to public addresses only, unless the file allows private ones:
// otherwise anyone who can set a URL could reach whatever this process reaches,
// such as a cloud's metadata service. The check is on the address of each
// connection, after DNS, so DNS rebinding does not get around it. Any port is
// allowed. Redirects are not followed. Proxy variables are ignored, because
// behind a proxy the checked address would be the proxy's.
//
// # Private data
//
// Secrets are private.Tokens. So are URLs, whose path or query may be a secret:
// errors name the endpoint and at most the host and port. A response body is a
// private.Text, because it may name a customer.
package outbound
