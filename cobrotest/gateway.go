package cobrotest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"

	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// signingKey is shared by every shop of a test program, since a key takes long
// to find.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// connect starts ATH Móvil's simulator behind real HTTP, on the shop's clock,
// and returns a client of it. Both end with the test.
func connect(s *Shop) *athmovil.Client {
	t := s.t
	t.Helper()
	key, err := signingKey()
	s.need(err, "find a signing key")
	listener := httptest.NewServer(http.HandlerFunc(s.takeWebhook))
	t.Cleanup(listener.Close)
	sim, err := athmovilsim.New(athmovilsim.Config{WebhookURL: listener.URL, SigningKey: key, Now: s.Now})
	s.need(err, "start the simulator")
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Errorf("close the simulator: %v", err)
		}
	})
	server := httptest.NewServer(sim.Gateway())
	t.Cleanup(server.Close)
	client, err := athmovil.New(athmovil.Config{
		PublicToken: athmovilsim.DefaultPublicToken, PrivateToken: private.NewToken(athmovilsim.DefaultPrivateToken),
		BaseURL: server.URL, ReportBaseURL: server.URL, Now: s.Now,
		// A webhook arrives before the answer of the call that caused it is
		// looked at, so that no test depends on which of the two is quicker.
		Observe: func(context.Context, athmovil.Call) {
			if err := sim.Settle(); err != nil {
				s.during(func(*testsuite.TestWorkflowEnvironment) { t.Errorf("settle the simulator: %v", err) })
			}
		},
	})
	s.need(err, "make a client")
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// takeWebhook hands an event about a payment to its workflow. One about a
// refund is the echo of our own.
func (s *Shop) takeWebhook(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the simulator has hung up
	}
	e, err := athmovil.ParseWebhook(body)
	if err != nil || e.Kind == athmovil.EventRefund {
		return
	}
	paymentID := string(e.Metadata2) // unless the merchant wrote into it
	if !ledger.IsID(paymentID) {
		paymentID = string(e.Metadata1)
	}
	s.during(func(env *testsuite.TestWorkflowEnvironment) {
		env.SignalWorkflow(workflows.SignalGatewayEvent, workflows.GatewayEvent{
			Digest: e.Digest(), Kind: string(e.Kind), EcommerceID: e.EcommerceID, PaymentID: paymentID,
			ReferenceNumber: e.ReferenceNumber, Total: e.Total, Name: e.Name, PhoneNumber: e.PhoneNumber, Email: e.Email, Message: e.Message,
		})
	})
}
