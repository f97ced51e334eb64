package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// reconcile runs the real program, and returns its exit code and what it said.
func (c *cobro) reconcile(t *testing.T, program string, args ...string) (int, reconciled) {
	t.Helper()
	today := time.Now().In(time.FixedZone("AST", -4*60*60)).Format(time.DateOnly)
	cmd := exec.CommandContext(t.Context(), program, append([]string{"reconcile", "--from", today, "--json"}, args...)...)
	cmd.Env = append(os.Environ(), "COBRO_DATA="+c.data) // where dev keeps its settings
	out, err := cmd.Output()
	code := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		require.NoError(t, err)
	}
	var said reconciled
	require.NoError(t, json.Unmarshal(out, &said), "%d: %s %v", code, out, ended)
	return code, said
}

type reconciled struct {
	Days        []payment.Reconciliation `json:"days"`
	Differences []payment.Mismatch       `json:"differences"`
}

// sellAtGateway makes a sale for $7.00 at the gateway that Cobro does not know. It
// returns the answer to the authorization.
func (c *cobro) sellAtGateway(t *testing.T, metadata string) (ecommerceID string, authorized answer) {
	t.Helper()
	gateway := c.at.Gateway + "/api/business-transaction/ecommerce"
	ticket := as[struct {
		Data struct {
			EcommerceID string `json:"ecommerceId"`
			AuthToken   string `json:"auth_token"`
		}
	}](t, send(t, http.MethodPost, gateway+"/payment", m{
		"env": "production", "publicToken": athmovilsim.DefaultPublicToken, "timeout": "600", "total": "7.00", "tax": "0.00",
		"subtotal": "0.00", "metadata1": metadata, "metadata2": "", "items": []m{}, "phoneNumber": "7875551234",
	}, nil)).Data
	c.phone(t, "confirm", ticket.EcommerceID)
	got := send(t, http.MethodPost, gateway+"/authorization", nil, map[string]string{"Authorization": "Bearer " + ticket.AuthToken})
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	return ticket.EcommerceID, got
}

// buildCobro builds the real program and returns its path.
func buildCobro(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "cobro")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/cobro")
	build.Dir, build.Env = filepath.Join("..", ".."), append(os.Environ(), "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

func TestReconcileBooksRefundsAndReportsMismatches(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	program := buildCobro(t)
	listener := c.listen(t, "reconciled")
	code, said := c.reconcile(t, program)
	require.Zero(t, code, "nothing has happened yet: %+v", said)

	sold := c.open(t, m{"total": "25.00", "phone_number": "7875550999"})
	// Neither the event of the sale nor that of the refund ever comes.
	c.fault(t, m{"op": "webhook", "fault": "webhook_lost", "ecommerce_id": sold.EcommerceID, "times": 2})
	c.phone(t, "confirm", sold.EcommerceID)
	require.Nil(t, c.await(t, sold.ID, "completed").Customer.Name)
	got := send(t, http.MethodPost, c.at.GatewayControl+"/_sim/external-refunds", m{"ecommerce_id": sold.EcommerceID, "amount": "2.00"}, nil)
	require.Less(t, got.status, 300, "%s", got.body)
	c.sellAtGateway(t, "by hand")
	listener.requireEvents(t, sold.ID, payment.EventCreated, payment.EventCompleted)

	code, said = c.reconcile(t, program, "--dry-run")
	require.Equal(t, 3, code)
	require.Equal(t, 3, said.Days[0].Rows, "two sales and a refund")
	require.Equal(t, 1, said.Days[0].Matched)
	require.Len(t, said.Differences, 1)
	require.Equal(t, payment.MismatchMissingHere, said.Differences[0].Kind)
	require.Equal(t, "7.00", said.Differences[0].Theirs)
	require.Nil(t, c.show(t, sold.ID).Customer.Name, "a dry run writes nothing")
	require.Empty(t, c.mismatches(t))

	c.fault(t, m{"op": "report", "fault": "error_500", "times": 2}) // the report is known to fail
	code, said = c.reconcile(t, program)
	require.Equal(t, 3, code)
	require.Equal(t, 1, said.Days[0].Filled)
	require.Equal(t, 1, said.Days[0].Booked)
	require.Zero(t, said.Days[0].Quarantined)
	require.Len(t, said.Differences, 1)
	settled := c.show(t, sold.ID)
	require.NotNil(t, settled.Customer.Name, "only the report knew who paid")
	require.Equal(t, "2.00", settled.RefundedAmount)
	listener.requireEvents(t, sold.ID, payment.EventCreated, payment.EventCompleted, payment.EventRefundCompleted)
	require.Eventually(t, func() bool { return len(listener.of("")) == 1 }, timeout, interval)

	code, said = c.reconcile(t, program)
	require.Equal(t, 3, code, "the difference is still there")
	require.Equal(t, 1, said.Days[0].Mismatches)
	require.Empty(t, said.Differences, "and is not new")
	require.Zero(t, said.Days[0].Booked)
	require.Len(t, listener.of(""), 1, "no second notification")
	require.Len(t, c.mismatches(t), 1)

	// A span that gets no answer at all is halved.
	c.fault(t, m{"op": "report", "fault": "drop_before", "times": 3})
	_, said = c.reconcile(t, program)
	require.Zero(t, said.Days[0].Quarantined)
	require.Equal(t, 3, said.Days[0].Rows, "two sales and a refund")
}

func (c *cobro) mismatches(t *testing.T) []payment.Mismatch {
	t.Helper()
	got := c.merchant(t, http.MethodGet, "/v1/reconciliations?limit=100", nil)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	return as[struct{ Mismatches []payment.Mismatch }](t, got).Mismatches
}

// TestReconcileScheduleFollowsSettings requires that the settings of a worker decide
// the schedule from its start on.
func TestReconcileScheduleFollowsSettings(t *testing.T) {
	t.Parallel()
	c := newCobro(t)
	look := func() (client.Schedule, workflows.ReconcileDayInput) {
		temporal, converter := c.dial(t)
		described, err := temporal.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileSchedule).Describe(t.Context())
		require.NoError(t, err)
		action, ok := described.Schedule.Action.(*client.ScheduleWorkflowAction)
		require.True(t, ok)
		var in workflows.ReconcileDayInput
		require.NoError(t, converter.FromPayload(action.Args[0].(*commonpb.Payload), &in))
		return described.Schedule, in
	}
	schedule, in := look()
	require.Equal(t, 2, schedule.Spec.Calendars[0].Hour[0].Start)
	require.Equal(t, 3*time.Second, in.Timing.Call, "as all tests set it")

	require.NoError(t, c.stop())
	c.env = []string{"COBRO_RECONCILE_AT=03:30", "COBRO_CALL_TIMEOUT=90s"}
	require.NoError(t, c.start())
	schedule, in = look()
	require.Equal(t, 3, schedule.Spec.Calendars[0].Hour[0].Start)
	require.Equal(t, 30, schedule.Spec.Calendars[0].Minute[0].Start)
	require.Equal(t, 90*time.Second, in.Timing.Call)
	require.False(t, schedule.State.Paused)

	require.NoError(t, c.stop())
	c.env = []string{"COBRO_RECONCILE_AT=off"}
	require.NoError(t, c.start())
	schedule, _ = look()
	require.True(t, schedule.State.Paused)
}
