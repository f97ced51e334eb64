package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/internal/doctor"
	"github.com/cobropay/cobro/internal/store"
)

// examine runs cobro doctor, and returns its findings by check.
func examine(t *testing.T, env map[string]string) (int, map[string]doctor.Finding) {
	t.Helper()
	code, stdout, stderr := cobro(t, env, "doctor", "--json", "--timeout", "3s")
	var found struct{ Checks []doctor.Finding }
	require.NoError(t, json.Unmarshal([]byte(stdout), &found), stderr)
	byCheck := map[string]doctor.Finding{}
	for _, f := range found.Checks {
		if was, twice := byCheck[f.Check]; !twice || was.Status != doctor.Failed {
			byCheck[f.Check] = f
		}
	}
	for _, secret := range []string{apiKey, webhookSecret, athmovilsim.DefaultPrivateToken} {
		require.NotContains(t, stdout+stderr, secret)
	}
	return code, byCheck
}

func TestDoctorFindsAWholeInstallationWell(t *testing.T) {
	t.Parallel()
	env := installation(t, &frontend{})
	for range 2 { // the second event is the first one again
		code, found := examine(t, env)
		require.Zero(t, code, found)
		for _, check := range []string{"keys", "database", "merchant", "temporal", "search_attributes", "workers", "gateway", "gateway_reports", "tokens", "clock"} {
			require.Equal(t, doctor.OK, found[check].Status, "%s: %s", check, found[check].Saw)
		}
		require.Equal(t, doctor.Warning, found["webhook"].Status, "it takes events, over http")
		require.Contains(t, found["webhook"].Saw, "takes events")
	}
	code, stdout, _ := cobro(t, env, "doctor")
	require.Zero(t, code)
	require.Contains(t, stdout, "ATH Móvil takes both")
}

// Whoever tries Cobro has set nothing.
func TestDoctorTakesWhatARunningDevSays(t *testing.T) {
	t.Parallel()
	env := installation(t, &frontend{})
	data := t.TempDir()
	addresses, err := json.Marshal(map[string]string{
		"store": env["COBRO_STORE"], "key_file": env["COBRO_KEY_FILE"], "temporal": env["TEMPORAL_ADDRESS"], "namespace": "default",
		"api": env["COBRO_PUBLIC_URL"], "api_key": apiKey, "webhook_url": env["COBRO_PUBLIC_URL"] + "/webhooks/athmovil/" + webhookSecret,
		"gateway": env["COBRO_GATEWAY_URL"], "gateway_control": "http://127.0.0.1:1",
		"public_token": athmovilsim.DefaultPublicToken, "private_token": athmovilsim.DefaultPrivateToken,
	})
	require.NoError(t, err)
	write(t, filepath.Join(data, "addresses.json"), string(addresses), 0o600)
	code, found := examine(t, map[string]string{"COBRO_DATA": data, "TEMPORAL_CONFIG_FILE": env["TEMPORAL_CONFIG_FILE"]})
	require.Zero(t, code, found)
	for check, f := range found {
		require.NotEqual(t, doctor.Skipped, f.Status, "%s: %s", check, f.Saw)
	}
}

func TestDoctorOnBrokenInstallations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		frontend *frontend
		break_   func(t *testing.T, env map[string]string) map[string]string
		check    string
		status   doctor.Status
		saw, do  string
	}{
		{"a wrong private token", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_ATHM_PRIVATE_TOKEN", "not-the-private-token-at-all")
		}, "tokens", doctor.Failed, "private token invalid", "ATH Business app"},
		{"a wrong public token", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_ATHM_PUBLIC_TOKEN", "not-the-public-token-at-all")
		}, "tokens", doctor.Failed, "public token invalid", "ATH Business app"},
		{"a gateway that is not there", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_GATEWAY_URL", "http://127.0.0.1:1", "COBRO_GATEWAY_REPORT_URL", "http://127.0.0.1:1")
		}, "gateway", doctor.Failed, "does not answer", "COBRO_GATEWAY_URL"},
		{"a user in the gateway's address", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_GATEWAY_URL", "http://me:"+apiKey+"@127.0.0.1:1")
		}, "gateway", doctor.Failed, "http://127.0.0.1:1/[private] does not answer", "COBRO_GATEWAY_URL"},
		{"the whole address of the webhooks", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_PUBLIC_URL", env["COBRO_PUBLIC_URL"]+"/webhooks/athmovil/"+webhookSecret)
		}, "webhook", doctor.Failed, "[private]/webhooks/athmovil/… knows no such address", "COBRO_WEBHOOK_SECRET"},
		{"a gateway with a certificate of its own", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.ErrorLog = nil
			server.StartTLS()
			t.Cleanup(server.Close)
			return with(env, "COBRO_GATEWAY_URL", server.URL)
		}, "gateway", doctor.Failed, "certificate", "CA certificates"},
		{"a gateway that keeps us out", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_GATEWAY_URL", answering(t, http.StatusForbidden, nil))
		}, "gateway", doctor.Warning, "403", "Evertec"},
		{"no migration", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_STORE", "sqlite:"+write(t, filepath.Join(t.TempDir(), "empty.db"), "", 0o600))
		}, "database", doctor.Failed, "schema 0", "cobro migrate"},
		{"no database", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_STORE", "sqlite:"+filepath.Join(t.TempDir(), "missing.db"))
		}, "database", doctor.Failed, "no database yet", "cobro migrate"},
		{"a full disk", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			fill(t, env)
			return env
		}, "database", doctor.Failed, "the disk is full", "may write"},
		{"another merchant's database", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			db, _ := open(t, env)
			require.NoError(t, db.ClaimMerchant(t.Context(), "bakery"))
			return env
		}, "merchant", doctor.Failed, `merchant "bakery"`, "COBRO_MERCHANT_ID=bakery"},
		{"no key ring", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_KEY_FILE", filepath.Join(t.TempDir(), "keys.json"))
		}, "keys", doctor.Failed, "no such file", "cobro keys --out"},
		{"an old key", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			key := `"b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZCA="`
			return with(env, "COBRO_KEY_FILE", write(t, filepath.Join(t.TempDir(), "keys.json"),
				`{"primary":"k-2020-01-01-0a0b0c0d","keys":{"k-2020-01-01-0a0b0c0d":`+key+`},"digest_key":`+key+`}`, 0o600))
		}, "keys", doctor.Warning, "since 2020-01-01", "cobro keys add"},
		{"no Temporal", nil, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "TEMPORAL_ADDRESS", "127.0.0.1:1")
		}, "temporal", doctor.Failed, "does not answer", "TEMPORAL_ADDRESS"},
		{"no namespace", &frontend{noNamespace: true}, same, "temporal", doctor.Failed, `no namespace "default"`, "temporal operator namespace create"},
		{"no search attributes", &frontend{noAttributes: true}, same, "search_attributes", doctor.Failed, "lacks search attributes",
			"temporal operator search-attribute create --namespace default --name NeedsReview --type Bool"},
		{"no worker", &frontend{noWorkers: true}, same, "workers", doctor.Warning, "nobody works on the task queue", "start cobro worker"},
		{"another webhook secret", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_WEBHOOK_SECRET", "another-secret-than-the-apis")
		}, "webhook", doctor.Failed, "404", "same COBRO_WEBHOOK_SECRET"},
		{"nobody at the webhook's address", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_PUBLIC_URL", "http://127.0.0.1:1")
		}, "webhook", doctor.Failed, "does not answer", "COBRO_PUBLIC_URL"},
		{"a login before the webhook's address", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_PUBLIC_URL", answering(t, http.StatusFound, nil))
		}, "webhook", doctor.Failed, "302", "without a redirect or a login"},
		{"a wrong clock", &frontend{}, func(t *testing.T, env map[string]string) map[string]string {
			header := http.Header{"Date": {time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)}}
			return with(env, "COBRO_PUBLIC_URL", answering(t, http.StatusOK, header))
		}, "clock", doctor.Warning, "differs", "time server"},
		{"a setting without its form", &frontend{}, func(_ *testing.T, env map[string]string) map[string]string {
			return with(env, "COBRO_STOP_TIMEOUT", "soon")
		}, "settings", doctor.Failed, "COBRO_STOP_TIMEOUT is not a duration", `"30s"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, found := examine(t, tt.break_(t, installation(t, tt.frontend)))
			finding := found[tt.check]
			require.Equal(t, tt.status, finding.Status, found)
			require.Contains(t, finding.Saw, tt.saw)
			require.Contains(t, finding.Do, tt.do)
			if tt.status == doctor.Failed {
				require.Equal(t, 1, code)
			}
		})
	}
}

func same(_ *testing.T, env map[string]string) map[string]string { return env }

// answering is a server with one answer.
func answering(t *testing.T, status int, header http.Header) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestDoctorTouchesNoPayment(t *testing.T) {
	t.Parallel()
	env := installation(t, &frontend{})
	_, _ = examine(t, env)
	db, _ := open(t, env)
	event, err := db.LeaseGatewayEvents(t.Context(), 10, time.Minute)
	require.NoError(t, err)
	require.Len(t, event, 1, "the event of the test button")
	require.Equal(t, "simulated", event[0].Kind, "which the relay never takes to a payment")
	owner, err := db.Merchant(t.Context())
	require.NoError(t, err)
	require.Empty(t, owner, "looking claims nothing")
}

func TestConfigCheckOnBrokenConfigurations(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change  []string
		setting string
		do      string
	}{
		"no key":                 {[]string{"COBRO_API_KEY", ""}, "COBRO_API_KEY", "openssl rand"},
		"no token":               {[]string{"COBRO_ATHM_PRIVATE_TOKEN", ""}, "COBRO_ATHM_PRIVATE_TOKEN", "ATH Business app"},
		"a short secret":         {[]string{"COBRO_WEBHOOK_SECRET", "short"}, "COBRO_WEBHOOK_SECRET", "longer one"},
		"a misspelt name":        {[]string{"COBRO_WEBHOK_SECRET", "x"}, "COBRO_WEBHOK_SECRET", "did you mean COBRO_WEBHOOK_SECRET?"},
		"no duration":            {[]string{"COBRO_WAIT", "soon"}, "COBRO_WAIT", `"30s"`},
		"an unknown level":       {[]string{"COBRO_LOG_LEVEL", "loud"}, "COBRO_LOG_LEVEL", "one of them"},
		"a secret in two places": {[]string{"COBRO_API_KEY_FILE", "/dev/null"}, "COBRO_API_KEY_FILE", "remove one"},
		"half a gateway":         {[]string{"COBRO_GATEWAY_REPORT_URL", ""}, "COBRO_GATEWAY_REPORT_URL", "set both"},
		"an unknown database":    {[]string{"COBRO_STORE", "mysql://cobro:canary@db/cobro"}, "COBRO_STORE", "cobro migrate --help"},
		"no key ring":            {[]string{"COBRO_KEY_FILE", "/nowhere/keys.json"}, "COBRO_KEY_FILE", "cobro keys --out"},
		"no such profile":        {[]string{"TEMPORAL_PROFILE", "typo"}, "TEMPORAL_…", "TEMPORAL_PROFILE"},
		"a user in an address":   {[]string{"COBRO_GATEWAY_URL", "https://user:canary@sim.example"}, "COBRO_GATEWAY_URL", "https://"},
		"the webhooks' address":  {[]string{"COBRO_PUBLIC_URL", "https://pay.example/webhooks/athmovil/canary"}, "COBRO_PUBLIC_URL", "end it before"},
		"no time of day":         {[]string{"COBRO_RECONCILE_AT", "25:00"}, "COBRO_RECONCILE_AT", "02:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := with(settled(t), tt.change...)
			code, stdout, stderr := cobroWith(t, env, "config", "check", "--json")
			require.Equal(t, 1, code, stderr)
			var found checked
			require.NoError(t, json.Unmarshal([]byte(stdout), &found))
			require.Len(t, found.Problems, 1, found.Problems)
			require.Equal(t, tt.setting, found.Problems[0].Setting)
			require.Contains(t, found.Problems[0].Do, tt.do)
			require.NotContains(t, stdout, "canary")
		})
	}
}

// settled is a configuration without a mistake.
func settled(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{
		"COBRO_STORE": "sqlite:" + filepath.Join(dir, "cobro.db"), "COBRO_KEY_FILE": filepath.Join(dir, "keys.json"),
		"COBRO_API_KEY": apiKey, "COBRO_WEBHOOK_SECRET": webhookSecret,
		"COBRO_ATHM_PUBLIC_TOKEN": "public", "COBRO_ATHM_PRIVATE_TOKEN": "private",
		"COBRO_GATEWAY_URL": "https://sim.example", "COBRO_GATEWAY_REPORT_URL": "https://sim.example",
		"TEMPORAL_CONFIG_FILE": write(t, filepath.Join(dir, "temporal.toml"), "[profile.default]\naddress = \"temporal.example:7233\"\nnamespace = \"shop\"\n", 0o600),
	}
	code, _, stderr := cobro(t, env, "keys")
	require.Zero(t, code, stderr)
	return env
}

func TestConfigCheckShowsWhereThingsComeFrom(t *testing.T) {
	t.Parallel()
	env := settled(t)
	file := write(t, filepath.Join(t.TempDir(), "api-key"), apiKey+"\n", 0o644)
	code, stdout, stderr := cobroWith(t, with(env, "COBRO_API_KEY", "", "COBRO_API_KEY_FILE", file), "config", "check")
	require.Zero(t, code, "a file that others can read is a warning: %s %s", stdout, stderr)
	for _, want := range []string{
		"COBRO_API_KEY ", "set, 16 to 31 characters", file, "chmod o-rwx", "temporal.example:7233", "profile default of", "COBRO_WAIT ", "default",
	} {
		require.Contains(t, stdout, want)
	}
	require.NotContains(t, stdout+stderr, "canary")

	code, stdout, _ = cobroWith(t, env, "config", "check")
	require.Zero(t, code)
	require.Contains(t, stdout, "no problems")
}

func TestAStartShowsEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	env := map[string]string{"COBRO_STORE": "sqlite:x.db", "COBRO_TIMING_GRACE": "long", "COBRO_CALLS_PER_SECOND": "many", "COBRO_CODEC_ORIGINS": "nowhere"}
	for program, want := range map[string][]string{
		"api":    {"COBRO_KEY_FILE is not set", "COBRO_API_KEY is not set", "COBRO_WEBHOOK_SECRET is not set", "COBRO_TIMING_GRACE is not a duration", "COBRO_CODEC_ORIGINS holds"},
		"worker": {"COBRO_KEY_FILE is not set", "COBRO_ATHM_PUBLIC_TOKEN is not set", "COBRO_ATHM_PRIVATE_TOKEN is not set", "COBRO_CALLS_PER_SECOND is not a whole number"},
	} {
		code, _, stderr := cobro(t, env, program)
		require.Equal(t, 1, code, stderr)
		for _, text := range want {
			require.Contains(t, stderr, text, program)
		}
	}
	code, _, stderr := cobro(t, with(env, "COBRO_WAIT", "soon"), "api") // which the command line refuses
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "COBRO_API_KEY is not set")
}

func TestASecretFileServesEveryCommand(t *testing.T) {
	t.Parallel()
	env := settled(t)
	dir := t.TempDir()
	dsn := write(t, filepath.Join(dir, "store"), env["COBRO_STORE"]+"\n", 0o600)
	code, _, stderr := cobro(t, with(env, "COBRO_STORE", "", "COBRO_STORE_FILE", dsn), "migrate")
	require.Zero(t, code, stderr)
	_, err := os.Stat(strings.TrimPrefix(env["COBRO_STORE"], "sqlite:"))
	require.NoError(t, err)
	require.NoError(t, store.CheckDSN(env["COBRO_STORE"]))
}
