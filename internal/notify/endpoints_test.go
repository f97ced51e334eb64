package notify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/notify"
	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

const endpointSecret = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTAwMDE="

// endpointsFile opens a file with the endpoint "shop", which wants completed
// payments alone.
func endpointsFile(t *testing.T, address string) *outbound.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "endpoints.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
allow_private_addresses: true
endpoints:
  - {name: shop, url: "`+address+`/canary", events: [payment_completed], secrets: [`+endpointSecret+`], timeout: 20s}
`), 0o600))
	file, err := outbound.Open(path, os.Getenv, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return file
}

func TestEndpointReceivers(t *testing.T) {
	t.Parallel()
	known := notify.EndpointReceivers("cobro", []outbound.Endpoint{
		{Name: "shop", Events: []payment.Event{payment.EventCompleted, payment.EventFailed}, Timeout: 15 * time.Second},
		{Name: strings.Repeat("x", 40), Events: []payment.Event{payment.EventCompleted}, Timeout: time.Minute},
	})
	require.Equal(t, []ledger.Receiver{
		{Host: "cobro", Event: payment.EventCompleted, Name: "webhook-shop", Timeout: 25 * time.Second},
		{Host: "cobro", Event: payment.EventFailed, Name: "webhook-shop", Timeout: 25 * time.Second},
		{Host: "cobro", Event: payment.EventCompleted, Name: "webhook-" + strings.Repeat("x", 40), Timeout: 70 * time.Second},
	}, known)

	others := append(known, ledger.Receiver{Host: "cobro", Event: payment.EventCreated, Name: "log"},
		ledger.Receiver{Host: "mine", Event: payment.EventCreated, Name: "webhook-mine"})
	require.Empty(t, notify.LeftOver("cobro", others, known))
	require.Equal(t, known[1:], notify.LeftOver("cobro", others, known[:1]))
	require.Equal(t, known, notify.LeftOver("cobro", others, nil))
}

func TestEndpointDelivery(t *testing.T) {
	t.Parallel()
	const personal = "sorry, Valeria 7875551234"
	for _, tt := range []struct {
		name     string
		activity string
		file     bool
		status   int
		retry    string // Retry-After
		store    *attempts

		says      string // empty: delivered
		permanent bool
		pause     time.Duration
	}{
		{name: "delivered", activity: "payment_completed/webhook-shop", file: true, status: 204, store: &attempts{}},
		{name: "delivered, and nobody keeps notes", activity: "payment_completed/webhook-shop", file: true, status: 204},
		{name: "delivered, and the note is not written", activity: "payment_completed/webhook-shop", file: true, status: 204, store: &attempts{err: errors.New("away")}},
		{name: "refused", activity: "payment_completed/webhook-shop", file: true, status: 422, store: &attempts{}, says: `endpoint "shop" answered 422`},
		{name: "gone", activity: "payment_completed/webhook-shop", file: true, status: 410, store: &attempts{}, says: "answered 410 Gone", permanent: true},
		{name: "busy", activity: "payment_completed/webhook-shop", file: true, status: 503, retry: "90", store: &attempts{}, says: "answered 503", pause: 90 * time.Second},
		{name: "busy for a day", activity: "payment_completed/webhook-shop", file: true, status: 429, retry: "86400", store: &attempts{}, says: "answered 429", pause: 24 * time.Hour},
		{name: "an endpoint that is not in the file", activity: "payment_completed/webhook-books", file: true, store: &attempts{}, says: `endpoint "books" is not in the endpoints file: put it back, or remove it with "cobro receiver remove"`},
		{name: "an event that it no longer wants", activity: "payment_created/webhook-shop", file: true, store: &attempts{}, says: `endpoint "shop" no longer wants payment_created`},
		{name: "no file", activity: "payment_completed/webhook-shop", store: &attempts{}, says: "set COBRO_ENDPOINTS"},
		{name: "another receiver", activity: "payment_completed/print", file: true, store: &attempts{}, says: `receiver "print" is unknown to this worker`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var arrived []string
			shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				arrived = append(arrived, r.Header.Get("webhook-id")+" "+string(body))
				if tt.retry != "" {
					w.Header().Set("Retry-After", tt.retry)
				}
				w.WriteHeader(tt.status)
				if tt.status != http.StatusNoContent {
					_, _ = io.WriteString(w, personal+endpointSecret)
				}
			}))
			t.Cleanup(shop.Close)
			sender := outbound.NewSender(outbound.Options{})
			t.Cleanup(sender.Close)
			endpoints := &notify.Endpoints{Sender: sender, Now: func() time.Time { return now }}
			if tt.file {
				endpoints.File = endpointsFile(t, shop.URL)
			}
			if tt.store != nil {
				endpoints.Attempts = tt.store
			}
			var suite testsuite.WorkflowTestSuite
			var lines bytes.Buffer
			suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(&lines, nil))))
			env := suite.NewTestActivityEnvironment()
			env.RegisterDynamicActivity(endpoints.Deliver, activity.DynamicRegisterOptions{})
			told := payment.Notification{
				ID: "ntf_1", Event: payment.EventCompleted,
				Payment: payment.Payment{ID: paymentID, Customer: payment.Customer{Name: "Valeria", PhoneNumber: "7875551234"}},
			}

			_, err := env.ExecuteActivity(tt.activity, told)
			lastError := private.Text("")
			if tt.says == "" {
				require.NoError(t, err)
				require.Len(t, arrived, 1)
				require.Contains(t, arrived[0], "ntf_1 {")
				require.Contains(t, arrived[0], "Valeria")
			} else {
				require.ErrorContains(t, err, tt.says)
				var failure *temporal.ApplicationError
				require.ErrorAs(t, err, &failure)
				require.Equal(t, tt.permanent, failure.NonRetryable())
				require.Equal(t, tt.pause, failure.NextRetryDelay())
				lastError = private.Text(failure.Message())
				for _, canary := range []string{"Valeria", "787555", "Y2Fu", "canary"} {
					require.NotContains(t, err.Error(), canary)
					require.NotContains(t, lines.String(), canary)
				}
			}
			if tt.store == nil {
				return
			}
			require.Len(t, tt.store.notes, 1)
			noted := tt.store.notes[0]
			require.Equal(t, "ntf_1", noted.DeliveryID)
			require.Equal(t, lastError, noted.Error)
			switch tt.status {
			case 0:
				require.Nil(t, noted.Answer, "nothing was sent")
			case http.StatusNoContent:
				require.Equal(t, &ledger.Answer{Status: tt.status}, noted.Answer)
			default:
				require.Equal(t, &ledger.Answer{Status: tt.status, Body: personal + endpointSecret}, noted.Answer)
			}
		})
	}
}

// TestAnEndpointCannotCauseManyAttempts: what Retry-After asks for each time adds
// no attempt to those of the policy's week.
func TestAnEndpointCannotCauseManyAttempts(t *testing.T) {
	t.Parallel()
	policy := &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Hour}
	attempts := func(asked time.Duration) (n int) {
		for left := 7 * 24 * time.Hour; left > 0; {
			n++
			pause := notify.PauseAfter(activity.Info{Attempt: int32(n), RetryPolicy: policy})
			left -= max(pause, (&outbound.Error{RetryAfter: asked}).RetryDelay(n, pause))
		}
		return n
	}
	require.Equal(t, 179, attempts(0))
	require.Equal(t, 179, attempts(time.Second))
	require.Equal(t, 84, attempts(2*time.Hour))
	require.Zero(t, notify.PauseAfter(activity.Info{Attempt: 3}), "no policy")
}

func TestEndpointDeliveryOfSomethingElse(t *testing.T) {
	t.Parallel()
	var suite testsuite.WorkflowTestSuite
	var lines bytes.Buffer
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.NewTextHandler(&lines, nil))))
	env := suite.NewTestActivityEnvironment()
	env.RegisterDynamicActivity((&notify.Endpoints{}).Deliver, activity.DynamicRegisterOptions{})
	_, err := env.ExecuteActivity("payment_completed/webhook-shop", "Valeria")
	require.ErrorContains(t, err, "the notification cannot be read")
	require.NotContains(t, lines.String(), "Valeria")
}

// TestAnEndpointWithoutRoomIsNotCalled says that a notification which found no
// room waits without a note: there may be thousands.
func TestAnEndpointWithoutRoomIsNotCalled(t *testing.T) {
	t.Parallel()
	over, inside := make(chan struct{}), make(chan struct{})
	shop := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside <- struct{}{}; <-over }))
	t.Cleanup(shop.Close)
	sender := outbound.NewSender(outbound.Options{})
	t.Cleanup(sender.Close)
	store := &attempts{}
	endpoints := &notify.Endpoints{Sender: sender, File: endpointsFile(t, shop.URL), Attempts: store}
	endpoint, ok := endpoints.File.Find("shop")
	require.True(t, ok)
	ended := make(chan error, outbound.MaxInFlight)
	for range outbound.MaxInFlight {
		go func() { // received below
			_, err := sender.Send(context.WithoutCancel(t.Context()), endpoint, payment.Notification{ID: "ntf_0"})
			ended <- err
		}()
		<-inside
	}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterDynamicActivity(endpoints.Deliver, activity.DynamicRegisterOptions{})
	_, err := env.ExecuteActivity("payment_completed/webhook-shop", payment.Notification{ID: "ntf_1", Event: payment.EventCompleted})
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	require.Positive(t, failure.NextRetryDelay())
	require.False(t, failure.NonRetryable())
	require.Empty(t, store.notes)
	close(over)
	for range outbound.MaxInFlight {
		require.NoError(t, <-ended)
	}
}
