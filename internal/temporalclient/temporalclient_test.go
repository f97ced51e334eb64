package temporalclient_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
)

const canary = "canary-787-555-1234"

// frontend is the part of a Temporal frontend that a client needs to start.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer

	mu         sync.Mutex
	missing    int   // how often the namespace does not exist yet
	refusal    error // the answer to every call
	addError   error // the answer to AddSearchAttributes
	listError  error // the answer to ListSearchAttributes
	pollers    map[string]int
	attributes map[string]enumspb.IndexedValueType
	deaf       bool            // adding search attributes has no effect
	listed     func(times int) // called at each ListSearchAttributes
	lists      int
	signals    []*workflowservice.SignalWorkflowExecutionRequest
	headers    metadata.MD
}

// serve starts the frontend and returns its address.
func serve(t *testing.T, f *frontend) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveOn(t, f, listener)
	return listener.Addr().String()
}

func serveOn(t *testing.T, f *frontend, listener net.Listener) {
	t.Helper()
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.headers, _ = metadata.FromIncomingContext(ctx)
		if f.refusal != nil {
			return nil, f.refusal
		}
		return handle(ctx, request)
	}))
	workflowservice.RegisterWorkflowServiceServer(server, f)
	operatorservice.RegisterOperatorServiceServer(server, f)
	ended := make(chan struct{})
	go func() { // waited for below
		defer close(ended)
		_ = server.Serve(listener) // nil after Stop
	}()
	t.Cleanup(func() {
		server.Stop()
		<-ended
	})
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (f *frontend) DescribeNamespace(_ context.Context, request *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	if f.missing > 0 {
		f.missing--
		return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound(request.GetNamespace())).Err()
	}
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (f *frontend) SignalWorkflowExecution(_ context.Context, request *workflowservice.SignalWorkflowExecutionRequest) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	f.signals = append(f.signals, request)
	return &workflowservice.SignalWorkflowExecutionResponse{}, nil
}

func (f *frontend) ListSearchAttributes(context.Context, *operatorservice.ListSearchAttributesRequest) (*operatorservice.ListSearchAttributesResponse, error) {
	f.lists++
	if f.listed != nil {
		f.listed(f.lists)
	}
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: f.attributes}, f.listError
}

func (f *frontend) AddSearchAttributes(_ context.Context, request *operatorservice.AddSearchAttributesRequest) (*operatorservice.AddSearchAttributesResponse, error) {
	if !f.deaf {
		if f.attributes == nil {
			f.attributes = make(map[string]enumspb.IndexedValueType)
		}
		for name, kind := range request.GetSearchAttributes() {
			f.attributes[name] = kind
		}
	}
	if f.addError != nil {
		return nil, f.addError
	}
	return &operatorservice.AddSearchAttributesResponse{}, nil
}

func (f *frontend) DescribeTaskQueue(_ context.Context, request *workflowservice.DescribeTaskQueueRequest) (*workflowservice.DescribeTaskQueueResponse, error) {
	return &workflowservice.DescribeTaskQueueResponse{
		Pollers: make([]*taskqueuepb.PollerInfo, f.pollers[request.GetTaskQueue().GetName()]),
	}, nil
}

func options(t *testing.T, address string) temporalclient.Options {
	t.Helper()
	ring, err := seal.New()
	require.NoError(t, err)
	return temporalclient.Options{Address: address, Namespace: "shop", Sealer: ring, Logger: slog.New(slog.DiscardHandler)}
}

func dial(t *testing.T, f *frontend) client.Client {
	t.Helper()
	c, err := temporalclient.Dial(t.Context(), options(t, serve(t, f)))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestDialWaitsForTheNamespace(t *testing.T) {
	t.Parallel()
	f := &frontend{missing: 2}
	dial(t, f)
	require.Zero(t, f.missing)
}

func TestDialWaitsForTheServer(t *testing.T) {
	t.Parallel()
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := reserved.Addr().String()
	require.NoError(t, reserved.Close())

	o := options(t, address)
	told := make(chan struct{})
	o.Logger = slog.New(slog.NewTextHandler(&closeOnWrite{told: told}, nil))
	go func() { // ends with told, which Dial closes or the test fails
		select {
		case <-told:
		case <-t.Context().Done():
			return
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		serveOn(t, &frontend{}, listener)
	}()
	c, err := temporalclient.Dial(t.Context(), o)
	require.NoError(t, err)
	c.Close()
}

// closeOnWrite tells that something was logged.
type closeOnWrite struct {
	told chan struct{}
	once sync.Once
}

func (c *closeOnWrite) Write(p []byte) (int, error) {
	c.once.Do(func() { close(c.told) })
	return len(p), nil
}

func TestDialErrorsSayHowToFixThem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		frontend *frontend // nil means nobody listens
		want     []string
	}{
		{"no server", nil, []string{"does not answer", "TEMPORAL_ADDRESS"}},
		{"no namespace", &frontend{missing: 1 << 20}, []string{`no namespace "shop"`, "temporal operator namespace create --namespace shop"}},
		{"no permission", &frontend{refusal: status.Error(codes.PermissionDenied, "not you")}, []string{"refuses us", "not you", "TEMPORAL_API_KEY"}},
		{"no credentials", &frontend{refusal: status.Error(codes.Unauthenticated, "who?")}, []string{"refuses us", "who?", "TEMPORAL_API_KEY"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := options(t, "127.0.0.1:1")
			o.Wait = time.Second
			if tt.frontend != nil {
				o.Address = serve(t, tt.frontend)
			}
			_, err := temporalclient.Dial(t.Context(), o)
			require.Error(t, err)
			require.ErrorContains(t, err, o.Address)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestDialStopsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := temporalclient.Dial(ctx, options(t, "127.0.0.1:1"))
	require.ErrorIs(t, err, context.Canceled)
}

func TestDialRequiresASealer(t *testing.T) {
	t.Parallel()
	_, err := temporalclient.Dial(t.Context(), temporalclient.Options{})
	require.ErrorContains(t, err, "Sealer is required")
}

func TestSignalsCarryTheirRequestID(t *testing.T) {
	t.Parallel()
	f := &frontend{}
	c := dial(t, f)
	send := func(ctx context.Context) string {
		require.NoError(t, c.SignalWorkflow(ctx, "pay_1", "", "event", canary))
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.signals[len(f.signals)-1].GetRequestId()
	}
	require.Equal(t, "digest-1", send(temporalclient.WithSignalRequestID(t.Context(), "digest-1")))
	require.Equal(t, "digest-2", send(temporalclient.WithSignalRequestID(t.Context(), "digest-2")))
	first, second := send(t.Context()), send(temporalclient.WithSignalRequestID(t.Context(), ""))
	require.NotEmpty(t, first, "the SDK's own")
	require.NotEqual(t, first, second)
	for _, signal := range f.signals {
		require.NotContains(t, signal.String(), canary)
		require.Equal(t, "binary/encrypted", string(signal.GetInput().GetPayloads()[0].GetMetadata()["encoding"]))
	}
}

func TestEnsureSearchAttributes(t *testing.T) {
	t.Parallel()
	keyword, integer := enumspb.INDEXED_VALUE_TYPE_KEYWORD, enumspb.INDEXED_VALUE_TYPE_INT
	denied := status.Error(codes.PermissionDenied, "not you")
	command := "temporal operator search-attribute create --namespace shop --name "
	tests := []struct {
		name     string
		frontend *frontend
		want     []string // of the error; none means success
	}{
		{"none there", &frontend{}, nil},
		{"some there, and one of another program", &frontend{attributes: map[string]enumspb.IndexedValueType{"PaymentStatus": keyword, "Other": keyword}}, nil},
		{"all there, no permission needed", &frontend{attributes: temporalclient.SearchAttributes(), addError: denied}, nil},
		{"another program was faster", &frontend{addError: status.Error(codes.AlreadyExists, "race")}, nil},
		{"wrong type", &frontend{attributes: map[string]enumspb.IndexedValueType{"PaymentStatus": integer}}, []string{"PaymentStatus is of type Int and has to be Keyword"}},
		{"no permission", &frontend{deaf: true, addError: denied}, []string{
			"not you", command + "PaymentStatus --type Keyword", command + "PaymentTotalCents --type Int", command + "NeedsReview --type Bool",
		}},
		{"Temporal Cloud", &frontend{deaf: true, addError: status.Error(codes.Unimplemented, "use the console")}, []string{
			"use the console", "tcld namespace search-attributes add --namespace shop --search-attribute AthmEcommerceId=Keyword --search-attribute ",
		}},
		{"not even listing is allowed", &frontend{listError: denied}, []string{"may not list", "not you", command + "NeedsReview --type Bool"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := temporalclient.EnsureSearchAttributes(t.Context(), dial(t, tt.frontend), "shop")
			if tt.want == nil {
				require.NoError(t, err)
				require.Subset(t, tt.frontend.attributes, temporalclient.SearchAttributes())
				return
			}
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestCheckSearchAttributesChangesNothing(t *testing.T) {
	t.Parallel()
	f := &frontend{}
	err := temporalclient.CheckSearchAttributes(t.Context(), dial(t, f), "shop")
	require.ErrorContains(t, err, "temporal operator search-attribute create --namespace shop --name NeedsReview --type Bool")
	require.Empty(t, f.attributes)
	require.NoError(t, temporalclient.CheckSearchAttributes(t.Context(), dial(t, &frontend{attributes: temporalclient.SearchAttributes()}), "shop"))
}

func TestPolledNamesQueuesWithoutAWorker(t *testing.T) {
	t.Parallel()
	c := dial(t, &frontend{pollers: map[string]int{"work": 1}})
	require.NoError(t, temporalclient.Polled(t.Context(), c, "work"))
	require.ErrorContains(t, temporalclient.Polled(t.Context(), c, "work", "idle"), "nobody works on the task queue idle")
}

func TestEnsureSearchAttributesWaitsUntilTheyAreListed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		addError error
		want     string
	}{
		"they are added":     {nil, "context canceled"},
		"they are not added": {status.Error(codes.Unavailable, "no leader"), "no leader"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			f := &frontend{deaf: true, addError: tt.addError}
			f.listed = func(times int) {
				if times == 3 {
					cancel()
				}
			}
			err := temporalclient.EnsureSearchAttributes(ctx, dial(t, f), "shop")
			require.ErrorContains(t, err, "NeedsReview")
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLoadOptions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none, profiles := filepath.Join(dir, "none.toml"), filepath.Join(dir, "temporal.toml")
	require.NoError(t, os.WriteFile(profiles, []byte("[profile.live]\naddress = \"live.example:7233\"\nnamespace = \"live\"\n"), 0o600))
	tests := []struct {
		name               string
		environment        map[string]string
		address, namespace string
		tls, credentials   bool
	}{
		{"nothing", nil, "", "", false, false},
		{"address and namespace", map[string]string{"TEMPORAL_ADDRESS": "temporal:7233", "TEMPORAL_NAMESPACE": "shop"}, "temporal:7233", "shop", false, false},
		{"an API key switches TLS on", map[string]string{"TEMPORAL_ADDRESS": "cloud:7233", "TEMPORAL_API_KEY": "secret"}, "cloud:7233", "", true, true},
		{"TLS by name", map[string]string{"TEMPORAL_TLS_SERVER_NAME": "temporal.example"}, "", "", true, false},
		{"a profile", map[string]string{"TEMPORAL_CONFIG_FILE": profiles, "TEMPORAL_PROFILE": "live"}, "live.example:7233", "live", false, false},
		{"a variable wins over the profile", map[string]string{"TEMPORAL_CONFIG_FILE": profiles, "TEMPORAL_PROFILE": "live", "TEMPORAL_NAMESPACE": "shop"}, "live.example:7233", "shop", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := temporalclient.LoadOptions(func(name string) string {
				if value := tt.environment[name]; value != "" || name != "TEMPORAL_CONFIG_FILE" {
					return value
				}
				return none // not the developer's own file
			})
			require.NoError(t, err)
			require.Equal(t, tt.address, got.Address)
			require.Equal(t, tt.namespace, got.Namespace)
			require.Equal(t, tt.tls, got.TLS != nil)
			require.Equal(t, tt.credentials, got.Credentials != nil)
		})
	}
	_, err := temporalclient.LoadOptions(func(name string) string {
		return map[string]string{"TEMPORAL_CONFIG_FILE": profiles, "TEMPORAL_PROFILE": "typo"}[name]
	})
	require.ErrorContains(t, err, "typo")
}

func TestAPIKeyIsSentAndNeverLogged(t *testing.T) {
	t.Parallel()
	f := &frontend{}
	o, err := temporalclient.LoadOptions(func(name string) string {
		return map[string]string{
			"TEMPORAL_CONFIG_FILE": filepath.Join(t.TempDir(), "none.toml"),
			"TEMPORAL_API_KEY":     canary, "TEMPORAL_TLS": "false", "TEMPORAL_ADDRESS": serve(t, f),
		}[name]
	})
	require.NoError(t, err)
	var logged bytes.Buffer
	o.Sealer, o.Logger = options(t, "").Sealer, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := temporalclient.Dial(t.Context(), o)
	require.NoError(t, err)
	c.Close()
	require.Equal(t, []string{"Bearer " + canary}, f.headers.Get("authorization"))
	require.NotContains(t, logged.String(), canary)
}
