package payment_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

func TestNamesOfHostsAndReceivers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text     string
		host, receiver bool
	}{
		{"a word", "shop", true, true},
		{"one letter", "a", true, true},
		{"a digit", "7", true, true},
		{"with hyphens", "send-receipt-2", true, true},
		{"the longest host", strings.Repeat("h", ledger.MaxHost), true, true},
		{"longer than a host", strings.Repeat("h", ledger.MaxHost+1), false, true},
		{"the longest receiver", strings.Repeat("r", ledger.MaxReceiverName), false, true},
		{"longer than a receiver", strings.Repeat("r", ledger.MaxReceiverName+1), false, false},
		{"nothing", "", false, false},
		{"a hyphen", "-", false, false},
		{"a hyphen first", "-shop", false, false},
		{"a hyphen last", "shop-", false, false},
		{"a capital", "Shop", false, false},
		{"a slash", "a/b", false, false},
		{"a space inside", "a b", false, false},
		{"a line after", "shop\n", false, false},
		{"a letter with an accent", "café", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.host, ledger.IsHost(tt.text))
			require.Equal(t, tt.receiver, ledger.IsReceiverName(tt.text))
		})
	}
	require.True(t, ledger.IsHost(ledger.BuiltInHost))
}

func TestEventNames(t *testing.T) {
	t.Parallel()
	for _, event := range payment.Events() {
		require.True(t, payment.IsEvent(event))
		require.Contains(t, payment.EventNames(), string(event))
	}
	require.False(t, payment.IsEvent("payment_complete"))
}
