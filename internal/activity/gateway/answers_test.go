package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// simulated is a simulator whose next answers a test scripts.
type simulated struct {
	*gateway.Gateway
	client  *athmovil.Client
	control string

	ticket   athmovil.Ticket // that the calls are about
	sold     string          // the reference number of its sale
	refunded money.Amount
}

func simulate(t *testing.T) *simulated {
	t.Helper()
	sim, err := athmovilsim.New(athmovilsim.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	calls, control := httptest.NewServer(sim.Gateway()), httptest.NewServer(sim.Control())
	t.Cleanup(calls.Close)
	t.Cleanup(control.Close)
	client, err := athmovil.New(athmovil.Config{
		PublicToken: athmovilsim.DefaultPublicToken, PrivateToken: private.NewToken(athmovilsim.DefaultPrivateToken),
		BaseURL: calls.URL, ReportBaseURL: calls.URL,
	})
	require.NoError(t, err)
	t.Cleanup(client.CloseIdleConnections)
	return &simulated{Gateway: &gateway.Gateway{Client: client, Locks: &claims{}}, client: client, control: control.URL}
}

func (s *simulated) post(t *testing.T, path string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.control+path, strings.NewReader(string(text)))
	require.NoError(t, err)
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Less(t, response.StatusCode, 300, path)
}

// confirmed makes a ticket of $25.00 that the customer confirmed.
func (s *simulated) confirmed(t *testing.T) athmovil.Ticket {
	t.Helper()
	ticket, err := s.client.Create(t.Context(), athmovil.CreateRequest{Total: money.FromCents(25_00), Timeout: 10 * time.Minute})
	require.NoError(t, err)
	s.post(t, "/_sim/tickets/"+ticket.EcommerceID+"/confirm", map[string]any{"phone_number": "7875551234"})
	return ticket
}

// TestEveryAnswerAboutMoney sends each answer that a call about money may get,
// executed or not, through the client and the activity: a refusal counts only
// where it is whole and its code is documented, and everything else is unknown,
// never "not executed". The look afterwards tells what happened.
func TestEveryAnswerAboutMoney(t *testing.T) {
	t.Parallel()
	codes := []struct {
		code string
		want activity.Kind // under an HTTP status that is not an internal error
	}{
		{"BTRA_0044", activity.KindDeclined},
		{"BTRA_0006", activity.KindInvalid},
		{"BTRA_0401", activity.KindAuthentication},
		{"BTRA_0030", activity.KindUnknown}, // documented, and says nothing
		{"BTRA_0099", activity.KindUnknown}, // not documented
		{"", activity.KindUnknown},
	}
	for _, op := range []string{"authorize", "refund"} {
		for _, status := range []int{200, 202, 302, 400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503} {
			t.Run(fmt.Sprint(op, " ", status), func(t *testing.T) {
				t.Parallel()
				s := simulate(t)
				for _, c := range codes {
					for _, contentType := range []string{"application/json", "text/html"} {
						for _, body := range []string{"whole", "cut", "empty"} {
							for _, executed := range []bool{false, true} {
								want := c.want
								if body != "whole" || status >= 500 {
									want = activity.KindUnknown
								}
								s.answer(t, op, want, executed, map[string]any{
									"op": op, "fault": "answer", "http_status": status, "content_type": contentType,
									"body": answerBody(c.code, body), "after_effect": executed,
								})
							}
						}
					}
				}
			})
		}
	}
}

func answerBody(code, form string) string {
	text := fmt.Sprintf(`{"status":"error","message":"no","errorcode":%q,"data":null}`, code)
	if code == "" {
		text = `{"message":"no"}`
	}
	switch form {
	case "cut":
		return text[:len(text)-3]
	case "empty":
		return ""
	default:
		return text
	}
}

// answer makes one call that gets a scripted answer, and looks afterwards.
func (s *simulated) answer(t *testing.T, op string, want activity.Kind, executed bool, script map[string]any) {
	t.Helper()
	call := s.authorize
	if op == "refund" {
		call = s.refund
	}
	s.post(t, "/_sim/faults", script)
	err := call(t)
	require.Error(t, err, "%v", script)
	failure := activity.FailureOf(err)
	require.Equal(t, want, failure.Kind, "%v", script)
	require.Equal(t, want != activity.KindUnknown, failure.Definite(), "%v", script)

	seen, err := s.FindTicket(t.Context(), activity.TicketInput{EcommerceID: s.ticket.EcommerceID})
	require.NoError(t, err)
	if executed && op == "refund" {
		s.refunded = s.refunded.Add(money.FromCents(1))
	}
	require.Equal(t, s.refunded, seen.TotalRefunded, "%v", script)
	require.Equal(t, executed || op == "refund", seen.Status == activity.TicketCompleted, "%v", script)
	if executed && op == "authorize" {
		s.ticket = athmovil.Ticket{} // the next one needs another
	}
}

// authorize debits a ticket that is confirmed.
func (s *simulated) authorize(t *testing.T) error {
	t.Helper()
	if s.ticket.EcommerceID == "" {
		s.ticket = s.confirmed(t)
	}
	_, err := s.Authorize(t.Context(), activity.AuthorizeInput{EcommerceID: s.ticket.EcommerceID, AuthToken: private.Text(s.ticket.AuthToken.Reveal())})
	return err
}

// refund credits a cent of a sale.
func (s *simulated) refund(t *testing.T) error {
	t.Helper()
	if s.sold == "" {
		s.ticket = s.confirmed(t)
		sale, err := s.client.Authorize(t.Context(), s.ticket.AuthToken)
		require.NoError(t, err)
		s.sold = sale.ReferenceNumber
	}
	_, err := s.client.Refund(t.Context(), athmovil.RefundRequest{ReferenceNumber: s.sold, Amount: money.FromCents(1)})
	return gateway.Error(err)
}

// TestRefundOfAnotherSale says that a refund which the gateway says it made of
// another sale, or of another amount, is unknown, with what differs.
func TestRefundOfAnotherSale(t *testing.T) {
	t.Parallel()
	const answer = `{"status":"success","data":{"refund":{"status":"COMPLETED","refundedAmount":%s,"referenceNumber":"r"},
		"originalTransaction":{"referenceNumber":%q,"total":%s,"totalRefundedAmount":10}}}`
	for _, tt := range []struct{ name, refunded, number, total, differs string }{
		{"ours", "10", reference, "25.00", ""},
		{"ours, without the digits in front", "10", strings.SplitN(reference, "-", 2)[1], "25.00", ""},
		{"ours, without a number", "10", "", "25.00", ""},
		{"another number", "10", "215070443-0", "25.00", "another reference number"},
		{"another total", "10", reference, "0.94", "$25.00, and the answer says $0.94"},
		{"another amount", "10.01", reference, "25.00", "requested 10.00, but the gateway refunded 10.01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := answering(t, always(http.StatusOK, fmt.Sprintf(answer, tt.refunded, tt.number, tt.total)))
			g := gatewayAt(t, s.URL)
			_, err := run[activity.RefundResult](environment(g), g.Refund, activity.RefundInput{
				RefundID: refundID, ReferenceNumber: reference, Amount: money.FromCents(10_00), Captured: money.FromCents(25_00),
			})
			if tt.differs == "" {
				require.NoError(t, err)
				return
			}
			failure := activity.FailureOf(err)
			require.Equal(t, activity.KindUnknown, failure.Kind)
			require.Contains(t, failure.String(), tt.differs, "a person sees what differs")
		})
	}
}
