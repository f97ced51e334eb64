package athmovilsim_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
)

// chooseSequences makes rapid try 10,000 sequences, or 300 with -short, unless
// -rapid.checks says otherwise.
func chooseSequences() error {
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if asked {
		return nil
	}
	checks := "10000"
	if testing.Short() {
		checks = "300"
	}
	return flag.Set("rapid.checks", checks)
}

// model is what a sequence of calls knows from the answers alone.
type model struct {
	t       *rapid.T
	gateway http.Handler
	control http.Handler
	tickets []made
	totals  map[string]int // in cents, by token
	paid    []sold
}

// sold is a completed ticket.
type sold struct {
	made
	reference string
	total     int
}

// do calls a handler without a network: thousands of sequences would use up
// the machine's ports.
func (m *model) do(handler http.Handler, method, path string, body any, header http.Header) (int, object) {
	encoded, err := json.Marshal(body)
	require.NoError(m.t, err)
	req := httptest.NewRequest(method, path, strings.NewReader(string(encoded)))
	for name, values := range header {
		req.Header[name] = values
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, req)
	var o object
	require.NoError(m.t, json.Unmarshal(recorder.Body.Bytes(), &o), "%s", recorder.Body)
	return recorder.Code, o
}

func (m *model) any() made {
	if len(m.tickets) == 0 {
		m.t.Skip("no ticket yet")
	}
	return rapid.SampledFrom(m.tickets).Draw(m.t, "ticket")
}

func (m *model) create(t *rapid.T) {
	phones := []string{"", "7875551234", "7875550100", "7875550101", "7875550202", "7875550203", "7875550204", "7875550300", "7875550304"}
	total := rapid.IntRange(50, 2_000_00).Draw(t, "total")
	_, o := m.do(m.gateway, http.MethodPost, api+"/payment", sale(object{
		"total":       dollars(total),
		"phoneNumber": rapid.SampledFrom(phones).Draw(t, "phone"),
		"timeout":     rapid.SampledFrom([]string{"120", "600", "1200"}).Draw(t, "timeout"),
	}), nil)
	if o["status"] == "success" {
		data := o["data"].(object)
		ticket := made{data["ecommerceId"].(string), data["auth_token"].(string)}
		m.tickets = append(m.tickets, ticket)
		m.totals[ticket.token] = total
	}
}

func (m *model) authorize(*rapid.T) { m.charge(m.any()) }

func (m *model) charge(ticket made) {
	_, o := m.do(m.gateway, http.MethodPost, api+"/authorization", object{}, bearer(ticket.token))
	if o["status"] == "success" {
		m.paid = append(m.paid, sold{ticket, o["data"].(object)["referenceNumber"].(string), m.totals[ticket.token]})
	}
}

// buy is a quick payment, so that there is something to refund.
func (m *model) buy(t *rapid.T) {
	m.create(t)
	if len(m.tickets) == 0 {
		return
	}
	ticket := m.tickets[len(m.tickets)-1]
	m.do(m.control, http.MethodPost, "/_sim/tickets/"+ticket.id+"/confirm", nil, nil)
	m.charge(ticket)
}

// some draws a completed ticket and an amount around what it may give back.
func (m *model) some(t *rapid.T) (sold, string) {
	if len(m.paid) == 0 {
		t.Skip("nothing to refund yet")
	}
	sale := rapid.SampledFrom(m.paid).Draw(t, "sale")
	return sale, dollars(rapid.IntRange(0, sale.total+1).Draw(t, "amount"))
}

func (m *model) refund(t *rapid.T) {
	sale, amount := m.some(t)
	m.do(m.gateway, http.MethodPost, api+"/refund", refunding(sale.reference, amount, nil), nil)
}

func (m *model) refundOutside(t *rapid.T) {
	sale, amount := m.some(t)
	m.do(m.control, http.MethodPost, "/_sim/external-refunds", object{"ecommerce_id": sale.id, "amount": amount}, nil)
}

func (m *model) confirm(*rapid.T) {
	m.do(m.control, http.MethodPost, "/_sim/tickets/"+m.any().id+"/confirm", nil, nil)
}

func (m *model) customerCancels(*rapid.T) {
	m.do(m.control, http.MethodPost, "/_sim/tickets/"+m.any().id+"/cancel", nil, nil)
}

func (m *model) merchantCancels(*rapid.T) {
	m.do(m.gateway, http.MethodPost, api+"/business/cancel", named(m.any().id), nil)
}

func (m *model) givePhone(t *rapid.T) {
	ticket := m.any()
	phone := rapid.SampledFrom([]string{"7875551234", "7875550100"}).Draw(t, "phone")
	m.do(m.gateway, http.MethodPut, api+"/business/updatePhoneNumber",
		object{"ecommerceId": ticket.id, "phoneNumber": phone}, bearer(ticket.token))
}

func (m *model) pass(t *rapid.T) {
	m.do(m.control, http.MethodPost, "/_sim/clock", object{"advance_seconds": rapid.SampledFrom([]int{1, 60, 400}).Draw(t, "seconds")}, nil)
}

// check compares the books with the tickets: one debit, of the total, for each
// COMPLETED ticket and none for another; credits that sum up to what the
// ticket says was refunded, and never to more than its total.
func (m *model) check(t *rapid.T) {
	_, books := m.do(m.control, http.MethodGet, "/_sim/books", nil, nil)
	debits, credits := map[string][]string{}, map[string]int{}
	for _, entry := range books["entries"].([]any) {
		e := entry.(object)
		id, amount := e["ecommerce_id"].(string), e["amount"].(string)
		if e["kind"] == "debit" {
			debits[id] = append(debits[id], amount)
		} else {
			credits[id] += inCents(t, amount)
		}
	}
	_, list := m.do(m.control, http.MethodGet, "/_sim/tickets", nil, nil)
	require.Len(t, list["tickets"], len(m.tickets))
	for _, ticket := range list["tickets"].([]any) {
		v := ticket.(object)
		id, total := v["ecommerce_id"].(string), v["total"].(string)
		if v["status"] == "COMPLETED" {
			require.Equal(t, []string{total}, debits[id])
		} else {
			require.Empty(t, debits[id])
		}
		require.Equal(t, inCents(t, v["refunded"].(string)), credits[id])
		require.LessOrEqual(t, credits[id], inCents(t, total))
	}
}

// TestBooksAndTicketsAgree is the simulator's promise: whatever is called, in
// whatever order, its books are right.
func TestBooksAndTicketsAgree(t *testing.T) {
	t.Parallel()
	key, err := signingKey()
	require.NoError(t, err)
	began, err := time.Parse(time.RFC3339, epoch)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		sim, err := athmovilsim.New(athmovilsim.Config{
			SigningKey: key,
			Now:        func() time.Time { return began }, // only the sequence moves the clock
			Settings: athmovilsim.Settings{
				AuthorizeTwiceSucceeds: rapid.Bool().Draw(t, "authorize twice"),
				ConfirmStopsTimer:      rapid.Bool().Draw(t, "confirm stops timer"),
				RefundEchoesReference:  rapid.Bool().Draw(t, "echo"),
			},
		})
		require.NoError(t, err)
		defer func() { require.NoError(t, sim.Close()) }()
		m := &model{t: t, gateway: sim.Gateway(), control: sim.Control(), totals: map[string]int{}}
		t.Repeat(map[string]func(*rapid.T){
			"create":         m.create,
			"buy":            m.buy,
			"confirm":        m.confirm,
			"authorize":      m.authorize,
			"refund":         m.refund,
			"refund outside": m.refundOutside,
			"customer":       m.customerCancels,
			"merchant":       m.merchantCancels,
			"phone":          m.givePhone,
			"pass":           m.pass,
			"":               m.check,
		})
	})
}

// dollars writes cents as "12.50".
func dollars(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// inCents reads an amount with two decimals.
func inCents(t require.TestingT, amount string) int {
	cents, err := strconv.Atoi(strings.Replace(amount, ".", "", 1))
	require.NoError(t, err)
	return cents
}
