package worker

import (
	"context"

	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/internal/operations"
	"github.com/cobropay/cobro/internal/temporalclient"
)

// readyChecks is what must work for this process to work: its database with its
// schema, Temporal, the search attributes where it runs workflows, and its own
// queues being polled.
func (r *runner) readyChecks() []operations.Check {
	checks := []operations.Check{
		{Name: "store", Check: r.store.Ping},
		{Name: "schema", Check: r.store.CheckSchema},
		{Name: "temporal", Check: func(ctx context.Context) error {
			_, err := r.client.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		}},
		{Name: "workers", Check: func(ctx context.Context) error { return temporalclient.Polled(ctx, r.client, r.queues...) }},
	}
	if r.cfg.Payments {
		checks = append(checks, operations.Check{
			Name: "search_attributes", Check: temporalclient.SearchAttributesSeen(r.client, r.namespace()),
		})
	}
	return checks
}
