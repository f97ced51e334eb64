package money_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/money"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want int64
		ok   bool
	}{
		{"25.00", 2500, true}, {"25", 2500, true}, {"25.5", 2550, true}, {"0.01", 1, true},
		{"-1", -100, true}, {"1500.01", 150001, true}, {"007", 700, true}, {"999999999999.99", 99999999999999, true},
		{"1.005", 0, false}, {"1e3", 0, false}, {"NaN", 0, false}, {"Inf", 0, false}, {"", 0, false},
		{"-", 0, false}, {".5", 0, false}, {"5.", 0, false}, {"+1", 0, false}, {" 1", 0, false}, {"1 ", 0, false},
		{"1,000.00", 0, false}, {"0x10", 0, false}, {"١", 0, false}, {"1000000000000", 0, false},
		{"--1", 0, false}, {strings.Repeat("9", 5000), 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			got, err := money.Parse(tt.text)
			if !tt.ok {
				require.ErrorIs(t, err, money.ErrSyntax)
				require.Less(t, len(err.Error()), 150, "an error does not repeat long text")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got.Cents())
		})
	}
}

func TestParseNoisy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want string
	}{
		{"0.6000000238418579", "0.60"}, {"1", "1.00"}, {"2.33", "2.33"}, {"0.0", "0.00"}, {"-0.005", "-0.01"},
		{"1.0E-9", "0.00"}, {"1.5e2", "150.00"}, {"3", "3.00"}, {"0.005", "0.01"}, {"2.930000066757202", "2.93"},
	}
	for _, tt := range tests {
		got, err := money.ParseNoisy(tt.text)
		require.NoError(t, err, tt.text)
		require.Equal(t, tt.want, got.String(), tt.text)
	}
	for _, text := range []string{"", "NaN", "1e400", "1e99", "abc", "0x1", "1.", ".1", "1e", strings.Repeat("1", 41), "1e+", "--1"} {
		_, err := money.ParseNoisy(text)
		require.ErrorIs(t, err, money.ErrSyntax, text)
	}
}

func TestAmountIsAStringInJSON(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(money.FromCents(1250))
	require.NoError(t, err)
	require.Equal(t, `"12.50"`, string(got))

	var a money.Amount
	require.NoError(t, json.Unmarshal([]byte(`"12.50"`), &a))
	require.Equal(t, money.FromCents(1250), a)
	for _, bad := range []string{`12.5`, `1e3`, `true`, `{}`, `"1.005"`} {
		require.ErrorIs(t, json.Unmarshal([]byte(bad), &a), money.ErrSyntax, bad)
	}
}

func TestArithmeticPanicsOnOverflow(t *testing.T) {
	t.Parallel()
	most, least := money.FromCents(math.MaxInt64), money.FromCents(math.MinInt64)
	require.Panics(t, func() { most.Add(money.FromCents(1)) })
	require.Panics(t, func() { least.Add(money.FromCents(-1)) })
	require.Panics(t, func() { money.FromCents(0).Sub(least) })
	require.Equal(t, money.FromCents(-1), money.FromCents(1).Sub(money.FromCents(2)))
	require.Equal(t, "-92233720368547758.08", least.String())
	require.Equal(t, -1, least.Cmp(most))
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"25.00", "1.005", "1e3", "-1", "0.99", "NaN", "", "-0.01", "999999999999.99"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := money.Parse(text)
		if err != nil {
			require.ErrorIs(t, err, money.ErrSyntax)
			return
		}
		again, err := money.Parse(a.String())
		require.NoError(t, err)
		require.Equal(t, a, again)
		noisy, err := money.ParseNoisy(a.String())
		require.NoError(t, err)
		require.Equal(t, a, noisy)
	})
}
