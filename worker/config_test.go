package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/worker"
)

func getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	cfg, err := worker.ConfigFromEnv(getenv(map[string]string{
		"COBRO_STORE": "sqlite:cobro.db", "COBRO_KEY_FILE": "keys.json", "COBRO_RECEIVER_HOST": "shop",
		"COBRO_ATHM_PUBLIC_TOKEN": "public", "COBRO_ATHM_PRIVATE_TOKEN": "secret",
		"COBRO_GATEWAY_URL": "http://127.0.0.1:1", "COBRO_GATEWAY_REPORT_URL": "http://127.0.0.1:2",
		"COBRO_CALL_TIMEOUT": "7s", "COBRO_STOP_TIMEOUT": "8s", "COBRO_WAITING": "9", "COBRO_CALLS_PER_SECOND": "10",
		"COBRO_OPS_LISTEN": "127.0.0.1:4", "TEMPORAL_ADDRESS": "127.0.0.1:3", "TEMPORAL_NAMESPACE": "payments",
		"COBRO_ENDPOINTS": "endpoints.yaml",
	}))
	require.NoError(t, err)
	require.Equal(t, "endpoints.yaml", cfg.Endpoints)
	require.Equal(t, "sqlite:cobro.db", cfg.Store)
	require.Equal(t, "keys.json", cfg.KeyFile)
	require.Equal(t, "shop", cfg.Host)
	require.Equal(t, "public", cfg.PublicToken)
	require.Equal(t, private.NewToken("secret"), cfg.PrivateToken)
	require.Equal(t, "http://127.0.0.1:1", cfg.GatewayURL)
	require.Equal(t, "http://127.0.0.1:2", cfg.GatewayReportURL)
	require.Equal(t, 7*time.Second, cfg.CallTimeout)
	require.Equal(t, 8*time.Second, cfg.StopTimeout)
	require.Equal(t, 9, cfg.Waiting)
	require.Equal(t, 10, cfg.CallsPerSecond)
	require.Equal(t, "127.0.0.1:3", cfg.TemporalAddress)
	require.Equal(t, "payments", cfg.TemporalNamespace)
	require.Equal(t, "127.0.0.1:4", cfg.OpsListen)
}

func TestConfigFromEnvMistakes(t *testing.T) {
	t.Parallel()
	_, err := worker.ConfigFromEnv(getenv(map[string]string{
		"COBRO_STORE": "x", "COBRO_CALL_TIMEOUT": "soon", "COBRO_STOP_TIMEOUT": "later", "COBRO_WAITING": "many", "COBRO_CALLS_PER_SECOND": "0.5",
		"OTEL_TRACES_EXPORTER": "zipkin",
	}))
	require.ErrorContains(t, err, "OTEL_TRACES_EXPORTER")
	for _, name := range []string{"COBRO_CALL_TIMEOUT", "COBRO_STOP_TIMEOUT", "COBRO_WAITING", "COBRO_CALLS_PER_SECOND"} {
		require.ErrorContains(t, err, name+" is not a")
	}
}

func TestConfigFromDev(t *testing.T) {
	t.Parallel()

	t.Run("its data folder says it all", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		addresses := `{"temporal":"127.0.0.1:3","namespace":"default","store":"sqlite:dev.db","key_file":"dev.json"}`
		require.NoError(t, os.WriteFile(filepath.Join(folder, "addresses.json"), []byte(addresses), 0o600))
		cfg, err := worker.ConfigFromEnv(getenv(map[string]string{"COBRO_DATA": folder}))
		require.NoError(t, err)
		require.Equal(t, "127.0.0.1:3", cfg.TemporalAddress)
		require.Equal(t, "default", cfg.TemporalNamespace)
		require.Equal(t, "sqlite:dev.db", cfg.Store)
		require.Equal(t, "dev.json", cfg.KeyFile)
	})

	t.Run("its simulator, unless a setting says anything of the gateway", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		write := func(control string) {
			addresses := `{"temporal":"127.0.0.1:3","store":"sqlite:dev.db","gateway":"http://127.0.0.1:5","public_token":"public","private_token":"simulated",` +
				`"gateway_control":"` + control + `"}`
			require.NoError(t, os.WriteFile(filepath.Join(folder, "addresses.json"), []byte(addresses), 0o600))
		}
		write("http://127.0.0.1:6")
		cfg, err := worker.ConfigFromEnv(getenv(map[string]string{"COBRO_DATA": folder}))
		require.NoError(t, err)
		require.Equal(t, []string{"http://127.0.0.1:5", "http://127.0.0.1:5", "public", "simulated"},
			[]string{cfg.GatewayURL, cfg.GatewayReportURL, cfg.PublicToken, cfg.PrivateToken.Reveal()})
		for _, name := range []string{
			"COBRO_GATEWAY_URL", "COBRO_GATEWAY_REPORT_URL", "COBRO_ATHM_PUBLIC_TOKEN", "COBRO_ATHM_PRIVATE_TOKEN", "COBRO_STORE", "TEMPORAL_ADDRESS", "",
		} {
			if name == "" {
				write("") // dev has another gateway than its own simulator
				name = "OTHER"
			}
			cfg, err := worker.ConfigFromEnv(getenv(map[string]string{"COBRO_DATA": folder, name: "x"}))
			require.NoError(t, err)
			require.NotEqual(t, "http://127.0.0.1:5", cfg.GatewayURL, name)
			require.NotEqual(t, "simulated", cfg.PrivateToken.Reveal(), name)
		}
	})

	t.Run("a folder that is named has to be there", func(t *testing.T) {
		t.Parallel()
		_, err := worker.ConfigFromEnv(getenv(map[string]string{"COBRO_DATA": filepath.Join(t.TempDir(), "none")}))
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "COBRO_DATA")
	})

	t.Run("a file that is none of ours", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(folder, "addresses.json"), []byte("hello"), 0o600))
		_, err := worker.ConfigFromEnv(getenv(map[string]string{"COBRO_DATA": folder}))
		require.ErrorContains(t, err, "addresses.json")
	})
}

// TestRunRefuses says that everything wrong is reported at once, before
// anything is opened.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	receive := func(context.Context, payment.Notification) error { return nil }
	shop := activities.NewNotifications()
	shop.On(payment.EventCompleted, "send-receipt", receive)
	wrong := activities.NewNotifications()
	wrong.On(payment.EventCompleted, "send-receipt", receive)
	wrong.On("payment_complete", "print", receive)

	for _, tt := range []struct {
		name          string
		cfg           worker.Config
		notifications *activities.Notifications
		want          []string
	}{
		{"nothing is set", worker.Config{}, nil, []string{"COBRO_STORE", "COBRO_KEY_FILE", "nothing to run"}},
		{"payments without tokens", worker.Config{Payments: true}, nil, []string{"COBRO_ATHM_PUBLIC_TOKEN", "COBRO_ATHM_PRIVATE_TOKEN"}},
		{"an endpoints file that is not there", worker.Config{Payments: true, Endpoints: filepath.Join(t.TempDir(), "none.yaml")}, nil, []string{"COBRO_STORE", "none.yaml", "COBRO_ENDPOINTS"}},
		{"receivers without a host", worker.Config{}, shop, []string{"Config.Host"}},
		{"receivers on a host with a bad name", worker.Config{Host: "My Shop"}, shop, []string{"Config.Host"}},
		{"receivers on Cobro's own host", worker.Config{Host: "cobro"}, shop, []string{"give this program another name"}},
		{"a receiver of no event", worker.Config{Host: "shop"}, wrong, []string{"COBRO_STORE", "no such event"}},
		{"no key ring", worker.Config{Host: "shop", Store: "sqlite:none.db", KeyFile: filepath.Join(t.TempDir(), "none.json")}, shop, []string{"none.json"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Logger = slog.New(slog.DiscardHandler)
			err := worker.Run(t.Context(), tt.cfg, tt.notifications)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// A field that is missing in one direction would be ignored without a word.
func TestEveryConfigFieldReachesTheRunnerAndComesBack(t *testing.T) {
	t.Parallel()
	cfg := worker.Config{
		Store: "a", KeyFile: "b", Host: "c", Payments: true, PublicToken: "d", PrivateToken: private.NewToken("e"),
		TemporalAddress: "f", TemporalNamespace: "g", GatewayURL: "h", GatewayReportURL: "i", CallTimeout: 1, CallsPerSecond: 2, Waiting: 3,
		ReconcileAt: "j", StartTimeout: 4, Endpoints: "k", StopTimeout: 5, OpsListen: "l", Logger: slog.Default(), Now: time.Now, Started: func() {},
	}
	given, taken := reflect.ValueOf(cfg), reflect.ValueOf(worker.RoundTrip(cfg))
	for i := range given.NumField() {
		field := given.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		require.False(t, given.Field(i).IsZero(), "give %s a value in this test", field.Name)
		require.Equal(t, fmt.Sprint(given.Field(i)), fmt.Sprint(taken.Field(i)), field.Name)
	}
}
