package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

const (
	// MaxRetryAfter is the longest delay that an endpoint may ask for.
	MaxRetryAfter = 24 * time.Hour
	// MaxInFlight is how many notifications may be in flight to one endpoint. With
	// no limit, an endpoint that hangs would take the slots of all others.
	MaxInFlight = 100
	// A notification over the limit waits busyFirst, then twice as long each time,
	// up to busyMost: waiting costs little, another attempt costs more.
	busyFirst, busyMost = 5 * time.Second, 5 * time.Minute

	userAgent = "Cobro/1"
	readBody  = 4 << 10 // bytes of a response body to read, so that the connection can be reused
	keepBody  = 1 << 10 // bytes of it to keep
)

// Answer is an endpoint's response.
type Answer struct {
	Status   int           // zero if there was no response
	Body     private.Text  // the first 1 KiB; it may contain anything
	Duration time.Duration // since the start of the attempt
}

// LogValue implements [slog.LogValuer] without the body, which a JSON log would
// otherwise show.
func (a Answer) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("status", a.Status), slog.Duration("duration", a.Duration))
}

// Error says why a notification was not delivered. Its text is for people and has
// no personal data or secrets.
type Error struct {
	Endpoint string
	Status   int // zero if there was no response
	// Permanent is true if the endpoint answered 410 Gone: do not try again. Any
	// other response but 2xx is worth a retry, since a 404 or 401 is usually a
	// broken deploy.
	Permanent bool
	// RetryAfter is the delay that the endpoint asked for, at most MaxRetryAfter.
	// Zero if it asked for none.
	RetryAfter time.Duration
	// Busy is true if nothing was sent, because MaxInFlight notifications are in
	// flight to the endpoint.
	Busy bool

	text  string
	cause error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("endpoint %q %s", e.Endpoint, e.text) }

// Unwrap returns the cause, such as [ErrPrivate] or [context.DeadlineExceeded]. It
// is nil if the endpoint answered.
func (e *Error) Unwrap() error { return e.cause }

// RetryDelay returns how long to wait after this attempt, which was number n,
// from 1, where the receiver's retry policy would wait for policy. What the
// endpoint asks for only ever lengthens that: one that asks for a second each
// time would be called 600,000 times in a week. Zero means that the policy
// decides.
func (e *Error) RetryDelay(n int, policy time.Duration) time.Duration {
	if !e.Busy {
		if e.RetryAfter <= policy {
			return 0
		}
		return e.RetryAfter
	}
	delay := busyFirst
	for ; n > 1 && delay < busyMost; n-- {
		delay *= 2
	}
	return min(delay, busyMost)
}

// Options are optional settings of a Sender.
type Options struct {
	// Resolver looks up host names; nil means the system's.
	Resolver *net.Resolver
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wrap wraps each transport, for tracing for example. It must not retry
	// requests. Nil wraps nothing.
	Wrap func(http.RoundTripper) http.RoundTripper

	roots   *x509.CertPool // nil means the system's
	allowed []netip.Prefix // addresses that count as public
}

// Sender sends notifications. It is safe for concurrent use.
type Sender struct {
	guarded, open *http.Client // public addresses only; any address
	now           func() time.Time

	mu       sync.Mutex
	inFlight map[string]int // notifications by endpoint name; guarded by mu
}

// NewSender returns a Sender. It opens no connection until the first Send.
func NewSender(o Options) *Sender {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sender{now: o.Now, inFlight: map[string]int{}}
	// net/http continues a dial after its request has timed out, so the dial needs
	// a limit of its own.
	dialer := net.Dialer{Timeout: MaxTimeout, KeepAlive: 30 * time.Second, Resolver: o.Resolver}
	s.open = newClient(dialer, o.roots)
	dialer.Control = newGuard(o.allowed...).control
	s.guarded = newClient(dialer, o.roots)
	if o.Wrap != nil {
		s.open.Transport, s.guarded.Transport = o.Wrap(s.open.Transport), o.Wrap(s.guarded.Transport)
	}
	return s
}

// newClient returns a client that makes every connection with dialer.
func newClient(dialer net.Dialer, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // the guard would check the proxy's address instead of the endpoint's
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second}, // otherwise a dead connection fails every attempt until the kernel drops it
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    MaxTimeout,
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // a small body could decompress to a huge one
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// No Timeout: the context of each attempt has the endpoint's.
	}
}

// Close closes idle connections.
func (s *Sender) Close() {
	s.guarded.CloseIdleConnections()
	s.open.CloseIdleConnections()
}

// Send makes one attempt. The error is nil if the endpoint answered 2xx, and an
// [*Error] otherwise. The Answer holds what is known of the response either way.
func (s *Sender) Send(ctx context.Context, e Endpoint, n payment.Notification) (Answer, error) {
	release, ok := s.acquire(e.Name)
	if !ok {
		return Answer{}, &Error{
			Endpoint: e.Name, Busy: true,
			text: fmt.Sprintf("has %d notifications in flight, and this one waits", MaxInFlight),
		}
	}
	defer release()
	began := s.now()
	attempt, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	request, err := s.request(attempt, e, n)
	if err != nil {
		return Answer{}, &Error{Endpoint: e.Name, text: "cannot be sent this notification: " + err.Error()}
	}
	client := s.guarded
	if e.AllowPrivate {
		client = s.open
	}
	response, err := client.Do(request)
	if err != nil {
		return Answer{Duration: s.now().Sub(began)}, unreachable(ctx, e, err)
	}
	defer response.Body.Close()
	// The status alone decides. A truncated body does not matter.
	body, _ := io.ReadAll(io.LimitReader(response.Body, readBody))
	answer := Answer{Status: response.StatusCode, Body: readable(body), Duration: s.now().Sub(began)}
	return answer, s.check(e, response)
}

// acquire takes one of the endpoint's slots if one is free.
func (s *Sender) acquire(name string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight[name] >= MaxInFlight {
		return nil, false
	}
	s.inFlight[name]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.inFlight[name]--; s.inFlight[name] == 0 {
			delete(s.inFlight, name)
		}
	}, true
}

// request makes the signed request. Each attempt gets a new signature, because
// receivers reject an old timestamp.
func (s *Sender) request(ctx context.Context, e Endpoint, n payment.Notification) (*http.Request, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("its url is invalid")
	}
	at := s.now()
	signatures := make([]string, len(e.Secrets))
	for i, secret := range e.Secrets {
		webhook, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil {
			return nil, errors.New("one of its secrets is invalid")
		}
		if signatures[i], err = webhook.Sign(n.ID, at, body); err != nil {
			return nil, err
		}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set(standardwebhooks.HeaderWebhookID, n.ID)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return request, nil
}

// check returns an error unless the response is a 2xx.
func (s *Sender) check(e Endpoint, response *http.Response) error {
	status := response.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	failure := &Error{Endpoint: e.Name, Status: status, text: fmt.Sprintf("answered %d", status)}
	switch {
	case status >= 300 && status < 400:
		failure.text += ": redirects are not followed; set its url to the final one"
	case status == http.StatusGone:
		failure.Permanent = true
		failure.text += " Gone, so this notification is not sent again"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		failure.text += ": it may verify with another secret; compare it with the endpoints file"
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		if failure.RetryAfter = s.retryAfter(response.Header); failure.RetryAfter > 0 {
			failure.text += fmt.Sprintf(" and asks for a delay of %s", failure.RetryAfter)
		}
	}
	return failure
}

// retryAfter reads the header in its two forms, seconds and a date. Zero means
// that it is missing or invalid, or that the date has passed. A date is met by
// the endpoint's clock too, where the response has its Date.
func (s *Sender) retryAfter(header http.Header) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(MaxRetryAfter/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return MaxRetryAfter
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	left := at.Sub(s.now())
	if theirs, err := http.ParseTime(header.Get("Date")); err == nil {
		left = max(left, at.Sub(theirs))
	}
	if whole := left.Truncate(time.Second); whole < left {
		left = whole + time.Second // never early
	}
	return max(0, min(left, MaxRetryAfter))
}

// unreachable says why there was no response. Unlike errors of net/http, it quotes
// neither the URL nor bytes of a response.
func unreachable(ctx context.Context, e Endpoint, err error) error {
	failure := &Error{Endpoint: e.Name}
	var (
		refused     privateAddress
		network     *net.OpError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case ctx.Err() != nil:
		failure.text, failure.cause = "did not answer before the worker stopped", ctx.Err()
	case errors.As(err, &refused):
		failure.text, failure.cause = "cannot be sent to: "+refused.Error(), refused
	case errors.Is(err, context.DeadlineExceeded):
		failure.cause = context.DeadlineExceeded
		failure.text = fmt.Sprintf("did not answer within %s: it should answer first and do the work later, or have a longer timeout (at most %s)", e.Timeout, MaxTimeout)
	case errors.As(err, &certificate):
		failure.text, failure.cause = "has an untrusted certificate: "+certificate.Err.Error(), certificate
	case errors.As(err, &network):
		failure.text, failure.cause = "cannot be reached: "+network.Error(), network
	default:
		failure.text = "did not answer with HTTP"
		if u, parseErr := url.Parse(e.URL.Reveal()); parseErr == nil && u.Scheme == "https" {
			failure.text += " over TLS 1.2 or later"
		}
	}
	return failure
}

// readable returns the start of a body as text that is safe for a terminal.
func readable(body []byte) private.Text {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(body), "\uFFFD"))
	if len(text) > keepBody {
		cut := keepBody
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return private.Text(text)
}
