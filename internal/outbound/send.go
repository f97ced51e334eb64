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
	// MaxRetryAfter is the longest pause that an endpoint may ask for.
	MaxRetryAfter = time.Hour
	// MaxUnderWay is how many notifications one endpoint is sent at once. More
	// would let an endpoint that hangs take the slots of all others.
	MaxUnderWay = 100
	// A notification that found no room waits from busyFirst on, twice as long
	// each time up to busyMost: waiting is cheap, and asking again is not.
	busyFirst, busyMost = 5 * time.Second, 5 * time.Minute

	userAgent  = "Cobro/1"
	readAnswer = 4 << 10 // bytes read of an answer's body, so that its connection can be used again
	keepAnswer = 1 << 10 // bytes kept of it
)

// Answer is what an endpoint answered.
type Answer struct {
	Status   int           // zero where there was no answer
	Body     private.Text  // its beginning, at most 1 KiB; it may say anything
	Duration time.Duration // from the beginning of the attempt
}

// LogValue implements [slog.LogValuer] with what may be read by everybody. A
// log in JSON would show the body otherwise.
func (a Answer) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("status", a.Status), slog.Duration("duration", a.Duration))
}

// Error says why a notification was not delivered, in words for people and
// without personal data or secrets.
type Error struct {
	Endpoint string
	Status   int // zero where there was no answer
	// Permanent is true where no further attempt is wanted: the endpoint
	// answered 410 Gone. Every other answer but 2xx is tried again, since a 404
	// or a 401 is most often a deploy that went wrong.
	Permanent bool
	// RetryAfter is how long the endpoint asked to be left alone, at most
	// MaxRetryAfter. Zero where it did not ask.
	RetryAfter time.Duration
	// Busy is true where nothing was sent, because MaxUnderWay notifications are
	// under way to the endpoint.
	Busy bool

	text  string
	cause error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("endpoint %q %s", e.Endpoint, e.text) }

// Unwrap returns what was found out about the network: [ErrPrivate],
// [context.DeadlineExceeded] and the like; nil where the endpoint answered.
func (e *Error) Unwrap() error { return e.cause }

// Pause is how long the next attempt waits after this one, which was the n-th,
// from 1. Zero means that the endpoint did not say, and the receiver's ways of
// trying again decide.
func (e *Error) Pause(n int) time.Duration {
	if !e.Busy {
		return e.RetryAfter
	}
	pause := busyFirst
	for ; n > 1 && pause < busyMost; n-- {
		pause *= 2
	}
	return min(pause, busyMost)
}

// Options are what a Sender can do without.
type Options struct {
	// Resolver looks names up; nil means the system's.
	Resolver *net.Resolver
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Wrap goes round each transport, to trace for example. It must not repeat
	// requests. Nil means nothing.
	Wrap func(http.RoundTripper) http.RoundTripper

	roots   *x509.CertPool // nil means the system's
	allowed []netip.Prefix // addresses that count as public
}

// Sender sends notifications. It is safe for concurrent use.
type Sender struct {
	guarded, open *http.Client // to public addresses only, and to any
	now           func() time.Time

	mu       sync.Mutex
	underWay map[string]int // notifications by endpoint; guarded by mu
}

// NewSender returns a Sender. It opens nothing until it is used.
func NewSender(o Options) *Sender {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sender{now: o.Now, underWay: map[string]int{}}
	// net/http goes on with a dial whose attempt is over; the attempt's own
	// bound is its endpoint's.
	dialer := net.Dialer{Timeout: MaxTimeout, KeepAlive: 30 * time.Second, Resolver: o.Resolver}
	s.open = newClient(dialer, o.roots)
	dialer.Control = newGuard(o.allowed...).control
	s.guarded = newClient(dialer, o.roots)
	if o.Wrap != nil {
		s.open.Transport, s.guarded.Transport = o.Wrap(s.open.Transport), o.Wrap(s.guarded.Transport)
	}
	return s
}

// newClient returns a client whose connections all come from dialer.
func newClient(dialer net.Dialer, roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // the guard would look at the proxy's address instead of the endpoint's
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second}, // a dead connection would fail every attempt until the kernel gives it up
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    MaxTimeout,
			MaxIdleConnsPerHost:    8,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true, // a few bytes could unpack to very many
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// No Timeout: each attempt has its endpoint's, by its context.
	}
}

// Close closes the connections that nobody uses.
func (s *Sender) Close() {
	s.guarded.CloseIdleConnections()
	s.open.CloseIdleConnections()
}

// Send makes one attempt. It returns nil where the endpoint answered 2xx, else
// an [*Error]; the Answer is what is known of the answer in both cases.
func (s *Sender) Send(ctx context.Context, e Endpoint, n payment.Notification) (Answer, error) {
	leave, ok := s.enter(e.Name)
	if !ok {
		return Answer{}, &Error{
			Endpoint: e.Name, Busy: true,
			text: fmt.Sprintf("has %d notifications under way, and this one waits", MaxUnderWay),
		}
	}
	defer leave()
	began := s.now()
	bounded, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	request, err := s.request(bounded, e, n)
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
	// The status decides; a body that breaks off changes nothing.
	body, _ := io.ReadAll(io.LimitReader(response.Body, readAnswer))
	answer := Answer{Status: response.StatusCode, Body: readable(body), Duration: s.now().Sub(began)}
	return answer, s.judge(e, response)
}

// enter takes one of the endpoint's places, where one is free.
func (s *Sender) enter(name string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underWay[name] >= MaxUnderWay {
		return nil, false
	}
	s.underWay[name]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.underWay[name]--; s.underWay[name] == 0 {
			delete(s.underWay, name)
		}
	}, true
}

// request makes the signed request. Each attempt is signed anew, since
// receivers refuse an old timestamp.
func (s *Sender) request(ctx context.Context, e Endpoint, n payment.Notification) (*http.Request, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("its url cannot be read")
	}
	at := s.now()
	signatures := make([]string, len(e.Secrets))
	for i, secret := range e.Secrets {
		webhook, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil {
			return nil, errors.New("one of its secrets cannot be read")
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

// judge says what an answer means.
func (s *Sender) judge(e Endpoint, response *http.Response) error {
	status := response.StatusCode
	if status >= 200 && status < 300 {
		return nil
	}
	failure := &Error{Endpoint: e.Name, Status: status, text: fmt.Sprintf("answered %d", status)}
	switch {
	case status >= 300 && status < 400:
		failure.text += ": redirects are not followed; its url must be the final one"
	case status == http.StatusGone:
		failure.Permanent = true
		failure.text += " Gone, so this notification is not sent again"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		failure.text += ": it may verify with another secret than those in the endpoints file"
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		if failure.RetryAfter = s.retryAfter(response.Header); failure.RetryAfter > 0 {
			failure.text += fmt.Sprintf(" and asks to be left alone for %s", failure.RetryAfter)
		}
	}
	return failure
}

// retryAfter reads the header in its two forms, seconds and a date. Zero means
// that there is none that can be read, or that it names no time to come.
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
	return max(0, min(at.Sub(s.now()).Round(time.Second), MaxRetryAfter))
}

// unreachable says why there was no answer. It never repeats the URL, as errors
// of net/http do, nor bytes that were answered.
func unreachable(ctx context.Context, e Endpoint, err error) error {
	failure := &Error{Endpoint: e.Name}
	var (
		refused     privateAddress
		network     *net.OpError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case ctx.Err() != nil:
		failure.text, failure.cause = "was not waited for: the worker stops", ctx.Err()
	case errors.As(err, &refused):
		failure.text, failure.cause = "cannot be sent to: "+refused.Error(), refused
	case errors.Is(err, context.DeadlineExceeded):
		failure.cause = context.DeadlineExceeded
		failure.text = fmt.Sprintf("did not answer within %s: it should answer first and work later, or have a longer timeout (at most %s)", e.Timeout, MaxTimeout)
	case errors.As(err, &certificate):
		failure.text, failure.cause = "has no certificate that can be trusted: "+certificate.Err.Error(), certificate
	case errors.As(err, &network):
		failure.text, failure.cause = "cannot be reached: "+network.Error(), network
	default:
		failure.text = "gave no answer that is HTTP"
		if u, parseErr := url.Parse(e.URL.Reveal()); parseErr == nil && u.Scheme == "https" {
			failure.text += " over TLS 1.2 or later"
		}
	}
	return failure
}

// readable is the beginning of a body as text that a terminal can show.
func readable(body []byte) private.Text {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(body), "\uFFFD"))
	if len(text) > keepAnswer {
		cut := keepAnswer
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return private.Text(text)
}
