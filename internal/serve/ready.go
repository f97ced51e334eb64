package serve

import (
	"cmp"
	"context"

	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/workflows"
)

// ready is what /readyz asks. Without a worker payments are taken and wait, so
// that one is only told.
func (cfg *Config) ready(db *store.Store, temporal client.Client) []api.ReadyCheck {
	return []api.ReadyCheck{
		{Name: "store", Check: db.Ping},
		{Name: "schema", Check: db.CheckSchema},
		{Name: "temporal", Check: func(ctx context.Context) error {
			_, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		}},
		{Name: "search_attributes", Check: temporalclient.SearchAttributesSeen(temporal, cfg.namespace())},
		{Name: "workers", Advisory: true, Check: func(ctx context.Context) error {
			return temporalclient.Polled(ctx, temporal, workflows.TaskQueue, workflows.AwaitQueue)
		}},
	}
}

func (cfg *Config) namespace() string { return cmp.Or(cfg.Temporal.Namespace, client.DefaultNamespace) }
