package athmovilsim_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// shapeOf lists every key of a JSON value with the type behind it. An array's
// shape is that of its first element.
func shapeOf(path string, value any, into map[string]string) map[string]string {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			shapeOf(path+"."+key, inner, into)
		}
	case []any:
		into[path] = "array"
		if len(v) > 0 {
			shapeOf(path+"[]", v[0], into)
		}
	default:
		into[path] = fmt.Sprintf("%T", v)
	}
	return into
}

func shape(t *testing.T, body []byte) map[string]string {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal(body, &value), "%s", body)
	return shapeOf("", value, map[string]string{})
}

// documented reads a sample that the client is tested against too.
func documented(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "testdata", "wire", name))
	require.NoError(t, err)
	return content
}

// withoutItems drops what an empty items array cannot show.
func withoutItems(shape map[string]string) map[string]string {
	maps.DeleteFunc(shape, func(path, _ string) bool { return strings.Contains(path, "[].") })
	return shape
}

// TestResponsesMatchDocumentation compares every answer with its sample: the same
// keys, spelled the same, with the same JSON types.
func TestResponsesMatchDocumentation(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	find := func(id string) []byte {
		return w.call(http.MethodPost, api+"/business/findPayment", named(id), nil).body
	}
	answers := map[string][]byte{}

	answers["create.response.json"] = w.call(http.MethodPost, api+"/payment", sale(nil), nil).body
	ticket := w.create(nil)
	answers["find.open.response.json"] = find(ticket.id)
	w.confirm(ticket.id)
	answers["find.confirm.response.json"] = find(ticket.id)
	answers["authorization.response.json"] = w.authorize(ticket.token).body
	answers["find.completed.response.json"] = find(ticket.id)
	reference := w.find(ticket.id)["referenceNumber"].(string)
	answers["refund.response.json"] = w.refund(reference, "1.00").body
	w.pass(time.Second)
	answers["report.response.json"] = w.call(http.MethodGet, "/transactions/v4/transactionReport", reporting(
		"2025-12-08 00:00:00", "2025-12-08 16:30:49"), nil).body
	answers["search.response.json"] = w.call(http.MethodPost, "/api/v4/searchTransaction", searching(object{
		"referenceNumber": reference}), nil).body
	w.pay(nil)
	answers["search.several.response.json"] = w.call(http.MethodPost, "/api/v4/searchTransaction", searching(object{
		"metadata1": "order 1042"}), nil).body

	silent := w.create(object{"phoneNumber": ""})
	answers["updatePhoneNumber.response.json"] = w.call(http.MethodPut, api+"/business/updatePhoneNumber",
		object{"ecommerceId": silent.id, "phoneNumber": "7866575255"}, bearer(silent.token)).body
	answers["cancel.response.json"] = w.cancel(silent.id).body
	answers["find.cancel.response.json"] = find(silent.id)

	answers["error.http409.json"] = w.cancel(silent.id).body
	answers["error.http400.json"] = w.call(http.MethodPost, api+"/payment", "", nil).body
	answers["error.http401.json"] = w.call(http.MethodPost, api+"/authorization", "", nil).body
	answers["error.legacy.json"] = w.call(http.MethodPost, "/api/v4/searchTransaction", object{}, nil).body

	for _, name := range slices.Sorted(maps.Keys(answers)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, got := shape(t, documented(t, name)), shape(t, answers[name])
			if name == "refund.response.json" {
				got = withoutItems(got) // the sample has no items
			}
			require.Equal(t, want, got)
		})
	}
}

// Responses that are texts, not structs.
func TestResponseTextsMatchDocumentation(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket := w.create(object{"phoneNumber": ""})
	got := w.call(http.MethodPut, api+"/business/updatePhoneNumber",
		object{"ecommerceId": ticket.id, "phoneNumber": "7866575255"}, bearer(ticket.token)).body
	require.JSONEq(t, string(documented(t, "updatePhoneNumber.response.json")), string(got))
	require.JSONEq(t, string(documented(t, "cancel.response.json")), string(w.cancel(ticket.id).body))
	require.JSONEq(t, string(documented(t, "error.http409.json")), string(w.cancel("nobody's").body))
	require.JSONEq(t, string(documented(t, "error.http400.json")), string(w.call(http.MethodPost, api+"/payment", "", nil).body))
	w.post("/_sim/faults", object{"op": "find", "fault": "error_500"})
	got = w.call(http.MethodPost, api+"/business/findPayment", named(ticket.id), nil).body
	require.JSONEq(t, string(documented(t, "error.http500.json")), string(got))
	w.post("/_sim/faults", object{"op": "find", "fault": "html_403"})
	got = w.call(http.MethodPost, api+"/business/findPayment", named(ticket.id), nil).body
	require.Equal(t, string(documented(t, "error.html")), string(got))
}

// TestEventsMatchDocumentation compares every event, in each dialect, with its
// sample.
func TestEventsMatchDocumentation(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	paid, reference := w.pay(nil)
	completed := w.listener.next(t)
	require.Equal(t, http.StatusOK, w.refund(reference, "3.00").status)
	refunded := w.listener.next(t)
	tests := []struct {
		sample        string
		kind, dialect string
		sent          object // by itself, to be found again in what is forged
	}{
		{"webhook.completed.new.json", "completed", "", completed},
		{"webhook.completed.captured.json", "completed", "new", completed},
		{"webhook.completed.old.json", "completed", "old", nil},
		{"webhook.cancelled.new.json", "cancelled", "", nil},
		{"webhook.cancelled.old.json", "cancelled", "old", nil},
		{"webhook.expired.old.json", "expired", "", nil},
		{"webhook.refund.captured.json", "refund", "", refunded},
		{"webhook.refund.old.json", "refund", "old", nil},
		{"webhook.simulated.json", "simulated", "", nil},
		{"webhook.payment.json", "payment", "", nil},
		{"webhook.donation.json", "donation", "", nil},
	}
	for _, tt := range tests {
		w.post("/_sim/webhooks", object{"kind": tt.kind, "dialect": tt.dialect, "ecommerce_id": paid.id})
		got := w.listener.next(t)
		encoded, err := json.Marshal(got)
		require.NoError(t, err)
		sample := documented(t, tt.sample)
		require.Equal(t, shape(t, sample), shape(t, encoded), tt.sample)

		var want object
		require.NoError(t, json.Unmarshal(sample, &want))
		require.Equal(t, want["transactionType"], got["transactionType"], tt.sample)
		if tt.sample == "webhook.cancelled.old.json" {
			require.Equal(t, "cancelled", got["status"])
		}
		require.Equal(t, want["status"], got["status"], tt.sample)
		layout := "2006-01-02 15:04:05"
		if strings.HasSuffix(want["date"].(string), ".0") {
			layout += ".0"
		}
		_, err = time.Parse(layout, got["date"].(string))
		require.NoError(t, err, tt.sample)
		if tt.sent != nil {
			require.Equal(t, tt.sent, got, "an event that really happened looks like one that is forged")
		}
	}
}

// reporting is the body of a report.
func reporting(from, to string) object {
	return object{
		"publicToken": athmovilsim.DefaultPublicToken, "privateToken": athmovilsim.DefaultPrivateToken,
		"fromDate": from, "toDate": to,
	}
}

// searching is the body of a search.
func searching(wanted object) object {
	body := object{"publicToken": athmovilsim.DefaultPublicToken, "privateToken": athmovilsim.DefaultPrivateToken}
	maps.Copy(body, wanted)
	return body
}
