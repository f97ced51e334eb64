package temporalclient

import (
	"context"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

type signalRequestIDKey struct{}

// WithSignalRequestID returns a context that gives a signal the request id id.
// The server drops a second signal with the same request id to the same run,
// without an event in the history. The SDK's own request ids are random, so it
// never does that. The id stands in the history in clear. An empty id changes
// nothing.
//
// It works with clients from [Dial] only.
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
