package temporalclient

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// Polled returns nil if every task queue has a worker, or an error that names the
// queues without one. Temporal remembers a worker for five minutes after its last
// poll.
func Polled(ctx context.Context, c client.Client, queues ...string) error {
	var problems []error
	for _, queue := range queues {
		described, err := c.DescribeTaskQueue(ctx, queue, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("describe the task queue %s: %w", queue, err))
		case len(described.GetPollers()) == 0:
			problems = append(problems, fmt.Errorf("nobody works on the task queue %s: start cobro worker", queue))
		}
	}
	return errors.Join(problems...)
}
