package outbound_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

func TestLoadReadsEveryField(t *testing.T) {
	t.Parallel()
	inFile := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(inFile, []byte(secret+"\n"), 0o600))
	endpoints, err := load(t, fmt.Sprintf(`
# A comment.
endpoints:
  - name: shop
    url: https://shop.example.com:8443/cobro?token=1
    events: [payment_completed, refund_completed]
    secrets:
      - &own %s
      - env:SHOP_SECRET
      - file:%s
    timeout: 1m
    retry: {first: 2s, most: 10m, for: 24h}
  - {name: books, url: "https://93.184.216.34/", secrets: [*own, "env:SPACED"], events: []}
`, secret, inFile))
	require.NoError(t, err)
	require.Equal(t, []outbound.Endpoint{
		{
			Name: "shop", URL: private.NewToken("https://shop.example.com:8443/cobro?token=1"),
			Events:  []payment.Event{payment.EventCompleted, payment.EventRefundCompleted},
			Secrets: []private.Token{private.NewToken(secret), private.NewToken(secret2), private.NewToken(secret)},
			Timeout: time.Minute, Retry: payment.Retry{First: 2 * time.Second, Most: 10 * time.Minute, For: 24 * time.Hour},
		},
		{
			Name: "books", URL: private.NewToken("https://93.184.216.34/"), Events: payment.Events(),
			Secrets: []private.Token{private.NewToken(secret), private.NewToken(secret)}, Timeout: outbound.DefaultTimeout,
		},
	}, endpoints)

	endpoints, err = load(t, file("http://127.0.0.1:3000/cobro")+"allow_private_addresses: true\n")
	require.NoError(t, err, "allow_private_addresses may come after the endpoints")
	require.True(t, endpoints[0].AllowPrivate)

	endpoints, err = load(t, "endpoints: []\n")
	require.NoError(t, err)
	require.Empty(t, endpoints)
}

func TestLoadReportsMistakes(t *testing.T) {
	t.Parallel()
	const good = "https://shop.example.com/"
	with := func(field string) string { return file(good) + "    " + field + "\n" }
	secrets := func(text string) string { return strings.Replace(file(good), "["+secret+"]", text, 1) }
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "empty"},
		{"only a comment", "# later\n", "empty"},
		{"null", "null\n", "empty"},
		{"not YAML", "endpoints: [", "yaml:"},
		{"a list", "- name: shop\n", "the file must be a mapping, with the fields allow_private_addresses, endpoints"},
		{"two documents", file(good) + "---\n" + file(good), "more than one document"},
		{"too large", "# " + strings.Repeat("x", 1<<20), "larger than"},
		{"an unknown field", "endpoint: []\n", `the file has no field "endpoint"; the fields are`},
		{"an unknown field of an endpoint", with("event: payment_created"), `:5: an endpoint has no field "event"; the fields are name, url, events, secrets, retry, timeout`},
		{"a merge", with("<<: {}"), `no field "<<"`},
		{"a field twice", with("name: shop"), ":5: name is there twice"},
		{"a field without a value", with("events:"), "events is empty"},
		{"a switch that is not a boolean", "allow_private_addresses: maybe\nendpoints: []\n", "must be true or false"},
		{"endpoints that are not a list", "endpoints: shop\n", "endpoints must be a list"},
		{"an endpoint that is not a mapping", "endpoints: [shop]\n", "an endpoint must be a mapping"},
		{"no name", "endpoints: [{url: \"" + good + "\", secrets: [" + secret + "]}]\n", "needs a name"},
		{"no url", "endpoints: [{name: shop, secrets: [" + secret + "]}]\n", "needs a url"},
		{"no secrets", "endpoints: [{name: shop, url: \"" + good + "\"}]\n", `"cobro endpoint secret" makes one`},
		{"an empty list of secrets", secrets("[]"), `"cobro endpoint secret" makes one`},
		{"a secret outside a list", secrets(secret), ":4: secrets must be a list"},
		{"a name with capitals", strings.Replace(file(good), "shop", "Shop", 1), "1 to 40 of a-z"},
		{"a long name", strings.Replace(file(good), "shop", strings.Repeat("x", 41), 1), "1 to 40 of a-z"},
		{"one name twice", file(good) + strings.TrimPrefix(file(good), "endpoints:\n"), `two endpoints "shop"`},
		{"no such event", with("events: [payment_complete]"), "no such event; the events are payment_created, payment_completed"},
		{"a zero delay", with("retry: {first: 0s}"), "above zero"},
		{"a maximum delay below the first", with("retry: {first: 2s, most: 1s}"), "shorter than the first"},
		{"no timeout", with("timeout: 0s"), "at most 1m0s"},
		{"a negative timeout", with("timeout: -1s"), "at most 1m0s"},
		{"a long timeout", with("timeout: 61s"), "at most 1m0s"},
		{"a number as timeout", with("timeout: 15"), `such as "15s"`},
		{"a url without a scheme", file("shop.example.com"), "must be an absolute URL"},
		{"a url without a host", file("https:///cobro"), "must be an absolute URL"},
		{"a url that does not parse", file("https://shop.example.com:port/"), "must be an absolute URL"},
		{"another scheme", file("ftp://shop.example.com/"), "must begin with https://"},
		{"http", file("http://shop.example.com/"), "http is only for development"},
		{"a password", file("https://canary:canary@shop.example.com/"), "must not contain a username or password"},
		{"a fragment", file("https://shop.example.com/#canary"), "must not have a fragment"},
		{"a secret without a prefix", secrets("[Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTAwMDE=]"), `must begin with "whsec_"`},
		{"a secret that is not base64", secrets("[whsec_canary!canary]"), "must be base64"},
		{"a secret without padding", secrets("[whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTAwMDE]"), "must be base64 with padding"},
		{"a short secret", secrets("[whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXI=]"), "24 to 64 bytes, and this one has 23"},
		{"a long secret", secrets("[whsec_" + strings.Repeat("Y2Fu", 21) + "YXI=]"), "24 to 64 bytes, and this one has 65"},
		{"a variable that is not set", secrets(`["env:NOBODYS"]`), "the variable NOBODYS is not set"},
		{"a file that is not there", secrets(`["file:/none/such"]`), "/none/such"},
		{"a file without an end", secrets(`["file:/dev/zero"]`), "is larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, tt.text)
			require.ErrorContains(t, err, tt.want)
			requireNoCanary(t, err.Error())
		})
	}

	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		_, err := load(t, "endpoints:\n  - {name: A, url: x, secrets: [y], timeout: z}\n  - {events: [w]}\nmore: 1\n")
		for _, want := range []string{":2: a name is", ":2: url:", ":2: a secret:", ":2: timeout", ":3: an endpoint needs a name", ":3: an endpoint needs a url", ":3: no such event", `:4: the file has no field "more"`} {
			require.ErrorContains(t, err, want)
		}
	})

	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		_, err := outbound.Load(filepath.Join(t.TempDir(), "none.yaml"), os.Getenv)
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "COBRO_ENDPOINTS")
	})
}

func TestNewSecretIsValidAndUnique(t *testing.T) {
	t.Parallel()
	entropy := rand.NewChaCha8([32]byte{})
	one, err := outbound.NewSecret(entropy)
	require.NoError(t, err)
	two, err := outbound.NewSecret(entropy)
	require.NoError(t, err)
	require.NotEqual(t, one, two)
	endpoints, err := load(t, strings.Replace(file("https://shop.example.com/"), secret, one.Reveal(), 1))
	require.NoError(t, err)
	require.Equal(t, []private.Token{one}, endpoints[0].Secrets)
	_, err = outbound.NewSecret(strings.NewReader("short"))
	require.Error(t, err)
}

// watched is a file under Watch, which reloads it whenever reload is called.
type watched struct {
	file      *outbound.File
	path      string
	ticks     chan time.Time
	announced chan []outbound.Endpoint
	announce  func() error  // the result of an announcement
	logs      *bytes.Buffer // read it after stop
	stop      func()
}

func watch(t *testing.T, text string) *watched {
	t.Helper()
	w := &watched{
		path: filepath.Join(t.TempDir(), "endpoints.yaml"), ticks: make(chan time.Time), announced: make(chan []outbound.Endpoint, 10),
		announce: func() error { return nil }, logs: &bytes.Buffer{},
	}
	w.write(t, text)
	var err error
	w.file, err = outbound.Open(w.path, os.Getenv, slog.New(slog.NewTextHandler(w.logs, nil)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // stop waits for it
		defer close(ended)
		w.file.Watch(ctx, w.ticks, func(_ context.Context, endpoints []outbound.Endpoint) error {
			if err := w.announce(); err != nil {
				return err
			}
			w.announced <- endpoints
			return nil
		})
	}()
	w.stop = func() { cancel(); <-ended }
	t.Cleanup(w.stop)
	return w
}

func (w *watched) write(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(w.path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(w.path+".new", w.path)) // atomic, as docs/webhooks.md recommends
}

// reload makes Watch reload the file. When it takes the second tick, it is done
// with the first.
func (w *watched) reload() {
	w.ticks <- now
	w.ticks <- now
}

func TestWatchReloadsChangedFile(t *testing.T) {
	t.Parallel()
	const shop = "https://shop.example.com/"
	w := watch(t, file(shop))
	_, ok := w.file.Find("shop")
	require.True(t, ok)
	w.reload()
	require.Empty(t, w.announced, "nothing has changed")

	// Another endpoint appears.
	two := file(shop) + strings.Replace(strings.TrimPrefix(file(shop), "endpoints:\n"), "shop", "books", 1)
	w.write(t, two)
	w.reload()
	require.Len(t, <-w.announced, 2)
	_, ok = w.file.Find("books")
	require.True(t, ok)

	// An invalid file keeps the previous endpoints.
	w.write(t, strings.ReplaceAll(two, secret, secret+"!"))
	w.reload()
	w.reload()
	require.Empty(t, w.announced)
	require.Len(t, w.file.Endpoints(), 2)

	// So does a missing file.
	require.NoError(t, os.Remove(w.path))
	w.reload()
	require.Len(t, w.file.Endpoints(), 2)

	// The file is fixed, with one endpoint fewer.
	w.write(t, file(shop))
	w.reload()
	require.Len(t, <-w.announced, 1)
	_, ok = w.file.Find("books")
	require.False(t, ok)
	require.Empty(t, w.announced, "announced once")

	w.stop()
	lines := w.logs.String()
	require.Equal(t, 2, strings.Count(lines, "invalid endpoints file"), "each problem is logged once:\n%s", lines)
	require.Equal(t, 2, strings.Count(lines, "endpoints file changed"))
	require.Contains(t, lines, "must be base64")
	requireNoCanary(t, lines)
}

func TestWatchReloadsSecretFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(secret), 0o600))
	w := watch(t, strings.Replace(file("https://shop.example.com/"), secret, "file:"+path, 1))
	require.NoError(t, os.WriteFile(path, []byte(secret2), 0o600))
	w.reload()
	e, _ := w.file.Find("shop")
	require.Equal(t, []private.Token{private.NewToken(secret2)}, e.Secrets)
}

func TestWatchAnnouncesUntilItSucceeds(t *testing.T) {
	t.Parallel()
	w := watch(t, file("https://shop.example.com/"))
	tries := 0
	w.announce = func() error {
		if tries++; tries < 4 {
			return errors.New("the store is down")
		}
		return nil
	}
	w.write(t, file("https://other.example.com/"))
	w.reload()
	w.reload()
	require.Len(t, <-w.announced, 1)
	w.reload()
	w.stop()
	require.Equal(t, 4, tries)
}
