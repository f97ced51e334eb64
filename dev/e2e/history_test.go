package e2e

import (
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// history counts a workflow's events and state transitions, and reports whether it
// has closed.
func history(t *testing.T, c client.Client, workflowID string) (events, transitions int64, closed bool) {
	t.Helper()
	described, err := c.DescribeWorkflowExecution(t.Context(), workflowID, "")
	require.NoError(t, err)
	info := described.GetWorkflowExecutionInfo()
	return info.GetHistoryLength(), info.GetStateTransitionCount(), info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
}

func TestPaymentHistoryStaysSmall(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	temporal, _ := c.dial(t)
	// On a busy machine, results that otherwise share a workflow task get one each:
	// the shortest history of a few is what a payment takes.
	const (
		tries           = 8
		mostEvents      = 56
		mostTransitions = 28
	)
	var events, transitions int64
	for i := range tries {
		opened := c.open(t, m{"total": "25.00", "reference": fmt.Sprint("budget-", i)})
		c.phone(t, "confirm", opened.EcommerceID)
		c.await(t, opened.ID, "completed")
		require.Eventually(t, func() bool {
			_, _, closed := history(t, temporal, opened.ID)
			return closed
		}, timeout, interval)
		events, transitions, _ = history(t, temporal, opened.ID)
		t.Logf("happy path: %d events, %d state transitions", events, transitions)
		if events <= mostEvents && transitions <= mostTransitions {
			break
		}
	}
	require.LessOrEqual(t, events, int64(mostEvents))
	require.LessOrEqual(t, transitions, int64(mostTransitions))
}

func TestDuplicateWebhooksAddNoHistory(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	temporal, _ := c.dial(t)
	opened := c.open(t, m{"total": "3.00"})
	event := captured(t, opened, "1111111111-deadbeefdeadbeefdeadbeefdeadbeef")
	length := func() int64 {
		events, _, _ := history(t, temporal, opened.ID)
		return events
	}
	before := length()
	require.Equal(t, http.StatusOK, c.webhook(t, event).status)
	// The hint adds a signal, a find and workflow tasks; wait for the last of them.
	var settled int64
	require.Eventually(t, func() bool {
		last := settled
		settled = length()
		return settled > before && settled == last && closedTask(t, temporal, opened.ID)
	}, timeout, 5*interval)
	for range 500 {
		require.Equal(t, http.StatusOK, c.webhook(t, event).status)
	}
	require.Equal(t, settled, length())
	c.requireBooks(t, opened.EcommerceID, nil, nil)
}

// closedTask reports whether no workflow task and no find is in progress.
func closedTask(t *testing.T, c client.Client, workflowID string) bool {
	t.Helper()
	described, err := c.DescribeWorkflowExecution(t.Context(), workflowID, "")
	require.NoError(t, err)
	return len(described.GetPendingActivities()) == 0 && described.GetPendingWorkflowTask() == nil
}

func TestStoreOutageDoesNotStopDebit(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	opened := c.open(t, m{"total": "8.00"})
	// Another process locks the database: every write of dev fails.
	db, err := sql.Open("sqlite", strings.TrimPrefix(c.at.Store, "sqlite:"))
	require.NoError(t, err)
	defer db.Close()
	held, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = held.ExecContext(t.Context(), "PRAGMA busy_timeout = 30000; BEGIN EXCLUSIVE") // the worker writes each second
	require.NoError(t, err)

	c.phone(t, "confirm", opened.EcommerceID)
	require.Eventually(t, func() bool {
		debits, _ := c.booked(t, opened.EcommerceID)
		return len(debits) == 1
	}, timeout, interval, "the debit waits for nothing that the store does")
	require.Equal(t, "open", c.show(t, opened.ID).Status, "the row cannot have been written")

	_, err = held.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, held.Close())
	c.await(t, opened.ID, "completed")
	c.requireBooks(t, opened.EcommerceID, []string{"8.00"}, nil)
}

// Whoever dies while a customer decides, another worker looks at the ticket: soon
// where the store has its row, and within a minute where the store was away when
// the row was to be written.
func TestTicketOfAKilledWorkerIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		forget string // what the store never got
		within time.Duration
	}{
		"the row is there":          {"", 30 * time.Second},
		"the row was never written": {`UPDATE payments SET status = 'pending', ecommerce_id = '', revision = 1`, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCobro(t)
			opened := c.open(t, m{"total": "7.00"})
			c.kill()
			if tt.forget != "" {
				db, err := sql.Open("sqlite", strings.TrimPrefix(c.at.Store, "sqlite:"))
				require.NoError(t, err)
				_, err = db.ExecContext(t.Context(), tt.forget)
				require.NoError(t, err)
				require.NoError(t, db.Close())
			}
			require.NoError(t, c.start())
			c.phone(t, "confirm", opened.EcommerceID)
			require.Eventually(t, func() bool {
				debits, _ := c.booked(t, opened.EcommerceID)
				return len(debits) == 1
			}, tt.within, interval)
			c.await(t, opened.ID, "completed")
			c.requireBooks(t, opened.EcommerceID, []string{"7.00"}, nil)
		})
	}
}
