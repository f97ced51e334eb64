package outbound_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
)

// docs is the page whose code merchants copy.
var docs = filepath.Join("..", "..", "docs", "webhooks.md")

// block returns the first code block of a language after a heading.
func block(t *testing.T, heading, language string) string {
	t.Helper()
	page, err := os.ReadFile(docs)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "\n"+heading+"\n")
	require.True(t, ok, heading)
	_, rest, ok = strings.Cut(rest, "```"+language+"\n")
	require.True(t, ok, language)
	code, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	return code
}

// handled are the ids that the Go code of the page passed to handleOnce.
var handled = make(chan string, 3)

// handleOnce is the function that the page leaves to its reader.
func handleOnce(_ context.Context, id, event, paymentID string) error {
	handled <- id
	if !strings.HasPrefix(id, "ntf_") || event == "" || !strings.HasPrefix(paymentID, "pay_") {
		return errors.New("not what was sent")
	}
	return nil
}

// receive is the Go code of the page, unchanged.
func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	webhook, err := standardwebhooks.NewWebhook(os.Getenv("COBRO_ENDPOINT_SECRET"))
	if err != nil {
		http.Error(w, "no secret", http.StatusInternalServerError)
		return
	}
	if err := webhook.Verify(body, r.Header); err != nil {
		http.Error(w, "not from Cobro", http.StatusUnauthorized)
		return
	}
	var n struct {
		ID       string `json:"id"`
		Event    string `json:"event"`
		Sequence int    `json:"sequence"`
		Payment  struct {
			ID    string `json:"id"`
			Total string `json:"total"`
		} `json:"payment"`
	}
	if err := json.Unmarshal(body, &n); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	if strings.HasPrefix(n.ID, "ntf_test") { // from "cobro endpoint test": not a real sale
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if err := handleOnce(r.Context(), n.ID, n.Event, n.Payment.ID); err != nil { // yours: skips ids it has seen
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func TestGoCodeOfDocsWorks(t *testing.T) {
	source, err := os.ReadFile("docs_test.go")
	require.NoError(t, err)
	require.Contains(t, string(source), block(t, "### Go", "go"), "docs/webhooks.md does not contain the code that this test runs")

	shop := openShop(t, receive)
	sender := newSender(t, outbound.Options{})
	t.Setenv("COBRO_ENDPOINT_SECRET", secret)
	real := example(t, payment.EventCompleted)
	real.ID = realID
	for _, n := range []payment.Notification{example(t, payment.EventCompleted), real} {
		_, err = sender.Send(t.Context(), shop.endpoint(), n)
		require.NoError(t, err)
	}
	t.Setenv("COBRO_ENDPOINT_SECRET", secret2)
	_, err = sender.Send(t.Context(), shop.endpoint(), real)
	require.ErrorContains(t, err, "answered 401")
	require.Equal(t, realID, <-handled, "the example notification is not handled")
	require.Empty(t, handled)
}

// pageCases returns the deliveries for the page's other languages, also as JSON.
func pageCases(t *testing.T) (all []delivery, given []byte) {
	t.Helper()
	all = deliveries(t)
	given, err := json.Marshal(all)
	require.NoError(t, err)
	return all, given
}

func TestTypeScriptCodeOfDocsWorks(t *testing.T) {
	t.Parallel()
	folder := installVerifiers(t)
	code := strings.NewReplacer("(request: Request): Promise<Response>", "(request)", "_SECRET!", "_SECRET", "let n: any", "let n").
		Replace(block(t, "### TypeScript", "ts"))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "page.mjs"), []byte(`
import { readFileSync } from "node:fs";
`+code+`
let handled = "";
async function handleOnce(id, event, payment) {
  if (typeof event !== "string" || typeof payment !== "string") throw new Error("it handed over something else");
  handled = id;
}
const outcomes = [];
for (const c of JSON.parse(readFileSync(0, "utf8"))) {
  process.env.COBRO_ENDPOINT_SECRET = c.secret;
  handled = "";
  const answer = await POST(new Request("https://shop.example.com/", { method: "POST", body: c.body, headers: c.headers }));
  outcomes.push({ status: answer.status, handled });
}
console.log(JSON.stringify(outcomes));
`), 0o600))
	all, given := pageCases(t)
	requireOutcomes(t, all, node(t, folder, "page.mjs", given))
}

// requireOutcomes requires that a handler rejected what Cobro did not send, and
// handled what is not an example.
func requireOutcomes(t *testing.T, all []delivery, printed []byte) {
	t.Helper()
	var outcomes []struct {
		Status  int    `json:"status"`
		Handled string `json:"handled"`
	}
	require.NoError(t, json.Unmarshal(printed, &outcomes))
	require.Len(t, outcomes, len(all))
	for i, d := range all {
		want := http.StatusUnauthorized
		if d.genuine {
			want = http.StatusNoContent
		}
		require.Equal(t, want, outcomes[i].Status, d.name)
		require.Equal(t, d.handled, outcomes[i].Handled, d.name)
	}
}

func TestPythonCodeOfDocsWorks(t *testing.T) {
	t.Parallel()
	have(t, "python3")
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "page.py"), []byte(block(t, "### Python", "python")+`

import sys

handled = ""


def handle_once(id, event, payment):
    global handled
    handled = id


outcomes = []
for c in json.load(sys.stdin):
    handled, os.environ["COBRO_ENDPOINT_SECRET"] = "", c["secret"]
    status = receive(c["headers"], c["body"].encode())
    outcomes.append({"status": status, "handled": handled})
print(json.dumps(outcomes))
`), 0o600))
	all, given := pageCases(t)
	requireOutcomes(t, all, runScript(t.Context(), t, folder, given, "python3", "page.py"))
}

func TestEndpointsFilesOfDocsLoad(t *testing.T) {
	t.Parallel()
	getenv := func(name string) string { return map[string]string{"SHOP_WEBHOOK_SECRET": secret}[name] }
	page, err := os.ReadFile(docs)
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	files := 0
	for _, part := range bytes.Split(append(page, readme...), []byte("```yaml\n"))[1:] {
		text, _, _ := bytes.Cut(part, []byte("```"))
		path := filepath.Join(t.TempDir(), "endpoints.yaml")
		require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte("whsec_…"), []byte(secret)), 0o600))
		endpoints, err := outbound.Load(path, getenv)
		require.NoError(t, err, "%s", text)
		require.Len(t, endpoints, 1)
		require.Equal(t, "shop", endpoints[0].Name)
		require.Equal(t, 15*time.Second, endpoints[0].Timeout)
		files++
	}
	require.Equal(t, 3, files)
}
