package temporalclient_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/private"
)

func TestSDKLogLinesUseOurFieldNames(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := temporalclient.Logger(slog.New(slog.NewJSONHandler(&out, nil)), ledger.IsID)
	const id = "pay_00000000000000000000000000"
	logger.With("WorkflowID", id, "RunID", "r").Info("said", "ActivityType", "Authorize", "payment_id2", 1, "TraceID", "t")
	require.Contains(t, out.String(),
		`"workflow_id":"`+id+`","payment_id":"`+id+`","run_id":"r","activity_type":"Authorize","payment_id2":1,"trace_id":"t"`)
	out.Reset()
	logger.Info("said", "WorkflowID", "refund/ref_1")
	require.Contains(t, out.String(), `"workflow_id":"refund/ref_1"`)
	require.NotContains(t, out.String(), "payment_id")
}

// A receiver's error is benign to Temporal, and may name a customer.
func TestTextOfBenignErrorsIsNotLogged(t *testing.T) {
	t.Parallel()
	said := temporal.NewApplicationErrorWithOptions("no ink for Canaria", "receiver", temporal.ApplicationErrorOptions{
		Category: temporal.ApplicationErrorCategoryBenign,
	})
	var out bytes.Buffer
	logger := temporalclient.Logger(slog.New(slog.NewTextHandler(&out, nil)), ledger.IsID)
	logger.Info("said", "Error", said)
	logger.Info("said", "Error", fmt.Errorf("told: %w", said))
	logger.With("Error", said).Info("said")
	require.NotContains(t, out.String(), "Canaria")
	require.Equal(t, 3, bytes.Count(out.Bytes(), []byte("error="+private.Mark)), out.String())
	logger.Info("said", "Error", errors.New("no room"))
	logger.Info("said", "Error", temporal.NewApplicationError("declined", "declined"))
	require.Contains(t, out.String(), "no room")
	require.Contains(t, out.String(), "declined", "what the gateway's client says is checked where it is said")
}
