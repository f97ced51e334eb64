package runner

import (
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/activity/reconcile"
	"github.com/cobropay/cobro/internal/activity/records"
	"github.com/cobropay/cobro/workflows"
)

// Registry is the part of a Temporal worker, or of Temporal's test environment,
// that takes registrations.
type Registry interface {
	workflows.Registry
	activity.Registry
}

// RegisterPayments registers the workflows with everything that runs on
// workflows.TaskQueue. The names are for ever: testdata/registered.golden lists
// them.
func RegisterPayments(r Registry, calls *gateway.Gateway, writes *records.Records, compare *reconcile.Reconcile) {
	workflows.Register(r)
	activity.Register(r, calls.Bindings()...)
	activity.Register(r, writes.Bindings()...)
	activity.Register(r, compare.Bindings()...)
}
