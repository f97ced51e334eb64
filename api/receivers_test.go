package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// receiver is a receiver as a client sees it.
type receiver struct {
	Host, Event, Name, Timeout, Activity string
	TaskQueue                            string `json:"task_queue"`
	RetryFirst                           string `json:"retry_first"`
	RetryMost                            string `json:"retry_most"`
	RetryFor                             string `json:"retry_for"`
}

// receivers reads an answer that lists receivers.
func (w *world) receivers(r reply) []receiver {
	w.t.Helper()
	require.Equal(w.t, http.StatusOK, r.status, r.body)
	var page struct{ Receivers []receiver }
	require.NoError(w.t, json.Unmarshal([]byte(r.body), &page))
	require.NotNil(w.t, page.Receivers, "a list, never null")
	return page.Receivers
}

func TestAnnounceReceivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Empty(t, w.receivers(w.do("GET", "/v1/receivers", "")))

	receipt := receiver{
		Host: "shop", Event: "payment_completed", Name: "send-receipt", Timeout: "1m30s",
		TaskQueue: "notify-shop", Activity: "payment_completed/send-receipt",
	}
	tell := receiver{
		Host: "shop", Event: "payment_failed", Name: "tell", Timeout: "30s",
		TaskQueue: "notify-shop", Activity: "payment_failed/tell",
	}
	const both = `{"receivers":[
		{"event":"payment_failed","name":"tell"},
		{"event":"payment_completed","name":"send-receipt","timeout":"90s"}]}`
	for range 2 { // a repetition changes nothing
		require.Equal(t, []receiver{receipt, tell}, w.receivers(w.do("PUT", "/v1/receivers/shop", both)))
	}

	stays := w.do("PUT", "/v1/receivers/shop", `{"receivers":[{"event":"payment_failed","name":"tell","timeout":"5s","retry_first":"2s","retry_most":"1m","retry_for":"1h"}]}`)
	tell.Timeout, tell.RetryFirst, tell.RetryMost, tell.RetryFor = "5s", "2s", "1m0s", "1h0m0s"
	require.Equal(t, []receiver{receipt, tell}, w.receivers(stays), "one that is left out stays; one that is there is updated")

	elsewhere := w.receivers(w.do("PUT", "/v1/receivers/till-2", `{"receivers":[{"event":"payment_failed","name":"tell"}]}`))
	require.Len(t, elsewhere, 1, "another host's receivers are not shown")
	require.Equal(t, "notify-till-2", elsewhere[0].TaskQueue)
	require.Equal(t, []receiver{receipt, tell, elsewhere[0]}, w.receivers(w.do("GET", "/v1/receivers", "")))

	nulls := w.do("PUT", "/v1/receivers/till-2", `{"receivers":[{"event":"payment_failed","name":"tell","timeout":null,"retry_for":null}]}`)
	require.Equal(t, elsewhere, w.receivers(nulls), "null counts as absent")

	kept, err := w.store.Receivers(t.Context())
	require.NoError(t, err)
	require.Equal(t, ledger.Receiver{
		Host: "shop", Event: payment.EventCompleted, Name: "send-receipt", Timeout: 90 * time.Second,
	}, kept[0])
}

func TestAnnouncementRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := func(members string) string { return `{"receivers":[{` + members + `}]}` }
	const good = `"event":"payment_completed","name":"x"`
	for _, tt := range []struct {
		name, host, body string
		fields           []string
	}{
		{"a host with capitals", "Shop", one(good), []string{"host"}},
		{"a long host", strings.Repeat("h", 41), one(good), []string{"host"}},
		{"a host that ends with a hyphen", "shop-", one(good), []string{"host"}},
		{"Cobro's own host", "cobro", one(good), []string{"host"}},
		{"no list", "shop", `{}`, []string{"receivers"}},
		{"no list but an object", "shop", `{"receivers":{}}`, []string{"receivers"}},
		{"an empty list", "shop", `{"receivers":[]}`, []string{"receivers"}},
		{"no event", "shop", one(`"name":"x"`), []string{"receivers[0].event"}},
		{"another event", "shop", one(`"event":"paid","name":"x"`), []string{"receivers[0].event"}},
		{"an empty event", "shop", one(`"event":"","name":"x"`), []string{"receivers[0].event"}},
		{"no name", "shop", one(`"event":"payment_completed"`), []string{"receivers[0].name"}},
		{"an empty name", "shop", one(`"event":"payment_completed","name":""`), []string{"receivers[0].name"}},
		{"a name with a slash", "shop", one(`"event":"payment_completed","name":"a/b"`), []string{"receivers[0].name"}},
		{"a long name", "shop", one(`"event":"payment_completed","name":"` + strings.Repeat("x", 61) + `"`), []string{"receivers[0].name"}},
		{"a timeout without a unit", "shop", one(good + `,"timeout":"30"`), []string{"receivers[0].timeout"}},
		{"a timeout that is a number", "shop", one(good + `,"timeout":30`), []string{"receivers[0].timeout"}},
		{"no time at all", "shop", one(good + `,"timeout":"0s"`), []string{"receivers[0].timeout"}},
		{"a negative timeout", "shop", one(good + `,"timeout":"-1s"`), []string{"receivers[0].timeout"}},
		{"an empty timeout", "shop", one(good + `,"timeout":""`), []string{"receivers[0].timeout"}},
		{"twice", "shop", `{"receivers":[{` + good + `},{` + good + `,"timeout":"1s"}]}`, []string{"receivers[1].name"}},
		{"unknown fields", "shop", `{"receivers":[{` + good + `,"host":"a"}],"replace":true}`, []string{"receivers[0].host", "replace"}},
		{
			"everything at once", "My Shop", `{"receivers":[{"event":"paid","name":7},{"timeout":"soon"}]}`,
			[]string{"host", "receivers[0].event", "receivers[0].name", "receivers[1].timeout", "receivers[1].event", "receivers[1].name"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.do("PUT", "/v1/receivers/"+strings.ReplaceAll(tt.host, " ", "%20"), tt.body)
			var fields []string
			for _, e := range w.requireProblem(got, http.StatusUnprocessableEntity, "validation_failed").Errors {
				fields = append(fields, e.Field)
			}
			require.ElementsMatch(t, tt.fields, fields, got.body)
		})
	}
	require.Empty(t, w.receivers(w.do("GET", "/v1/receivers", "")), "an announcement that breaks a rule announces nothing")

	w.requireProblem(w.do("PUT", "/v1/receivers/shop", `{"receivers":`), http.StatusBadRequest, "body_malformed")
	w.requireProblem(w.do("PUT", "/v1/receivers/shop", one(good), "Content-Type", "text/plain"), http.StatusUnsupportedMediaType, "unsupported_media_type")
	w.requireProblem(w.do("PUT", "/v1/receivers/shop", one(good), "Authorization", ""), http.StatusUnauthorized, "unauthorized")
	w.requireProblem(w.do("GET", "/v1/receivers", "", "Authorization", ""), http.StatusUnauthorized, "unauthorized")
	w.requireProblem(w.do("POST", "/v1/receivers/shop", one(good)), http.StatusMethodNotAllowed, "method_not_allowed")
	w.requireProblem(w.do("GET", "/v1/receivers?host=shop", ""), http.StatusBadRequest, "parameter_invalid")
}
