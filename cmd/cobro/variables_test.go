package main

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/settings"
)

// leaves are the commands that do something.
func leaves(t *testing.T) []*kong.Node {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.Name("cobro"), kong.Vars(settings.Vars(settings.API)),
		kong.NamedMapper("moment", kong.MapperFunc(decodeMoment)), kong.Writers(io.Discard, io.Discard))
	require.NoError(t, err)
	found := parser.Model.Leaves(false)
	require.GreaterOrEqual(t, len(found), 20)
	return found
}

// What a flag says of its setting is what the table says, for whoever reads it.
func TestFlagsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	table := map[string]settings.Setting{}
	for _, s := range settings.All() {
		table[s.Name] = s
	}
	for _, node := range leaves(t) {
		command := commandOf(node)
		of, known := reads(command)
		require.True(t, known, "%s: add it to reads in variables.go", command)
		for _, flags := range node.AllFlags(false) {
			for _, flag := range flags {
				for _, name := range flag.Envs {
					s, known := table[name]
					require.True(t, known, name)
					if command != "endpoint secret" || !strings.HasPrefix(name, "COBRO_LOG_") {
						require.NotZero(t, s.Of&of, "%s: cobro %s has a flag for it: say so in the table", name, command)
					}
					require.Contains(t, []string{"", s.DefaultFor(settings.API)}, flag.Default, "%s of cobro %s", name, command)
					if flag.Required {
						require.NotZero(t, s.Needs&of, "cobro %s needs %s: say so in the table", command, name)
					}
				}
			}
		}
	}
}

func TestHelpNamesTheVariablesOfEveryCommand(t *testing.T) {
	t.Parallel()
	for _, node := range leaves(t) {
		command := commandOf(node)
		of, _ := reads(command)
		code, stdout, stderr := cobro(t, nil, append(strings.Fields(command), "--help")...)
		require.Zero(t, code, stderr)
		for _, s := range settings.Variables(of) {
			require.Contains(t, stdout, s.Name, "cobro %s", command)
			require.Equal(t, s.Needs&of != 0, strings.Contains(stdout, "  "+s.Name+" (required)\n      "+s.Help+"\n"), "%s of cobro %s", s.Name, command)
		}
	}
	_, stdout, _ := cobro(t, nil, "migrate", "--help")
	require.Contains(t, stdout, "\nVariables:\n  COBRO_STORE (required)\n      Database: sqlite:")
	require.NotContains(t, stdout, "COBRO_API_KEY")
	_, stdout, _ = cobro(t, nil, "review", "resolve", "--help")
	require.Contains(t, stdout, "COBRO_KEY_FILE")
	require.Contains(t, stdout, "TEMPORAL_…")
	_, stdout, _ = cobro(t, nil, "endpoint", "secret", "--help")
	require.NotContains(t, stdout, "Variables:")
}

func TestMessagesNameTheVariableAndWhatToWrite(t *testing.T) {
	t.Parallel()
	env := settled(t)
	subscribe := []string{"webhook", "subscribe", "--url", "https://127.0.0.1:1", "--allow-private"}
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		code int
		want string
		not  string
	}{
		"a flag that is missing":         {nil, []string{"migrate"}, 2, "missing flags: --store (or COBRO_STORE)", "STRING"},
		"a secret that is not set":       {with(env, "COBRO_WEBHOOK_SECRET", ""), subscribe, 1, "COBRO_WEBHOOK_SECRET is not set", "characters"},
		"a short secret":                 {with(env, "COBRO_WEBHOOK_SECRET", "short"), subscribe, 1, "COBRO_WEBHOOK_SECRET has fewer than 16 characters", "not set"},
		"a token that is not set":        {with(env, "COBRO_ATHM_PUBLIC_TOKEN", ""), subscribe, 1, "COBRO_ATHM_PUBLIC_TOKEN is not set", "athmovil:"},
		"a moment that is none":          {env, []string{"notification", "redeliver", "--since", "yesterday"}, 2, "write it like 2026-01-31T14:00:00-04:00", "2006"},
		"a list of keys":                 {with(env, "COBRO_API_KEY", apiKey+","+apiKey), []string{"api"}, 1, "COBRO_API_KEY holds a comma", apiKey},
		"a flag without its form":        {env, []string{"api", "--listen", "8080"}, 1, "COBRO_LISTEN is not an address to listen on", "Usage"},
		"another program's mistake":      {with(newInstallation(t), "COBRO_DRAIN", "soon", "COBRO_WAITING", "-1", "COBRO_TIMING_GRACE", "x"), []string{"receiver", "list"}, 0, "", "COBRO_"},
		"no database":                    {nil, []string{"receiver", "list"}, 1, "name the folder of a dev in COBRO_DATA", "panic"},
		"no API":                         {nil, []string{"review", "list"}, 1, "name the folder of a dev in COBRO_DATA", "panic"},
		"an empty flag that is required": {env, []string{"review", "resolve", "pay_x", "--verdict", "completed", "--reason", ""}, 2, "missing flags: --reason", "Usage"},
	} {
		code, stdout, stderr := cobro(t, tt.env, tt.args...)
		require.Equal(t, tt.code, code, "%s: %s", name, stderr)
		require.Contains(t, stderr, tt.want, name)
		require.NotContains(t, stdout+stderr, tt.not, name)
	}
}

func TestConfigCheckShowsNothingOfWhatIsNotSet(t *testing.T) {
	t.Parallel()
	_, stdout, _ := cobro(t, nil, "config", "check")
	require.NotContains(t, stdout, "[private]")
	for line := range strings.Lines(stdout) {
		if fields := strings.Fields(line); len(fields) > 1 && slices.Contains([]string{"COBRO_STORE", "COBRO_API_KEY", "COBRO_PUBLIC_URL"}, fields[0]) {
			require.Equal(t, []string{"-", "not", "set"}, fields[1:], line)
		}
	}
}

// A flag goes before its variable, and before the file that holds a secret.
func TestFlagsGoBeforeVariables(t *testing.T) {
	t.Parallel()
	env := settled(t)
	elsewhere := filepath.Join(t.TempDir(), "store")
	write(t, elsewhere, "sqlite:/nowhere/at/all.db", 0o600)
	code, _, stderr := cobro(t, with(env, "COBRO_STORE", "", "COBRO_STORE_FILE", elsewhere), "migrate", "--store", env["COBRO_STORE"])
	require.Zero(t, code, stderr)
	code, _, stderr = cobro(t, with(env, "COBRO_LISTEN", "nonsense", "COBRO_WAIT", "soon"), "api", "--listen", "127.0.0.1:0", "--wait", "1s", "--ops-listen", "also nonsense")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "COBRO_OPS_LISTEN is not an address")
	require.NotContains(t, stderr, "COBRO_LISTEN ")
	require.NotContains(t, stderr, "COBRO_WAIT ")
}
