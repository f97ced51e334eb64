package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"database/sql"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

const (
	apiKey        = "canary-key-5f0c2a9d41"
	webhookSecret = "canary-secret-93b1e7d20c"
)

// frontend is as much of a Temporal frontend as programs meet before they run a
// workflow.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer

	noNamespace  bool
	noAttributes bool
	noWorkers    bool
	refusal      error // of the namespace
	stop         func()

	mu         sync.Mutex
	namespaces []string // that were asked for
	updated    []string // workflows, none of which is known
	headers    metadata.MD
}

// serve starts the frontend and returns its address.
func (f *frontend) serve(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	f.stop = server.Stop
	healthy := health.NewServer()
	healthy.SetServingStatus("temporal.api.workflowservice.v1.WorkflowService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, healthy)
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
	return listener.Addr().String()
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (f *frontend) DescribeNamespace(ctx context.Context, r *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.namespaces = append(f.namespaces, r.GetNamespace())
	f.headers, _ = metadata.FromIncomingContext(ctx)
	if f.noNamespace {
		return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound(r.GetNamespace())).Err()
	}
	return &workflowservice.DescribeNamespaceResponse{}, f.refusal
}

func (f *frontend) UpdateWorkflowExecution(_ context.Context, r *workflowservice.UpdateWorkflowExecutionRequest) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.updated = append(f.updated, r.GetWorkflowExecution().GetWorkflowId())
	return nil, serviceerror.ToStatus(serviceerror.NewNotFound("no such workflow")).Err()
}

func (f *frontend) ListSearchAttributes(context.Context, *operatorservice.ListSearchAttributesRequest) (*operatorservice.ListSearchAttributesResponse, error) {
	attributes := temporalclient.SearchAttributes()
	if f.noAttributes {
		attributes = map[string]enumspb.IndexedValueType{}
	}
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: attributes}, nil
}

func (f *frontend) DescribeTaskQueue(context.Context, *workflowservice.DescribeTaskQueueRequest) (*workflowservice.DescribeTaskQueueResponse, error) {
	if f.noWorkers {
		return &workflowservice.DescribeTaskQueueResponse{}, nil
	}
	return &workflowservice.DescribeTaskQueueResponse{Pollers: []*taskqueuepb.PollerInfo{{Identity: "worker"}}}, nil
}

// newInstallation makes a database and a key ring, and returns their settings.
func newInstallation(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{"COBRO_STORE": "sqlite:" + filepath.Join(dir, "cobro.db"), "COBRO_KEY_FILE": filepath.Join(dir, "keys.json")}
	for _, command := range []string{"keys", "migrate"} {
		code, _, stderr := cobro(t, env, command)
		require.Zero(t, code, stderr)
	}
	return env
}

// installation makes a whole installation, and returns its variables. Temporal
// is the frontend, the gateway the simulator, and the API's address serves
// webhooks over the installation's own database.
func installation(t *testing.T, f *frontend) map[string]string {
	t.Helper()
	env := with(newInstallation(t),
		"COBRO_DRAIN", "0s", "COBRO_API_KEY", apiKey, "COBRO_WEBHOOK_SECRET", webhookSecret,
		"COBRO_ATHM_PUBLIC_TOKEN", athmovilsim.DefaultPublicToken, "COBRO_ATHM_PRIVATE_TOKEN", athmovilsim.DefaultPrivateToken,
		"TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml")) // not the developer's own file
	if f != nil {
		env["TEMPORAL_ADDRESS"] = f.serve(t)
	}
	simulator := simulated(t)
	gateway := httptest.NewServer(simulator.Gateway())
	t.Cleanup(gateway.Close)
	env["COBRO_GATEWAY_URL"], env["COBRO_GATEWAY_REPORT_URL"] = gateway.URL, gateway.URL
	env["COBRO_PUBLIC_URL"] = merchantAPIOver(t, env, noFlows{})
	return env
}

// signingKey is one for all simulators: such a key takes a moment to find.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func simulated(t *testing.T) *athmovilsim.Simulator {
	t.Helper()
	key, err := signingKey()
	require.NoError(t, err)
	simulator, err := athmovilsim.New(athmovilsim.Config{SigningKey: key})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, simulator.Close()) })
	return simulator
}

// noFlows is a Temporal that nothing asks for.
type noFlows struct{ onlyReads }

func (noFlows) RelayEvent(context.Context, string, workflows.GatewayEvent) error { panic("not asked") }
func (noFlows) ApplyLateEvent(context.Context, workflows.ApplyLateEventInput) error {
	panic("not asked")
}

// merchantAPIOver serves the API over an installation's database.
func merchantAPIOver(t *testing.T, env map[string]string, flows interface {
	app.Flows
	relay.Flows
}) string {
	t.Helper()
	db, ring := open(t, env)
	useCases, err := app.New(app.Config{Store: db, Flows: flows, MerchantID: "default", Fingerprint: ring.Digest})
	require.NoError(t, err)
	events, err := relay.New(relay.Config{Store: db, Flows: flows})
	require.NoError(t, err)
	server, err := api.New(api.Config{
		App: useCases, Relay: events, Keys: []api.APIKey{{Name: "shop", Digest: api.DigestAPIKey(private.NewToken(apiKey))}},
		WebhookSecret: private.NewToken(webhookSecret),
	})
	require.NoError(t, err)
	served := httptest.NewServer(server.Handler())
	t.Cleanup(served.Close)
	return served.URL
}

func open(t *testing.T, env map[string]string) (*store.Store, *seal.Ring) {
	t.Helper()
	ring, err := seal.Load(env["COBRO_KEY_FILE"])
	require.NoError(t, err)
	db, err := store.Open(t.Context(), store.Config{DSN: env["COBRO_STORE"], Sealer: ring})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, ring
}

// fill lets an installation's database be read and take no write.
func fill(t *testing.T, env map[string]string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(env["COBRO_STORE"], "sqlite:")+"?_pragma=busy_timeout(5000)") // programs may be writing
	require.NoError(t, err)
	defer db.Close()
	for _, table := range []string{"settings", "gateway_events"} {
		_, err = db.ExecContext(t.Context(), `CREATE TRIGGER full_`+table+` BEFORE INSERT ON `+table+` BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
		require.NoError(t, err)
	}
}

// with returns variables with some changed; the empty text removes one.
func with(env map[string]string, changes ...string) map[string]string {
	changed := map[string]string{}
	for name, value := range env {
		changed[name] = value
	}
	for i := 0; i < len(changes); i += 2 {
		changed[changes[i]] = changes[i+1]
	}
	return changed
}

func write(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), mode))
	require.NoError(t, os.Chmod(path, mode))
	return path
}
