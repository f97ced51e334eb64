package flows_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// start is when every test happens.
var start = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

const (
	phone     = "7875550199"
	payerName = "Canaria Rivera"
	metadata  = "canary-metadata"
)

// temporalServer speaks just enough of Temporal's protocol over gRPC to see
// what the client asks. The real server is met by the stories of the dev module.
type temporalServer struct {
	workflowservice.UnimplementedWorkflowServiceServer

	start    error                   // of update-with-start's first half
	update   error                   // of its second half, of updates and of signals
	failure  *failurepb.Failure      // the update's outcome, unless
	result   any                     // it has a result
	closed   *historypb.HistoryEvent // how the workflow ended
	describe error                   // whether it exists
	silent   bool                    // updates are never answered
	requests chan any                // what was asked
}

func (s *temporalServer) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (s *temporalServer) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{}, nil
}

func (s *temporalServer) answer(ctx context.Context, execution *commonpb.WorkflowExecution, id string) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	if s.silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	outcome := &updatepb.Outcome{Value: &updatepb.Outcome_Failure{Failure: s.failure}}
	if s.failure == nil {
		payloads, err := converter.GetDefaultDataConverter().ToPayloads(s.result)
		if err != nil {
			return nil, err
		}
		outcome.Value = &updatepb.Outcome_Success{Success: payloads}
	}
	return &workflowservice.UpdateWorkflowExecutionResponse{
		UpdateRef: &updatepb.UpdateRef{WorkflowExecution: execution, UpdateId: id},
		Outcome:   outcome,
		Stage:     enumspb.UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_COMPLETED,
	}, nil
}

func (s *temporalServer) ExecuteMultiOperation(ctx context.Context, in *workflowservice.ExecuteMultiOperationRequest) (*workflowservice.ExecuteMultiOperationResponse, error) {
	s.requests <- in
	start, update := in.Operations[0].GetStartWorkflow(), in.Operations[1].GetUpdateWorkflow()
	if s.start != nil || s.update != nil {
		aborted := serviceerror.NewMultiOperationAborted("aborted")
		errs := []error{s.start, s.update}
		for i := range errs {
			if errs[i] == nil {
				errs[i] = aborted
			}
		}
		return nil, serviceerror.ToStatus(serviceerror.NewMultiOperationExecution("refused", errs)).Err()
	}
	answered, err := s.answer(ctx, &commonpb.WorkflowExecution{WorkflowId: start.WorkflowId, RunId: "run-1"}, update.Request.Meta.UpdateId)
	if err != nil {
		return nil, err
	}
	return &workflowservice.ExecuteMultiOperationResponse{Responses: []*workflowservice.ExecuteMultiOperationResponse_Response{
		{Response: &workflowservice.ExecuteMultiOperationResponse_Response_StartWorkflow{
			StartWorkflow: &workflowservice.StartWorkflowExecutionResponse{RunId: "run-1", Started: true},
		}},
		{Response: &workflowservice.ExecuteMultiOperationResponse_Response_UpdateWorkflow{UpdateWorkflow: answered}},
	}}, nil
}

func (s *temporalServer) UpdateWorkflowExecution(ctx context.Context, in *workflowservice.UpdateWorkflowExecutionRequest) (*workflowservice.UpdateWorkflowExecutionResponse, error) {
	s.requests <- in
	if s.update != nil {
		return nil, serviceerror.ToStatus(s.update).Err()
	}
	return s.answer(ctx, in.WorkflowExecution, in.Request.Meta.UpdateId)
}

func (s *temporalServer) SignalWorkflowExecution(_ context.Context, in *workflowservice.SignalWorkflowExecutionRequest) (*workflowservice.SignalWorkflowExecutionResponse, error) {
	s.requests <- in
	if s.update != nil {
		return nil, serviceerror.ToStatus(s.update).Err()
	}
	return &workflowservice.SignalWorkflowExecutionResponse{}, nil
}

func (s *temporalServer) StartWorkflowExecution(_ context.Context, in *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	s.requests <- in
	if s.start != nil {
		return nil, serviceerror.ToStatus(s.start).Err()
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run-1", Started: true}, nil
}

func (s *temporalServer) DescribeWorkflowExecution(context.Context, *workflowservice.DescribeWorkflowExecutionRequest) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if s.describe != nil {
		return nil, serviceerror.ToStatus(s.describe).Err()
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{}, nil
}

func (s *temporalServer) DescribeTaskQueue(_ context.Context, in *workflowservice.DescribeTaskQueueRequest) (*workflowservice.DescribeTaskQueueResponse, error) {
	s.requests <- in
	if s.describe != nil {
		return nil, serviceerror.ToStatus(s.describe).Err()
	}
	//lint:ignore SA1019 the SDK asks for it
	return &workflowservice.DescribeTaskQueueResponse{VersionsInfo: map[string]*taskqueuepb.TaskQueueVersionInfo{"": {
		TypesInfo: map[int32]*taskqueuepb.TaskQueueTypeInfo{int32(enumspb.TASK_QUEUE_TYPE_WORKFLOW): {
			Stats: &taskqueuepb.TaskQueueStats{ApproximateBacklogAge: durationpb.New(7 * time.Second)},
		}},
	}}}, nil
}

func (s *temporalServer) GetWorkflowExecutionHistory(context.Context, *workflowservice.GetWorkflowExecutionHistoryRequest) (*workflowservice.GetWorkflowExecutionHistoryResponse, error) {
	if s.closed == nil {
		return nil, serviceerror.ToStatus(serviceerror.NewNotFound("no history")).Err()
	}
	return &workflowservice.GetWorkflowExecutionHistoryResponse{
		History: &historypb.History{Events: []*historypb.HistoryEvent{s.closed}},
	}, nil
}

// ring seals what the tests send, as programs do.
var ring = sync.OnceValues(seal.New)

// newFlows connects Flows to a server.
func newFlows(t *testing.T, server *temporalServer) *flows.Flows {
	t.Helper()
	server.requests = make(chan any, 100)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(g, server)
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(listener) }) // ends with Stop
	keys, err := ring()
	require.NoError(t, err)
	c, err := temporalclient.Dial(t.Context(), temporalclient.Options{
		Sealer: keys, Address: listener.Addr().String(), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		g.Stop()
		serving.Wait()
	})
	return flows.New(c)
}

func ticketInput() workflows.ProcessPaymentInput {
	return workflows.ProcessPaymentInput{
		PaymentID: ledger.DeriveID("default", "k"), Fingerprint: "f", CreatedAt: start,
		Request: payment.Request{
			Reference: "order-1042", Total: money.MustParse("25.00"), PhoneNumber: phone, Metadata1: metadata, ExpiresIn: time.Minute,
		},
	}
}

func decode[T any](t *testing.T, payload *commonpb.Payload) T {
	t.Helper()
	keys, err := ring()
	require.NoError(t, err)
	var value T
	require.NoError(t, temporalclient.NewDataConverter(keys).FromPayload(payload, &value))
	return value
}

func TestFlowsStartAPaymentOnce(t *testing.T) {
	t.Parallel()
	server := &temporalServer{result: workflows.TicketOutcome{Payment: &payment.Payment{Status: payment.StatusOpen}}}
	f := newFlows(t, server)
	in := ticketInput()
	outcome, err := f.OpenPayment(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, payment.StatusOpen, outcome.Payment.Status)

	asked, ok := (<-server.requests).(*workflowservice.ExecuteMultiOperationRequest)
	require.True(t, ok)
	started, updated := asked.Operations[0].GetStartWorkflow(), asked.Operations[1].GetUpdateWorkflow()
	require.Equal(t, in.PaymentID, started.WorkflowId)
	require.Equal(t, "ProcessPayment", started.WorkflowType.Name)
	require.Equal(t, "cobro", started.TaskQueue.Name)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, started.WorkflowIdReusePolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, started.WorkflowIdConflictPolicy)
	require.Equal(t, in, decode[workflows.ProcessPaymentInput](t, started.Input.Payloads[0]))
	require.Equal(t, "$25.00 · order-1042", decode[string](t, started.UserMetadata.Summary))
	attributes := started.SearchAttributes.IndexedFields
	require.Len(t, attributes, 2)
	require.Equal(t, 2500, decode[int](t, attributes["PaymentTotalCents"]))
	require.Equal(t, "order-1042", decode[string](t, attributes["MerchantReference"]))
	require.Equal(t, "AwaitTicket", updated.Request.Input.Name)
	require.Equal(t, "open", updated.Request.Meta.UpdateId, "a replay joins")
	require.Equal(t, in.PaymentID, updated.WorkflowExecution.WorkflowId)

	in.Request.Reference = ""
	_, err = f.OpenPayment(t.Context(), in)
	require.NoError(t, err)
	asked, _ = (<-server.requests).(*workflowservice.ExecuteMultiOperationRequest)
	started = asked.Operations[0].GetStartWorkflow()
	require.Equal(t, "$25.00", decode[string](t, started.UserMetadata.Summary))
	require.Len(t, started.SearchAttributes.IndexedFields, 1)
}

func TestFlowsStartARefundOnce(t *testing.T) {
	t.Parallel()
	refund := payment.Refund{ID: "ref_1", Status: payment.RefundCompleted, CreatedAt: start}
	server := &temporalServer{result: workflows.RefundOutcome{Refund: &refund}}
	f := newFlows(t, server)
	amount := money.MustParse("10.00")
	in := workflows.RefundPaymentInput{RefundID: "ref_1", PaymentID: "pay_1", Amount: &amount, Message: "sorry"}
	outcome, err := f.RefundPayment(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, payment.RefundCompleted, outcome.Refund.Status)
	asked, ok := (<-server.requests).(*workflowservice.ExecuteMultiOperationRequest)
	require.True(t, ok)
	started, updated := asked.Operations[0].GetStartWorkflow(), asked.Operations[1].GetUpdateWorkflow()
	require.Equal(t, "refund/ref_1", started.WorkflowId)
	require.Equal(t, "RefundPayment", started.WorkflowType.Name)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, started.WorkflowIdReusePolicy)
	require.Equal(t, "refund of $10.00 · pay_1", decode[string](t, started.UserMetadata.Summary))
	require.Equal(t, "AwaitRefund", updated.Request.Input.Name)
	require.Equal(t, "refund", updated.Request.Meta.UpdateId)
}

func TestFlowsReadTheResultOfARefundThatIsOver(t *testing.T) {
	t.Parallel()
	refusal := payment.RefundRefusal{Code: payment.RefusedExceeds, Left: money.MustParse("1.00")}
	result, err := converter.GetDefaultDataConverter().ToPayloads(workflows.RefundOutcome{Refusal: &refusal})
	require.NoError(t, err)
	server := &temporalServer{
		start: serviceerror.NewWorkflowExecutionAlreadyStarted("closed", "", ""),
		closed: &historypb.HistoryEvent{
			EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
			Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
				WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: result},
			},
		},
	}
	outcome, err := newFlows(t, server).RefundPayment(t.Context(), workflows.RefundPaymentInput{RefundID: "ref_1"})
	require.NoError(t, err)
	require.Equal(t, &refusal, outcome.Refusal)
}

func TestFlowsAsk(t *testing.T) {
	t.Parallel()
	server := &temporalServer{result: workflows.CancelOutcome{Payment: &payment.Payment{Status: payment.StatusCancelled}}}
	f := newFlows(t, server)
	cancelled, err := f.CancelPayment(t.Context(), "pay_1")
	require.NoError(t, err)
	require.Equal(t, payment.StatusCancelled, cancelled.Payment.Status)
	asked, ok := (<-server.requests).(*workflowservice.UpdateWorkflowExecutionRequest)
	require.True(t, ok)
	require.Equal(t, "pay_1", asked.WorkflowExecution.WorkflowId)
	require.Equal(t, "CancelPayment", asked.Request.Input.Name)

	_, err = f.SetPhoneNumber(t.Context(), "pay_1", "phone-1", workflows.SetPhoneNumberRequest{PhoneNumber: phone})
	require.NoError(t, err)
	asked, _ = (<-server.requests).(*workflowservice.UpdateWorkflowExecutionRequest)
	require.Equal(t, "SetPhoneNumber", asked.Request.Input.Name)
	require.Equal(t, "phone-1", asked.Request.Meta.UpdateId)
	require.EqualValues(t, phone, decode[workflows.SetPhoneNumberRequest](t, asked.Request.Input.Args.Payloads[0]).PhoneNumber)

	event := workflows.GatewayEvent{Digest: "digest-1", Kind: "ecommerce_completed", Name: payerName}
	require.NoError(t, f.RelayEvent(t.Context(), "pay_1", event))
	signalled, ok := (<-server.requests).(*workflowservice.SignalWorkflowExecutionRequest)
	require.True(t, ok)
	require.Equal(t, "digest-1", signalled.RequestId, "the server drops a second one")
	require.Equal(t, "GatewayEvent", signalled.SignalName)
	require.Equal(t, "pay_1", signalled.WorkflowExecution.WorkflowId)
	require.Equal(t, event, decode[workflows.GatewayEvent](t, signalled.Input.Payloads[0]))

	require.NoError(t, f.TicketSeen(t.Context(), "pay_1", "CONFIRM"))
	signalled, ok = (<-server.requests).(*workflowservice.SignalWorkflowExecutionRequest)
	require.True(t, ok)
	require.Equal(t, "pay_1/CONFIRM", signalled.RequestId, "each status is told once")
	require.Equal(t, "TicketSeen", signalled.SignalName)
	require.Equal(t, "pay_1", signalled.WorkflowExecution.WorkflowId)
	require.Nil(t, decode[any](t, signalled.Input.Payloads[0]), "it carries nothing")
}

func TestFlowsTranslateErrors(t *testing.T) {
	t.Parallel()
	abandoned := &failurepb.Failure{FailureInfo: &failurepb.Failure_ApplicationFailureInfo{
		ApplicationFailureInfo: &failurepb.ApplicationFailureInfo{Type: "AcceptedUpdateCompletedWorkflow", NonRetryable: true},
	}}
	tests := []struct {
		name              string
		server            temporalServer
		open, ask, signal error // nil where the server's answer does not concern the call
	}{
		{
			name:   "the id is used up",
			server: temporalServer{start: serviceerror.NewWorkflowExecutionAlreadyStarted("closed", "", "")},
			open:   flows.ErrAlreadyEnded,
		},
		{
			name:   "closed",
			server: temporalServer{update: serviceerror.NewNotFound("workflow execution already completed")},
			open:   flows.ErrAlreadyEnded, ask: flows.ErrEnded, signal: flows.ErrEnded,
		},
		{
			name:   "closed before the update ended",
			server: temporalServer{failure: abandoned},
			open:   flows.ErrAlreadyEnded, ask: flows.ErrEnded,
		},
		{
			name:   "no worker answers",
			server: temporalServer{silent: true},
			open:   flows.ErrStillWorking, ask: flows.ErrStillWorking,
		},
		{
			name:   "no worker answers, and nothing was started",
			server: temporalServer{silent: true, describe: serviceerror.NewNotFound("unknown")},
			open:   flows.ErrUnavailable, ask: flows.ErrUnavailable,
		},
		{
			name:   "a workflow task that fails",
			server: temporalServer{update: serviceerror.NewWorkflowNotReady("task failed")},
			open:   flows.ErrStillWorking, ask: flows.ErrStillWorking,
		},
		{
			name:   "away",
			server: temporalServer{update: serviceerror.NewUnavailable("away"), describe: serviceerror.NewUnavailable("away")},
			open:   flows.ErrUnavailable, ask: flows.ErrUnavailable, signal: flows.ErrUnavailable,
		},
		{
			name:   "a Temporal that does not find its namespace while its database is away",
			server: temporalServer{update: serviceerror.NewNamespaceNotFound("default")},
			open:   flows.ErrUnavailable, ask: flows.ErrUnavailable,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFlows(t, &tt.server)
			// The client waits for what is unavailable as long as it may. Everything
			// else answers by itself, however busy the machine is.
			bounded := func(want error) context.Context {
				patience := time.Minute
				if errors.Is(want, flows.ErrUnavailable) || errors.Is(want, flows.ErrStillWorking) {
					patience = 500 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				t.Cleanup(cancel)
				return ctx
			}
			if tt.open != nil {
				_, err := f.OpenPayment(bounded(tt.open), ticketInput())
				require.ErrorIs(t, err, tt.open)
			}
			if tt.ask != nil {
				_, err := f.CancelPayment(bounded(tt.ask), "pay_1")
				require.ErrorIs(t, err, tt.ask)
			}
			if tt.signal != nil {
				require.ErrorIs(t, f.RelayEvent(bounded(tt.signal), "pay_1", workflows.GatewayEvent{Digest: "d"}), tt.signal)
				require.ErrorIs(t, f.TicketSeen(bounded(tt.signal), "pay_1", "CONFIRM"), tt.signal)
			}
		})
	}
}

// TestFlowsWithoutTemporal: nobody listens.
func TestFlowsWithoutTemporal(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	c, err := client.NewLazyClient(client.Options{HostPort: address})
	require.NoError(t, err)
	defer c.Close()
	f := flows.New(c)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // the client asks again until then
	defer cancel()
	_, err = f.OpenPayment(ctx, ticketInput())
	require.ErrorIs(t, err, flows.ErrUnavailable)
	require.ErrorIs(t, f.RelayEvent(ctx, "pay_1", workflows.GatewayEvent{Digest: "d"}), flows.ErrUnavailable)
}

// TestRedeliver: the workflow that has the notification decides, however the
// store says that it stands.
func TestRedeliver(t *testing.T) {
	t.Parallel()
	refusal := func(kind string) *failurepb.Failure {
		return temporal.GetDefaultFailureConverter().ErrorToFailure(temporal.NewApplicationError("no", kind))
	}
	for _, tt := range []struct {
		name   string
		server *temporalServer
		want   ledger.Redelivery
		err    error
		starts bool
	}{
		{name: "on its way", server: &temporalServer{result: workflows.DeliverNowOutcome{Trying: true}}, want: ledger.TriedNow},
		{name: "ended in this moment", server: &temporalServer{result: workflows.DeliverNowOutcome{}}, want: ledger.SentAgain, starts: true},
		{name: "ended, in a workflow that runs", server: &temporalServer{failure: refusal(workflows.NotInFlight)}, want: ledger.SentAgain, starts: true},
		{name: "asked too often", server: &temporalServer{failure: refusal(workflows.HurriedEnough)}, want: ledger.LeftAlone},
		{name: "its workflow has ended", server: &temporalServer{update: serviceerror.NewNotFound("ended")}, want: ledger.SentAgain, starts: true},
		{name: "its workflow ended meanwhile", server: &temporalServer{failure: refusal("AcceptedUpdateCompletedWorkflow")}, want: ledger.SentAgain, starts: true},
		{name: "Temporal has lost its database", server: &temporalServer{update: serviceerror.NewNamespaceNotFound("default")}, err: flows.ErrUnavailable},
		{name: "no worker decides", server: &temporalServer{update: serviceerror.NewWorkflowNotReady("no worker")}, err: flows.ErrStillWorking},
	} {
		for _, status := range payment.DeliveryStatuses() {
			t.Run(tt.name+" "+string(status), func(t *testing.T) {
				t.Parallel()
				server := &temporalServer{result: tt.server.result, failure: tt.server.failure, update: tt.server.update}
				f := newFlows(t, server)
				d := payment.Delivery{ID: "ntf_1", Status: status, WorkflowID: "pay_1", Event: payment.EventCompleted, Host: "shop", Receiver: "book"}
				got, err := f.Redeliver(t.Context(), d)
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.want, got)
				asked, ok := (<-server.requests).(*workflowservice.UpdateWorkflowExecutionRequest)
				require.True(t, ok)
				require.Equal(t, "pay_1", asked.WorkflowExecution.WorkflowId)
				require.Equal(t, workflows.DeliverNowRequest{NotificationID: "ntf_1"},
					decode[workflows.DeliverNowRequest](t, asked.Request.Input.Args.Payloads[0]))
				if !tt.starts {
					require.Empty(t, server.requests, "one workflow sends it")
					return
				}
				started, ok := (<-server.requests).(*workflowservice.StartWorkflowExecutionRequest)
				require.True(t, ok)
				require.Equal(t, "redeliver/ntf_1", started.WorkflowId)
				require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, started.WorkflowIdConflictPolicy)
				require.Equal(t, "payment_completed to shop/book", decode[string](t, started.UserMetadata.Summary))
				require.Equal(t, workflows.RedeliverNotificationInput{NotificationID: "ntf_1", Left: "pay_1"},
					decode[workflows.RedeliverNotificationInput](t, started.Input.Payloads[0]))
			})
		}
	}
}

func TestBacklogAge(t *testing.T) {
	t.Parallel()
	server := &temporalServer{}
	f := newFlows(t, server)
	age, err := f.BacklogAge(t.Context())
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, age)
	asked, ok := (<-server.requests).(*workflowservice.DescribeTaskQueueRequest)
	require.True(t, ok)
	require.True(t, asked.ReportStats)
	require.Equal(t, workflows.TaskQueue, asked.TaskQueue.Name)

	server.describe = serviceerror.NewNamespaceNotFound("default")
	_, err = f.BacklogAge(t.Context())
	require.ErrorIs(t, err, flows.ErrUnavailable)
}

func TestDropOfAWorkflowThatHasEnded(t *testing.T) {
	t.Parallel()
	f := newFlows(t, &temporalServer{update: serviceerror.NewNotFound("ended")})
	require.ErrorIs(t, f.Drop(t.Context(), "pay_1", []string{"ntf_1"}), flows.ErrEnded)
}
