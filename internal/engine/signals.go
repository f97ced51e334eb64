package engine

import (
	"context"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

type signalRequestIDKey struct{}

// WithSignalRequestID makes a signal sent with the returned context carry id as
// its request id. The server drops a second signal of the same id to the same
// run without an event, which the SDK's random ids cannot give. The id is
// written to the history in clear. An empty id changes nothing.
//
// It needs a client made by [Dial].
func WithSignalRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, signalRequestIDKey{}, id)
}

// setSignalRequestID is a [grpc.UnaryClientInterceptor].
func setSignalRequestID(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if signal, ok := request.(*workflowservice.SignalWorkflowExecutionRequest); ok {
		if id, _ := ctx.Value(signalRequestIDKey{}).(string); id != "" {
			signal.RequestId = id
		}
	}
	return invoke(ctx, method, request, reply, conn, options...)
}
