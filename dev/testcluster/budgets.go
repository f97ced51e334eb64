package testcluster

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
)

// Budgets bound what somebody can cause who knows the webhook's address.
type Budgets struct {
	History int64 // events of a workflow's history
	Told    int   // notifications of mismatches about one payment, and about none
}

// CheckBudgets reports every workflow with a longer history, and every payment whose
// mismatches were told more often.
func (m *Merchant) CheckBudgets(ctx context.Context, most Budgets) error {
	e, err := m.System.examine(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	err = e.eachWorkflow(ctx, func(id, _ string, _ enumspb.WorkflowExecutionStatus, events int64) error {
		if events > most.History {
			e.violated("workflow %s has %d events", id, events)
		}
		return nil
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for paymentID, told := range m.mismatches {
		if len(told) > most.Told {
			e.violated("receivers were told %d times of mismatches of the payment %q", len(told), paymentID)
		}
	}
	return errors.Join(append(e.violations, err)...)
}
