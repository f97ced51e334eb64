package commandline_test

import (
	"io"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/commandline"
)

type flags struct {
	Listen string `default:"127.0.0.1:8080" env:"LISTEN"`
	Store  string `env:"STORE"`
	JSON   bool   `name:"json"`
	Serve  struct {
		Name string `arg:"" optional:""`
		Key  string `required:"" env:"KEY"`
		From string `required:""`
	} `cmd:""`
	List struct{} `cmd:""`
}

func parse(t *testing.T, env map[string]string, args ...string) (flags, error) {
	t.Helper()
	var f flags
	parser, err := commandline.New(&f, commandline.Variables(func(name string) string { return env[name] }),
		kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	require.NoError(t, err)
	_, err = commandline.Parse(parser, args)
	return f, err
}

func TestEmptyFlagsAndVariablesAreNotSet(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"a flag":                    {nil, []string{"--listen", ""}, "127.0.0.1:8080"},
		"a flag with an equals":     {nil, []string{"--listen="}, "127.0.0.1:8080"},
		"a variable":                {map[string]string{"LISTEN": ""}, nil, "127.0.0.1:8080"},
		"a flag before a variable":  {map[string]string{"LISTEN": "a:1"}, []string{"--listen", ""}, "a:1"},
		"the last one of two flags": {nil, []string{"--listen", "a:1", "--listen", ""}, "a:1"},
		"a flag that is set":        {map[string]string{"LISTEN": "a:1"}, []string{"--listen", "b:1"}, "b:1"},
	} {
		got, err := parse(t, tt.env, append(tt.args, "--json", "list")...)
		require.NoError(t, err, name)
		require.Equal(t, tt.want, got.Listen, name)
		require.True(t, got.JSON, name)
	}
	got, err := parse(t, nil, "serve", "--key", "k", "--from", "f", "--", "--listen=")
	require.NoError(t, err)
	require.Equal(t, "--listen=", got.Serve.Name, "no flag comes after --")
}

func TestMissingFlagsNameTheirVariables(t *testing.T) {
	t.Parallel()
	_, err := parse(t, nil, "serve", "--from", "")
	require.EqualError(t, err, "missing flags: --key (or KEY), --from")
	var parsing *kong.ParseError
	require.ErrorAs(t, err, &parsing)
}
