package athmovil_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

func dollars(text string) *money.Amount {
	amount := money.MustParse(text)
	return &amount
}

func local(t time.Time) time.Time { return t.In(athmovil.Location()) }

// Every event of docs/athmovil.md §4.2 with its digest. Digests are stored, so
// they must never change.
func TestParseWebhook(t *testing.T) {
	t.Parallel()
	oldItems := []athmovil.Item{
		{Name: "First Item", Description: "This is a description.", Quantity: 1, Price: money.MustParse("1"), Tax: money.MustParse("0.50"), Metadata: "metadata test"},
		{Name: "Second Item", Description: "This is another description.", Quantity: 1, Price: money.MustParse("1"), Tax: money.MustParse("0.50"), Metadata: "metadata test"},
	}
	newItem := []athmovil.Item{{Name: "First Item", Description: "This is a description.", Quantity: 1, Price: money.MustParse("1"), Metadata: "metadata test"}}
	const reference = "402894d56b240610016b2e6c78a6003a"
	// old is the old-dialect event that §4.2 documents in several kinds.
	old := func(kind athmovil.EventKind, transactionType, status string, change func(*athmovil.Event)) athmovil.Event {
		e := athmovil.Event{
			Kind: kind, TransactionType: transactionType, Status: status,
			Date:            local(at(2020, 1, 1, 12, 0, 0)),
			ReferenceNumber: reference, DailyTransactionID: "0001",
			Name: "Valeria Herrero", PhoneNumber: "7871234567", Email: "valher@gmail.com", Message: "Test message",
			Total: dollars("1"), Tax: dollars("0"), SubTotal: dollars("0"),
			Fee: dollars("0.06"), NetAmount: dollars("0.94"), TotalRefundedAmount: dollars("0"),
			Items: []athmovil.Item{},
		}
		change(&e)
		return e
	}
	ecommerce := func(e *athmovil.Event) {
		e.Total, e.Tax, e.SubTotal = dollars("3"), dollars("1"), dollars("2")
		e.Metadata1, e.Metadata2, e.Items = "metadata1 test", "metadata2 test", oldItems
	}
	unpaid := func(e *athmovil.Event) {
		ecommerce(e)
		e.ReferenceNumber, e.DailyTransactionID, e.Name, e.PhoneNumber, e.Email, e.Message = "", "", "", "", "", ""
		e.Fee, e.NetAmount = dollars("0"), dollars("0")
	}
	same := func(*athmovil.Event) {}
	tests := []struct {
		file   string
		digest string
		want   athmovil.Event
	}{
		{"webhook.completed.new.json", "c0071d7c454591a9d23f5b2c2c909cfb394591d6560cd621a1937330d6c1b6c8", athmovil.Event{
			Kind: athmovil.EventEcommerceCompleted, TransactionType: "ecommerce", Status: "completed",
			EcommerceID:            "34231295-269d-11f0-a323-6f23e0bf3a42",
			ReferenceNumber:        "1024264030-8a36d6ba967ef82501968c5eb7376349",
			ReferenceTransactionID: "8a36d69a8c36c011018ce97681e203d0",
			DailyTransactionID:     "0001",
			Date:                   local(at(2025, 5, 1, 11, 2, 21)), TransactionDate: local(at(2025, 5, 1, 11, 2, 19)),
			BusinessName: "ATH Movil Business",
			Total:        dollars("1"), SubTotal: dollars("1"), Tax: dollars("0"), Fee: dollars("0"),
			NetAmount: dollars("1"), TotalRefundedAmount: dollars("0"),
			Metadata1: "metadata1 test", Metadata2: "metadata2 test", Items: newItem,
		}},
		{"webhook.cancelled.new.json", "7fa407595fde146c9276cc3af9896964b0728ca61e51329e88515ce37a0bbd3d", athmovil.Event{
			Kind: athmovil.EventEcommerceCancelled, TransactionType: "ecommerce", Status: "cancelled",
			EcommerceID:            "34231295-269d-11f0-a323-6f23e0bf3a42",
			ReferenceTransactionID: "8a36d69a8c36c011018ce97681e203d0",
			Date:                   local(at(2025, 5, 1, 11, 2, 21)),
			BusinessName:           "ATH Movil Business",
			Total:                  dollars("1"), SubTotal: dollars("1"), Tax: dollars("0"), Fee: dollars("0"),
			NetAmount: dollars("0"), TotalRefundedAmount: dollars("0"),
			Metadata1: "metadata1 test", Metadata2: "metadata2 test", Items: newItem,
		}},
		{"webhook.completed.captured.json", "28e1ce58a9eeb74c54b75fdd11bd04d49aca07634f892deb02874adf6642d904", athmovil.Event{
			Kind: athmovil.EventEcommerceCompleted, TransactionType: "ecommerce", Status: "completed",
			EcommerceID:        "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
			ReferenceNumber:    "11223344-aabbccdd11223344aabbccdd11223344",
			DailyTransactionID: "0002",
			Date:               local(at(2025, 12, 8, 16, 30, 52)), TransactionDate: local(at(2025, 12, 8, 16, 30, 49)),
			BusinessName: "Test Business", Name: "Test Customer", PhoneNumber: "7875551234", Email: "customer@example.com",
			Total: dollars("3"), SubTotal: dollars("3"), Tax: dollars("0"), Fee: dollars("0.07"),
			NetAmount: dollars("2.93"), TotalRefundedAmount: dollars("0"),
			Metadata1: "Django ATHM Demo", Metadata2: "Project Support Tip",
			Items: []athmovil.Item{{Name: "Tip", Description: "Project support", Quantity: 1, Price: money.MustParse("3")}},
		}},
		{"webhook.completed.old.json", "76e2c706adf27403e8d2c8c0312f427c89e40f5c3616427bfbdcf039c3bfeb35", old(athmovil.EventEcommerceCompleted, "ecommerce", "completed", func(e *athmovil.Event) {
			ecommerce(e)
			e.Fee, e.NetAmount = dollars("0.07"), dollars("2.93")
		})},
		{"webhook.cancelled.old.json", "3c03646be862a100112f7879a3ef9a89a74a3c3d8fd1ba51bc1748c7a9bb2576", old(athmovil.EventEcommerceCancelled, "ecommerce", "cancelled", unpaid)},
		{"webhook.expired.old.json", "bcb32e9d42e8a339998b631e7058b262f3bf0b3e9a715b38b93ff1c6c98abb79", old(athmovil.EventEcommerceExpired, "ecommerce", "expired", unpaid)},
		{"webhook.simulated.json", "1c50557d429731a899de6b97781bbe95234fc7a80985659443e59b29d3775f8b", old(athmovil.EventSimulated, "simulated", "completed", func(e *athmovil.Event) {
			ecommerce(e)
			e.ReferenceNumber = "000000-00000000abcd"
		})},
		{"webhook.payment.json", "e7003cb8b46cf1d1fa03559080d8a93d4fdbd48bb8fa95f341eeaf179cea1d60", old(athmovil.EventPayment, "payment", "completed", same)},
		{"webhook.donation.json", "ab4e1e83e197737b83ff33645d1eaca15234d4ddbda212d530d49480e7b95621", old(athmovil.EventDonation, "donation", "completed", same)},
		{"webhook.refund.old.json", "de86886ee8e4c1c17b0a1d3834d58b360745b96bb42d8e6f63c13f48027da36a", old(athmovil.EventRefund, "refund", "completed", func(e *athmovil.Event) {
			e.Fee, e.NetAmount = dollars("0"), dollars("0")
		})},
		{"webhook.refund.captured.json", "3bf0623dbf02ee8eaa2ff53d09cf0364106c422a350ebcac2573f904070ffde3", athmovil.Event{
			Kind: athmovil.EventRefund, TransactionType: "refund", Status: "completed",
			Date:               local(at(2025, 12, 8, 16, 39, 8)),
			ReferenceNumber:    "11223344-aabbccdd11223344aabbccdd11223344",
			DailyTransactionID: "3",
			Name:               "Test Customer", PhoneNumber: "7875551234", Email: "customer@example.com", Message: "Refunded via admin",
			Total: dollars("3"), Fee: dollars("0"), NetAmount: dollars("0"), TotalRefundedAmount: dollars("0"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			got, err := athmovil.ParseWebhook(wire(t, tt.file))
			require.NoError(t, err)
			require.Equal(t, tt.digest, got.Digest())
			requireSameFields(t, tt.want, got)
		})
	}
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "webhook.*.json"))
	require.NoError(t, err)
	require.Len(t, tests, len(files), "a row for each webhook of testdata/wire")
}

// requireSameFields compares all but the digest.
func requireSameFields(t *testing.T, want, got athmovil.Event) {
	t.Helper()
	clear := func(e athmovil.Event) string { // private texts are clear in JSON, and the digest is not in it
		text, err := json.Marshal(e)
		require.NoError(t, err)
		return string(text)
	}
	require.JSONEq(t, clear(want), clear(got))
}

// The kinds of event, and how a sender might try to disguise a simulated one.
func TestEventKinds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body string
		want athmovil.EventKind
	}{
		{`"ecommerceId":"abc-123","status":"COMPLETED"`, athmovil.EventEcommerceCompleted},
		{`"ecommerceId":"abc-123","status":"CANCEL"`, athmovil.EventEcommerceCancelled},
		{`"ecommerceId":"abc-123","status":"EXPIRED"`, athmovil.EventEcommerceExpired},
		{`"transactionType":"ecommerce","status":"expired"`, athmovil.EventEcommerceExpired},
		{`"transactionType":"ecommerce","status":"cancelled"`, athmovil.EventEcommerceCancelled},
		{`"transactionType":"ecommerce","status":"CANCELLED"`, athmovil.EventEcommerceCancelled},
		{`"transactionType":"eCommerce ","status":"Canceled"`, athmovil.EventEcommerceCancelled},
		{`"transactionType":"ecommerce","status":"completed"`, athmovil.EventEcommerceCompleted},
		{`"transactionType":"REFUND","status":"COMPLETED"`, athmovil.EventRefund},
		{`"transactionType":"Payment","status":"completed"`, athmovil.EventPayment},
		{`"transactionType":"DONATION","status":"completed"`, athmovil.EventDonation},
		{`"transactionType":"SIMULATED","status":"completed"`, athmovil.EventSimulated},
		{`"transactionType":"simulated","ecommerceId":"abc-123","status":"COMPLETED"`, athmovil.EventSimulated},
		{`"transactionType":"refund","ecommerceId":"abc-123","status":"COMPLETED"`, athmovil.EventRefund},
		{`"ecommerceId":"abc-123","status":"PENDING"`, athmovil.EventUnknown},
		{`"foo":"bar"`, athmovil.EventUnknown},
		{`"eCommerceId":"abc-123","status":"COMPLETED"`, athmovil.EventUnknown},
		{`"transactionType":"tip","ecommerceId":"abc-123"`, athmovil.EventUnknown},      // a future type
		{`"transactionType":["ecommerce"],"status":"completed"`, athmovil.EventUnknown}, // unreadable
		{`"transactionType":"ecommerce","status":{"is":"completed"}`, athmovil.EventUnknown},
	}
	for _, tt := range tests {
		got, err := athmovil.ParseWebhook([]byte(`{"date":"2025-12-08 16:30:52","total":"3.00",` + tt.body + `}`))
		require.NoError(t, err, tt.body)
		require.Equal(t, tt.want, got.Kind, tt.body)
	}
}

func TestWebhookMustBeAnObject(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", " ", "not json", "[]", "null", "3", `"{}"`, `{"a":`, `{"a":1} {"a":2}`, `{"total":NaN}`, "<html>"} {
		_, err := athmovil.ParseWebhook([]byte(body))
		require.ErrorIs(t, err, athmovil.ErrNotObject, body)
	}
	_, err := athmovil.ParseWebhook([]byte("\ufeff {} \n"))
	require.NoError(t, err)
}

// Missing and unreadable fields of an event.
func TestWebhookFields(t *testing.T) {
	t.Parallel()
	parse := func(body string) (athmovil.Event, error) {
		return athmovil.ParseWebhook([]byte(`{"transactionType":"ECOMMERCE","status":"COMPLETED",` + body + `}`))
	}
	t.Run("date and total are needed", func(t *testing.T) {
		t.Parallel()
		for body, problem := range map[string]string{
			`"date":"2020-01-01 12:00:00"`:                    "total is missing",
			`"date":"2020-01-01 12:00:00","total":""`:         "total is missing",
			`"date":"2020-01-01 12:00:00","total":"abc"`:      "total cannot be read",
			`"date":"2020-01-01 12:00:00","total":"NaN"`:      "total cannot be read",
			`"date":"2020-01-01 12:00:00","total":{}`:         "total cannot be read",
			`"date":null,"total":1`:                           "date is missing",
			`"date":"","total":1`:                             "date is missing",
			`"date":"2020-13-01 12:00:00","total":1`:          "date cannot be read",
			`"ecommerceId":"abc-123","date":true,"total":1e9`: "date cannot be read",
		} {
			got, err := parse(body)
			require.ErrorContains(t, err, problem, body)
			require.Equal(t, athmovil.EventEcommerceCompleted, got.Kind, "it holds what could be read")
			require.Len(t, got.Digest(), 64)
			if strings.Contains(body, "abc-123") {
				require.Equal(t, "abc-123", got.EcommerceID, "so that the caller can still check with Find")
			}
		}
	})
	t.Run("others are listed as unreadable", func(t *testing.T) {
		t.Parallel()
		got, err := parse(`"date":"2020-01-01 12:00:00","total":3.0,"transactionDate":"","tax":"","fee":"x",
			"phoneNumber":[],"isNonProfit":"perhaps","items":"","name":7`)
		require.NoError(t, err)
		require.Equal(t, dollars("3"), got.Total)
		require.Nil(t, got.Tax)
		require.True(t, got.TransactionDate.IsZero())
		require.Equal(t, private.Text("7"), got.Name) // a number is read as it is written
		require.Equal(t, []string{"phoneNumber", "fee", "isNonProfit"}, got.Unreadable)
	})
	t.Run("a foreign phone number is kept", func(t *testing.T) {
		t.Parallel()
		got, err := parse(`"date":"2020-01-01 12:00:00","total":1,"phoneNumber":"+44 20 7946 0958"`)
		require.NoError(t, err)
		require.Equal(t, private.Text("+44 20 7946 0958"), got.PhoneNumber)
	})
}

// One event in two dialects, with every difference that does not count.
func TestDigestIgnoresTheDialect(t *testing.T) {
	t.Parallel()
	base := `{"transactionType":"ECOMMERCE","status":"CANCEL","ecommerceId":"abc-123","dailyTransactionId":"0003",
		"date":"2025-12-08 16:30:52","transactionDate":"","name":"Ana","phoneNumber":7875551234,"email":"","total":3,
		"subTotal":3,"tax":0.0,"fee":0.07,"isNonProfit":false,"future":{"b":1,"a":[2]},
		"items":[{"name":"Tip","quantity":1,"price":3.0,"sku":""}]}`
	for _, other := range []string{
		`{"transactionType":"ecommerce","status":"cancelled","ecommerceID":"abc-123","dailyTransactionID":3,
		"date":"2025-12-08T16:30:52.0","name":" Ana ","phoneNumber":"(787) 555-1234","total":"3.00",
		"subtotal":"3","tax":"0","fee":0.07000000029802322,"future":{"a":[2],"b":1},"message":null,"metadata1":"",
		"items":[{"price":"3.00","name":"Tip","quantity":"1"}]}`,
		"\ufeff\r\n" + strings.ReplaceAll(base, "\n\t\t", " "),
		strings.Replace(base, "CANCEL", "canceled", 1),
	} {
		a, err := athmovil.ParseWebhook([]byte(base))
		require.NoError(t, err)
		b, err := athmovil.ParseWebhook([]byte(other))
		require.NoError(t, err)
		require.Equal(t, a.Digest(), b.Digest(), other)
	}
}

// A value that is changed, removed or added changes the digest.
func TestDigestCoversEveryValue(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "webhook.*.json"))
	require.NoError(t, err)
	nothing := []string{`""`, "null", "false", "0", "[]", `"0"`}
	for _, file := range files {
		body, err := os.ReadFile(file)
		require.NoError(t, err)
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &fields))
		digests := map[string]string{digestOf(t, fields): "as it is"}
		unique := func(change string, fields map[string]json.RawMessage) {
			digest := digestOf(t, fields)
			require.NotContains(t, digests, digest, "%s: %s and %s", file, change, digests[digest])
			digests[digest] = change
		}
		for key, value := range fields {
			changed := maps.Clone(fields)
			changed[key] = json.RawMessage(`"another"`)
			unique(key+" changed", changed)
			changed[key] = json.RawMessage(`{"another":1}`)
			unique(key+" made an object", changed)
			delete(changed, key)
			if !slices.Contains(nothing, string(bytes.TrimSpace(value))) {
				unique(key+" removed", changed)
			}
		}
		changed := maps.Clone(fields)
		changed["unknown"] = json.RawMessage(`1`)
		unique("unknown key added", changed)
	}
}

func digestOf(t *testing.T, fields map[string]json.RawMessage) string {
	t.Helper()
	body, err := json.Marshal(fields)
	require.NoError(t, err)
	event, _ := athmovil.ParseWebhook(body) // a field made unreadable still has a digest
	require.Len(t, event.Digest(), 64)
	return event.Digest()
}

// django-athm 1.0.2 gave both events of each pair the same key.
func TestDigestDistinguishesWhatDjangoATHMDidNot(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{`{"transactionType":"ecommerce","status":"expired","metadata1":"a"}`, `{"transactionType":"ecommerce","status":"expired","metadata1":"b"}`},
		{`{"transactionType":"refund","total":"1"}`, `{"transactionType":"refund","total":"2"}`},
		{`{"foo":"bar"}`, `{"foo":"baz"}`},
		{`{"dailyTransactionId":"1","dailyTransactionID":"2"}`, `{"dailyTransactionId":"1","dailyTransactionID":"3"}`},
		{`{"total":0}`, `{}`},
		{`{"name":[1]}`, `{"name":"[1]"}`},
		{`{"name":[1]}`, `{"unreadable name":"[1]"}`},
		{`{"items":[{"name":"a"},{"name":"b"}]}`, `{"items":[{"name":"a"},{"name":"c"}]}`},
		{`{"items":[{"name":"a"},{"name":"b"}]}`, `{"items":[{"name":"b"},{"name":"a"}]}`},
	} {
		a, _ := athmovil.ParseWebhook([]byte(pair[0])) // missing fields do not matter here
		b, _ := athmovil.ParseWebhook([]byte(pair[1]))
		require.NotEqual(t, a.Digest(), b.Digest(), pair[0])
	}
}

func TestRawDigest(t *testing.T) {
	t.Parallel()
	require.Equal(t, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", athmovil.RawDigest(nil))
	require.NotEqual(t, athmovil.RawDigest([]byte("not json")), athmovil.RawDigest([]byte("not json ")))
	require.Regexp(t, "^[0-9a-f]{64}$", athmovil.RawDigest([]byte("x")))
	require.Empty(t, athmovil.Event{}.Digest())
}
