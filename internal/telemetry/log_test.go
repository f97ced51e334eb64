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

func TestNoFormatLogsPersonalData(t *testing.T) {
	t.Parallel()
	const canary = "canary-7875551234"
	item := payment.Item{Name: canary, Description: canary, Metadata: canary}
	sale := payment.Payment{ID: "pay_1", Request: payment.Request{PhoneNumber: canary, Metadata1: canary, Items: []payment.Item{item}}}
	for _, format := range []string{telemetry.FormatText, telemetry.FormatJSON} {
		var out bytes.Buffer
		logger, err := telemetry.NewLogger(&out, format, slog.LevelInfo, true)
		require.NoError(t, err)
		logger.Info("seen",
			"payment", sale,
			"request", sale.Request,
			"item", item,
			"list", []private.Text{canary},
			"nested", struct{ Customer payment.Customer }{payment.Customer{Email: canary}},
			"token", map[string]any{"t": private.NewToken(canary)},
			"notification", payment.Notification{Payment: sale},
		)
		require.NotContains(t, out.String(), canary, format)
		require.Contains(t, out.String(), "pay_1", format)
	}
}

func TestStandardLogDropsQuotedText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	standard := telemetry.StandardLog(slog.New(slog.NewJSONHandler(&out, nil)))
	standard.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "Canaria", nil)
	require.Contains(t, out.String(), `"level":"WARN","msg":"said by a library","text":"Unsolicited response received on idle HTTP channel starting with"}`)
	require.NotContains(t, out.String(), "Canaria")
}

func TestUnknownFormatErrorListsFormats(t *testing.T) {
	t.Parallel()
	_, err := telemetry.NewLogger(nil, "yaml", slog.LevelInfo, false)
	require.ErrorContains(t, err, `use "text" or "json"`)
}
