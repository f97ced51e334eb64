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
	// soon is when a certificate that runs out is worth a word.
	soon = 14 * 24 * time.Hour
	// maxSkew is how wrong this machine's clock may be.
	maxSkew = 2 * time.Second
)

// skew is how much a server's clock is ahead of ours, and how wrong that may be.
type skew struct {
	host         string
	ahead, doubt time.Duration
}

// gateway asks both hosts for anything at all.
func (e *examination) gateway(ctx context.Context) []Finding {
	return []Finding{
		e.host(ctx, "gateway", cmp.Or(e.cfg.GatewayURL, athmovil.DefaultBaseURL), "COBRO_GATEWAY_URL"),
		e.host(ctx, "gateway_reports", cmp.Or(e.cfg.GatewayReportURL, athmovil.DefaultReportBaseURL), "COBRO_GATEWAY_REPORT_URL"),
	}
}

func (e *examination) host(ctx context.Context, check, address, setting string) Finding {
	f := Finding{Check: check}
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	got, err := e.call(ctx, http.MethodGet, address+"/", "")
	address = settings.WithoutCredentials(address)
	if err != nil {
		f.Status, f.Saw, f.Do = Failed, address+" does not answer: "+err.Error(), unreachable(err, setting)
		return f
	}
	f.Status, f.Saw = OK, fmt.Sprintf("%s answers", address)
	if state := got.tls; state != nil && len(state.PeerCertificates) > 0 {
		end := state.PeerCertificates[0].NotAfter
		f.Saw += fmt.Sprintf(" by %s, with a certificate until %s", tls.VersionName(state.Version), end.Format(time.DateOnly))
		if end.Sub(e.cfg.Now()) < soon {
			f.Status, f.Do = Warning, "nothing on this side, but expect that calls begin to fail on that day"
		}
	}
	if got.status == http.StatusForbidden {
		f.Status = Warning
		f.Saw += ", and refuses this machine (403)"
		f.Do = "ask Evertec whether your address is blocked: its front end keeps out some outside Puerto Rico (docs/athmovil.md §1.0)"
	}
	return f
}

// unreachable says what to do about a call without an answer.
func unreachable(err error, setting string) string {
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &authority), errors.As(err, &certificate):
		return "mend this machine's clock and its CA certificates; behind a proxy that opens TLS, trust the proxy's"
	case errors.As(err, &name):
		return "mend the name in " + setting + ", or this machine's DNS"
	default:
		return "let this machine reach it (firewall, proxy), or mend " + setting
	}
}

// answer is the head of a server's answer.
type answer struct {
	status int
	tls    *tls.ConnectionState
}

// call sends a request and keeps the time that the answer carries.
func (e *examination) call(ctx context.Context, method, address, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, errors.New("it is no address") // the text could hold the secret
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "cobro-doctor/1")
	began := e.cfg.Now()
	response, err := e.cfg.HTTPClient.Do(request)
	took := e.cfg.Now().Sub(began)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the address, which may hold the secret
		}
		return answer{}, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) // only the head counts
	_ = response.Body.Close()                                        // likewise
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		// The date is cut to the second, and was written some time in between.
		middle := began.Add(took / 2)
		e.mu.Lock()
		e.skews = append(e.skews, skew{request.URL.Host, date.Add(500 * time.Millisecond).Sub(middle), took/2 + 500*time.Millisecond})
		e.mu.Unlock()
	}
	return answer{response.StatusCode, response.TLS}, nil
}

// clock compares this machine's clock with those of the servers that answered.
func (e *examination) clock() Finding {
	f := Finding{Check: "clock"}
	if len(e.skews) == 0 {
		f.Status, f.Saw, f.Do = Skipped, "no server told its time", "mend what stands above"
		return f
	}
	f.Status, f.Saw = OK, "this machine's clock agrees with every server's within 2 s"
	for _, s := range e.skews {
		if s.ahead.Abs()-s.doubt > maxSkew {
			f.Status = Warning
			f.Saw = fmt.Sprintf("this machine's clock differs from that of %s by about %s", s.host, s.ahead.Abs().Round(time.Second))
			f.Do = "let it follow a time server (timedatectl set-ntp true): deadlines and reports depend on it"
			return f
		}
	}
	return f
}

// Ids that no ticket and no sale has.
const (
	nobodysTicket = "00000000-0000-1000-8000-000000000000"
	nobodysSale   = "000000-cobrodoctor"
)

// tokens asks the gateway for a ticket and a sale that cannot exist. The search
// tells the tokens apart (docs/athmovil.md §1.10).
func (e *examination) tokens(ctx context.Context) []Finding {
	f := Finding{Check: "tokens"}
	client, err := athmovil.New(athmovil.Config{
		PublicToken: e.cfg.PublicToken, PrivateToken: e.cfg.PrivateToken, BaseURL: e.cfg.GatewayURL, ReportBaseURL: e.cfg.GatewayReportURL,
		Timeout: e.cfg.Timeout, Now: e.cfg.Now,
	})
	if err != nil {
		f.Status, f.Saw, f.Do = Skipped, "a token is missing or malformed", "mend what stands above"
		return []Finding{f}
	}
	defer client.CloseIdleConnections()
	const copyAgain = "copy both again from the ATH Business app: Settings, Development, API Keys"
	_, findErr := client.Find(ctx, nobodysTicket)
	_, searchErr := client.Search(ctx, athmovil.SearchRequest{ReferenceNumber: nobodysSale})
	public := known(findErr)
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
		f.Status, f.Saw, f.Do = Warning, "reports take both, and payments answer: "+errorOf(findErr), "try again; the public token may be that of an inactive business"
	case public:
		f.Status, f.Saw, f.Do = Warning, "payments take the public token, and reports do not answer: "+errorOf(searchErr), "try again: the private token could not be tried"
	default:
		f.Status, f.Saw, f.Do = Failed, errorOf(cmp.Or(findErr, searchErr)), "mend the way to the gateway first"
	}
	return []Finding{f}
}

// known reports whether the gateway knew the public token: it says that there is
// no such ticket.
func known(err error) bool {
	var failed *athmovil.Error
	return errors.As(err, &failed) && failed.Code == athmovil.CodeTicketNotFound
}

func errorOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// simulated is the event of the test button of the ATH Business app, marked as
// ours. It never changes, so that it is kept once.
const simulated = `{"transactionType":"simulated","status":"completed","date":"2026-01-01 00:00:00","referenceNumber":"000000-00000000abcd",` +
	`"dailyTransactionID":"0001","name":"cobro doctor","phoneNumber":"7871234567","email":"doctor@cobro.invalid","message":"cobro doctor",` +
	`"total":"3.00","tax":"1.00","subtotal":"2.00","fee":"0.06","netAmount":"0.94","totalRefundedAmount":"0.00","metadata1":"","metadata2":"","items":[]}`

// WebhookURL is the address that ATH Móvil posts to. It is a secret as a whole.
func WebhookURL(publicURL string, secret private.Token) private.Token {
	return private.NewToken(strings.TrimRight(publicURL, "/") + webhookPath + secret.Reveal())
}

const webhookPath = "/webhooks/athmovil/"

// webhook sends the test event to our own public address, as ATH Móvil would.
func (e *examination) webhook(ctx context.Context) []Finding {
	f := Finding{Check: "webhook"}
	if e.cfg.PublicURL == "" || e.cfg.WebhookSecret.IsZero() {
		f.Status, f.Saw = Skipped, "it is not known where ATH Móvil posts to"
		f.Do = "set COBRO_PUBLIC_URL to the address by which the internet reaches cobro api, and COBRO_WEBHOOK_SECRET"
		return []Finding{f}
	}
	shown := strings.TrimRight(settings.WithoutCredentials(e.cfg.PublicURL), "/") + webhookPath + "…"
	ctx, cancel := e.bounded(ctx)
	defer cancel()
	got, err := e.call(ctx, http.MethodPost, WebhookURL(e.cfg.PublicURL, e.cfg.WebhookSecret).Reveal(), simulated)
	if err != nil {
		f.Status, f.Saw, f.Do = Failed, shown+" does not answer: "+err.Error(), unreachable(err, "COBRO_PUBLIC_URL")
		return []Finding{f}
	}
	switch got.status {
	case http.StatusOK:
		f.Status, f.Saw = OK, shown+" takes events"
		if strings.HasPrefix(e.cfg.PublicURL, "http://") {
			f.Status, f.Do = Warning, "put TLS in front of cobro api and name the https address: ATH Móvil takes no other"
		}
	case http.StatusNotFound:
		f.Status, f.Saw = Failed, shown+" knows no such address (404)"
		f.Do = "let cobro api have the same COBRO_WEBHOOK_SECRET as this command, and the proxy in front of it pass /webhooks/ on"
	case http.StatusTooManyRequests:
		f.Status, f.Saw, f.Do = Failed, shown+" has seen too many wrong secrets from here (429)", "mend COBRO_WEBHOOK_SECRET and wait a minute"
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		f.Status, f.Saw = Failed, fmt.Sprintf("%s answers %d", shown, got.status)
		f.Do = "start cobro api, and see what its log says of the database"
	default:
		f.Status, f.Saw = Failed, fmt.Sprintf("%s answers %d, which is not cobro api", shown, got.status)
		f.Do = "let what stands in front of cobro api pass POST /webhooks/ on without a redirect or a login"
	}
	return []Finding{f}
}
