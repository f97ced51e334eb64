package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/temporalclient"
)

const (
	timeout  = 30 * time.Second // for what must happen
	interval = 50 * time.Millisecond
)

// quick are the timings of these tests: those of production, scaled down.
var quick = []string{
	"COBRO_TIMING_DETAILS=1s", "COBRO_TIMING_POLL_FIRST=100ms", "COBRO_TIMING_POLL_MOST=300ms",
	"COBRO_CALL_TIMEOUT=3s", "COBRO_TIMING_SETTLE=1s", "COBRO_TIMING_CANCEL_MARGIN=1s",
	"COBRO_GATEWAY_WEBHOOK_DELAY=0s",
}

// traced are the settings of processes whose spans are collected.
var traced = []string{"OTEL_BSP_SCHEDULE_DELAY=100"}

// cobro is a running installation: a dev in a process of its own, or a cluster.
type cobro struct {
	data string
	// postgres is the folder of the server that holds the data instead, if any.
	postgres string
	env      []string // besides quick
	dev      *testcluster.Process
	at       addresses
}

type addresses struct {
	API            string `json:"api"`
	Ops            string `json:"ops"`
	Temporal       string `json:"temporal"`
	TemporalUI     string `json:"temporal_ui"`
	Gateway        string `json:"gateway"`
	GatewayControl string `json:"gateway_control"`
	WebhookURL     string `json:"webhook_url"`
	APIKey         string `json:"api_key"`
	Namespace      string `json:"namespace"`
	Store          string `json:"store"`
	KeyFile        string `json:"key_file"`
}

// newCobro starts a dev for one test.
func newCobro(t *testing.T, env ...string) *cobro {
	t.Helper()
	if os.Getenv(onCluster) != "" {
		t.Skip("needs a dev of its own")
	}
	c := &cobro{data: t.TempDir(), env: env}
	require.NoError(t, c.start())
	t.Cleanup(func() {
		if t.Failed() {
			log, err := os.ReadFile(filepath.Join(c.data, "dev.log"))
			t.Logf("the log of dev (%v):\n%s", err, log)
		}
		collected := c.collect()
		c.kill()
		if err := errors.Join(collected, c.scan()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// start starts the process and waits until it has written its addresses.
func (c *cobro) start() (err error) {
	file := filepath.Join(c.data, "addresses.json")
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := []string{"--data", c.data, "--log-format", "json"}
	for _, flag := range []string{"listen", "ops-listen", "temporal-listen", "temporal-ui-listen", "gateway-listen", "gateway-control-listen"} {
		args = append(args, "--"+flag, "127.0.0.1:0")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = slices.Concat(os.Environ(), quick, traced, c.env, []string{asDev + "=1"})
	cmd.Stdout = io.Discard // it prints the API key for its user
	if c.dev, err = testcluster.StartProcess(cmd, filepath.Join(c.data, "dev.log")); err != nil {
		return err
	}
	return c.dev.Await(context.Background(), func() (bool, error) {
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return true, errors.Join(err, json.Unmarshal(data, &c.at))
	})
}

func (c *cobro) kill() { c.dev.Kill() }

func (c *cobro) stop() error { return c.dev.Stop() }

// answer is an HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// as reads the answer's JSON.
func as[T any](t *testing.T, a answer) T {
	t.Helper()
	var value T
	require.NoError(t, json.Unmarshal(a.body, &value), "%s", a.body)
	return value
}

// dial returns a client of this installation's Temporal, and what decodes payloads.
func (c *cobro) dial(t *testing.T) (client.Client, converter.DataConverter) {
	t.Helper()
	ring, err := seal.Load(c.at.KeyFile)
	require.NoError(t, err)
	temporal, err := temporalclient.Dial(t.Context(), temporalclient.Options{Sealer: ring, Address: c.at.Temporal, Namespace: c.at.Namespace})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	return temporal, temporalclient.NewDataConverter(ring)
}

// httpClient makes the requests of all tests.
var httpClient = &http.Client{Timeout: timeout, Transport: recorder{http.DefaultTransport}}

func send(t *testing.T, method, url string, body any, header map[string]string) answer {
	t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(body)
	default:
		data, err := json.Marshal(body)
		require.NoError(t, err)
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, url, reader)
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := httpClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header, data}
}

// merchant calls the API with the key; header pairs may follow.
func (c *cobro) merchant(t *testing.T, method, path string, body any, header ...string) answer {
	t.Helper()
	headers := map[string]string{"Authorization": "Bearer " + c.at.APIKey}
	for i := 0; i+1 < len(header); i += 2 {
		headers[header[i]] = header[i+1]
	}
	return send(t, method, c.at.API+path, body, headers)
}

type m map[string]any

// sale is a payment as the API answers it.
type sale struct {
	ID                 string  `json:"id"`
	Status             string  `json:"status"`
	Total              string  `json:"total"`
	PhoneNumber        *string `json:"phone_number"`
	Metadata1          *string `json:"metadata1"`
	Metadata2          *string `json:"metadata2"`
	EcommerceID        string  `json:"ecommerce_id"`
	ReferenceNumber    *string `json:"reference_number"`
	DailyTransactionID *string `json:"daily_transaction_id"`
	Fee                *string `json:"fee"`
	NetAmount          *string `json:"net_amount"`
	RefundedAmount     string  `json:"refunded_amount"`
	Customer           struct {
		Name        *string `json:"name"`
		PhoneNumber *string `json:"phone_number"`
		Email       *string `json:"email"`
	} `json:"customer"`
	Failure *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"failure"`
	NeedsReview bool       `json:"needs_review"`
	ExpiresAt   time.Time  `json:"expires_at"`
	CompletedAt *time.Time `json:"completed_at"`
}

type refund struct {
	ID        string `json:"id"`
	PaymentID string `json:"payment_id"`
	Amount    string `json:"amount"`
	Status    string `json:"status"`
	Source    string `json:"source"`
}

type problem struct {
	Code   string `json:"code"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Field string `json:"field"`
		Rule  string `json:"rule"`
	} `json:"errors"`
}

// open starts a payment and requires that it is open.
func (c *cobro) open(t *testing.T, request m, header ...string) sale {
	t.Helper()
	got := c.merchant(t, http.MethodPost, "/v1/payments", request, header...)
	require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
	opened := as[sale](t, got)
	require.Equal(t, "open", opened.Status)
	require.NotEmpty(t, opened.EcommerceID)
	return opened
}

func (c *cobro) show(t *testing.T, id string) sale {
	t.Helper()
	got := c.merchant(t, http.MethodGet, "/v1/payments/"+id, nil)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	return as[sale](t, got)
}

// await waits until the payment has a status, and returns it.
func (c *cobro) await(t *testing.T, id, status string) sale {
	t.Helper()
	var last sale
	require.Eventually(t, func() bool {
		last = c.show(t, id)
		return last.Status == status
	}, timeout, interval, "the payment never became %s", status)
	return last
}

// phone does what the customer does: "confirm" or "cancel".
func (c *cobro) phone(t *testing.T, decision, ecommerceID string) {
	t.Helper()
	got := send(t, http.MethodPost, c.at.GatewayControl+"/_sim/tickets/"+ecommerceID+"/"+decision, nil, nil)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
}

func (c *cobro) fault(t *testing.T, fault m) {
	t.Helper()
	got := send(t, http.MethodPost, c.at.GatewayControl+"/_sim/faults", fault, nil)
	require.Less(t, got.status, 300, "%s", got.body)
}

func (c *cobro) webhook(t *testing.T, body []byte) answer {
	t.Helper()
	return send(t, http.MethodPost, c.at.WebhookURL, body, nil)
}

// booked returns the amounts that really moved for a ticket, in order.
func (c *cobro) booked(t *testing.T, ecommerceID string) (debits, credits []string) {
	t.Helper()
	got := send(t, http.MethodGet, c.at.GatewayControl+"/_sim/books", nil, nil)
	require.Equal(t, http.StatusOK, got.status)
	books := as[struct {
		Entries []struct {
			Kind        string `json:"kind"`
			EcommerceID string `json:"ecommerce_id"`
			Amount      string `json:"amount"`
		} `json:"entries"`
	}](t, got)
	for _, entry := range books.Entries {
		switch {
		case entry.EcommerceID != ecommerceID:
		case entry.Kind == "debit":
			debits = append(debits, entry.Amount)
		default:
			credits = append(credits, entry.Amount)
		}
	}
	return debits, credits
}

// requireBooks requires exactly these movements of money for a ticket.
func (c *cobro) requireBooks(t *testing.T, ecommerceID string, debits, credits []string) {
	t.Helper()
	gotDebits, gotCredits := c.booked(t, ecommerceID)
	require.Equal(t, debits, gotDebits, "debits")
	require.Equal(t, credits, gotCredits, "credits")
}

func require422(t *testing.T, got answer, field string) {
	t.Helper()
	require.Equal(t, http.StatusUnprocessableEntity, got.status, "%s", got.body)
	require.True(t, strings.HasPrefix(got.header.Get("Content-Type"), "application/problem+json"))
	names := []string{}
	for _, e := range as[problem](t, got).Errors {
		names = append(names, e.Field)
		require.NotEmpty(t, e.Rule)
	}
	require.Contains(t, names, field)
}
