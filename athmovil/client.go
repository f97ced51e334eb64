package athmovil

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/cobropay/cobro/private"
)

// The production hosts (docs/athmovil.md §1.0).
const (
	DefaultBaseURL       = "https://payments.athmovil.com"
	DefaultReportBaseURL = "https://www.athmovil.com"
)

// DefaultTimeout bounds each call unless [Config].Timeout is set.
const DefaultTimeout = 30 * time.Second

// Config configures a [Client]. Printed or logged, it shows neither token.
type Config struct {
	// Required fields

	// PublicToken identifies the business. Required. It is in the settings of
	// the ATH Business app.
	PublicToken string
	// PrivateToken is the business's secret, from the same settings. Required.
	PrivateToken private.Token

	// Optional fields

	// BaseURL is the host for payments, [DefaultBaseURL] by default. It may be
	// a simulator, such as http://127.0.0.1:8090.
	BaseURL string
	// ReportBaseURL is the host for reports, searches and webhook
	// subscriptions, [DefaultReportBaseURL] by default.
	ReportBaseURL string
	// HTTPClient makes the calls. Nil means the Client's own, which reuses
	// connections and knows exactly whether a call was sent. With a Transport
	// of your own, a call counts as sent once it has a connection. That
	// Transport must not retry calls. Redirects are never followed.
	HTTPClient *http.Client
	// Timeout bounds each call, [DefaultTimeout] by default. It starts when
	// the wait for CallsPerSecond is over. Only the context bounds that wait.
	Timeout time.Duration
	// CallsPerSecond spaces the Client's calls evenly. 0 means no limit. Of the
	// calls that wait, those that move money go first and reads go last.
	CallsPerSecond rate.Limit
	// Observe is called after each call, in the caller's goroutine. It does not
	// see requests that fail validation. Nil means no hook.
	Observe func(context.Context, Call)
	// Now is the clock for [Call.Duration] and [Call.Waited]. Nil means
	// time.Now.
	Now func() time.Time
}

// Format implements [fmt.Formatter]. It prints only the URLs.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.describe("Config")) }

// LogValue implements [slog.LogValuer]. It shows only the URLs.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.describe("Config")) }

func (c Config) describe(name string) string {
	return fmt.Sprintf("athmovil.%s{BaseURL: %q, ReportBaseURL: %q}", name, c.BaseURL, c.ReportBaseURL)
}

// Call describes a finished call to an Observe hook. It holds enough to measure
// the call, and neither tokens nor personal data.
type Call struct {
	Op         Op
	Kind       Kind          // empty for a success
	Code       string        // the gateway's error code, if any
	HTTPStatus int           // 0 if there was no response
	Waited     time.Duration // for CallsPerSecond
	Duration   time.Duration // Waited included
}

// Client calls the gateway. It never retries a call. It is safe for concurrent
// use. Use one Client in each process, because CallsPerSecond is its own.
type Client struct {
	config   Config
	http     *http.Client
	standard bool // the transport is net/http's, which calls the httptrace hooks
	limiter  *limiter
}

// New returns a Client. Its error lists every problem with the configuration,
// one on each line.
func New(config Config) (*Client, error) {
	problems := []error{
		checkToken("public token", config.PublicToken),
		checkToken("private token", config.PrivateToken.Reveal()),
		setURL("base URL", &config.BaseURL, DefaultBaseURL),
		setURL("report base URL", &config.ReportBaseURL, DefaultReportBaseURL),
	}
	if config.Timeout < 0 {
		problems = append(problems, errors.New("timeout is negative: leave it out for 30 seconds"))
	}
	if !(config.CallsPerSecond >= 0) { // NaN too
		problems = append(problems, errors.New("calls per second is negative: use 0 for no limit"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("athmovil: configuration:\n%w", err)
	}
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	c := &Client{config: config, http: &http.Client{}, limiter: newLimiter(config.CallsPerSecond)}
	if config.HTTPClient != nil {
		*c.http = *config.HTTPClient
	}
	if c.http.Transport == nil {
		c.http.Transport = newTransport(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	_, c.standard = c.http.Transport.(*http.Transport)
	// A followed redirect would send tokens to wherever it points.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// checkToken refuses a token that cannot be sent in a header, such as one pasted
// with a line break.
func checkToken(name, token string) error {
	switch {
	case token == "":
		return fmt.Errorf("%s is required", name)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%s contains a space or a character that no token has", name)
	default:
		return nil
	}
}

// setURL fills an empty address with fallback and checks the result.
func setURL(name string, address *string, fallback string) error {
	*address = cmp.Or(*address, fallback)
	*address = strings.TrimRight(*address, "/")
	u, err := url.Parse(*address)
	// The URL may contain credentials, so the error does not quote it.
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s is not a URL such as %s", name, fallback)
	}
	return nil
}

// CloseIdleConnections closes the connections that no call is using. The Client
// can still be used.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Format implements [fmt.Formatter]. It prints only the URLs.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.config.describe("Client")) }

// LogValue implements [slog.LogValuer]. It shows only the URLs.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.config.describe("Client")) }

const ecommercePath = "/api/business-transaction/ecommerce"

// request describes one call before it is sent.
type request struct {
	op     Op
	method string
	url    string
	bearer private.Token // no Authorization header if zero
	body   any           // marshaled to JSON by newHTTPRequest
	// read parses the body of a success. Its error means that the response
	// cannot be used.
	read func(body []byte) error
}

// do makes a call, then reports it to Observe. Its error is always an *Error.
func (c *Client) do(ctx context.Context, r request) error {
	call := Call{Op: r.op}
	started := c.config.Now()
	failed := c.attempt(ctx, r, &call)
	call.Duration = c.config.Now().Sub(started)
	if failed != nil {
		call.Kind, call.Code = failed.Kind, failed.Code
		failed.Op, failed.HTTPStatus = r.op, call.HTTPStatus
	}
	if c.config.Observe != nil {
		c.config.Observe(ctx, call)
	}
	if failed != nil {
		return failed
	}
	return nil
}

// attempt waits for the limiter and sends the call once. It fills in what call
// does not know yet.
func (c *Client) attempt(ctx context.Context, r request, call *Call) *Error {
	started := c.config.Now()
	err := c.limiter.wait(ctx, r.op.class())
	call.Waited = c.config.Now().Sub(started)
	if err != nil {
		return &Error{Kind: KindUnavailable, Err: err}
	}

	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	sent := sendTrace{standard: c.standard}
	httpRequest, err := newHTTPRequest(sent.attach(ctx), r)
	if err != nil {
		return &Error{Kind: KindInvalid, Err: err}
	}
	response, err := c.http.Do(httpRequest)
	if err != nil {
		kind := r.op.lost()
		if sent.neverSent() {
			kind = KindUnavailable
		}
		return &Error{Kind: kind, Err: transportError(err)}
	}
	defer func() { _ = response.Body.Close() }() // the body has been read by then
	call.HTTPStatus = response.StatusCode
	body, err := readBody(response.Body, r.op)
	if err != nil {
		return &Error{Kind: r.op.lost(), Err: fmt.Errorf("reading the response: %w", err)}
	}
	return classify(r, response.StatusCode, body)
}

func newHTTPRequest(ctx context.Context, r request) (*http.Request, error) {
	body, err := json.Marshal(r.body)
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, r.method, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "cobro-athmovil/1")
	if !r.bearer.IsZero() {
		request.Header.Set("Authorization", "Bearer "+r.bearer.Reveal())
	}
	return request, nil
}

var (
	errNotHTTP = errors.New("the response is not HTTP")
	errNotTLS  = errors.New("the response is not TLS")
)

// transportError reduces an error of net/http to a cause that is known to quote
// nothing. Other causes repeat bytes of the response, which may be personal
// data. The method and the URL are dropped too, as [Error.Op] says the same.
func transportError(err error) error {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		network     *net.OpError
	)
	switch {
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return errNotTLS
	case errors.As(err, &network):
		return network
	}
	for _, known := range []error{errSealed, context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errNotHTTP
}

// Limits on the size of a response in bytes, far above anything documented.
const (
	maxResponse = 1 << 20
	maxReport   = 64 << 20
)

func readBody(body io.Reader, op Op) ([]byte, error) {
	limit := int64(maxResponse)
	if op == OpTransactionReport || op == OpSearch {
		limit = maxReport
	}
	read, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, transportError(err)
	}
	if int64(len(read)) > limit {
		return nil, fmt.Errorf("longer than %d bytes", limit)
	}
	return read, nil
}
