package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/private"
)

func TestWebhookGateCountsNetworks(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, one, other, same string }{
		{"IPv4", "203.0.113.7:1", "203.0.113.8:1", "203.0.113.7:2"},
		{"IPv6 is counted by its /64", "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", "[2001:db8:0:1:ffff::9]:2"},
		{"IPv4 in IPv6", "[::ffff:203.0.113.7]:1", "[::ffff:203.0.113.8]:1", "203.0.113.7:1"},
		{"a zone changes nothing", "[fe80::1%eth0]:1", "[fe80:0:0:1::1%eth0]:1", "[fe80::1%eth1]:1"},
		{"no address", "@", "203.0.113.8:1", "pipe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, network(tt.one), network(tt.same))
			require.NotEqual(t, network(tt.one), network(tt.other))
		})
	}
}

func TestWebhookGateForgivesAndIsBounded(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	gate := newWebhookGate(private.NewToken("the-right-secret"), func() time.Time { return clock })
	guess := func(remote string) app.Kind {
		return refusalOf(gate.admit("a-wrong-secret", remote)).Kind
	}
	for range wrongSecrets {
		require.Equal(t, noRoute, guess("203.0.113.7:1"))
	}
	require.Equal(t, rateLimited, guess("203.0.113.7:1"))
	require.Equal(t, noRoute, guess("203.0.113.8:1"), "another sender")
	require.NoError(t, gate.admit("the-right-secret", "203.0.113.7:1"))
	clock = clock.Add(wrongSecretEvery)
	require.Equal(t, noRoute, guess("203.0.113.7:1"), "time forgives")

	for i := range 2 * maxAddresses {
		guess(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256))
	}
	require.Len(t, gate.tries, maxAddresses)
}
