package settings_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/settings"
)

const canary = "canary-5f0c2a9d41b7"

// whole is an installation without a mistake.
func whole(changes map[string]string) func(string) string {
	env := map[string]string{
		"COBRO_STORE": "sqlite:cobro.db", "COBRO_KEY_FILE": "keys.json", "COBRO_API_KEY": canary, "COBRO_WEBHOOK_SECRET": canary,
		"COBRO_ATHM_PUBLIC_TOKEN": "public", "COBRO_ATHM_PRIVATE_TOKEN": canary,
	}
	for name, value := range changes {
		env[name] = value
	}
	return func(name string) string { return env[name] }
}

func environ(names ...string) []string {
	for i, name := range names {
		names[i] = name + "=x"
	}
	return names
}

func TestNothingIsWrong(t *testing.T) {
	t.Parallel()
	require.Empty(t, settings.Check(settings.Everything, whole(nil), environ("COBRO_STORE", "COBRO_API_KEY_FILE", "COBRO_ENDPOINT_SHOP", "PATH", "COBRO_DATA")))
}

func TestEverythingWrongAtOnce(t *testing.T) {
	t.Parallel()
	problems := settings.Check(settings.Everything, func(string) string { return "" }, nil)
	var names []string
	for _, p := range problems {
		names = append(names, p.Setting)
		require.NotEmpty(t, p.Do, p.Setting)
	}
	require.Equal(t, []string{
		"COBRO_STORE", "COBRO_KEY_FILE", "COBRO_API_KEY", "COBRO_WEBHOOK_SECRET", "COBRO_ATHM_PUBLIC_TOKEN", "COBRO_ATHM_PRIVATE_TOKEN",
	}, names)
	require.ErrorContains(t, settings.Join(problems), "COBRO_API_KEY is not set")
	require.Len(t, settings.Check(settings.Worker, func(string) string { return "" }, nil), 4)
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env      map[string]string
		want, do string
		warning  bool
	}{
		"a short secret":            {map[string]string{"COBRO_WEBHOOK_SECRET": "short"}, "fewer than 16", "openssl rand", false},
		"a slash in the address":    {map[string]string{"COBRO_WEBHOOK_SECRET": canary + "/x"}, "an address cannot", "letters, digits", false},
		"a space in a token":        {map[string]string{"COBRO_ATHM_PRIVATE_TOKEN": canary + " x"}, "no header takes", "copy it again", false},
		"a line break at the end":   {map[string]string{"COBRO_API_KEY": canary + "\n"}, "ends with a space", "remove it", false},
		"no duration":               {map[string]string{"COBRO_STOP_TIMEOUT": "15"}, "not a duration", `"30s"`, false},
		"a negative drain":          {map[string]string{"COBRO_DRAIN": "-1s"}, "not a duration", `"30s"`, false},
		"a drain without an end":    {map[string]string{"COBRO_DRAIN": "15s"}, "no less than COBRO_STOP_TIMEOUT", "10 seconds more", true},
		"a negative number":         {map[string]string{"COBRO_CALLS_PER_SECOND": "-1"}, "not a whole number", `"100"`, false},
		"no address":                {map[string]string{"COBRO_PUBLIC_URL": "pay.example.com"}, "not an address", "https://", false},
		"nothing to listen on":      {map[string]string{"COBRO_LISTEN": "8080"}, "listen on", "127.0.0.1:8080", false},
		"no time of day":            {map[string]string{"COBRO_RECONCILE_AT": "2am"}, "not a time of day", "02:00", false},
		"neither true nor false":    {map[string]string{"COBRO_FORBID_SECOND_AUTHORIZE": "maybe"}, "neither", "true or false", false},
		"an origin with a slash":    {map[string]string{"COBRO_CODEC_ORIGINS": "http://localhost:8233/"}, "not an origin", "without a path", false},
		"a list of keys":            {map[string]string{"COBRO_API_KEY": canary + "," + canary}, "a comma", "one key", false},
		"an unknown level":          {map[string]string{"COBRO_LOG_LEVEL": "loud"}, "none of debug", "one of them", false},
		"two gateways":              {map[string]string{"COBRO_GATEWAY_URL": "https://sim.example"}, "different gateways", "set both", false},
		"two gateways the other":    {map[string]string{"COBRO_GATEWAY_REPORT_URL": "https://sim.example"}, "different gateways", "set both", false},
		"too short for ATH Móvil":   {map[string]string{"COBRO_MIN_EXPIRES_IN": "1s"}, "120 seconds", "remove it", true},
		"an open codec":             {map[string]string{"COBRO_CODEC_ORIGINS": "http://ui:8233", "COBRO_OPS_LISTEN": "0.0.0.0:8081"}, "reads every history", "set it", true},
		"a secret here and there":   {map[string]string{"COBRO_API_KEY_FILE": "/x"}, "beside COBRO_API_KEY", "remove one", false},
		"a secret in no file":       {map[string]string{"COBRO_API_KEY": "", "COBRO_API_KEY_FILE": "/nowhere/key"}, "cannot be read", "fix the path", false},
		"a directory for a secret":  {map[string]string{"COBRO_API_KEY": "", "COBRO_API_KEY_FILE": "/"}, "cannot be read", "fix the path", false},
		"a device for a secret":     {map[string]string{"COBRO_API_KEY": "", "COBRO_API_KEY_FILE": "/dev/zero"}, "cannot be read", "fix the path", false},
		"a negative duration":       {map[string]string{"COBRO_WAIT": "-1s"}, "not a duration", `"30s"`, false},
		"the webhooks' address":     {map[string]string{"COBRO_PUBLIC_URL": "https://pay.example/webhooks/athmovil/" + canary}, "path of the webhooks", "end it before", false},
		"credentials in an address": {map[string]string{"COBRO_PUBLIC_URL": "https://me:" + canary + "@pay.example"}, "not an address", "https://", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			problems := settings.Check(settings.Everything, whole(tt.env), nil)
			require.Len(t, problems, 1)
			require.Contains(t, problems[0].Problem, tt.want)
			require.Contains(t, problems[0].Do, tt.do)
			require.Equal(t, tt.warning, problems[0].Warning)
			require.NotContains(t, settings.Describe(problems), canary)
			require.Equal(t, tt.warning, settings.Join(problems) == nil)
		})
	}
}

func TestMisspelledNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"COBRO_WEBHOK_SECRET":    "did you mean COBRO_WEBHOOK_SECRET?",
		"COBRO_API_KEYFILE":      "did you mean COBRO_API_KEY_FILE?",
		"COBRO_ATHM_PUBLIC_TKN":  "did you mean COBRO_ATHM_PUBLIC_TOKEN?",
		"COBRO_COLOUR_OF_MONDAY": "remove it",
	} {
		problems := settings.Check(settings.Everything, whole(nil), environ(name))
		require.Len(t, problems, 1, name)
		require.Equal(t, name, problems[0].Setting)
		require.Contains(t, problems[0].Do, want)
		require.False(t, problems[0].Warning)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(canary+"\n"), 0o600))
	env := whole(map[string]string{"COBRO_API_KEY": "", "COBRO_API_KEY_FILE": file})
	require.Empty(t, settings.Check(settings.Everything, env, nil))
	for _, get := range []func(string) string{settings.Files(env), settings.Files(settings.Files(env))} {
		require.Equal(t, canary, get("COBRO_API_KEY"))
		require.Empty(t, get("COBRO_API_KEY_FILE"))
		require.Equal(t, "keys.json", get("COBRO_KEY_FILE"), "which is a setting of its own")
	}

	require.NoError(t, os.Chmod(file, 0o644))
	problems := settings.Check(settings.Everything, env, nil)
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
	require.Contains(t, problems[0].Do, "chmod")

	require.NoError(t, os.WriteFile(file, nil, 0o600))
	problems = settings.Check(settings.Everything, env, nil)
	require.Contains(t, problems[0].Problem, "empty file")
	require.Len(t, problems, 1, "the same mistake is told once: %v", problems)
}

func TestValuesShowNoSecret(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(canary), 0o600))
	got := map[string]settings.Value{}
	for _, v := range settings.Values(whole(map[string]string{
		"COBRO_STORE":   "postgres://cobro:" + canary + "@db:5432/cobro?sslmode=verify-full&sslpassword=" + canary,
		"COBRO_API_KEY": "", "COBRO_API_KEY_FILE": file, "COBRO_CALLS_PER_SECOND": "7",
		"COBRO_PUBLIC_URL": "https://pay.example/webhooks/athmovil/" + canary, "COBRO_GATEWAY_URL": "https://me:" + canary + "@sim.example/x",
		"COBRO_GATEWAY_REPORT_URL": "https://sim.example?key=" + canary, "COBRO_API_URL": "me:" + canary + "@sim.example",
		"COBRO_CODEC_ORIGINS": "https://ui.example,https://me:" + canary + "@ui.example,https://me:12/" + canary + "@ui.example",
	})) {
		got[v.Name] = v
		require.NotContains(t, v.Value, canary, v.Name)
	}
	require.Equal(t, settings.Value{Name: "COBRO_API_KEY", Value: "set, 16 to 31 characters", Source: file}, got["COBRO_API_KEY"])
	require.Equal(t, settings.Value{Name: "COBRO_CALLS_PER_SECOND", Value: "7", Source: "environment"}, got["COBRO_CALLS_PER_SECOND"])
	require.Equal(t, settings.Value{Name: "COBRO_WAIT", Value: "10s", Source: "default"}, got["COBRO_WAIT"])
	require.Equal(t, settings.Value{Name: "COBRO_CODEC_TOKEN", Source: "not set"}, got["COBRO_CODEC_TOKEN"])
	require.Equal(t, "https://sim.example/[private]", got["COBRO_GATEWAY_URL"].Value)
	require.Equal(t, "https://ui.example,https://ui.example/[private],[private]", got["COBRO_CODEC_ORIGINS"].Value)
	require.Contains(t, got["COBRO_STORE"].Value, "postgres://cobro@db:5432/cobro?sslmode=verify-full")
	for _, v := range settings.Values(func(string) string { return "" }) {
		if v.Source == "not set" {
			require.Empty(t, v.Value, v.Name)
		}
	}
}

// variable is a name that a program reads, as it stands in the source.
var variable = regexp.MustCompile(`"(COBRO_[A-Z0-9_]+)"`)

// A setting that this package does not know would be reported as misspelled.
func TestEverySettingIsKnown(t *testing.T) {
	t.Parallel()
	var names []string
	for _, folder := range []string{"cmd/cobro", "worker", "workflows", "internal", "api", "activities"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			for _, match := range variable.FindAllStringSubmatch(string(source), -1) {
				names = append(names, match[1])
			}
			return err
		}))
	}
	require.Contains(t, names, "COBRO_CALL_TIMEOUT", "the search finds something")
	for _, problem := range settings.Check(settings.Everything, whole(nil), environ(names...)) {
		if problem.Setting != "COBRO_" {
			t.Errorf("%s is read by a program: add it to the table in settings.go", problem.Setting)
		}
	}
}
