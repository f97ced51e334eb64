package settings_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

func unset(string) string { return "" }

func TestWhatIsNotSetHasItsDefault(t *testing.T) {
	t.Parallel()
	api, problems := settings.Read(settings.API, unset)
	require.Empty(t, problems)
	require.Equal(t, settings.Settings{
		MerchantID: "default", Listen: settings.DefaultListen, OpsListen: settings.DefaultOpsListen,
		StartTimeout: 30 * time.Second, StopTimeout: settings.DefaultAPIStopTimeout, Drain: settings.DefaultDrain,
		Wait: settings.DefaultWait, MinExpiresIn: payment.MinExpiresIn,
	}, api, "Timing stays zero: a payment's input holds what somebody has set, and the workflows know the rest")
	worker, problems := settings.Read(settings.Worker|settings.Receivers, unset)
	require.Empty(t, problems)
	require.Equal(t, settings.Settings{
		ReconcileAt:  settings.DefaultReconcileAt,
		StartTimeout: 30 * time.Second, StopTimeout: settings.DefaultWorkerStopTimeout,
	}, worker)
}

func TestEachVariableHasItsOwnField(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"COBRO_STORE": "sqlite:x.db", "COBRO_KEY_FILE": "keys.json", "COBRO_MERCHANT_ID": "shop", "COBRO_API_KEY": "a", "COBRO_WEBHOOK_SECRET": "b",
		"COBRO_ATHM_PUBLIC_TOKEN": "c", "COBRO_ATHM_PRIVATE_TOKEN": "d", "COBRO_LISTEN": ":1", "COBRO_OPS_LISTEN": ":2",
		"COBRO_CODEC_ORIGINS": "http://a,http://b", "COBRO_CODEC_TOKEN": "e", "COBRO_GATEWAY_URL": "http://g", "COBRO_GATEWAY_REPORT_URL": "http://r",
		"COBRO_CALL_TIMEOUT": "1s", "COBRO_CALLS_PER_SECOND": "2", "COBRO_RECONCILE_AT": "off", "COBRO_ENDPOINTS": "e.yaml",
		"COBRO_RECEIVER_HOST": "host", "COBRO_START_TIMEOUT": "4s", "COBRO_STOP_TIMEOUT": "5s", "COBRO_DRAIN": "0s", "COBRO_WAIT": "6s",
		"COBRO_MIN_EXPIRES_IN": "7s", "COBRO_FORBID_SECOND_AUTHORIZE": "true", "COBRO_TIMING_DETAILS": "8s", "COBRO_TIMING_CANCEL_MARGIN": "9s",
		"COBRO_TIMING_GRACE": "10s", "COBRO_TIMING_STALE": "11s", "COBRO_TIMING_POLL_FIRST": "12s", "COBRO_TIMING_POLL_MOST": "13s",
		"COBRO_TIMING_SETTLE": "15s", "COBRO_TIMING_REVIEW": "16s",
	}
	got, problems := settings.Read(settings.Anyone, func(name string) string { return env[name] })
	require.Empty(t, problems)
	require.Equal(t, settings.Settings{
		Store: "sqlite:x.db", KeyFile: "keys.json", MerchantID: "shop", APIKey: private.NewToken("a"), WebhookSecret: private.NewToken("b"),
		PublicToken: "c", PrivateToken: private.NewToken("d"), Listen: ":1", OpsListen: ":2",
		CodecOrigins: []string{"http://a", "http://b"}, CodecToken: private.NewToken("e"), GatewayURL: "http://g", GatewayReportURL: "http://r",
		CallTimeout: time.Second, CallsPerSecond: 2, ReconcileAt: "off", Endpoints: "e.yaml", ReceiverHost: "host",
		StartTimeout: 4 * time.Second, StopTimeout: 5 * time.Second, Wait: 6 * time.Second, MinExpiresIn: 7 * time.Second,
		Timing: workflows.Timing{
			Details: 8 * time.Second, CancelMargin: 9 * time.Second, Grace: 10 * time.Second, Stale: 11 * time.Second, PollFirst: 12 * time.Second,
			PollMost: 13 * time.Second, Call: time.Second, Settle: 15 * time.Second, Review: 16 * time.Second,
			ForbidSecondAuthorize: true,
		},
	}, got)
}

func TestReadReportsEveryMistake(t *testing.T) {
	t.Parallel()
	names := []string{
		"COBRO_CALL_TIMEOUT", "COBRO_FORBID_SECOND_AUTHORIZE", "COBRO_TIMING_DETAILS", "COBRO_TIMING_CANCEL_MARGIN", "COBRO_TIMING_GRACE",
		"COBRO_TIMING_STALE", "COBRO_TIMING_POLL_FIRST", "COBRO_TIMING_POLL_MOST", "COBRO_TIMING_SETTLE", "COBRO_TIMING_REVIEW",
	}
	_, problems := settings.Read(settings.DevProgram, func(name string) string {
		switch name {
		case "COBRO_TIMING_GRACE":
			return "-5s"
		case "COBRO_STORE_FILE", "COBRO_API_KEY_FILE", "COBRO_WEBHOOK_SECRET_FILE", "COBRO_ATHM_PRIVATE_TOKEN_FILE", "COBRO_CODEC_TOKEN_FILE", "COBRO_TEMPORAL_STORE_FILE":
			return ""
		default:
			return "soon"
		}
	})
	var found []string
	for _, p := range problems {
		found = append(found, p.Setting)
	}
	require.Subset(t, found, names)
}

// A row that nothing reads, or that explains nothing, is a mistake in the table.
func TestEveryRowIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range settings.All() {
		require.False(t, seen[s.Name], "%s is there twice", s.Name)
		seen[s.Name] = true
		require.NotZero(t, s.Of, s.Name)
		require.Zero(t, s.Needs&^s.Of, "%s: who needs it reads it", s.Name)
		require.Regexp(t, `^[^$\n]{10,160}[.]$`, s.Help, s.Name)
		for _, of := range []settings.Program{settings.API, settings.Worker, settings.DevProgram} {
			require.NotContains(t, s.DefaultFor(of), "m0s", s.Name)
		}
	}
}
