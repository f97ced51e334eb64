package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// asProgram makes the test binary run as the program, so that a test can kill it.
const asProgram = "ATHSIM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// nothing is an environment without variables.
func nothing(string) string { return "" }

// anywhere returns the flags for free ports, and more.
func anywhere(more ...string) []string {
	return append([]string{"--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"}, more...)
}

// addresses reads what the program prints when it is ready.
func addresses(t *testing.T, stdout io.Reader) (gateway, control, curl string) {
	t.Helper()
	lines := bufio.NewScanner(stdout)
	for curl == "" {
		require.True(t, lines.Scan(), "the program ended: %v", lines.Err())
		line := lines.Text()
		if rest, found := strings.CutPrefix(line, "gateway  "); found {
			gateway = rest
		}
		if rest, found := strings.CutPrefix(line, "control  "); found {
			control, _, _ = strings.Cut(rest, " ")
		}
		if strings.Contains(line, "curl -s") {
			curl = strings.TrimSpace(line)
		}
	}
	return gateway, control, curl
}

// call sends a request and returns the body of a 200.
func call(t *testing.T, client *http.Client, method, url, body string, header http.Header) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s", content)
	return string(content)
}

// newClient is a client whose connections end with the test.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// field returns a string field of a JSON body.
func field(t *testing.T, body, name string) string {
	t.Helper()
	found := regexp.MustCompile(`"` + name + `":"([^"]*)"`).FindStringSubmatch(body)
	require.NotNil(t, found, body)
	return found[1]
}

// The program is used as its own output says.
func TestPrintedCommandsWork(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, printed := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int)
	named := filepath.Join(t.TempDir(), "name")
	require.NoError(t, os.WriteFile(named, []byte("By File\n"), 0o600))
	environment := func(name string) string {
		return map[string]string{"ATHSIM_BUSINESS_NAME_FILE": named, "ATHSIM_LISTEN": "not an address"}[name]
	}
	go func() { // the test waits for done
		code := run(ctx, anywhere("--min-timeout", "1s", "--public-token", "pub"), environment, printed, &stderr)
		_ = printed.Close()
		done <- code
	}()
	gateway, control, curl := addresses(t, out)
	require.NotContains(t, gateway, ":0")
	client := newClient(t)

	require.Contains(t, curl, gateway)
	body := regexp.MustCompile(`-d '([^']*)'$`).FindStringSubmatch(curl)
	require.NotNil(t, body)
	ticket := call(t, client, http.MethodPost, gateway+"/api/business-transaction/ecommerce/payment", body[1], nil)
	id := field(t, ticket, "ecommerceId")
	require.Contains(t, call(t, client, http.MethodGet, control+"/", "", nil), ">By File<", "a flag overrides the environment, which overrides a default; the newline of a file is ignored")
	confirmed := call(t, client, http.MethodPost, control+"/_sim/tickets/"+id+"/confirm", "", nil)
	require.Contains(t, confirmed, `"status":"CONFIRM"`)

	stop()
	_, err := io.Copy(io.Discard, out)
	require.NoError(t, err)
	require.Equal(t, exitOK, <-done, stderr.String())
	require.Empty(t, stderr.String())
	_, err = new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(gateway, "http://"))
	require.Error(t, err, "it no longer listens")
}

func TestInvalidCommandLineExplainsItself(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	busy := taken.Addr().String()
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"unknown flag", []string{"--port", "1"}, exitUsage, []string{"unknown flag --port", "--help"}},
		{"not a choice", []string{"--refund-date", "lunar"}, exitUsage, []string{"--refund-date"}},
		{"not an error code", anywhere("--http-status", "BTRA_1234=409"), exitFailure, []string{"BTRA_1234"}},
		{"not a duration", anywhere("--min-timeout", "soon"), exitUsage, []string{"--min-timeout"}},
		{"too short", anywhere("--min-timeout", "1ms", "--webhook-url", "nowhere"), exitFailure, []string{"MinTimeout", "WebhookURL"}},
		{"gateway's port is taken", []string{"--listen", busy, "--control-listen", "127.0.0.1:0"}, exitFailure, []string{busy, "--listen"}},
		{"control's port is taken", []string{"--listen", "127.0.0.1:0", "--control-listen", busy}, exitFailure, []string{busy, "--control-listen"}},
		{"no such folder", anywhere("--journal", filepath.Join(t.TempDir(), "no", "journal")), exitFailure, []string{"no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			require.Equal(t, tt.code, run(t.Context(), tt.args, nothing, &stdout, &stderr))
			for _, want := range tt.want {
				require.Contains(t, stderr.String(), want)
			}
			require.Empty(t, stdout.String())
		})
	}
}

// An empty address would be every address of this machine.
func TestAFlagSetToNothingIsNotSet(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	byFile := func(name string) string { return map[string]string{"ATHSIM_LISTEN_FILE": empty}[name] }
	for _, args := range [][]string{{"--listen", "", "--control-listen="}, nil} {
		got, _, done := parse(args, byFile, &stdout, &stderr)
		require.False(t, done, stderr.String())
		require.Equal(t, "127.0.0.1:8090", got.Listen)
		require.Equal(t, "127.0.0.1:8091", got.ControlListen)
	}
}

func TestHelpListsFlags(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"--help"}, nothing, &stdout, &stderr))
	for _, flag := range []string{
		"--listen", "--control-listen", "--webhook-url", "--journal", "--public-token", "--private-token", "--min-timeout", "--seed",
	} {
		require.Contains(t, stdout.String(), flag)
	}
	require.Empty(t, stderr.String())
}

// Each guess that the simulator's README lists is a flag, and has the default that
// is listed.
func TestEachGuessIsAFlag(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("..", "..", "athmovil", "athmovilsim", "README.md"))
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(content), "## What is a guess\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| .+ \\| .+ \\| `--([^`]+)` \\|$").FindAllStringSubmatch(section, -1) {
		listed = append(listed, row[1])
	}
	var stdout, stderr bytes.Buffer
	var parsed flags
	parser, err := kong.New(&parsed, kong.Vars{"webhook_delay": "1s"})
	require.NoError(t, err)
	var known []string
	for _, flag := range parser.Model.Flags {
		if flag.Group != nil {
			known = append(known, flag.Name)
		}
	}
	require.ElementsMatch(t, known, listed)

	environment := func(name string) string {
		return map[string]string{
			"ATHSIM_EXPIRED_TOKEN_IS_0402": "true", "ATHSIM_HTTP_STATUS": "BTRA_0031=404;BTRA_0032=400", "ATHSIM_WEBHOOK_DELAY": "3s",
		}[name]
	}
	got, _, done := parse([]string{"--webhook-delay", "0s", "--long-timeout", "refused", "--report-omits-refunds"}, environment, &stdout, &stderr)
	require.False(t, done, stderr.String())
	require.Equal(t, athmovilsim.Settings{
		HTTPStatus: map[string]int{"BTRA_0031": 404, "BTRA_0032": 400}, ExpiredTokenIs0402: true, RefundDate: athmovilsim.RefundDateMillis,
		LongTimeout: athmovilsim.LongTimeoutRefused, ReportDays: 31, ReportOmitsRefunds: true,
	}, athmovilsim.Settings(got.Guesses))
	got, _, _ = parse(nil, nothing, &stdout, &stderr)
	require.Equal(t, athmovilsim.ObservedWebhookDelay, got.Guesses.WebhookDelay)
}

// A debit that was answered is in the books after kill -9 and a restart.
func TestDebitSurvivesKill(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	require.NoError(t, err)
	journal := filepath.Join(t.TempDir(), "gateway.journal")
	begin := func() (*exec.Cmd, string, string) {
		command := exec.CommandContext(t.Context(), program, anywhere("--journal", journal)...)
		command.Env = append(os.Environ(), asProgram+"=1")
		stdout, err := command.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, command.Start())
		t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
		gateway, control, _ := addresses(t, stdout)
		return command, gateway + "/api/business-transaction/ecommerce", control
	}
	const order = `{"publicToken":"a66ce73d04f2087615f6320b724defc5b4eedc55","total":"25.00","phoneNumber":"7875551234"}`
	client := newClient(t)

	first, gateway, control := begin()
	paid := call(t, client, http.MethodPost, gateway+"/payment", order, nil)
	call(t, client, http.MethodPost, control+"/_sim/tickets/"+field(t, paid, "ecommerceId")+"/confirm", "", nil)
	call(t, client, http.MethodPost, gateway+"/authorization", "", http.Header{"Authorization": {"Bearer " + field(t, paid, "auth_token")}})
	waiting := call(t, client, http.MethodPost, gateway+"/payment", order, nil)
	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())

	second, gateway, control := begin()
	var books struct{ Debits string }
	require.NoError(t, json.Unmarshal([]byte(call(t, client, http.MethodGet, control+"/_sim/books", "", nil)), &books))
	require.Equal(t, "25.00", books.Debits)
	call(t, client, http.MethodPost, control+"/_sim/tickets/"+field(t, waiting, "ecommerceId")+"/confirm", "", nil)
	done := call(t, client, http.MethodPost, gateway+"/authorization", "", http.Header{"Authorization": {"Bearer " + field(t, waiting, "auth_token")}})
	require.Contains(t, done, `"dailyTransactionId":"0002"`)

	require.NoError(t, second.Process.Signal(os.Interrupt))
	require.NoError(t, second.Wait(), "an interrupt ends it gracefully")
}
