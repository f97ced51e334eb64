package payment_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// broken returns the rule that a request breaks in one field; "" where it breaks none.
func broken(t *testing.T, r payment.Request, field string) payment.RuleCode {
	t.Helper()
	r.Total, r.ExpiresIn = money.FromCents(10_00), payment.DefaultExpiresIn
	err := r.Validate(payment.MinExpiresIn)
	fields, _ := errors.AsType[payment.FieldErrors](err)
	if len(fields) == 0 {
		require.NoError(t, err)
		return ""
	}
	require.Len(t, fields, 1)
	require.Equal(t, field, fields[0].Field)
	return fields[0].Rule.Code
}

func TestReferencesAreOrderNumbersAndNotPeople(t *testing.T) {
	t.Parallel()
	for _, reference := range []string{
		"", "order-1042", "7875551234", "17875551234", "0000001042", "787-555-123", "2026-11-29 #3", "(787) 555-1234 x2", "@shop", "a@b",
	} {
		require.Empty(t, broken(t, payment.Request{Reference: reference}, "reference"), reference)
	}
	for _, reference := range []string{
		"787-555-1234", "(787) 555-1234", "787 555 1234", "+17875551234", "1-787-555-1234", "+1 (787) 555-1234", "787.555.1234", "7875551234 ", "ana@example.com",
	} {
		require.Equal(t, payment.RuleNotPersonal, broken(t, payment.Request{Reference: reference}, "reference"), reference)
	}
}

// What a person sees is what is kept, compared and sent on.
func TestTextsHaveNoInvisibleCharacters(t *testing.T) {
	t.Parallel()
	shown := []string{
		"Café", "ñandú", "Cafe\u0301", "日本", "עברית", "a\u00a0b", "❤\ufe0f", "👩\u200d🍳", "👩🏽\u200d🍳", "🏳\ufe0f\u200d🌈", "™ 2 × 3",
	}
	hidden := []string{
		"a\u00adb", "a\u034fb", "\u061ca", "a\u115fb", "a\u180eb", "a\u200bb", "a\u200cb", "a\u200db", "👩\u200d", "\u200d👩",
		"a\u200fb", "a\u2028b", "a\u2029b", "a\u202eb", "a\u2060b", "a\u2066b", "a\u2800b", "\u3164", "a\ufe0fb", "❤\ufe0f\ufe0f", "\ufeffa", "\uffa0",
		"a\U000e0001b", "a\U000e0100b",
	}
	for field, request := range map[string]func(string) payment.Request{
		"reference": func(text string) payment.Request { return payment.Request{Reference: text} },
		"metadata1": func(text string) payment.Request { return payment.Request{Metadata1: private.Text(text)} },
		"metadata2": func(text string) payment.Request { return payment.Request{Metadata2: private.Text(text)} },
		"items[0].name": func(text string) payment.Request {
			return payment.Request{Items: []payment.Item{{Name: private.Text(text), Quantity: 1}}}
		},
		"items[0].description": func(text string) payment.Request {
			return payment.Request{Items: []payment.Item{{Name: "a", Description: private.Text(text), Quantity: 1}}}
		},
		"items[0].metadata": func(text string) payment.Request {
			return payment.Request{Items: []payment.Item{{Name: "a", Metadata: private.Text(text), Quantity: 1}}}
		},
	} {
		for _, text := range shown {
			require.Empty(t, broken(t, request(text), field), "%s: %q", field, text)
		}
		for _, text := range hidden {
			require.Equal(t, payment.RuleVisible, broken(t, request(text), field), "%s: %q", field, text)
		}
		for _, text := range []string{"a\u0000b", "a\nb", "a\u0085b", "a\xffb"} {
			require.Contains(t, []payment.RuleCode{payment.RuleTextAtMost, payment.RuleTextBetween}, broken(t, request(text), field), "%s: %q", field, text)
		}
	}
	for _, text := range hidden {
		require.Error(t, payment.ValidateRefund(nil, text), "%q", text)
	}
}
