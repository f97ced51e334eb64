package workflows_test

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/runner"
)

// histories are what payments did on the real server, recorded by dev/histories.
func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "histories", "*.json"))
	require.NoError(t, err)
	require.Greater(t, len(files), 30, "histories are only ever added")
	return files
}

// onlyWorkflows registers what a replay needs.
type onlyWorkflows struct{ worker.WorkflowReplayer }

func (onlyWorkflows) RegisterActivityWithOptions(any, activity.RegisterOptions) {}

func replay(t *testing.T, file string) error {
	t.Helper()
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true})
	require.NoError(t, err)
	register(onlyWorkflows{replayer})
	data, err := os.Open(file)
	require.NoError(t, err)
	defer data.Close()
	history, err := client.HistoryFromJSON(data, client.HistoryJSONOptions{})
	require.NoError(t, err)
	started := history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
	return replayer.ReplayWorkflowHistoryWithOptions(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), history,
		worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{
			ID: started.GetWorkflowId(), RunID: started.GetOriginalExecutionRunId(),
		}})
}

// register registers every workflow.
func register(r runner.Registry) {
	runner.RegisterPayments(r, &activities.Gateway{}, &activities.Records{})
	runner.RegisterReconcile(r, &activities.Reconcile{})
}

// names keeps the names of workflows.
type names []string

func (n *names) RegisterWorkflowWithOptions(_ any, options workflow.RegisterOptions) {
	*n = append(*n, options.Name)
}

func (*names) RegisterActivityWithOptions(any, activity.RegisterOptions) {}

func TestEveryWorkflowHasAHistory(t *testing.T) {
	t.Parallel()
	recorded := strings.Join(histories(t), "\n")
	var registered names
	register(&registered)
	require.NotEmpty(t, registered)
	for _, name := range registered {
		require.Contains(t, recorded, "."+name+".", "record one: see dev/histories")
	}
}

// TestHistoriesReplay says that a deploy never breaks a running payment: every
// recorded history is what the code of today would have done.
func TestHistoriesReplay(t *testing.T) {
	t.Parallel()
	for _, file := range histories(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			require.NoError(t, replay(t, file))
		})
	}
}

// activityType finds the name of a scheduled activity.
var activityType = regexp.MustCompile(`"activityType":\s*\{\s*"name":\s*"(\w+)"`)

// name finds what anything is called; the space in it is as it pleases protojson.
var name = regexp.MustCompile(`("name":\s*")(\w+)"`)

// TestReplayNoticesASwap swaps two activities in a copy of each history: a
// replay that does not mind would prove nothing. TMPRL1100 is the number of
// Temporal's rule against code that decides otherwise.
func TestReplayNoticesASwap(t *testing.T) {
	t.Parallel()
	swapped := 0
	for _, file := range histories(t) {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		names := activityType.FindAllStringSubmatch(string(data), -1)
		if len(names) < 2 || names[0][1] == names[1][1] {
			continue
		}
		swapped++
		first, second := names[0][1], names[1][1]
		swap := map[string]string{first: second, second: first}
		text := name.ReplaceAllStringFunc(string(data), func(found string) string {
			parts := name.FindStringSubmatch(found)
			return parts[1] + cmp.Or(swap[parts[2]], parts[2]) + `"`
		})
		require.NotEqual(t, string(data), text)
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			copied := filepath.Join(t.TempDir(), "swapped.json")
			require.NoError(t, os.WriteFile(copied, []byte(text), 0o600))
			require.ErrorContains(t, replay(t, copied), "TMPRL1100", "%s for %s", first, second)
		})
	}
	require.Greater(t, swapped, 15)
}
