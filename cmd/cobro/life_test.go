package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
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
