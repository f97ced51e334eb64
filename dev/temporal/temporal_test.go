package temporal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/cobropay/cobro/dev/temporal"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
)

const (
	canary = "canary-787-555-1234"
	// otherProcess makes a second process of this binary run [TestOtherProcess]. Its
	// value is the file in use.
	otherProcess = "COBRO_TEST_DATABASE_IN_USE"
	patience     = 20 * time.Second
	tick         = 20 * time.Millisecond
)

// one is what all tests share, since a stopped server leaves goroutines behind.
var one struct {
	path   string
	server *temporal.Server
	ui     *temporal.UI
	ring   *seal.Ring
	client client.Client
	codec  *httptest.Server
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(otherProcess) != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "temporal")
	if err != nil {
		return refuse(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))

	one.path = filepath.Join(dir, "temporal 100%.db") // a name that a URI has to escape
	if one.server, err = temporal.Start(ctx, temporal.Options{Path: one.path, Logger: logger}); err != nil {
		return refuse(err)
	}
	defer one.server.Stop()

	codec := http.NewServeMux()
	one.codec = httptest.NewServer(codec)
	defer one.codec.Close()
	if one.ui, err = temporal.StartUI(ctx, temporal.UIOptions{TemporalAddress: one.server.Address(), CodecEndpoint: one.codec.URL + "/codec"}); err != nil {
		return refuse(err)
	}
	defer one.ui.Stop()

	if one.ring, err = seal.New(); err != nil {
		return refuse(err)
	}
	codec.Handle("/codec/", temporalclient.CodecHandler(one.ring, temporalclient.CodecAccess{Origins: one.ui.Origins()}))
	if one.client, err = temporalclient.Dial(ctx, temporalclient.Options{Address: one.server.Address(), Sealer: one.ring, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return refuse(err)
	}
	defer one.client.Close()
	return m.Run()
}

func refuse(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// Greet is a workflow with one activity.
func Greet(ctx workflow.Context, name string) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var greeting string
	err := workflow.ExecuteActivity(ctx, Say, name).Get(ctx, &greeting)
	return greeting, err
}

// Say is the activity.
func Say(_ context.Context, name string) (string, error) { return "hello " + name, nil }

// Fail fails with what it is given.
func Fail(_ workflow.Context, message string) error {
	return sdktemporal.NewNonRetryableApplicationError(message, "Sad", errors.New(message), message)
}

// Collect returns the signals that came before "end".
func Collect(ctx workflow.Context) ([]string, error) {
	var all []string
	for {
		var text string
		workflow.GetSignalChannel(ctx, "tell").Receive(ctx, &text)
		if text == "end" {
			return all, nil
		}
		all = append(all, text)
	}
}

func TestWorkflowCompletes(t *testing.T) {
	t.Parallel()
	queue := work(t, one.client)
	started, err := one.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, Greet, "Ana")
	require.NoError(t, err)
	var greeting string
	require.NoError(t, started.Get(t.Context(), &greeting))
	require.Equal(t, "hello Ana", greeting)
}

func TestNoPayloadIsStoredInClear(t *testing.T) {
	t.Parallel()
	queue := work(t, one.client)
	id := t.Name() + "/visible"
	greeted, err := one.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: queue,
		StaticSummary: canary, StaticDetails: canary,
		Memo: map[string]any{"who": canary},
	}, Greet, canary)
	require.NoError(t, err)
	var greeting string
	require.NoError(t, greeted.Get(t.Context(), &greeting))
	require.Equal(t, "hello "+canary, greeting)

	failed, err := one.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, Fail, canary)
	require.NoError(t, err)
	err = failed.Get(t.Context(), nil)
	require.ErrorContains(t, err, canary, "who holds the keys reads the failure")

	for _, run := range []client.WorkflowRun{greeted, failed} {
		for _, event := range history(t, one.client, run.GetID()) {
			text, err := protojson.Marshal(event)
			require.NoError(t, err)
			require.NotContains(t, string(text), canary)
			encoded, err := proto.Marshal(event)
			require.NoError(t, err)
			require.NotContains(t, string(encoded), canary)
		}
	}

	stored := database(t, one.path)
	require.True(t, bytes.Contains(stored, []byte(id)), "the search looks in the right place")
	require.False(t, bytes.Contains(stored, []byte(canary)))
}

func TestSearchAttributesAreUsable(t *testing.T) {
	t.Parallel()
	id := t.Name()
	_, err := one.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: "no-worker",
		TypedSearchAttributes: sdktemporal.NewSearchAttributes(
			sdktemporal.NewSearchAttributeKeyKeyword("PaymentStatus").ValueSet("open"),
			sdktemporal.NewSearchAttributeKeyInt64("PaymentTotalCents").ValueSet(1250),
			sdktemporal.NewSearchAttributeKeyKeyword("MerchantReference").ValueSet("order-7"),
			sdktemporal.NewSearchAttributeKeyKeyword("AthmEcommerceId").ValueSet("e-7"),
			sdktemporal.NewSearchAttributeKeyKeyword("AthmReferenceNumber").ValueSet("r-7"),
			sdktemporal.NewSearchAttributeKeyBool("NeedsReview").ValueSet(true),
		),
	}, Greet, "Ana")
	require.NoError(t, err)
	t.Cleanup(func() { terminate(t, id) })

	query := "PaymentStatus = 'open' AND PaymentTotalCents > 1249 AND MerchantReference = 'order-7' AND " +
		"AthmEcommerceId = 'e-7' AND AthmReferenceNumber = 'r-7' AND NeedsReview = true"
	require.Eventually(t, func() bool {
		found, err := one.client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		return err == nil && len(found.GetExecutions()) == 1 && found.GetExecutions()[0].GetExecution().GetWorkflowId() == id
	}, patience, tick)
}

func TestDuplicateSignalAddsNoEvent(t *testing.T) {
	t.Parallel()
	queue := work(t, one.client)
	run, err := one.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, Collect)
	require.NoError(t, err)
	tell := func(requestID, text string) error {
		return one.client.SignalWorkflow(temporalclient.WithSignalRequestID(t.Context(), requestID), run.GetID(), "", "tell", text)
	}
	for _, signal := range []struct{ requestID, text string }{
		{"digest-a", "a"}, {"digest-a", "a"}, {"digest-b", "b"}, {"digest-a", "a"}, {"digest-end", "end"},
	} {
		require.NoError(t, tell(signal.requestID, signal.text))
	}
	var got []string
	require.NoError(t, run.Get(t.Context(), &got))
	require.Equal(t, []string{"a", "b"}, got)

	var signals int
	for _, event := range history(t, one.client, run.GetID()) {
		if event.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED {
			signals++
		}
	}
	require.Equal(t, 3, signals)

	require.NoError(t, tell("digest-a", "a"), "deduplicated after the end, too")
	var gone *serviceerror.NotFound
	require.ErrorAs(t, tell("digest-c", "c"), &gone, "a new one is not")
}

// Input and signals under a key that a worker lacks wait for it. Without the
// panics of temporalclient's converter the first workflow fails for good, and the second
// never receives its signal.
func TestMissingKeyDelaysWorkflow(t *testing.T) {
	t.Parallel()
	behindPath, aheadPath := filepath.Join(t.TempDir(), "keys.json"), filepath.Join(t.TempDir(), "keys.json")
	behind, err := seal.Create(behindPath)
	require.NoError(t, err)
	queue := work(t, dial(t, one.server, behind))
	copyFile(t, behindPath, aheadPath)
	added, err := seal.AddKey(aheadPath, time.Now())
	require.NoError(t, err)
	require.NoError(t, seal.UseKey(aheadPath, added))
	ring, err := seal.Load(aheadPath)
	require.NoError(t, err)
	ahead := dial(t, one.server, ring)

	greeted, err := ahead.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, Greet, "Ana")
	require.NoError(t, err)
	collected, err := ahead.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, Collect)
	require.NoError(t, err)
	require.NoError(t, ahead.SignalWorkflow(t.Context(), collected.GetID(), "", "tell", "kept"))
	require.NoError(t, ahead.SignalWorkflow(t.Context(), collected.GetID(), "", "tell", "end"))
	for _, run := range []client.WorkflowRun{greeted, collected} {
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(history(t, ahead, run.GetID()), func(e *historypb.HistoryEvent) bool {
				return e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED
			})
		}, patience, tick)
	}

	copyFile(t, aheadPath, behindPath)
	var greeting string
	require.NoError(t, greeted.Get(t.Context(), &greeting))
	require.Equal(t, "hello Ana", greeting)
	var got []string
	require.NoError(t, collected.Get(t.Context(), &got))
	require.Equal(t, []string{"kept"}, got)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, data, 0o600))
}

func TestRestartKeepsRunningWorkflow(t *testing.T) {
	t.Parallel()
	// What a process leaves behind that is killed while it creates the file.
	path := filepath.Join(t.TempDir(), "temporal.db")
	require.NoError(t, os.WriteFile(path, []byte("half a file"), 0o600))
	require.NoError(t, os.WriteFile(path+".version", []byte("setting up\n"), 0o600))

	first, err := temporal.Start(t.Context(), temporal.Options{Path: path, Namespace: "shop", Retention: 48 * time.Hour})
	require.NoError(t, err)
	t.Cleanup(first.Stop)
	ring, err := seal.New()
	require.NoError(t, err)
	before := dial(t, first, ring)
	run, err := before.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "later"}, Collect)
	require.NoError(t, err)
	require.NoError(t, before.SignalWorkflow(t.Context(), run.GetID(), "", "tell", "kept"))
	require.Equal(t, 48*time.Hour, retention(t, before))
	before.Close()
	first.Stop()
	first.Stop()

	second, err := temporal.Start(t.Context(), temporal.Options{Path: path, Namespace: "shop", Listen: first.Address()})
	require.NoError(t, err)
	t.Cleanup(second.Stop)
	require.Equal(t, first.Address(), second.Address())
	after := dial(t, second, ring)
	require.Equal(t, 30*24*time.Hour, retention(t, after), "the default, which was not asked for before")
	w := worker.New(after, "later", worker.Options{})
	w.RegisterWorkflow(Collect)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	require.NoError(t, after.SignalWorkflow(t.Context(), run.GetID(), "", "tell", "end"))
	var got []string
	require.NoError(t, after.GetWorkflow(t.Context(), run.GetID(), "").Get(t.Context(), &got))
	require.Equal(t, []string{"kept"}, got)
}

func TestDatabaseIsReadableByOwnerOnly(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", "-wal", ".version", ".lock"} {
		info, err := os.Stat(one.path + suffix)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), suffix)
	}
}

func TestStartRejectsUnusableOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, version string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, nil, 0o600))
		if version != "" {
			require.NoError(t, os.WriteFile(path+".version", []byte(version), 0o600))
		}
		return path
	}
	tests := []struct {
		name    string
		options temporal.Options
		want    []string
	}{
		{"another version's file", temporal.Options{Path: file("old.db", "1.20.0\n")}, []string{"1.20.0", "1.32.1", "old.db", "move the file away"}},
		{"a file of unknown origin", temporal.Options{Path: file("foreign.db", "")}, []string{"foreign.db.version", "move it away"}},
		{"a file in use", temporal.Options{Path: one.path}, []string{one.path, "used by another server"}},
		{"a missing directory", temporal.Options{Path: filepath.Join(dir, "missing", "temporal.db")}, []string{"no such file"}},
		{"a taken port", temporal.Options{Listen: one.server.Address(), ListenFlag: "--temporal-listen"}, []string{one.server.Address(), "--temporal-listen"}},
		{"every address", temporal.Options{Listen: "0.0.0.0:7233", ListenFlag: "--temporal-listen"}, []string{"--temporal-listen", "127.0.0.1:7233"}},
		{"another machine's address", temporal.Options{Listen: "192.0.2.1:0"}, []string{"192.0.2.1:0", "reached by others"}},
		{"no port", temporal.Options{Listen: "127.0.0.1"}, []string{`"127.0.0.1"`, "host:port"}},
		{"a name", temporal.Options{Listen: "example.com:80"}, []string{"example.com:80", "127.0.0.1:PORT"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := temporal.Start(t.Context(), tt.options)
			require.Error(t, err)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}

	_, err := temporal.Start(t.Context(), temporal.Options{Path: file("typed.db", "1.20.0\n")})
	var version *temporal.VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, "1.20.0", version.Wrote)
	_, err = temporal.Start(t.Context(), temporal.Options{Listen: one.server.Address()})
	var taken *temporal.PortTakenError
	require.ErrorAs(t, err, &taken)
	require.Equal(t, one.server.Address(), taken.Address)
}

// TestFileInUseIsRejectedByAnotherProcess runs [TestOtherProcess] in a process of its own.
func TestFileInUseIsRejectedByAnotherProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv(otherProcess) != "" {
		t.Skip("this is the other process")
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOtherProcess$", "-test.v")
	command.Env = append(os.Environ(), otherProcess+"="+one.path)
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	require.Contains(t, string(output), "--- PASS: TestOtherProcess")
}

func TestOtherProcess(t *testing.T) {
	t.Parallel()
	path := os.Getenv(otherProcess)
	if path == "" {
		t.Skip("run by TestFileInUseIsRejectedByAnotherProcess")
	}
	_, err := temporal.Start(t.Context(), temporal.Options{Path: path})
	require.ErrorContains(t, err, "is used by another server")

	server, err := temporal.Start(t.Context(), temporal.Options{})
	require.NoError(t, err, "a server in memory")
	t.Cleanup(server.Stop)
	ring, err := seal.New()
	require.NoError(t, err)
	c := dial(t, server, ring)
	queue := work(t, c)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, Greet, "Ana")
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
}

func TestUIDecodesPayloads(t *testing.T) {
	t.Parallel()
	queue := work(t, one.client)
	run, err := one.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, Greet, canary)
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
	input := history(t, one.client, run.GetID())[0].GetWorkflowExecutionStartedEventAttributes().GetInput()
	require.Equal(t, "binary/encrypted", string(input.GetPayloads()[0].GetMetadata()["encoding"]))
	require.Equal(t, one.ring.PrimaryID(), string(input.GetPayloads()[0].GetMetadata()["encryption-key-id"]))

	var settings struct {
		Codec            struct{ Endpoint string }
		DisableNewsFetch bool
	}
	body, header := call(t, http.MethodGet, one.ui.URL()+"/api/v1/settings", "", nil)
	require.NoError(t, json.Unmarshal(body, &settings))
	require.Equal(t, one.codec.URL+"/codec", settings.Codec.Endpoint)
	require.True(t, settings.DisableNewsFetch)
	require.NotContains(t, header.Get("Set-Cookie"), "Secure", "a browser would keep it from http://127.0.0.1")

	// What a browser does with these settings, as the UI's script asks it to.
	decode := settings.Codec.Endpoint + "/decode?preserveStorageRefs=true"
	for _, origin := range one.ui.Origins() {
		_, header := call(t, http.MethodOptions, decode, "", http.Header{
			"Origin":                         {origin},
			"Access-Control-Request-Method":  {"POST"},
			"Access-Control-Request-Headers": {"content-type,x-namespace"},
		})
		require.Equal(t, origin, header.Get("Access-Control-Allow-Origin"))
		require.Contains(t, header.Get("Access-Control-Allow-Methods"), "POST")
		require.Contains(t, header.Get("Access-Control-Allow-Headers"), "X-Namespace")

		request, err := protojson.Marshal(input)
		require.NoError(t, err)
		body, header = call(t, http.MethodPost, decode, string(request), http.Header{
			"Origin": {origin}, "Content-Type": {"application/json"}, "X-Namespace": {one.server.Namespace()},
		})
		require.Equal(t, origin, header.Get("Access-Control-Allow-Origin"))
		var decoded commonpb.Payloads
		require.NoError(t, protojson.Unmarshal(body, &decoded))
		var name string
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(&decoded, &name))
		require.Equal(t, canary, name)
	}
}

func TestUIServesPageAndAPI(t *testing.T) {
	t.Parallel()
	body, header := call(t, http.MethodGet, one.ui.URL()+"/namespaces/default/workflows", "", nil)
	require.Contains(t, header.Get("Content-Type"), "text/html")
	require.Contains(t, string(body), "/_app/immutable/")

	body, _ = call(t, http.MethodGet, one.ui.URL()+"/api/v1/namespaces/"+one.server.Namespace(), "", nil)
	require.Contains(t, string(body), `"2592000s"`, "thirty days of retention")
}

// A page of a stranger whose name points here is of our origin to a browser.
func TestUIRefusesNamesOfStrangers(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]int{
		"evil.example:8233": http.StatusMisdirectedRequest, "evil.example": http.StatusMisdirectedRequest,
		"localhost:8233": http.StatusOK, "127.0.0.1:8233": http.StatusOK, "[::1]:8233": http.StatusOK,
	} {
		for _, path := range []string{"/", "/api/v1/namespaces/" + one.server.Namespace()} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, one.ui.URL()+path, nil)
			require.NoError(t, err)
			request.Host = host
			response, err := (&http.Client{Timeout: time.Minute}).Do(request)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, want, response.StatusCode, host+path)
		}
	}
}

func TestStartUIRejectsUnusableOptions(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	_, err = temporal.StartUI(t.Context(), temporal.UIOptions{
		TemporalAddress: one.server.Address(), Listen: listener.Addr().String(), ListenFlag: "--ui-listen",
	})
	var taken *temporal.PortTakenError
	require.ErrorAs(t, err, &taken)
	require.ErrorContains(t, err, "--ui-listen")

	_, err = temporal.StartUI(t.Context(), temporal.UIOptions{})
	require.ErrorContains(t, err, "TemporalAddress is required")
	_, err = temporal.StartUI(t.Context(), temporal.UIOptions{TemporalAddress: one.server.Address(), Listen: "0.0.0.0:0"})
	require.ErrorContains(t, err, "reached by others")
}

func TestUIStopIsIdempotent(t *testing.T) {
	t.Parallel()
	ui, err := temporal.StartUI(t.Context(), temporal.UIOptions{TemporalAddress: one.server.Address()})
	require.NoError(t, err)
	ui.Stop()
	ui.Stop()
	_, err = net.Dial("tcp", strings.TrimPrefix(ui.URL(), "http://"))
	require.Error(t, err)
}

// work runs a worker on a queue of the test's own until the test ends.
func work(t *testing.T, c client.Client) (queue string) {
	t.Helper()
	queue = t.Name()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(Greet)
	w.RegisterWorkflow(Fail)
	w.RegisterWorkflow(Collect)
	w.RegisterActivity(Say)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return queue
}

func dial(t *testing.T, server *temporal.Server, ring *seal.Ring) client.Client {
	t.Helper()
	c, err := temporalclient.Dial(t.Context(), temporalclient.Options{
		Address: server.Address(), Namespace: server.Namespace(), Sealer: ring, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// history returns the events as the server keeps them, without decrypting.
func history(t *testing.T, c client.Client, workflowID string) []*historypb.HistoryEvent {
	t.Helper()
	var events []*historypb.HistoryEvent
	iterator := c.GetWorkflowHistory(t.Context(), workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for iterator.HasNext() {
		event, err := iterator.Next()
		require.NoError(t, err)
		events = append(events, event)
	}
	return events
}

func retention(t *testing.T, c client.Client) time.Duration {
	t.Helper()
	described, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "shop"})
	require.NoError(t, err)
	return described.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
}

// database returns the bytes of the database, those in its log included.
func database(t *testing.T, path string) []byte {
	t.Helper()
	var all []byte
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		all = append(all, data...)
	}
	return all
}

func terminate(t *testing.T, workflowID string) {
	t.Helper()
	require.NoError(t, one.client.TerminateWorkflow(context.WithoutCancel(t.Context()), workflowID, "", "the test is over"))
}

func call(t *testing.T, method, url, body string, header http.Header) ([]byte, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header = header
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := browser.Do(request)
	require.NoError(t, err)
	got, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Less(t, response.StatusCode, 300, string(got))
	return got, response.Header
}
