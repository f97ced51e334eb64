package athmovilsim_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// TestScriptedCustomers runs a script of each customer and checks what came of it. The
// last test makes sure that nobody is forgotten.
func TestScriptedCustomers(t *testing.T) {
	t.Parallel()
	// confirmsAfter checks both sides of the moment of confirmation.
	confirmsAfter := func(d time.Duration) func(*testing.T, *world, made) {
		return func(t *testing.T, w *world, ticket made) {
			if d > 0 {
				w.pass(d - time.Second)
				require.Equal(t, "OPEN", w.status(ticket.id))
				w.pass(time.Second)
			}
			require.Equal(t, "CONFIRM", w.status(ticket.id))
			require.Equal(t, http.StatusOK, w.authorize(ticket.token).status)
		}
	}
	declines := func(code string) func(*testing.T, *world, made) {
		return func(t *testing.T, w *world, ticket made) {
			w.pass(time.Second)
			require.Equal(t, code, w.authorize(ticket.token).code(t))
			require.Equal(t, code, w.authorize(ticket.token).code(t), "every time")
			require.Equal(t, "CONFIRM", w.status(ticket.id))
			debits, _ := w.books()
			require.Equal(t, "0.00", debits)
		}
	}
	// loses sends a call whose answer is lost, and looks at the money.
	loses := func(w *world, path string, body any, header http.Header, debits, credits string) {
		_, err := w.try(w.gateway, http.MethodPost, path, body, header)
		require.Error(w.t, err)
		gotDebits, gotCredits := w.books()
		require.Equal(w.t, []string{debits, credits}, []string{gotDebits, gotCredits})
	}
	paid := func(w *world, ticket made) string {
		w.pass(time.Second)
		return w.authorize(ticket.token).data(w.t)["referenceNumber"].(string)
	}
	events := func(want ...string) func(*testing.T, *world, made) {
		return func(t *testing.T, w *world, ticket made) {
			reference := paid(w, ticket)
			w.refund(reference, "1.00")
			for i, status := range want {
				if len(want) == 2 && want[1] == "COMPLETED" && i == 1 && want[0] == "REFUND" {
					w.pass(30 * time.Second)
				}
				event := w.listener.next(t)
				got := event["status"].(string)
				if event["transactionType"] == "REFUND" {
					got = "REFUND"
				}
				require.Equal(t, status, got)
			}
			w.quiet()
		}
	}
	scripts := map[string]func(*testing.T, *world, made){
		"7875550100": confirmsAfter(0),
		"7875550101": confirmsAfter(time.Second),
		"7875550105": confirmsAfter(5 * time.Second),
		"7875550130": confirmsAfter(30 * time.Second),
		"7875550200": func(t *testing.T, w *world, ticket made) {
			w.pass(599 * time.Second)
			require.Equal(t, "OPEN", w.status(ticket.id))
			w.pass(time.Second)
			require.Equal(t, "CANCEL", w.status(ticket.id))
		},
		"7875550201": func(t *testing.T, w *world, ticket made) {
			w.pass(time.Second)
			require.Equal(t, "CANCEL", w.status(ticket.id))
			require.Equal(t, "BTRA_0037", w.authorize(ticket.token).code(t))
		},
		"7875550202": func(t *testing.T, w *world, ticket made) {
			w.pass(time.Second)
			require.Equal(t, "CONFIRM", w.status(ticket.id))
			w.pass(2 * time.Second)
			require.Equal(t, "CANCEL", w.status(ticket.id))
			quick := w.create(object{"phoneNumber": "7875550202"})
			paid(w, quick)
			w.pass(time.Minute)
			require.Equal(t, "COMPLETED", w.status(quick.id), "authorized in time")
		},
		"7875550203": confirmsAfter(599 * time.Second),
		"7875550204": func(t *testing.T, w *world, ticket made) {
			w.pass(time.Minute)
			require.Equal(t, "OPEN", w.status(ticket.id))
			require.Equal(t, "BTRA_0003", w.order("/_sim/tickets/"+ticket.id+"/confirm", nil).object(t)["code"])
		},
		"7875550300": declines("BTRA_0044"),
		"7875550301": declines("BTRA_0045"),
		"7875550302": declines("BTRA_0003"),
		"7875550303": declines("BTRA_0005"),
		"7875550304": func(t *testing.T, w *world, ticket made) {
			reference := paid(w, ticket)
			require.Equal(t, "BTRA_0030", w.refund(reference, "1.00").code(t))
			require.Equal(t, "BTRA_0030", w.refund(reference, "1.00").code(t))
		},
		"7875550401": func(t *testing.T, w *world, ticket made) {
			w.pass(time.Second)
			loses(w, api+"/authorization", object{}, bearer(ticket.token), "25.00", "0.00")
			require.Equal(t, "BTRA_0032", w.authorize(ticket.token).code(t), "it was executed")
			require.Equal(t, "COMPLETED", w.status(ticket.id))
		},
		"7875550402": func(t *testing.T, w *world, ticket made) {
			w.pass(time.Second)
			loses(w, api+"/authorization", object{}, bearer(ticket.token), "0.00", "0.00")
			require.Equal(t, "CONFIRM", w.status(ticket.id))
			require.Equal(t, http.StatusOK, w.authorize(ticket.token).status, "the second one lives")
		},
		"7875550403": func(t *testing.T, w *world, ticket made) {
			reference := paid(w, ticket)
			loses(w, api+"/refund", refunding(reference, "5.00", nil), nil, "25.00", "5.00")
			require.Equal(t, http.StatusOK, w.refund(reference, "5.00").status, "a blind retry pays twice")
		},
		"7875550404": func(t *testing.T, w *world, ticket made) {
			reference := paid(w, ticket)
			loses(w, api+"/refund", refunding(reference, "5.00", nil), nil, "25.00", "0.00")
			require.Equal(t, http.StatusOK, w.refund(reference, "5.00").status)
		},
		"7875550405": func(t *testing.T, w *world, ticket made) {
			w.pass(time.Second)
			got := w.authorize(ticket.token)
			require.Equal(t, http.StatusInternalServerError, got.status)
			require.Equal(t, "BTRA_9999", got.code(t))
			require.Equal(t, "COMPLETED", w.status(ticket.id))
		},
		"7875550406": func(t *testing.T, w *world, ticket made) {
			w.pass(time.Second)
			require.Equal(t, "BTRA_9998", w.authorize(ticket.token).code(t))
			require.Equal(t, "CONFIRM", w.status(ticket.id))
			require.Equal(t, http.StatusOK, w.authorize(ticket.token).status)
		},
		"7875550500": events("REFUND"),
		"7875550501": events("COMPLETED", "COMPLETED", "REFUND"),
		"7875550502": events("REFUND", "COMPLETED"),
		"7875550503": events("completed", "REFUND"),
	}
	for phone, script := range scripts {
		t.Run(phone, func(t *testing.T) {
			t.Parallel()
			w := start(t, athmovilsim.Config{})
			script(t, w, w.create(object{"phoneNumber": phone}))
		})
	}
	t.Run("7875550400", func(t *testing.T) {
		t.Parallel()
		w := start(t, athmovilsim.Config{})
		loses(w, api+"/payment", sale(object{"phoneNumber": "7875550400"}), nil, "0.00", "0.00")
		loses(w, api+"/payment", sale(object{"phoneNumber": "7875550400"}), nil, "0.00", "0.00")
		require.Len(t, w.get("/_sim/tickets?status=OPEN")["tickets"], 2, "tickets that cannot be authorized, as their tokens were lost")
	})
	tested := []string{"7875550400"}
	for phone := range scripts {
		tested = append(tested, phone)
	}
	var scripted []string
	for phone := range athmovilsim.Customers() {
		scripted = append(scripted, phone)
	}
	slices.Sort(tested)
	slices.Sort(scripted)
	require.Equal(t, scripted, tested)
}

// TestScriptStartsWithThePush sets the phone number of a ticket after its creation.
func TestScriptStartsWithThePush(t *testing.T) {
	t.Parallel()
	w := start(t, athmovilsim.Config{})
	ticket := w.create(object{"phoneNumber": ""})
	w.pass(time.Minute)
	got := w.call(http.MethodPut, api+"/business/updatePhoneNumber",
		object{"ecommerceId": ticket.id, "phoneNumber": "7875550101"}, bearer(ticket.token))
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "OPEN", w.status(ticket.id))
	w.pass(time.Second)
	require.Equal(t, "CONFIRM", w.status(ticket.id))
}

// TestScriptsRunByThemselves runs a script without any call.
func TestScriptsRunByThemselves(t *testing.T) {
	t.Parallel()
	w := open(t, athmovilsim.Config{})
	w.create(object{"phoneNumber": "7875550201"})
	require.Equal(t, "CANCEL", w.listener.next(t)["status"])
}
