package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/private"
)

const (
	// expiryWarning is how long before a certificate expires the check warns.
	expiryWarning = 14 * 24 * time.Hour
	// maxSkew is how far off this machine's clock may be.
	maxSkew = 2 * time.Second
)

// skew is how far a server's clock is ahead of ours, and the error of that
// measurement.
type skew struct {
	host             string
	ahead, tolerance time.Duration
}

// gateway checks that both hosts answer.
func (c *checker) gateway(ctx context.Context) []Finding {
	return []Finding{
		c.host(ctx, "gateway", cmp.Or(c.cfg.GatewayURL, athmovil.DefaultBaseURL), "COBRO_GATEWAY_URL"),
		c.host(ctx, "gateway_reports", cmp.Or(c.cfg.GatewayReportURL, athmovil.DefaultReportBaseURL), "COBRO_GATEWAY_REPORT_URL"),
	}
}

func (c *checker) host(ctx context.Context, check, address, setting string) Finding {
	f := Finding{Check: check}
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	got, err := c.call(ctx, http.MethodGet, address+"/", "")
	address = settings.WithoutCredentials(address)
	if err != nil {
		f.Status, f.Saw, f.Do = Failed, address+" does not answer: "+err.Error(), unreachable(err, setting)
		return f
	}
	f.Status, f.Saw = OK, fmt.Sprintf("%s answers", address)
	if state := got.tls; state != nil && len(state.PeerCertificates) > 0 {
		expires := state.PeerCertificates[0].NotAfter
		f.Saw += fmt.Sprintf(" over %s, with a certificate valid until %s", tls.VersionName(state.Version), expires.Format(time.DateOnly))
		if expires.Sub(c.cfg.Now()) < expiryWarning {
			f.Status, f.Do = Warning, "nothing on your side, but expect calls to fail from that day"
		}
	}
	if got.status == http.StatusForbidden {
		f.Status = Warning
		f.Saw += ", but rejects this machine (403)"
		f.Do = "ask Evertec whether it blocks your address: it blocks some addresses outside Puerto Rico (docs/athmovil.md §1.0)"
	}
	return f
}

// unreachable says what to do when a host does not answer.
func unreachable(err error, setting string) string {
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &authority), errors.As(err, &certificate):
		return "fix this machine's clock or its CA certificates; behind a proxy that intercepts TLS, trust the proxy's CA"
	case errors.As(err, &name):
		return "fix the host name in " + setting + ", or this machine's DNS"
	default:
		return "let this machine reach it (firewall, proxy), or fix " + setting
	}
}

// answer is the part of a response that the checks use.
type answer struct {
	status int
	tls    *tls.ConnectionState
}

// call sends a request and records the skew from the response's Date header.
func (c *checker) call(ctx context.Context, method, address, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, errors.New("it is not a valid URL") // the original error could quote the secret
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "cobro-doctor/1")
	began := c.cfg.Now()
	response, err := c.cfg.HTTPClient.Do(request)
	took := c.cfg.Now().Sub(began)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the URL, which may contain the secret
		}
		return answer{}, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) // only the status and headers matter
	_ = response.Body.Close()                                        // likewise
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		// The Date header is truncated to the second, and was written at some
		// moment during the call.
		middle := began.Add(took / 2)
		c.mu.Lock()
		c.skews = append(c.skews, skew{request.URL.Host, date.Add(500 * time.Millisecond).Sub(middle), took/2 + 500*time.Millisecond})
		c.mu.Unlock()
	}
	return answer{response.StatusCode, response.TLS}, nil
}

// clock compares this machine's clock with the clocks of the servers that answered.
func (c *checker) clock() Finding {
	f := Finding{Check: "clock"}
	if len(c.skews) == 0 {
		f.Status, f.Saw, f.Do = Skipped, "no server sent its time", "fix the problems above"
		return f
	}
	f.Status, f.Saw = OK, "this machine's clock is within 2 s of every server's"
	for _, s := range c.skews {
		if s.ahead.Abs()-s.tolerance > maxSkew {
			f.Status = Warning
			f.Saw = fmt.Sprintf("this machine's clock differs from that of %s by about %s", s.host, s.ahead.Abs().Round(time.Second))
			f.Do = "sync it with a time server (timedatectl set-ntp true): deadlines and reports depend on it"
			return f
		}
	}
	return f
}

// Ids that no ticket and no sale can have.
const (
	unknownTicket = "00000000-0000-1000-8000-000000000000"
	unknownSale   = "000000-cobrodoctor"
)

// tokens asks ATH Móvil for a ticket and a sale that cannot exist. The answer to
// the search tells which of the two tokens is wrong (docs/athmovil.md §1.10).
func (c *checker) tokens(ctx context.Context) []Finding {
	f := Finding{Check: "tokens"}
	client, err := athmovil.New(athmovil.Config{
		PublicToken: c.cfg.PublicToken, PrivateToken: c.cfg.PrivateToken, BaseURL: c.cfg.GatewayURL, ReportBaseURL: c.cfg.GatewayReportURL,
		Timeout: c.cfg.Timeout, Now: c.cfg.Now,
	})
	if err != nil {
		f.Status, f.Saw, f.Do = Skipped, "a token is missing or malformed", "fix the problems above"
		return []Finding{f}
	}
	defer client.CloseIdleConnections()
	const copyAgain = "copy both again from the ATH Business app: Settings, Development, API Keys"
	_, findErr := client.Find(ctx, unknownTicket)
	_, searchErr := client.Search(ctx, athmovil.SearchRequest{ReferenceNumber: unknownSale})
	public := isUnknownTicket(findErr)
	switch {
	case errors.Is(searchErr, athmovil.ErrAuthentication), errors.Is(findErr, athmovil.ErrAuthentication):
		f.Status, f.Do = Failed, copyAgain
		f.Saw = errorOf(cmp.Or(searchErr, findErr))
		if !errors.Is(searchErr, athmovil.ErrAuthentication) {
			f.Saw = errorOf(findErr)
		}
	case searchErr == nil && public:
		f.Status, f.Saw = OK, "ATH Móvil takes both"
	case searchErr == nil:
		f.Status, f.Saw, f.Do = Warning, "the report host accepts both, but the payment host answers: "+errorOf(findErr), "try again; the business of the public token may be inactive"
	case public:
		f.Status, f.Saw, f.Do = Warning, "the payment host accepts the public token, but the report host does not answer: "+errorOf(searchErr), "try again: the private token was not checked"
	default:
		f.Status, f.Saw, f.Do = Failed, errorOf(cmp.Or(findErr, searchErr)), "fix the connection to the gateway first"
	}
	return []Finding{f}
}

// isUnknownTicket reports whether the gateway answered that there is no such
// ticket, which means that it accepted the public token.
func isUnknownTicket(err error) bool {
	var failed *athmovil.Error
	return errors.As(err, &failed) && failed.Code == athmovil.CodeTicketNotFound
}

func errorOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// simulated is the test event of the ATH Business app, marked as ours. Never change
// it: the store keeps an event once only if it is always the same.
const simulated = `{"transactionType":"simulated","status":"completed","date":"2026-01-01 00:00:00","referenceNumber":"000000-00000000abcd",` +
	`"dailyTransactionID":"0001","name":"cobro doctor","phoneNumber":"7871234567","email":"doctor@cobro.invalid","message":"cobro doctor",` +
	`"total":"3.00","tax":"1.00","subtotal":"2.00","fee":"0.06","netAmount":"0.94","totalRefundedAmount":"0.00","metadata1":"","metadata2":"","items":[]}`

// WebhookURL returns the address that ATH Móvil posts to. It contains the secret.
func WebhookURL(publicURL string, secret private.Token) private.Token {
	return private.NewToken(strings.TrimRight(publicURL, "/") + webhookPath + secret.Reveal())
}

const webhookPath = "/webhooks/athmovil/"

// webhook sends the test event to our own public address, as ATH Móvil would.
func (c *checker) webhook(ctx context.Context) []Finding {
	f := Finding{Check: "webhook"}
	if c.cfg.PublicURL == "" || c.cfg.WebhookSecret.IsZero() {
		f.Status, f.Saw = Skipped, "the address that ATH Móvil posts to is unknown"
		f.Do = "set COBRO_PUBLIC_URL to the public address of cobro api, and COBRO_WEBHOOK_SECRET"
		return []Finding{f}
	}
	shown := strings.TrimRight(settings.WithoutCredentials(c.cfg.PublicURL), "/") + webhookPath + "…"
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	got, err := c.call(ctx, http.MethodPost, WebhookURL(c.cfg.PublicURL, c.cfg.WebhookSecret).Reveal(), simulated)
	if err != nil {
		f.Status, f.Saw, f.Do = Failed, shown+" does not answer: "+err.Error(), unreachable(err, "COBRO_PUBLIC_URL")
		return []Finding{f}
	}
	switch got.status {
	case http.StatusOK:
		f.Status, f.Saw = OK, shown+" takes events"
		if strings.HasPrefix(c.cfg.PublicURL, "http://") {
			f.Status, f.Do = Warning, "put TLS in front of cobro api and set the https address: ATH Móvil accepts no other"
		}
	case http.StatusNotFound:
		f.Status, f.Saw = Failed, shown+" knows no such address (404)"
		f.Do = "give cobro api the same COBRO_WEBHOOK_SECRET as this command, and let the proxy in front of it forward /webhooks/"
	case http.StatusTooManyRequests:
		f.Status, f.Saw, f.Do = Failed, shown+" received too many wrong secrets from here (429)", "fix COBRO_WEBHOOK_SECRET and wait a minute"
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		f.Status, f.Saw = Failed, fmt.Sprintf("%s answers %d", shown, got.status)
		f.Do = "start cobro api, and check its log for database errors"
	default:
		f.Status, f.Saw = Failed, fmt.Sprintf("%s answers %d, which is not cobro api", shown, got.status)
		f.Do = "let the proxy in front of cobro api forward POST /webhooks/ without a redirect or a login"
	}
	return []Finding{f}
}
