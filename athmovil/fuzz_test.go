package athmovil_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
)

// addWire seeds a fuzz target with the files of testdata/wire.
func addWire(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "wire", pattern))
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		body, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(body)
	}
}

func FuzzParseWebhook(f *testing.F) {
	addWire(f, "webhook.*.json")
	addWire(f, "error.*")
	for _, one := range foreignWebhooks(f) {
		f.Add(one.body())
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		event, err := athmovil.ParseWebhook(body)
		if event.Kind == "" {
			require.ErrorIs(t, err, athmovil.ErrNotObject)
			return
		}
		require.Len(t, event.Digest(), 64)
		var spaced bytes.Buffer
		if json.Indent(&spaced, body, " ", "\t") != nil {
			return // a byte order mark
		}
		again, _ := athmovil.ParseWebhook(spaced.Bytes()) // the error was looked at above
		require.Equal(t, event, again, "space makes no difference")
	})
}

func FuzzParseReport(f *testing.F) {
	addWire(f, "report.*.json")
	addWire(f, "search.*.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		report, err := athmovil.ParseReport(body)
		if err != nil {
			require.Empty(t, report)
			return
		}
		for _, row := range report.Rows {
			require.NotEmpty(t, row.ReferenceNumber)
			require.False(t, row.Date.IsZero())
		}
	})
}

// FuzzAmount reads any JSON value as an amount.
func FuzzAmount(f *testing.F) {
	for _, seed := range []string{`1`, `"1.00"`, `0.6000000238418579`, `""`, `null`, `-0.0`, `1e2`, `"1e400"`, `{}`, `"$1"`, `999999999999.99`} {
		f.Add(seed)
	}
	read := func(value string) athmovil.Event {
		event, _ := athmovil.ParseWebhook([]byte(`{"total":` + value + `}`)) // any refusal leaves Total nil
		return event
	}
	f.Fuzz(func(t *testing.T, value string) {
		event := read(value)
		if event.Total == nil {
			return
		}
		again := read(`"` + event.Total.String() + `"`)
		require.Equal(t, event.Total, again.Total)
		require.Equal(t, event.Total, read(event.Total.String()).Total, "as a number too")
	})
}

// FuzzPhoneNumber reads any JSON value as a phone number: ten digits are the same
// as a number, with an exponent, and as a text.
func FuzzPhoneNumber(f *testing.F) {
	for _, seed := range []string{`7.875551234E9`, `"7.875551234E9"`, `17875551234`, `0`, `-1`, `787555.1234`, `"+1 787 555 1234"`, `1e999`, `[]`} {
		f.Add(seed)
	}
	read := func(value string) string {
		event, _ := athmovil.ParseWebhook([]byte(`{"phoneNumber":` + value + `}`)) // any refusal leaves it empty
		return string(event.PhoneNumber)
	}
	f.Fuzz(func(t *testing.T, value string) {
		phone := read(value)
		if digits, err := athmovil.ParsePhone(phone); err != nil || digits != phone || phone[0] == '0' {
			return
		}
		require.Equal(t, phone, read(phone))
		require.Equal(t, phone, read(`"`+phone+`"`))
		require.Equal(t, phone, read(phone[:1]+"."+phone[1:]+"E9"))
		require.Equal(t, phone, read(phone+".0"))
	})
}

func FuzzParseTime(f *testing.F) {
	for _, seed := range []string{
		"2020-01-01 12:00:00", "2020-01-01 12:00:00.0", "2020-01-01T12:00:00.123456789", "2020-01-01T12:00:00Z",
		"1577894400", "1577894400000", "123412341234", "", "9999-12-31T23:59:59-12:00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := athmovil.ParseTime(text)
		if err != nil {
			require.ErrorIs(t, err, athmovil.ErrTime)
			return
		}
		again, err := athmovil.ParseTime(at.Format(time.DateTime + ".999999999"))
		require.NoError(t, err)
		require.True(t, at.Equal(again), "%s is not %s", at, again)
	})
}

func FuzzParsePhone(f *testing.F) {
	for _, seed := range []string{"7875551234", "(787) 555-1234", "+1-787-555-1234", "0", "", "12345678901", "+4532123456"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		digits, err := athmovil.ParsePhone(text)
		if err != nil {
			require.ErrorIs(t, err, athmovil.ErrPhone)
			return
		}
		again, err := athmovil.ParsePhone("(" + digits[:3] + ") " + digits[3:6] + "-" + digits[6:])
		require.NoError(t, err)
		require.Equal(t, digits, again)
	})
}
