package athmovilsim_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// order posts to the control surface and returns whatever comes back.
func (w *world) order(path string, body any) answer {
	w.t.Helper()
	a, err := w.try(w.control, http.MethodPost, path, body, nil)
	require.NoError(w.t, err)
	return a
}

func (w *world) clear(path string) {
	w.t.Helper()
	a, err := w.try(w.control, http.MethodDelete, path, nil, nil)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusNoContent, a.status)
}

func TestControlListsAndFiltersTickets(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	require.Equal(t, []any{}, w.get("/_sim/tickets")["tickets"])
	first := w.create(nil)
	second := w.create(object{"phoneNumber": "", "total": 1500, "metadata1": "order 7"})

	list := w.get("/_sim/tickets")["tickets"].([]any)
	require.Len(t, list, 2)
	got := list[0].(object)
	shown := object{
		"ecommerce_id": first.id, "status": "OPEN", "total": "25.00", "phone_number": "7875551234",
		"metadata1": "order 1042", "metadata2": "San Juan",
	}
	for name, want := range shown {
		require.Equal(t, want, got[name], name)
	}
	expires, err := time.Parse(time.RFC3339, got["expires_at"].(string))
	require.NoError(t, err)
	require.Equal(t, time.UTC, expires.Location())
	require.Equal(t, "1500.00", list[1].(object)["total"])

	ids := func(query string) []string {
		var ids []string
		for _, ticket := range w.get("/_sim/tickets" + query)["tickets"].([]any) {
			ids = append(ids, ticket.(object)["ecommerce_id"].(string))
		}
		return ids
	}
	w.confirm(first.id)
	require.Equal(t, []string{second.id}, ids("?status=OPEN"))
	require.Equal(t, []string{first.id, second.id}, ids("?status=OPEN&status=CONFIRM"))
	require.Equal(t, []string{first.id}, ids("?phone_number=7875551234"))
	require.Equal(t, []string{second.id}, ids("?metadata1=order+7"))
	require.Equal(t, []string{second.id}, ids("?limit=1"), "the newest")
	require.Empty(t, ids("?metadata2=Ponce"))
	require.Equal(t, first.id, w.get("/_sim/tickets/" + first.id)["ecommerce_id"])

	missing, err := w.try(w.control, http.MethodGet, "/_sim/tickets/nobody", nil, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, missing.status)
	bad, err := w.try(w.control, http.MethodGet, "/_sim/tickets?limit=no", nil, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, bad.status)
}

// TestCustomerDecisions goes through what a customer can do in each state of a ticket.
func TestCustomerDecisions(t *testing.T) {
	t.Parallel()
	prepare := map[string]func(w *world) made{
		"open":      func(w *world) made { return w.create(nil) },
		"nobody's":  func(w *world) made { return w.create(object{"phoneNumber": ""}) },
		"confirmed": func(w *world) made { ticket := w.create(nil); w.confirm(ticket.id); return ticket },
		"completed": func(w *world) made { ticket, _ := w.pay(nil); return ticket },
		"cancelled": func(w *world) made { ticket := w.create(nil); w.cancel(ticket.id); return ticket },
		"expired":   func(w *world) made { ticket := w.create(nil); w.pass(600 * time.Second); return ticket },
		"owner's":   func(w *world) made { return w.create(object{"phoneNumber": "7875550204"}) },
		"unknown":   func(*world) made { return made{id: "0ab257f5-3837-11ed-855f-9b4af5a393ce"} },
	}
	tests := []struct {
		state    string
		decision string
		body     object
		status   int
		want     string // the ticket's status, or an error code
	}{
		{"open", "confirm", nil, 200, "CONFIRM"},
		{"open", "confirm", object{"phone_number": "7875551234"}, 200, "CONFIRM"},
		{"open", "confirm", object{"phone_number": "7875550000"}, 409, "BTRA_0036"},
		{"nobody's", "confirm", nil, 200, "CONFIRM"},
		{"nobody's", "confirm", object{"phone_number": "7875550000"}, 200, "CONFIRM"},
		{"nobody's", "confirm", object{"phone_number": "7875550204"}, 409, "BTRA_0003"},
		{"confirmed", "confirm", nil, 409, "BTRA_0035"},
		{"completed", "confirm", nil, 409, "BTRA_0035"},
		{"cancelled", "confirm", nil, 409, "BTRA_0037"},
		{"expired", "confirm", nil, 409, "BTRA_0039"},
		{"owner's", "confirm", nil, 409, "BTRA_0003"},
		{"unknown", "confirm", nil, 404, "BTRA_0031"},
		{"open", "cancel", nil, 200, "CANCEL"},
		{"nobody's", "cancel", nil, 200, "CANCEL"},
		{"confirmed", "cancel", nil, 200, "CANCEL"},
		{"completed", "cancel", nil, 409, "BTRA_0035"},
		{"cancelled", "cancel", nil, 409, "BTRA_0035"},
		{"expired", "cancel", nil, 409, "BTRA_0039"},
		{"unknown", "cancel", nil, 404, "BTRA_0031"},
		{"open", "confirm", object{"phone": "7875551234"}, 400, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.state+" "+tt.decision, func(t *testing.T) {
			t.Parallel()
			w := start(t, athmovilsim.Config{})
			got := w.order("/_sim/tickets/"+prepare[tt.state](w).id+"/"+tt.decision, tt.body)
			require.Equal(t, tt.status, got.status, "%s", got.body)
			if tt.status == http.StatusOK {
				require.Equal(t, tt.want, got.object(t)["status"])
				return
			}
			require.Equal(t, tt.want, got.object(t)["code"])
			require.NotEmpty(t, got.object(t)["message"])
		})
	}
}

func TestConfirmSetsThePayer(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket := w.create(object{"phoneNumber": ""})
	w.post("/_sim/tickets/"+ticket.id+"/confirm", object{"phone_number": "7875550101"})
	w.authorize(ticket.token).data(t)
	require.Equal(t, "Benito Cruz", w.listener.next(t)["name"])

	silent := w.create(object{"phoneNumber": ""})
	w.confirm(silent.id)
	w.authorize(silent.token).data(t)
	event := w.listener.next(t)
	require.InDelta(t, 0, event["phoneNumber"], 0, "docs/athmovil.md §3: 0 when unknown")
	require.Empty(t, event["name"])
}

func TestBooksListDebitsAndCredits(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	require.Equal(t, object{"entries": []any{}, "debits": "0.00", "credits": "0.00"}, w.get("/_sim/books"))
	ticket, reference := w.pay(nil)
	refund := w.refund(reference, "5.00").data(t)["refund"].(object)
	books := w.get("/_sim/books")
	entries := books["entries"].([]any)
	require.Len(t, entries, 2)
	credit := entries[1].(object)
	require.NotEmpty(t, credit["at"])
	delete(credit, "at")
	require.Equal(t, object{
		"kind": "credit", "ecommerce_id": ticket.id, "reference_number": refund["referenceNumber"], "amount": "5.00",
	}, credit)
	require.Equal(t, "debit", entries[0].(object)["kind"])
	require.Equal(t, reference, entries[0].(object)["reference_number"])
	require.Equal(t, "25.00", books["debits"])
	require.Equal(t, "5.00", books["credits"])
}

func TestRequestLog(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket := w.create(nil)
	w.authorize(ticket.token)
	w.post("/_sim/faults", object{"op": "find", "fault": "delay", "delay_ms": 1})
	w.find(ticket.id)
	body := w.get("/_sim/requests")
	log := body["requests"].([]any)
	require.Len(t, log, 3)
	for i, want := range []object{
		{"n": 1.0, "op": "create", "http_status": 200.0, "ecommerce_id": ticket.id},
		{"n": 2.0, "op": "authorize", "http_status": 409.0, "ecommerce_id": ticket.id, "code": "BTRA_0032"},
		{"n": 3.0, "op": "find", "http_status": 200.0, "ecommerce_id": ticket.id, "fault": "delay"},
	} {
		got := maps.Clone(log[i].(object))
		require.NotEmpty(t, got["at"])
		delete(got, "at")
		require.Equal(t, want, got)
	}
	w.clear("/_sim/requests")
	require.Empty(t, w.get("/_sim/requests")["requests"])
	w.find(ticket.id)
	require.InDelta(t, 4, w.get("/_sim/requests")["requests"].([]any)[0].(object)["n"], 0)
}

func TestExternalRefundSendsWebhook(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket, reference := w.pay(nil)
	w.listener.next(t)
	got := w.order("/_sim/external-refunds", object{"ecommerce_id": ticket.id, "amount": "5.00", "message": "at the counter"})
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	require.Equal(t, "5.00", got.object(t)["refunded"])
	event := w.listener.next(t)
	require.Equal(t, "REFUND", event["transactionType"])
	require.Equal(t, "5.00", event["total"])
	require.Equal(t, "at the counter", event["message"])
	require.NotEqual(t, reference, event["referenceNumber"])
	require.InDelta(t, 5, w.find(ticket.id)["totalRefundedAmount"], 0)
	_, credits := w.books()
	require.Equal(t, "5.00", credits)

	tests := []struct {
		body   object
		status int
		code   string
	}{
		{object{"ecommerce_id": ticket.id, "amount": "20.01"}, 409, "BTRA_0004"},
		{object{"ecommerce_id": ticket.id, "amount": "0.00"}, 409, "BTRA_0028"},
		{object{"ecommerce_id": ticket.id, "amount": "a lot"}, 400, "invalid_request"},
		{object{"ecommerce_id": ticket.id, "amount": 5}, 400, "invalid_request"},
		{object{"ecommerce_id": w.create(nil).id, "amount": "5.00"}, 409, "BTRA_0035"},
		{object{"ecommerce_id": "nobody's", "amount": "5.00"}, 404, "BTRA_0031"},
	}
	for _, tt := range tests {
		got := w.order("/_sim/external-refunds", tt.body)
		require.Equal(t, tt.status, got.status, "%s", got.body)
		require.Equal(t, tt.code, got.object(t)["code"])
	}
}

func TestClockStopsAdvancesAndRuns(t *testing.T) {
	t.Parallel()
	w := open(t, athmovilsim.Config{})
	require.Equal(t, false, w.get("/_sim/clock")["stopped"])
	stopped := w.post("/_sim/clock", object{"stop": true})
	require.Equal(t, true, stopped["stopped"])
	require.Equal(t, stopped["now"], w.get("/_sim/clock")["now"], "it stands still")

	before, err := time.Parse(time.RFC3339, stopped["now"].(string))
	require.NoError(t, err)
	moved := w.post("/_sim/clock", object{"advance_seconds": 3600})
	after, err := time.Parse(time.RFC3339, moved["now"].(string))
	require.NoError(t, err)
	require.Equal(t, time.Hour, after.Sub(before))

	running := w.post("/_sim/clock", object{"run": true})
	require.Equal(t, false, running["stopped"])
	now, err := time.Parse(time.RFC3339, running["now"].(string))
	require.NoError(t, err)
	require.False(t, now.Before(after), "it goes on from where it stood")
	require.InDelta(t, 3600, running["offset_seconds"], 60)

	for _, bad := range []any{object{"advance_seconds": -1}, object{"advance_seconds": 1 << 40}, object{"rewind": true}, "{"} {
		require.Equal(t, http.StatusBadRequest, w.order("/_sim/clock", bad).status)
	}
}

// TestTicketExpiresInRealTime lets a ticket expire in real time, without any call.
func TestTicketExpiresInRealTime(t *testing.T) {
	t.Parallel()
	w := open(t, athmovilsim.Config{MinTimeout: time.Second})
	ticket := w.create(object{"timeout": "1"})
	require.Equal(t, "expired", w.listener.next(t)["status"])
	require.Equal(t, "CANCEL", w.status(ticket.id))
	w.quiet()
}

// TestRunningClockCatchesUp starts a stopped clock that is behind a deadline.
func TestRunningClockCatchesUp(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{MinTimeout: time.Second})
	w.create(object{"timeout": "1"})
	w.post("/_sim/clock", object{"run": true})
	require.Equal(t, "expired", w.listener.next(t)["status"])
}

// TestDueTasksRunInOrder jumps over a confirmation and two expiries at
// once.
func TestDueTasksRunInOrder(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	late := w.create(object{"phoneNumber": "7875550203", "timeout": "300", "metadata1": "late"})
	early := w.create(object{"timeout": "120", "metadata1": "early"})
	w.pass(299 * time.Second)
	require.Equal(t, "CONFIRM", w.status(late.id))
	require.Equal(t, "CANCEL", w.status(early.id))
	require.Equal(t, "early", w.listener.next(t)["metadata1"])
	w.pass(time.Hour)
	require.Equal(t, "late", w.listener.next(t)["metadata1"])
	w.quiet()
}

// TestOtherOriginsCannotPost stands between a developer's browser and a page
// that would confirm payments unasked.
func TestOtherOriginsCannotPost(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket := w.create(nil)
	got, err := w.try(w.control, http.MethodPost, "/_sim/tickets/"+ticket.id+"/confirm", nil,
		http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}})
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, got.status)
	require.Equal(t, "OPEN", w.status(ticket.id))
}

func TestLogDropsOldestEntries(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes ten thousand calls")
	}
	w := start(t, athmovilsim.Config{})
	for range athmovilsim.LogLimit + 1 {
		w.cancel("nobody's")
	}
	log := w.get("/_sim/requests")["requests"].([]any)
	require.Less(t, len(log), athmovilsim.LogLimit)
	numbers := make([]float64, 0, len(log))
	for _, entry := range log {
		numbers = append(numbers, entry.(object)["n"].(float64))
	}
	require.True(t, slices.IsSorted(numbers))
	require.InDelta(t, athmovilsim.LogLimit+1, numbers[len(numbers)-1], 0)
}

// A page of a stranger whose name points here is of our origin to a browser.
func TestNamesOfStrangersAreRefused(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket := w.create(nil)
	for host, want := range map[string]int{
		"evil.example": http.StatusMisdirectedRequest, "evil.example:8091": http.StatusMisdirectedRequest, "127.0.0.1.evil.example": http.StatusMisdirectedRequest,
		"localhost:8091": http.StatusOK, "simulator:8091": http.StatusOK, "dev.localhost": http.StatusOK, "host.docker.internal": http.StatusOK,
		"127.0.0.1": http.StatusOK, "10.0.0.7:8091": http.StatusOK, "[::1]:8091": http.StatusOK, "[::ffff:127.0.0.1]:8091": http.StatusOK,
	} {
		for _, path := range []string{"/", "/_sim/tickets/" + ticket.id} {
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			request.Host = host
			response := httptest.NewRecorder()
			w.sim.Control().ServeHTTP(response, request)
			require.Equal(t, want, response.Code, host+path)
		}
	}
}
