package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	env := settled(t)
	list := func() []seal.Key {
		code, stdout, stderr := cobro(t, env, "keys", "list", "--json")
		require.Zero(t, code, stderr)
		var listed struct{ Keys []seal.Key }
		require.NoError(t, json.Unmarshal([]byte(stdout), &listed))
		return listed.Keys
	}
	first := list()
	require.Len(t, first, 1)
	require.True(t, first[0].Primary)
	require.False(t, first[0].Created.IsZero())

	code, stdout, stderr := cobro(t, env, "keys", "add", "--json")
	require.Zero(t, code, stderr)
	var added keysChanged
	require.NoError(t, json.Unmarshal([]byte(stdout), &added))
	require.False(t, added.Writes, "not before every process has it")
	require.Len(t, list(), 2)

	code, _, stderr = cobro(t, env, "keys", "use", "k-typo")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "add one first")
	code, stdout, _ = cobro(t, env, "keys", "use", added.ID)
	require.Zero(t, code)
	require.Contains(t, stdout, "writes from now on")
	code, stdout, _ = cobro(t, env, "keys", "list")
	require.Zero(t, code)
	require.Regexp(t, added.ID+` +\d{4}-\d{2}-\d{2} +yes`, stdout)
}

// sale is a completed payment with personal data.
func sale(t *testing.T, number string) ledger.Record {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	return ledger.Record{Revision: 1, Payment: payment.Payment{
		ID: ledger.DeriveID("default", number), Status: payment.StatusCompleted,
		Request:   payment.Request{Total: money.FromCents(10_00), PhoneNumber: "7875550001", Metadata1: "table 7"},
		CreatedAt: now, UpdatedAt: now, ExpiresAt: now,
	}}
}

func keep(t *testing.T, db *store.Store, change ledger.Change) {
	t.Helper()
	_, err := db.RecordPayment(t.Context(), change)
	require.NoError(t, err)
}

func TestOldRowsAndHistoriesAreReadAfterARotation(t *testing.T) {
	t.Parallel()
	env := settled(t)
	code, _, stderr := cobro(t, env, "migrate")
	require.Zero(t, code, stderr)
	running, runningRing := open(t, env) // by a process that is never restarted
	keep(t, running, ledger.Change{Record: sale(t, "before")})
	history, err := temporalclient.NewDataConverter(runningRing).ToPayload("canary")
	require.NoError(t, err)
	fingerprint := runningRing.Digest("fingerprint", []byte("body"))

	code, stdout, stderr := cobro(t, env, "keys", "add", "--json")
	require.Zero(t, code, stderr)
	var added keysChanged
	require.NoError(t, json.Unmarshal([]byte(stdout), &added))
	code, _, stderr = cobro(t, env, "keys", "use", added.ID)
	require.Zero(t, code, stderr)

	restarted, restartedRing := open(t, env)
	keep(t, restarted, ledger.Change{Record: sale(t, "after")})
	changed, err := runningRing.Refresh() // within five seconds by itself
	require.NoError(t, err)
	require.True(t, changed)
	for name, db := range map[string]interface {
		Payments(context.Context, ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error)
	}{"a running process": running, "a restarted process": restarted} {
		for _, filter := range []ledger.PaymentFilter{{Limit: 10}, {PhoneNumber: "7875550001", Limit: 10}, {Metadata1: "table 7", Limit: 10}} {
			found, _, err := db.Payments(t.Context(), filter)
			require.NoError(t, err, name)
			require.Len(t, found, 2, "%s finds what both keys sealed, by digests that stay the same", name)
			for _, p := range found {
				require.EqualValues(t, "7875550001", p.Request.PhoneNumber)
			}
		}
	}
	var text string
	require.NoError(t, temporalclient.NewDataConverter(restartedRing).FromPayload(history, &text))
	require.Equal(t, "canary", text)
	next, err := temporalclient.NewDataConverter(runningRing).ToPayload("canary")
	require.NoError(t, err)
	require.Equal(t, added.ID, string(next.GetMetadata()["encryption-key-id"]))
	require.Equal(t, fingerprint, restartedRing.Digest("fingerprint", []byte("body")), "or a repeated request would be another one")
}

func TestProgramsFollowTheTemporalProfile(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"api", "worker"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			f := &frontend{refusal: status.Error(codes.PermissionDenied, "not you")} // which ends the start
			env := installation(t, f)
			profile := write(t, filepath.Join(t.TempDir(), "temporal.toml"),
				"[profile.live]\naddress = \""+env["TEMPORAL_ADDRESS"]+"\"\nnamespace = \"shop-live\"\napi_key = \"canary-temporal-key\"\n[profile.live.tls]\ndisabled = true\n", 0o600)
			env = with(env, "TEMPORAL_ADDRESS", "", "TEMPORAL_CONFIG_FILE", profile, "TEMPORAL_PROFILE", "live",
				"COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0")
			code, _, stderr := cobro(t, env, program)
			require.Equal(t, 1, code, stderr)
			require.Contains(t, stderr, `refuses us the namespace "shop-live"`)
			require.NotContains(t, stderr, "canary")
			f.mu.Lock()
			defer f.mu.Unlock()
			require.Contains(t, f.namespaces, "shop-live")
			require.Equal(t, []string{"Bearer canary-temporal-key"}, f.headers.Get("authorization"))
		})
	}
}

func TestAStartWaitsAndThenSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		frontend *frontend
		change   []string
		want     string
	}{
		"no Temporal":          {nil, []string{"TEMPORAL_ADDRESS", "127.0.0.1:1"}, "waited 1s: start it, or set TEMPORAL_ADDRESS"},
		"no namespace":         {&frontend{noNamespace: true}, nil, "temporal operator namespace create"},
		"no search attributes": {&frontend{noAttributes: true}, nil, "temporal operator search-attribute create --namespace default --name NeedsReview --type Bool"},
		"no migration":         {&frontend{}, []string{"COBRO_STORE", "empty"}, "run cobro migrate"},
	} {
		for _, program := range []string{"api", "worker"} {
			t.Run(name+" "+program, func(t *testing.T) {
				t.Parallel()
				env := with(installation(t, tt.frontend), append(tt.change, "COBRO_START_TIMEOUT", "1s", "COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0")...)
				if env["COBRO_STORE"] == "empty" {
					env["COBRO_STORE"] = "sqlite:" + write(t, filepath.Join(t.TempDir(), "empty.db"), "", 0o600)
				}
				code, _, stderr := cobro(t, env, program)
				require.Equal(t, 1, code, stderr)
				require.Contains(t, stderr, tt.want)
			})
		}
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	simulator := simulated(t)
	gateway, control := httptest.NewServer(simulator.Gateway()), httptest.NewServer(simulator.Control())
	t.Cleanup(func() {
		gateway.Close()
		control.Close()
	})
	env := with(settled(t), "COBRO_GATEWAY_URL", gateway.URL, "COBRO_GATEWAY_REPORT_URL", gateway.URL,
		"COBRO_ATHM_PUBLIC_TOKEN", athmovilsim.DefaultPublicToken, "COBRO_ATHM_PRIVATE_TOKEN", athmovilsim.DefaultPrivateToken)
	for name, tt := range map[string]struct {
		url, want string
	}{
		"in clear":           {"http://pay.example.com", "must be https"},
		"this machine":       {"https://127.0.0.1:8443", "internet does not reach"},
		"a private network":  {"https://10.0.0.7", "internet does not reach"},
		"a carrier's":        {"https://100.64.0.1", "internet does not reach"},
		"an IPv6 one":        {"https://[fd00::1]", "internet does not reach"},
		"with the secret":    {"https://pay.example.com/webhooks/athmovil/" + webhookSecret, "on no command line"},
		"without a scheme":   {"pay.example.com", "must be like"},
		"with a question":    {"https://pay.example.com?x=1", "must be like"},
		"with a name before": {"https://me@pay.example.com", "must be like"},
	} {
		code, stdout, stderr := cobro(t, env, "webhook", "subscribe", "--url", tt.url)
		require.Equal(t, 1, code, name)
		require.Contains(t, stderr, tt.want, name)
		require.NotContains(t, stdout+stderr, webhookSecret, name)
	}
	received := make(chan string, 10)
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- r.URL.Path }))
	t.Cleanup(listener.Close)
	for range 2 { // again is the same
		code, stdout, stderr := cobro(t, env, "webhook", "subscribe", "--url", listener.URL, "--allow-private", "--json")
		require.Zero(t, code, stderr)
		require.JSONEq(t, `{"listener":"`+listener.URL+`/webhooks/athmovil/…","events":"all"}`, stdout)
	}
	response, err := control.Client().Post(control.URL+"/_sim/webhooks", "application/json", strings.NewReader(`{"kind":"simulated"}`))
	require.NoError(t, err)
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Less(t, response.StatusCode, 300, string(answer))
	require.Equal(t, "/webhooks/athmovil/"+webhookSecret, <-received)

	code, _, stderr := cobro(t, with(env, "COBRO_ATHM_PRIVATE_TOKEN", "wrong-private-token"), "webhook", "subscribe", "--url", listener.URL, "--allow-private")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "token refused")
	require.Contains(t, stderr, "running this again is harmless")
}

// reviewer answers people's words.
type reviewer struct {
	noFlows
	outcome workflows.ReviewOutcome
	heard   []workflows.ReviewRequest
}

func (r *reviewer) ReviewPayment(_ context.Context, _, _ string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error) {
	r.heard = append(r.heard, in)
	return r.outcome, nil
}

func TestReview(t *testing.T) {
	t.Parallel()
	env := settled(t)
	code, _, stderr := cobro(t, env, "migrate")
	require.Zero(t, code, stderr)
	db, _ := open(t, env)
	record := sale(t, "in review")
	record.Payment.Status, record.Payment.NeedsReview = payment.StatusConfirmed, true
	keep(t, db, ledger.Change{Record: record, Review: &payment.Review{
		ID: ledger.DeriveReviewID(record.Payment.ID, 1), PaymentID: record.Payment.ID, Cause: payment.CauseUndecided, OpenedAt: time.Now().UTC(),
		Evidence: []payment.Evidence{{At: time.Now().UTC(), What: "ATH Móvil says CONFIRM"}},
	}})
	flows := &reviewer{}
	env["COBRO_API_URL"] = merchantAPIOver(t, env, flows)

	code, stdout, stderr := cobro(t, env, "review", "list")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, record.Payment.ID)
	require.Contains(t, stdout, "ATH Móvil says CONFIRM")
	code, stdout, _ = cobro(t, env, "review", "list", "--json")
	require.Zero(t, code)
	var listed reviews
	require.NoError(t, json.Unmarshal([]byte(stdout), &listed))
	require.Len(t, listed.Reviews, 1)

	resolve := []string{"review", "resolve", record.Payment.ID, "--verdict", "not_executed", "--reason", "not in the app"}
	code, stdout, stderr = cobro(t, env, resolve...)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, record.Payment.ID+" is confirmed")
	require.Equal(t, payment.VerdictNotExecuted, flows.heard[0].Verdict)
	require.EqualValues(t, "not in the app", flows.heard[0].Reason)
	require.Equal(t, "shop", flows.heard[0].By, "who decided is the key's name")

	flows.outcome = workflows.ReviewOutcome{Refused: workflows.ReviewContradicted, Says: "COMPLETED"}
	code, _, stderr = cobro(t, env, resolve...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "review_contradicted")
	require.Contains(t, stderr, "ATH Móvil says: COMPLETED")

	code, _, stderr = cobro(t, env, "review", "resolve", record.Payment.ID, "--verdict", "completed")
	require.Equal(t, 2, code, "a verdict needs its reason")
	require.Contains(t, stderr, "--reason")
	code, _, stderr = cobro(t, with(env, "COBRO_API_KEY", "another-key-than-the-apis"), "review", "list")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "COBRO_API_KEY")
	require.NotContains(t, stderr, "another-key")
	code, _, stderr = cobro(t, with(env, "COBRO_API_URL", "http://127.0.0.1:1"), "review", "list")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "COBRO_API_URL")
}

// Without an API's address and key a command works on the installation's own
// database.
func TestReviewsAreListedWithoutAnAPI(t *testing.T) {
	t.Parallel()
	env := with(installation(t, &frontend{}), "COBRO_API_KEY", "")
	db, _ := open(t, env)
	record := sale(t, "in review")
	for number := range 101 {
		keep(t, db, ledger.Change{Record: record, Review: &payment.Review{
			ID: ledger.DeriveReviewID(record.Payment.ID, number), PaymentID: record.Payment.ID, Cause: payment.CauseUndecided, OpenedAt: time.Now().UTC(),
		}})
	}
	code, stdout, stderr := cobro(t, env, "review", "list", "--json")
	require.Zero(t, code, stderr)
	var listed reviews
	require.NoError(t, json.Unmarshal([]byte(stdout), &listed))
	require.Len(t, listed.Reviews, 101)
	code, stdout, stderr = cobro(t, env, "review", "list", "--state", "decided")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "nothing waits")
}

// As much of a Temporal as a decision needs, and one that knows no workflow.
func TestADecisionWithoutAnAPIReachesTheWorkflow(t *testing.T) {
	t.Parallel()
	f := &frontend{}
	env := with(installation(t, f), "COBRO_API_KEY", "")
	db, _ := open(t, env)
	record := sale(t, "in review")
	keep(t, db, ledger.Change{Record: record})
	code, _, stderr := cobro(t, env, "review", "resolve", record.Payment.ID, "--verdict", "completed", "--reason", "seen in the app")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "not_in_review")
	require.Equal(t, []string{record.Payment.ID}, f.updated)

	code, _, stderr = cobro(t, env, "review", "resolve", record.Payment.ID, "--verdict", "completed", "--reason", strings.Repeat("x", 501))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "1 to 500 characters")
	code, _, stderr = cobro(t, env, "review", "resolve", ledger.DeriveID("default", "another"), "--verdict", "completed", "--reason", "seen")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "payment_not_found")
	require.Len(t, f.updated, 1)
}

// A page holds 100.
func TestEveryReviewIsListed(t *testing.T) {
	t.Parallel()
	env := settled(t)
	code, _, stderr := cobro(t, env, "migrate")
	require.Zero(t, code, stderr)
	db, _ := open(t, env)
	record := sale(t, "in review")
	for number := range 101 {
		keep(t, db, ledger.Change{Record: record, Review: &payment.Review{
			ID: ledger.DeriveReviewID(record.Payment.ID, number), PaymentID: record.Payment.ID, Cause: payment.CauseUndecided, OpenedAt: time.Now().UTC(),
		}})
	}
	env["COBRO_API_URL"] = merchantAPIOver(t, env, noFlows{})
	code, stdout, stderr := cobro(t, env, "review", "list", "--json")
	require.Zero(t, code, stderr)
	var listed reviews
	require.NoError(t, json.Unmarshal([]byte(stdout), &listed))
	found := map[string]bool{}
	for _, r := range listed.Reviews {
		found[r.ID] = true
	}
	require.Len(t, found, 101)
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	ready := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"status":"not ready","missing":["temporal"]}`)
			return
		}
		_, _ = io.WriteString(w, `{"status":"ok"}`)
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	env := map[string]string{"COBRO_OPS_LISTEN": "0.0.0.0:" + port} // as in a container

	code, stdout, stderr := cobro(t, env, "healthcheck")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "ok")
	ready = false
	code, stdout, _ = cobro(t, env, "healthcheck")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "temporal", "it says what is missing")
	code, _, _ = cobro(t, env, "healthcheck", "--live")
	require.Zero(t, code)
	code, _, _ = cobro(t, nil, "healthcheck", "--url", server.URL+"/readyz")
	require.Equal(t, 1, code)
	code, _, stderr = cobro(t, map[string]string{"COBRO_OPS_LISTEN": "127.0.0.1:1"}, "healthcheck")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "COBRO_OPS_LISTEN")
}

func TestMisspeltNamesAreLoggedAtAStart(t *testing.T) {
	t.Parallel()
	env := with(installation(t, &frontend{noNamespace: true}), "COBRO_STRAT_TIMEOUT", "1s", "COBRO_START_TIMEOUT", "1s",
		"COBRO_LISTEN", "127.0.0.1:0", "COBRO_OPS_LISTEN", "127.0.0.1:0")
	_, _, stderr := cobroWith(t, env, "api")
	require.Contains(t, stderr, "did you mean COBRO_START_TIMEOUT?")
	require.Contains(t, stderr, slog.LevelWarn.String())
}

// Programs read what is printed, and null is no list to them.
func TestNothingIsAnEmptyList(t *testing.T) {
	t.Parallel()
	env := installation(t, &frontend{})
	for _, command := range []string{"receiver list --json", "notification redeliver --since 2026-01-31T00:00:00Z --dry-run --json"} {
		code, stdout, stderr := cobro(t, env, strings.Fields(command)...)
		require.Zero(t, code, stderr)
		require.JSONEq(t, "[]", stdout, command)
	}
	code, stdout, stderr := cobro(t, env, "config", "check", "--json")
	require.Zero(t, code, stderr)
	require.NotContains(t, stdout, "null")

	code, stdout, stderr = cobro(t, env, "reconcile", "--dry-run", "--from", "2026-01-30", "--to", "2026-02-01", "--json")
	require.Zero(t, code, stderr)
	require.NotContains(t, stdout, "null")
	var out reconciled
	require.NoError(t, json.Unmarshal([]byte(stdout), &out))
	var days []string
	for _, day := range out.Days {
		days = append(days, day.Day)
	}
	require.Equal(t, []string{"2026-01-30", "2026-01-31", "2026-02-01"}, days, "each has its own line")
}

// Beside a running dev no variable is needed, as long as nothing real is behind it.
func TestCommandsFindARunningDev(t *testing.T) {
	t.Parallel()
	env := installation(t, nil)
	folder := t.TempDir()
	dev := map[string]string{
		"temporal": "127.0.0.1:1", "namespace": "default", "store": env["COBRO_STORE"], "key_file": env["COBRO_KEY_FILE"],
		"api": env["COBRO_PUBLIC_URL"], "api_key": apiKey, "gateway": env["COBRO_GATEWAY_URL"], "gateway_control": "http://127.0.0.1:1",
		"public_token": athmovilsim.DefaultPublicToken, "private_token": athmovilsim.DefaultPrivateToken,
	}
	announce := func() {
		data, err := json.Marshal(dev)
		require.NoError(t, err)
		write(t, filepath.Join(folder, "addresses.json"), string(data), 0o600)
	}
	announce()
	commands := map[string][]string{
		"no public token":          {"reconcile", "--dry-run", "--from", "2026-01-31"},
		"COBRO_API_KEY is not set": {"review", "list"},
	}
	beside := map[string]string{"COBRO_DATA": folder}
	for _, args := range append(slices.Collect(maps.Values(commands)), []string{"receiver", "list"}) {
		code, _, stderr := cobro(t, beside, args...)
		require.Zero(t, code, "%s: %s", args, stderr)
	}

	code, _, stderr := cobro(t, with(beside, "COBRO_API_URL", "http://127.0.0.1:1"), "review", "list")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "COBRO_API_KEY is not set", "dev's key is for dev alone")
	code, _, stderr = cobro(t, with(beside, "COBRO_API_KEY", "another-key-than-the-apis", "COBRO_API_URL", dev["api"]), "review", "list")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "give this command the COBRO_API_KEY")
	for says, args := range commands {
		// With an API's address, since without one a review needs no API here.
		code, _, stderr := cobro(t, with(beside, "COBRO_STORE", env["COBRO_STORE"], "COBRO_KEY_FILE", env["COBRO_KEY_FILE"], "COBRO_API_URL", dev["api"]), args...)
		require.Equal(t, 1, code, args)
		require.Contains(t, stderr, says, "another installation")
	}
	delete(dev, "gateway_control")
	announce() // as with the address of a simulator elsewhere, with tokens of one's own
	tokens := with(beside, "COBRO_ATHM_PUBLIC_TOKEN", dev["public_token"], "COBRO_ATHM_PRIVATE_TOKEN", dev["private_token"])
	code, _, stderr = cobro(t, tokens, "reconcile", "--dry-run", "--from", "2026-01-31")
	require.Zero(t, code, "it has asked that simulator: %s", stderr)
	delete(dev, "gateway")
	delete(dev, "public_token")
	delete(dev, "private_token")
	announce() // as with --gateway live
	tokens = with(tokens, "COBRO_WEBHOOK_SECRET", webhookSecret, "COBRO_GATEWAY_REPORT_URL", "http://127.0.0.1:1")
	for _, named := range []string{"http://127.0.0.1:1", ""} {
		tokens["COBRO_GATEWAY_REPORT_URL"] = named
		for _, args := range []string{"reconcile --dry-run --from 2026-01-31", "worker", "webhook subscribe --url http://127.0.0.1:1 --allow-private", "doctor"} {
			code, _, stderr = cobro(t, tokens, strings.Fields(args)...)
			require.Equal(t, 1, code, args)
			require.Contains(t, stderr, "COBRO_GATEWAY_URL is not set", args)
		}
	}
	for says, args := range commands {
		code, _, stderr := cobro(t, beside, args...)
		require.Equal(t, 1, code, args)
		require.Contains(t, stderr, says, "real money")
	}
}
