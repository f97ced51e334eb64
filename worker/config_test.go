package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
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
		"COBRO_CALL_TIMEOUT": "7s", "COBRO_STOP_TIMEOUT": "8s", "COBRO_TIMING_POLL_FIRST": "9s", "COBRO_TIMING_POLL_MOST": "11s", "COBRO_CALLS_PER_SECOND": "10",
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
	require.Equal(t, 9*time.Second, cfg.PollFirst)
	require.Equal(t, 11*time.Second, cfg.PollMost)
	require.Equal(t, 10, cfg.CallsPerSecond)
	require.Equal(t, "127.0.0.1:3", cfg.TemporalAddress)
	require.Equal(t, "payments", cfg.TemporalNamespace)
	require.Equal(t, "127.0.0.1:4", cfg.OpsListen)
}

func TestConfigFromEnvMistakes(t *testing.T) {
	t.Parallel()
	_, err := worker.ConfigFromEnv(getenv(map[string]string{
		"COBRO_STORE": "x", "COBRO_CALL_TIMEOUT": "soon", "COBRO_STOP_TIMEOUT": "later", "COBRO_TIMING_POLL_MOST": "many", "COBRO_CALLS_PER_SECOND": "0.5",
		"OTEL_TRACES_EXPORTER": "zipkin",
	}))
	require.ErrorContains(t, err, "OTEL_TRACES_EXPORTER")
	for _, name := range []string{"COBRO_CALL_TIMEOUT", "COBRO_STOP_TIMEOUT", "COBRO_TIMING_POLL_MOST", "COBRO_CALLS_PER_SECOND"} {
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

	t.Run("its gateway", func(t *testing.T) {
		t.Parallel()
		const ours, other, real = "http://127.0.0.1:5", "http://127.0.0.1:6", ""
		simulator := `"gateway":"` + ours + `","public_token":"public","private_token":"sample"`
		for _, tt := range []struct {
			name, dev string
			env       map[string]string
			want      []string // the two addresses and tokens; nil: refused
		}{
			{"its own simulator", simulator + `,"gateway_control":"` + other + `"`, nil, []string{ours, ours, "public", "sample"}},
			{"a simulator elsewhere", simulator, nil, []string{ours, ours, "public", "sample"}},
			{"with tokens of one's own", `"gateway":"` + ours + `"`,
				map[string]string{"COBRO_ATHM_PUBLIC_TOKEN": "p", "COBRO_ATHM_PRIVATE_TOKEN": "s"}, []string{ours, ours, "p", "s"}},
			{"tokens alone do not mean the real one", simulator,
				map[string]string{"COBRO_ATHM_PUBLIC_TOKEN": "p", "COBRO_ATHM_PRIVATE_TOKEN": "s"}, []string{ours, ours, "p", "s"}},
			{"both addresses", simulator,
				map[string]string{"COBRO_GATEWAY_URL": other, "COBRO_GATEWAY_REPORT_URL": other}, []string{other, other, "", ""}},
			{"one address of two", simulator, map[string]string{"COBRO_GATEWAY_URL": other}, nil},
			{"the other address", simulator, map[string]string{"COBRO_GATEWAY_REPORT_URL": other}, nil},
			{"the real one", `"gateway":""`, map[string]string{"COBRO_ATHM_PUBLIC_TOKEN": "p", "COBRO_ATHM_PRIVATE_TOKEN": "s"}, nil},
			{"another database", simulator, map[string]string{"COBRO_STORE": "sqlite:x.db"}, []string{real, real, "", ""}},
			{"another Temporal", simulator, map[string]string{"TEMPORAL_ADDRESS": "x"}, []string{real, real, "", ""}},
		} {
			folder := t.TempDir()
			addresses := `{"temporal":"127.0.0.1:3","store":"sqlite:dev.db","key_file":"dev.json",` + tt.dev + `}`
			require.NoError(t, os.WriteFile(filepath.Join(folder, "addresses.json"), []byte(addresses), 0o600))
			env := map[string]string{"COBRO_DATA": folder}
			maps.Copy(env, tt.env)
			cfg, err := worker.ConfigFromEnv(getenv(env))
			require.NoError(t, err, tt.name)
			if tt.want != nil {
				require.Equal(t, tt.want, []string{cfg.GatewayURL, cfg.GatewayReportURL, cfg.PublicToken, cfg.PrivateToken.Reveal()}, tt.name)
				continue
			}
			cfg.Payments, cfg.PublicToken, cfg.PrivateToken = true, "p", private.NewToken("s")
			cfg.StartTimeout = time.Nanosecond // it is refused before anything is waited for
			require.ErrorContains(t, worker.Run(t.Context(), cfg, nil), "set both addresses", tt.name)
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
		TemporalAddress: "f", TemporalNamespace: "g", GatewayURL: "h", GatewayReportURL: "i", CallTimeout: 1, CallsPerSecond: 2, PollFirst: 3, PollMost: 4,
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
