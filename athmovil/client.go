package athmovil

import (
	"bytes"
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

// The hosts of production (docs/athmovil.md §1.0).
const (
	DefaultBaseURL       = "https://payments.athmovil.com"
	DefaultReportBaseURL = "https://www.athmovil.com"
)

// DefaultTimeout bounds a call where [Config] says nothing else.
const DefaultTimeout = 30 * time.Second

// Config is what [New] needs. Printed, it shows neither token.
type Config struct {
	// Required fields

	// PublicToken names the business; it is in the settings of the ATH Business
	// app.
	PublicToken string
	// PrivateToken is the business's secret, from the same place.
	PrivateToken private.Token

	// Optional fields

	// BaseURL is the host of payments, default [DefaultBaseURL]. It may be
	// that of a simulator, such as http://127.0.0.1:8090.
	BaseURL string
	// ReportBaseURL is the host of reports, searches and webhook
	// subscriptions, default [DefaultReportBaseURL].
	ReportBaseURL string
	// HTTPClient makes the calls; nil means one of the Client's own, which
	// keeps connections and tells exactly whether a call was sent. With a
	// Transport of yours a call counts as sent once it was given a connection.
	// The transport must not repeat calls. Redirects are never followed.
	HTTPClient *http.Client
	// Timeout bounds each call from the moment it may leave, default
	// [DefaultTimeout]. The wait for CallsPerSecond is bounded by the
	// context alone.
	Timeout time.Duration
	// CallsPerSecond spaces all calls of the Client evenly; 0 means no limit.
	// Waiting calls that move money leave first, reads last.
	CallsPerSecond rate.Limit
	// Observe is called after each call that was not refused at once as
	// invalid, from the calling goroutine; nil means nobody looks.
	Observe func(context.Context, Call)
	// Now is the clock of [Call.Duration] and [Call.Waited]; nil means
	// time.Now.
	Now func() time.Time
}

// Format implements [fmt.Formatter] and prints the addresses only.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.describe("Config")) }

// LogValue implements [slog.LogValuer].
func (c Config) LogValue() slog.Value { return slog.StringValue(c.describe("Config")) }

func (c Config) describe(name string) string {
	return fmt.Sprintf("athmovil.%s{BaseURL: %q, ReportBaseURL: %q}", name, c.BaseURL, c.ReportBaseURL)
}

// Call is what an Observe hook learns of a call: enough to measure, and
// nothing private.
type Call struct {
	Op         Op
	Kind       Kind   // empty for a success
	Code       string // the gateway's error code, if any
	HTTPStatus int    // 0 where there was no answer
	Waited     time.Duration
	Duration   time.Duration // the wait included
}

// Client calls the gateway. It repeats nothing by itself. It is safe for
// concurrent use; make one for each process, as its calls share a limit.
type Client struct {
	config   Config
	http     *http.Client
	standard bool // the transport is net/http's, which calls our hooks
	limiter  *limiter
}

// New returns a Client, or all that is wrong with the configuration at once.
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
		problems = append(problems, errors.New("calls per second are negative: use 0 for no limit"))
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

// checkToken refuses what could not be sent in a header or was pasted badly.
func checkToken(name, token string) error {
	switch {
	case token == "":
		return fmt.Errorf("%s is required", name)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%s holds a space or a character that no token has", name)
	default:
		return nil
	}
}

func setURL(name string, address *string, otherwise string) error {
	if *address == "" {
		*address = otherwise
	}
	*address = strings.TrimRight(*address, "/")
	u, err := url.Parse(*address)
	// The text may hold credentials, so the error does not repeat it.
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s is not an address like %s", name, otherwise)
	}
	return nil
}

// CloseIdleConnections closes the connections that no call is using. The
// Client stays usable.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Format implements [fmt.Formatter] and prints the addresses only.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.config.describe("Client")) }

// LogValue implements [slog.LogValuer].
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.config.describe("Client")) }

const ecommercePath = "/api/business-transaction/ecommerce"

// request is one call before it is sent.
type request struct {
	op     Op
	method string
	url    string
	bearer private.Token // none where zero
	body   any           // marshalled here, and nowhere else
	// read takes the body of a success; what it refuses was not a usable
	// answer.
	read func(body []byte) error
}

// do makes a call. Its error, if any, is an *Error.
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

func (c *Client) attempt(ctx context.Context, r request, call *Call) *Error {
	started := c.config.Now()
	err := c.limiter.wait(ctx, r.op.class())
	call.Waited = c.config.Now().Sub(started)
	if err != nil {
		return &Error{Kind: KindUnavailable, Err: err}
	}

	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	sent := passage{standard: c.standard}
	httpRequest, err := newHTTPRequest(sent.trace(ctx), r)
	if err != nil {
		return &Error{Kind: KindInvalid, Err: err}
	}
	response, err := c.http.Do(httpRequest)
	if err != nil {
		kind := r.op.lost()
		if sent.surelyNotSent() {
			kind = KindUnavailable
		}
		return &Error{Kind: kind, Err: transportError(err)}
	}
	defer func() { _ = response.Body.Close() }() // what matters was read before
	call.HTTPStatus = response.StatusCode
	body, err := readBody(response.Body, r.op)
	if err != nil {
		return &Error{Kind: r.op.lost(), Err: fmt.Errorf("the answer was cut: %w", err)}
	}
	return judge(r, response.StatusCode, body)
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
	errNotHTTP = errors.New("the answer is not HTTP")
	errNotTLS  = errors.New("the answer is not TLS")
)

// transportError keeps of an error of net/http's what is known to quote nothing:
// others repeat the answer's bytes, which may be anything. The method and the
// address go as well; the operation's name says them better.
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

// Limits on what is read of an answer, far above anything documented.
const (
	maxAnswer = 1 << 20
	maxReport = 64 << 20
)

func readBody(body io.Reader, op Op) ([]byte, error) {
	limit := int64(maxAnswer)
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
