package outbound_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

func TestSendClassifiesResponses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		status     int
		retryAfter string
		want       *outbound.Error // nil: delivered
		says       string
	}{
		{"200", 200, "", nil, ""},
		{"204", 204, "", nil, ""},
		{"299", 299, "", nil, ""},
		{"304", 304, "", &outbound.Error{}, "redirects are not followed"},
		{"400", 400, "", &outbound.Error{}, `endpoint "shop" answered 400`},
		{"401", 401, "", &outbound.Error{}, "another secret"},
		{"403", 403, "", &outbound.Error{}, "another secret"},
		{"404", 404, "", &outbound.Error{}, "answered 404"},
		{"410", 410, "", &outbound.Error{Permanent: true}, "410 Gone"},
		{"429", 429, "", &outbound.Error{}, "answered 429"},
		{"429 with seconds", 429, "120", &outbound.Error{RetryAfter: 2 * time.Minute}, "a delay of 2m0s"},
		{"503 with a date", 503, now.Add(90 * time.Second).Format(http.TimeFormat), &outbound.Error{RetryAfter: 90 * time.Second}, "1m30s"},
		{"503 with a past date", 503, now.Add(-time.Hour).Format(http.TimeFormat), &outbound.Error{}, "answered 503"},
		{"503 with an hour", 503, "3600", &outbound.Error{RetryAfter: time.Hour}, "1h0m0s"},
		{"503 with a day", 503, "86400", &outbound.Error{RetryAfter: 24 * time.Hour}, "24h0m0s"},
		{"503 with a far date", 503, now.AddDate(1, 0, 0).Format(http.TimeFormat), &outbound.Error{RetryAfter: 24 * time.Hour}, "24h0m0s"},
		{"503 with very many seconds", 503, strings.Repeat("9", 40), &outbound.Error{RetryAfter: 24 * time.Hour}, "24h0m0s"},
		{"503 with zero seconds", 503, "0", &outbound.Error{}, "answered 503"},
		{"503 with negative seconds", 503, "-5", &outbound.Error{}, "answered 503"},
		{"503 with nonsense", 503, "soon", &outbound.Error{}, "answered 503"},
		{"500 with seconds, which count for 429 and 503 only", 500, "120", &outbound.Error{}, "answered 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			shop := openShop(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", now.Format(http.TimeFormat))
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
			})
			sender := newSender(t, outbound.Options{Now: func() time.Time { return now }})
			answer, err := sender.Send(t.Context(), shop.endpoint(), example(t, payment.EventCompleted))
			require.Equal(t, tt.status, answer.Status)
			require.Len(t, shop.arrived(), 1)
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			var got *outbound.Error
			require.ErrorAs(t, err, &got)
			require.Equal(t, "shop", got.Endpoint)
			require.Equal(t, tt.status, got.Status)
			require.Equal(t, tt.want.Permanent, got.Permanent)
			require.Equal(t, tt.want.RetryAfter, got.RetryAfter)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

// TestRetryAfterIsNeverMetEarly: a date is met by the endpoint's clock and by
// ours, whichever is later, and not a part of a second before.
func TestRetryAfterIsNeverMetEarly(t *testing.T) {
	t.Parallel()
	due := now.Add(time.Minute)
	for _, tt := range []struct {
		name        string
		ours, their time.Time
		want        time.Duration
	}{
		{"the clocks agree", now, now, time.Minute},
		{"within a second", now.Add(600 * time.Millisecond), now.Add(time.Second), time.Minute},
		{"ours is ahead", now.Add(50 * time.Second), now, time.Minute},
		{"ours is past the date", now.Add(time.Hour), now, time.Minute},
		{"ours is behind", now.Add(-time.Hour), now, time.Hour + time.Minute},
		{"the endpoint says nothing of its clock", now.Add(10 * time.Second), time.Time{}, 50 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			shop := openShop(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Date"] = nil // none of net/http's own
				if !tt.their.IsZero() {
					w.Header().Set("Date", tt.their.Format(http.TimeFormat))
				}
				w.Header().Set("Retry-After", due.Format(http.TimeFormat))
				w.WriteHeader(http.StatusServiceUnavailable)
			})
			sender := newSender(t, outbound.Options{Now: func() time.Time { return tt.ours }})
			_, err := sender.Send(t.Context(), shop.endpoint(), example(t, payment.EventCompleted))
			var got *outbound.Error
			require.ErrorAs(t, err, &got)
			require.Equal(t, tt.want, got.RetryAfter)
		})
	}
}

// TestRetryAfterOnlyLengthensAPause: the retry policy is the least.
func TestRetryAfterOnlyLengthensAPause(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ asked, policy, want time.Duration }{
		{0, time.Minute, 0},
		{time.Second, time.Minute, 0},
		{time.Minute, time.Minute, 0},
		{time.Hour, time.Minute, time.Hour},
		{time.Second, 0, time.Second},
	} {
		failure := &outbound.Error{RetryAfter: tt.asked}
		require.Equal(t, tt.want, failure.RetryDelay(1, tt.policy), "%s where the policy waits %s", tt.asked, tt.policy)
	}
}

func TestAnswerKeepsReadableStartOfBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, sent, kept string }{
		{"none", "", ""},
		{"short", "thank you\n", "thank you\n"},
		{"long", strings.Repeat("a", 3000), strings.Repeat("a", 1024)},
		{"longer than is read", strings.Repeat("b", 1<<20), strings.Repeat("b", 1024)},
		{"limit inside a character", "a" + strings.Repeat("ñ", 1000), "a" + strings.Repeat("ñ", 511)},
		{"not text", "a\xff\xfe\x00b", "a\uFFFD b"},
		{"terminal control codes", "\x1b[2Jgone\r\nand\tback\u009b", " [2Jgone \nand\tback "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			shop := openShop(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusTeapot)
				_, _ = io.WriteString(w, tt.sent) // a long body is not read to the end
			})
			sender := newSender(t, outbound.Options{})
			answer, err := sender.Send(t.Context(), shop.endpoint(), example(t, payment.EventCompleted))
			require.ErrorContains(t, err, "answered 418")
			require.Equal(t, tt.kept, string(answer.Body))
			require.True(t, utf8.ValidString(string(answer.Body)))
		})
	}
}

func TestTruncatedBodyStillCountsAsDelivered(t *testing.T) {
	t.Parallel()
	shop := openShop(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "tha")
	})
	answer, err := newSender(t, outbound.Options{}).Send(t.Context(), shop.endpoint(), example(t, payment.EventCompleted))
	require.NoError(t, err)
	require.Equal(t, private.Text("tha"), answer.Body)
}

// TestLargeBodyIsNotReadToTheEnd: what the server could write beyond the limit is
// in socket buffers.
func TestLargeBodyIsNotReadToTheEnd(t *testing.T) {
	t.Parallel()
	const chunk, chunks = 1 << 20, 64
	written := make(chan int, 1)
	shop := openShop(t, func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		for ; n < chunks; n++ {
			if _, err := w.Write(bytes.Repeat([]byte("x"), chunk)); err != nil {
				break
			}
		}
		written <- n
	})
	answer, err := newSender(t, outbound.Options{}).Send(t.Context(), shop.endpoint(), example(t, payment.EventCompleted))
	require.NoError(t, err)
	require.Len(t, string(answer.Body), 1024)
	require.Less(t, <-written, chunks)
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	callers := map[string]bool{}
	shop := openShop(t, func(_ http.ResponseWriter, r *http.Request) { callers[r.RemoteAddr] = true })
	sender := newSender(t, outbound.Options{})
	for range 5 {
		_, err := sender.Send(t.Context(), shop.endpoint(), example(t, payment.EventCompleted))
		require.NoError(t, err)
	}
	require.Len(t, callers, 1)
}

func TestSendStopsAtTimeoutAndCancellation(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	shop := openShop(t, func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) })
	sender := newSender(t, outbound.Options{})

	t.Run("an endpoint that does not answer", func(t *testing.T) {
		t.Parallel()
		e := shop.endpoint()
		e.Timeout = 50 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a safety net: the endpoint's timeout must end it first
		defer cancel()
		answer, err := sender.Send(ctx, e, example(t, payment.EventCompleted))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `endpoint "shop" did not answer within 50ms`)
		require.Zero(t, answer.Status)
		require.Positive(t, answer.Duration)
		var failure *outbound.Error
		require.ErrorAs(t, err, &failure)
		require.False(t, failure.Permanent)
	})
	t.Run("a worker that is stopping", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := sender.Send(ctx, shop.endpoint(), example(t, payment.EventCompleted))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "the worker stopped")
	})
}

func TestHangingEndpointDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	over, inside := make(chan struct{}), make(chan struct{})
	hanging := openShop(t, func(http.ResponseWriter, *http.Request) { inside <- struct{}{}; <-over })
	lively := openShop(t, nil)
	sender := newSender(t, outbound.Options{})
	n := example(t, payment.EventCompleted)
	ended := make(chan error, outbound.MaxInFlight)
	for range outbound.MaxInFlight {
		go func() { // received below
			_, err := sender.Send(context.WithoutCancel(t.Context()), hanging.endpoint(), n)
			ended <- err
		}()
		<-inside
	}
	_, err := sender.Send(t.Context(), hanging.endpoint(), n)
	var failure *outbound.Error
	require.ErrorAs(t, err, &failure)
	require.True(t, failure.Busy)
	for n, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 6: 160 * time.Second, 7: 5 * time.Minute, 1000: 5 * time.Minute} {
		require.Equal(t, want, failure.RetryDelay(n, time.Hour), n)
	}
	require.ErrorContains(t, err, "in flight")

	other := lively.endpoint()
	other.Name = "books"
	_, err = sender.Send(t.Context(), other, n)
	require.NoError(t, err)

	close(over)
	for range outbound.MaxInFlight {
		require.NoError(t, <-ended)
	}
	go func() { <-inside }()
	_, err = sender.Send(t.Context(), hanging.endpoint(), n)
	require.NoError(t, err, "a slot is free again")
}

func TestSendNeedsTLS12AndTrustedCertificate(t *testing.T) {
	t.Parallel()
	secure := func(least, most uint16) (*httptest.Server, *x509.CertPool) {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.TLS = &tls.Config{MinVersion: least, MaxVersion: most}
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		return server, roots
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, roots := secure(version, version)
		_, err := newSender(t, outbound.Options{}.WithRoots(roots)).Send(t.Context(), at(server.URL), example(t, payment.EventCompleted))
		require.NoError(t, err)
	}
	server, roots := secure(tls.VersionTLS10, tls.VersionTLS11)
	_, err := newSender(t, outbound.Options{}.WithRoots(roots)).Send(t.Context(), at(server.URL), example(t, payment.EventCompleted))
	require.ErrorContains(t, err, "tls: protocol version not supported")

	server, _ = secure(tls.VersionTLS12, tls.VersionTLS13)
	_, err = newSender(t, outbound.Options{}).Send(t.Context(), at(server.URL), example(t, payment.EventCompleted))
	require.ErrorContains(t, err, "untrusted certificate")
}

// requireNoCanary requires that a text contains no part of a secret in any
// encoding, no personal data, and nothing of a URL but its host.
func requireNoCanary(t *testing.T, shown string) {
	t.Helper()
	for _, s := range []string{secret, secret2} {
		encoded := strings.TrimPrefix(s, "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(t, err)
		for _, form := range []string{encoded[:12], encoded[16:], hex.EncodeToString(key), strings.ToUpper(hex.EncodeToString(key)), fmt.Sprint(key)} {
			require.NotContains(t, shown, form)
		}
	}
	require.NotContains(t, shown, "canary")
	for _, personal := range []string{"Valeria", "7875550999", "valeria@"} {
		require.NotContains(t, shown, personal)
	}
}

// show prints a value with every verb and log handler.
func show(value any) string {
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", value)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("shown", "value", value)
	}
	return out.String()
}

// TestNothingPrivateIsPrinted prints endpoints, answers and errors of endpoints
// that echo everything they receive.
func TestNothingPrivateIsPrinted(t *testing.T) {
	t.Parallel()
	repeat := func(w http.ResponseWriter, r *http.Request, status int) {
		body, _ := io.ReadAll(r.Body)
		for name, values := range r.Header {
			w.Header().Set("X-"+name, values[0])
		}
		w.Header().Set("Location", "http://canary.example.com/"+r.URL.String())
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.URL, secret, body)
	}
	hijack := func(w http.ResponseWriter, text string) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
	answers := map[string]http.HandlerFunc{
		"no HTTP":            func(w http.ResponseWriter, _ *http.Request) { hijack(w, "canary Valeria "+secret+"\r\n\r\n") },
		"no status":          func(w http.ResponseWriter, _ *http.Request) { hijack(w, "HTTP/1.1 canary Valeria\r\n\r\n") },
		"no header":          func(w http.ResponseWriter, _ *http.Request) { hijack(w, "HTTP/1.1 200 OK\r\ncanary Valeria\r\n\r\n") },
		"nothing":            func(w http.ResponseWriter, _ *http.Request) { hijack(w, "") },
		"a very long header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("canary", 1<<15)) },
	}
	for _, status := range []int{200, 302, 400, 401, 410, 429, 500, 503} {
		answers[http.StatusText(status)] = func(w http.ResponseWriter, r *http.Request) { repeat(w, r, status) }
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shop := openShop(t, answer)
			e := shop.endpoint()
			got, err := newSender(t, outbound.Options{}).Send(t.Context(), e, example(t, payment.EventCompleted))
			requireNoCanary(t, show(e)+show(&e)+show(got)+show(err))
			if name != "OK" {
				require.Error(t, err)
			}
		})
	}
	t.Run("nothing listens there", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		address := listener.Addr().String()
		require.NoError(t, listener.Close())
		_, err = newSender(t, outbound.Options{}).Send(t.Context(), at("http://"+address), example(t, payment.EventCompleted))
		require.ErrorContains(t, err, "cannot be reached: dial tcp "+address)
		requireNoCanary(t, show(err))
	})
	t.Run("another protocol", func(t *testing.T) {
		t.Parallel()
		shop := openShop(t, nil)
		_, err := newSender(t, outbound.Options{}).Send(t.Context(), at(strings.Replace(shop.URL, "http", "https", 1)), example(t, payment.EventCompleted))
		require.ErrorContains(t, err, "did not answer with HTTP over TLS")
		requireNoCanary(t, show(err))
	})
}

func TestExampleMatchesItsEvent(t *testing.T) {
	t.Parallel()
	for _, event := range payment.Events() {
		n := example(t, event)
		require.True(t, strings.HasPrefix(n.ID, "ntf_test"), n.ID)
		require.Equal(t, event, n.Event)
		require.Equal(t, "cobro-endpoint-test", n.Payment.Reference, "no shop has such an order")
		require.True(t, ledger.IsID(n.Payment.ID))
		require.NoError(t, n.Payment.Request.Validate(payment.MinExpiresIn), event)
		require.Equal(t, strings.HasPrefix(string(event), "refund"), n.Refund != nil)
		require.Equal(t, event == payment.EventNeedsReview, n.Review != nil)
		require.Equal(t, event == payment.EventReconciliationMismatch, n.Mismatch != nil)
		if want, ok := payment.EventFor(n.Payment.Status); ok && n.Refund == nil && n.Mismatch == nil {
			require.Equal(t, want, event)
		}
	}
	_, err := outbound.Example(payment.EventCreated, now, strings.NewReader(""))
	require.Error(t, err)
}
