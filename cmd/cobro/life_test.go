package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// life is a program that runs until the test ends it.
type life struct {
	stop func()     // as a signal does
	code <-chan int // comes when it has ended

	mu  sync.Mutex
	log bytes.Buffer // guarded by mu
}

// Write implements io.Writer, for the log.
func (l *life) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(line)
}

// logged is the whole log so far.
func (l *life) logged() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.String()
}

// said waits for a log line and returns its fields.
func (l *life) said(t *testing.T, message string) map[string]any {
	t.Helper()
	var fields map[string]any
	require.Eventually(t, func() bool {
		for line := range strings.Lines(l.logged()) {
			fields = nil
			if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
				return true
			}
		}
		return len(l.code) > 0
	}, time.Minute, time.Millisecond)
	require.Equal(t, message, fields["msg"], "it ended:\n%s", l.logged())
	return fields
}

// begun runs a program.
func begun(t *testing.T, env map[string]string, program string) *life {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	l := &life{stop: cancel, code: ended}
	go func() { // waited for through ended
		ended <- run(ctx, []string{program}, func(name string) string { return env[name] }, io.Discard, l)
	}()
	return l
}

// started runs a program and returns the fields of the log line that says that
// it has started.
func started(t *testing.T, env map[string]string, program string) (line map[string]any, stop func(), code <-chan int) {
	t.Helper()
	l := begun(t, env, program)
	return l.said(t, program+" started"), l.stop, l.code
}

func TestReadinessNamesWhatIsMissingAndAStopIsClean(t *testing.T) {
	t.Parallel()
	f := &frontend{noWorkers: true}
	env := with(installation(t, f), "COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0", "COBRO_STOP_TIMEOUT", "5s")
	line, stop, code := started(t, env, "api")
	ops, ok := line["ops"].(string)
	require.True(t, ok)
	ask := func() (int, map[string]any) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ops+"/readyz", nil)
		require.NoError(t, err)
		response, err := http.DefaultTransport.RoundTrip(request)
		require.NoError(t, err)
		defer response.Body.Close()
		var answer map[string]any
		require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
		return response.StatusCode, answer
	}
	status, answer := ask()
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, map[string]any{
		"store": "ok", "schema": "ok", "temporal": "ok", "search_attributes": "ok", "workers": "failing",
	}, answer["checks"], "an API without a worker takes payments, which wait")
	healthy, _, stderr := cobro(t, nil, "healthcheck", "--url", ops+"/readyz")
	require.Zero(t, healthy, stderr)

	f.stop()
	status, answer = ask()
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, []any{"temporal"}, answer["missing"])
	healthy, stdout, _ := cobro(t, nil, "healthcheck", "--url", ops+"/readyz")
	require.Equal(t, 1, healthy)
	require.Contains(t, stdout, "temporal")

	stop()
	require.Zero(t, <-code)
}

// field is one of a log line's.
func field(t *testing.T, line map[string]any, name string) string {
	t.Helper()
	text, ok := line[name].(string)
	require.True(t, ok, "%s of %v", name, line)
	return text
}

// ask sends a request and returns the answer's status and body.
func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}

// A disk that is full loses webhooks: whoever watches has to see it.
func TestAFullDiskIsSeen(t *testing.T) {
	t.Parallel()
	env := with(installation(t, &frontend{}), "COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0")
	line, stop, code := started(t, env, "api")
	refused := func(times string) string {
		return `cobro_http_requests_total{method="POST",route="/webhooks/athmovil/:secret",status="503"} ` + times + "\n"
	}
	_, metrics := ask(t, http.MethodGet, field(t, line, "ops")+"/metrics", "")
	require.Contains(t, metrics, refused("0"), "so that the first one is an increase")

	fill(t, env)
	status, _ := ask(t, http.MethodPost, field(t, line, "api")+"/webhooks/athmovil/"+webhookSecret, `{"transactionType":"ecommerce"}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	_, metrics = ask(t, http.MethodGet, field(t, line, "ops")+"/metrics", "")
	require.Contains(t, metrics, refused("1"))
	alerts, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	require.NoError(t, err)
	require.Contains(t, string(alerts), `cobro_http_requests_total{route="/webhooks/athmovil/:secret",status=~"5.."}`)

	stop()
	require.Zero(t, <-code)
}

func TestReadinessSeesAFullDisk(t *testing.T) {
	t.Parallel()
	env := with(installation(t, &frontend{}), "COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0")
	line, stop, code := started(t, env, "api")
	fill(t, env)
	status, answer := ask(t, http.MethodGet, field(t, line, "ops")+"/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, answer, `"missing":["store"]`)
	_, metrics := ask(t, http.MethodGet, field(t, line, "ops")+"/metrics", "")
	require.Contains(t, metrics, "cobro_store_up 0\n")

	stop()
	require.Zero(t, <-code)
}

// free returns an address that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// connect returns an error where nobody listens.
func connect(t *testing.T, address string) error {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
	if err == nil {
		err = connection.Close()
	}
	return err
}

// A process that waits lives and says what it waits for, takes nothing that it
// could not serve, and a signal is no failure.
func TestAStartThatWaits(t *testing.T) {
	t.Parallel()
	for missing, change := range map[string][]string{
		"temporal": {"TEMPORAL_ADDRESS", "127.0.0.1:1"},
		"store":    {"COBRO_STORE", "empty"},
	} {
		for program, says := range map[string]string{"api": "api starting", "worker": "worker's operations"} {
			t.Run(program+" for "+missing, func(t *testing.T) {
				t.Parallel()
				public := free(t)
				env := with(installation(t, &frontend{}), append(change,
					"COBRO_START_TIMEOUT", "1h", "COBRO_LISTEN", public, "COBRO_OPS_LISTEN", "127.0.0.1:0")...)
				if env["COBRO_STORE"] == "empty" {
					env["COBRO_STORE"] = "sqlite:" + write(t, filepath.Join(t.TempDir(), "empty.db"), "", 0o600)
				}
				l := begun(t, env, program)
				ops := field(t, l.said(t, says), "ops")
				status, _ := ask(t, http.MethodGet, ops+"/healthz", "")
				require.Equal(t, http.StatusOK, status)
				require.Eventually(t, func() bool {
					status, answer := ask(t, http.MethodGet, ops+"/readyz", "")
					return status == http.StatusServiceUnavailable && strings.Contains(answer, `"missing":["`+missing+`"]`)
				}, time.Minute, time.Millisecond)
				require.ErrorIs(t, connect(t, public), syscall.ECONNREFUSED)

				l.stop()
				require.Zero(t, <-l.code, l.logged())
				require.Contains(t, l.logged(), "cut short by the stop")
				require.ErrorIs(t, connect(t, ops), syscall.ECONNREFUSED)
			})
		}
	}
}

// An address that is taken is told before anything is waited for.
func TestATakenAddressIsToldAtOnce(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	env := with(installation(t, nil), "TEMPORAL_ADDRESS", "127.0.0.1:1", "COBRO_START_TIMEOUT", "1h",
		"COBRO_LISTEN", taken.Addr().String(), "COBRO_OPS_LISTEN", "127.0.0.1:0")
	code, _, stderr := cobro(t, env, "api")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "--listen changes the address")
}

// Load balancers look at /readyz every few seconds. Until they have seen that a
// process stops they send webhooks to it, which nobody is known to send again.
func TestADrainTakesWebhooks(t *testing.T) {
	t.Parallel()
	env := with(installation(t, &frontend{}), "COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0",
		"COBRO_DRAIN", "1h", "COBRO_STOP_TIMEOUT", "2h")
	l := begun(t, env, "api")
	line := l.said(t, "api started")
	l.stop()
	l.said(t, "api draining")
	require.Eventually(t, func() bool {
		status, answer := ask(t, http.MethodGet, field(t, line, "ops")+"/readyz", "")
		return status == http.StatusServiceUnavailable && strings.Contains(answer, `"status":"stopping"`)
	}, time.Minute, time.Millisecond)
	status, _ := ask(t, http.MethodPost, field(t, line, "api")+"/webhooks/athmovil/"+webhookSecret, `{"transactionType":"ecommerce"}`)
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, l.code)

	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(syscall.SIGTERM), "a second signal")
	require.Zero(t, <-l.code, l.logged())
	require.Error(t, connect(t, field(t, line, "api")))
	require.Error(t, connect(t, field(t, line, "ops")))
}

// A request that takes too long is cut, which is told, and is no failure of a
// process that was asked to stop.
func TestRequestsThatTakeTooLongAreCut(t *testing.T) {
	t.Parallel()
	env := with(installation(t, &frontend{}), "COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0",
		"COBRO_DRAIN", "1h", "COBRO_STOP_TIMEOUT", "1ms") // which ends the drain too
	l := begun(t, env, "api")
	address := strings.TrimPrefix(field(t, l.said(t, "api started"), "api"), "http://")
	slow, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer slow.Close()
	_, err = fmt.Fprintf(slow, "POST /webhooks/athmovil/%s HTTP/1.1\r\nHost: cobro\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", webhookSecret)
	require.NoError(t, err)
	answer := bufio.NewReader(slow)
	line, err := answer.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "100 Continue", "it is under way")

	l.stop()
	require.Zero(t, <-l.code, l.logged())
	cut := l.said(t, "requests cut: raise COBRO_STOP_TIMEOUT, and the platform's limit above it")
	require.InDelta(t, 1, cut["requests"], 0)
	require.Equal(t, "POST /webhooks/athmovil/:secret", cut["routes"])
	require.NotContains(t, l.logged(), webhookSecret)
	require.ErrorIs(t, connect(t, address), syscall.ECONNREFUSED)
}
