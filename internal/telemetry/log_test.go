package telemetry_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

func TestNoFormatLaysOpenPersonalData(t *testing.T) {
	t.Parallel()
	const canary = "canary-7875551234"
	sale := payment.Payment{ID: "pay_1", Request: payment.Request{PhoneNumber: canary, Metadata1: canary}}
	for _, format := range []string{telemetry.FormatText, telemetry.FormatJSON} {
		var out bytes.Buffer
		logger, err := telemetry.NewLogger(&out, format, slog.LevelInfo, true)
		require.NoError(t, err)
		logger.Info("seen",
			"payment", sale,
			"request", sale.Request,
			"list", []private.Text{canary},
			"nested", struct{ Customer payment.Customer }{payment.Customer{Email: canary}},
			"token", map[string]any{"t": private.NewToken(canary)},
			"notification", payment.Notification{Payment: sale},
		)
		require.NotContains(t, out.String(), canary, format)
		require.Contains(t, out.String(), "pay_1", format)
	}
}

func TestAnUnknownFormatSaysWhichAreKnown(t *testing.T) {
	t.Parallel()
	_, err := telemetry.NewLogger(nil, "yaml", slog.LevelInfo, false)
	require.ErrorContains(t, err, `use "text" or "json"`)
}

func TestLinesOfTheSDKLookLikeOurs(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := telemetry.ForTemporal(slog.New(slog.NewJSONHandler(&out, nil)), payment.IsID)
	const id = "pay_00000000000000000000000000"
	logger.With("WorkflowID", id, "RunID", "r").Info("said", "ActivityType", "Authorize", "payment_id2", 1, "TraceID", "t")
	require.Contains(t, out.String(),
		`"workflow_id":"`+id+`","payment_id":"`+id+`","run_id":"r","activity_type":"Authorize","payment_id2":1,"trace_id":"t"`)
	out.Reset()
	logger.Info("said", "WorkflowID", "refund/ref_1")
	require.Contains(t, out.String(), `"workflow_id":"refund/ref_1"`)
	require.NotContains(t, out.String(), "payment_id")
}
