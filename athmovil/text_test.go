package athmovil_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	noon := at(2020, 1, 1, 12, 0, 0)
	tests := []struct {
		text string
		want time.Time
	}{
		{"2020-01-01 12:00:00", noon},
		{"2020-01-01 12:00:00.0", noon},
		{"2020-01-01 12:00:00.12", noon.Add(120 * time.Millisecond)},
		{"2020-01-01T12:00:00", noon},
		{"2020-01-01T12:00:00.000", noon},
		{"2020-01-01T16:00:00Z", noon},
		{"2020-01-01T17:00:00+01:00", noon},
		{"  2020-01-01 12:00:00  ", noon},
		{"2020-07-01 12:00:00", at(2020, 7, 1, 12, 0, 0)}, // no daylight saving time
		{"1577894400", noon},
		{"1577894400000", noon},
		{"123412341234", time.UnixMilli(123412341234)}, // §1.5's placeholder
		{"0", time.Unix(0, 0)},
	}
	for _, tt := range tests {
		got, err := athmovil.ParseTime(tt.text)
		require.NoError(t, err, tt.text)
		require.True(t, tt.want.Equal(got), "%s: got %s, want %s", tt.text, got, tt.want)
		require.Equal(t, athmovil.Location(), got.Location())
	}
	for _, text := range []string{
		"", "yesterday", "2020-01-01", "01/02/2020 12:00:00", "2020-02-30 12:00:00", "1969-12-31 19:59:59",
		"-1", "1.5e9", "99999999999999999999", "999999999999999", "2020-01-01 12:00:00 AST", "0001-01-01 00:00:00",
	} {
		_, err := athmovil.ParseTime(text)
		require.ErrorIs(t, err, athmovil.ErrTime, text)
	}
}

func TestLocationIsUTCMinus4(t *testing.T) {
	t.Parallel()
	for _, month := range []time.Month{time.January, time.July} {
		_, offset := time.Date(2025, month, 1, 0, 0, 0, 0, athmovil.Location()).Zone()
		require.Equal(t, -4*60*60, offset)
	}
}

// The forms of a phone number that customers type.
func TestParsePhone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"7875551234", "787-555-1234", " 787-555-1234 ", "(787) 555-1234", "787.555.1234",
		"+1-787-555-1234", "1 787 555 1234", "17875551234",
	} {
		got, err := athmovil.ParsePhone(text)
		require.NoError(t, err, text)
		require.Equal(t, "7875551234", got, text)
	}
	for _, text := range []string{
		"", "0", "123", "27875551234", "787555abcd", "787555123", "117875551234", "787+5551234", "٧٨٧٥٥٥١٢٣٤", "7875551234x5",
		"+7875551234", "+45 32 12 34 56", "10123456789", "11875551234", "17871551234", // of other countries, or of none
	} {
		_, err := athmovil.ParsePhone(text)
		require.ErrorIs(t, err, athmovil.ErrPhone, text)
	}
}
