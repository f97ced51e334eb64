package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// started runs a program until the test ends it, and returns the fields of the
// log line that says that it has started. Its exit code comes when it has ended.
func started(t *testing.T, env map[string]string, program string) (line map[string]any, stop func(), code <-chan int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() { // waited for through ended
		defer writer.Close()
		ended <- run(ctx, []string{program}, func(name string) string { return env[name] }, io.Discard, writer)
	}()
	found := make(chan map[string]any, 1)
	go func() { // ends with the writer
		defer close(found)
		lines := bufio.NewScanner(reader)
		for lines.Scan() {
			var fields map[string]any
			if json.Unmarshal(bytes.TrimSpace(lines.Bytes()), &fields) == nil && fields["msg"] == program+" started" {
				found <- fields
			}
		}
	}()
	line, ok := <-found
	if !ok {
		cancel()
		t.Fatalf("%s ended with %d before it started", program, <-ended)
	}
	return line, cancel, ended
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
