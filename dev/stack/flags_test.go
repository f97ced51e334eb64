package stack

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// An empty address would be every address of this machine.
func TestEmptyFlagsAndVariablesHaveTheirDefaults(t *testing.T) {
	t.Parallel()
	want, err := parse(nil, func(string) string { return "" })
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8080", want.Listen)
	require.Equal(t, "text", want.LogFormat)
	require.Equal(t, athmovilsim.ObservedWebhookDelay, want.GatewayWebhookDelay, "as athmovil-sim has it")
	got, err := parse([]string{"--listen", "", "--ops-listen=", "--only", ""}, func(string) string { return "" })
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = parse([]string{"--gateway", "live"}, func(name string) string {
		return map[string]string{"COBRO_LISTEN": "127.0.0.1:1", "COBRO_GATEWAY": "sim"}[name]
	})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:1", got.Listen)
	require.Equal(t, "live", got.Gateway, "a flag goes before its variable")
}
