package outbound_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resend/resend-go/v3"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// delivery is one input for a verifier.
type delivery struct {
	name    string
	genuine bool
	handled string            // the id that a handler must handle; empty for none
	Secret  string            `json:"secret"`
	Body    string            `json:"body"`
	Headers map[string]string `json:"headers"`
}

// realID is the id of a notification that is not an example.
const realID = "ntf_01k9x2v7m4q8r3t6y0z5a1b2c3"

// deliveries sends an example of each event, a real sale and a mismatch without a
// payment. It turns the requests into cases that a verifier must accept and cases
// that it must reject.
func deliveries(t *testing.T) []delivery {
	t.Helper()
	shop := openShop(t, nil)
	both := shop.endpoint()
	both.Secrets = append(both.Secrets, private.NewToken(secret2))
	began := time.Now()
	send := func(e outbound.Endpoint, n payment.Notification, at time.Time) delivery {
		t.Helper()
		sender := newSender(t, outbound.Options{Now: func() time.Time { return at }})
		_, err := sender.Send(t.Context(), e, n)
		require.NoError(t, err)
		arrivals := shop.arrived()
		last := arrivals[len(arrivals)-1]
		d := delivery{genuine: true, Secret: secret, Body: string(last.body), Headers: map[string]string{}}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			d.Headers[name] = last.header.Get(name)
		}
		return d
	}
	var all []delivery
	add := func(name string, d delivery) {
		d.name = name
		all = append(all, d)
	}
	for _, event := range payment.Events() {
		n, err := outbound.Example(event, began, rand.NewChaCha8([32]byte{}))
		require.NoError(t, err)
		sent := send(shop.endpoint(), n, began)
		add(string(event), sent)

		wrong := sent
		wrong.genuine = false
		at := strings.Index(wrong.Body, `"25.00"`)
		wrong.Body = wrong.Body[:at+1] + "3" + wrong.Body[at+2:]
		add(string(event)+" with a flipped byte", wrong)

		wrong = sent
		wrong.genuine, wrong.Secret = false, secret2
		add(string(event)+" and a wrong secret", wrong)

		wrong = sent
		wrong.genuine, wrong.Headers = false, map[string]string{}
		for name, value := range sent.Headers {
			wrong.Headers[name] = value
		}
		wrong.Headers["webhook-id"] += "x"
		add(string(event)+" under another id", wrong)
	}
	real := example(t, payment.EventCompleted)
	real.ID = realID
	sale := send(shop.endpoint(), real, began)
	sale.handled = realID
	add("a real sale", sale)

	n := example(t, payment.EventReconciliationMismatch)
	n.Payment = payment.Payment{}
	n.Mismatch.Kind, n.Mismatch.PaymentID = payment.MismatchMissingHere, ""
	add("a sale that Cobro does not know", send(shop.endpoint(), n, began))

	old := send(shop.endpoint(), example(t, payment.EventCompleted), began.Add(-10*time.Minute))
	old.genuine = false
	add("an old timestamp", old)
	for name, with := range map[string]string{"the old secret": secret, "the new secret": secret2} {
		rotated := send(both, example(t, payment.EventCompleted), began)
		rotated.Secret = with
		add("a rotation, "+name, rotated)
	}
	return all
}

func TestIndependentVerifiersAcceptSignatures(t *testing.T) {
	t.Parallel()
	all := deliveries(t)
	require.Len(t, all, 4*len(payment.Events())+5)

	t.Run("Go: resend", func(t *testing.T) {
		t.Parallel()
		webhooks := resend.NewClient("none").Webhooks
		for _, d := range all {
			requireVerdict(t, d, webhooks.Verify(&resend.VerifyWebhookOptions{
				Payload: d.Body, WebhookSecret: d.Secret, Headers: resend.WebhookHeaders{
					Id: d.Headers["webhook-id"], Timestamp: d.Headers["webhook-timestamp"], Signature: d.Headers["webhook-signature"],
				},
			}))
		}
	})
	t.Run("npm: standardwebhooks and svix", func(t *testing.T) {
		t.Parallel()
		folder := installVerifiers(t)
		given, err := json.Marshal(all)
		require.NoError(t, err)
		var verdicts []map[string]string
		require.NoError(t, json.Unmarshal(node(t, folder, "verify.js", given), &verdicts))
		require.Len(t, verdicts, len(all))
		for i, d := range all {
			for _, library := range []string{"standardwebhooks", "svix"} {
				verdict, ok := verdicts[i][library]
				require.True(t, ok, library)
				var err error
				if verdict != "" {
					require.Contains(t, verdict, "WebhookVerificationError", "%s: %s", library, d.name)
					err = errors.New(verdict)
				}
				requireVerdict(t, d, err)
			}
		}
	})
}

func requireVerdict(t *testing.T, d delivery, err error) {
	t.Helper()
	if d.genuine {
		require.NoError(t, err, d.name)
	} else {
		require.Error(t, err, d.name)
	}
}

// TestSendCarriesPrivateDataInClear: data is private in logs, but receivers need
// it.
func TestSendCarriesPrivateDataInClear(t *testing.T) {
	t.Parallel()
	shop := openShop(t, nil)
	sender := newSender(t, outbound.Options{Now: func() time.Time { return now }})
	for i, event := range payment.Events() {
		n := example(t, event)
		answer, err := sender.Send(t.Context(), shop.endpoint(), n)
		require.NoError(t, err)
		require.Equal(t, http.StatusNoContent, answer.Status)

		got := shop.arrived()[i]
		require.Equal(t, http.MethodPost, got.method)
		require.Equal(t, "application/json", got.header.Get("Content-Type"))
		require.Equal(t, "Cobro/1", got.header.Get("User-Agent"))
		require.Equal(t, n.ID, got.header.Get("webhook-id"))
		require.Equal(t, "1793631845", got.header.Get("webhook-timestamp"))
		var read payment.Notification
		require.NoError(t, json.Unmarshal(got.body, &read))
		require.Equal(t, n, read, event)
		require.Contains(t, string(got.body), `"phone_number":"7875550999"`)
		require.NotContains(t, string(got.body), private.Mark)
	}
}

// have skips the test if a program that it needs is missing. In CI it fails.
func have(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err, "CI must have it: .ci/install brings it")
		}
		t.Skipf("%s is not installed; `make install` brings it", program)
	}
}

// installVerifiers installs the npm packages of testdata/verify, as their lock
// file says, in a temporary folder.
func installVerifiers(t *testing.T) string {
	t.Helper()
	have(t, "node")
	have(t, "npm")
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join("testdata", "verify"))))
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("npm cannot install the verifiers (is there a network?): %v\n%s", err, out)
	}
	require.NoError(t, err, "%s", out)
	return folder
}

// node runs a program in folder and returns its output.
func node(t *testing.T, folder, program string, input []byte) []byte {
	t.Helper()
	return runScript(t.Context(), t, folder, input, "node", program)
}

func runScript(ctx context.Context, t *testing.T, folder string, input []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = folder, bytes.NewReader(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	require.NoError(t, err, errs.String())
	return out
}
