package api_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cobropay/cobro/api"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

func TestTheReferenceIsValid(t *testing.T) {
	t.Parallel()
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	require.NoError(t, err)
	require.NoError(t, spec.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()))
	require.Equal(t, "3.1.0", spec.OpenAPI)
}

func TestTheReferenceHasEveryRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var documented []string
	ids := map[string]bool{}
	for path, item := range reference(t, 0).Paths.Map() {
		for method, operation := range item.Operations() {
			documented = append(documented, method+" "+path)
			require.NotEmpty(t, operation.Summary, path)
			require.False(t, ids[operation.OperationID], "%s twice", operation.OperationID)
			ids[operation.OperationID] = true
		}
	}
	routes := slices.DeleteFunc(w.api.Routes(), func(route string) bool {
		return strings.HasPrefix(route, "POST /webhooks/athmovil/{secret}") // ATH Móvil's; docs/athmovil.md
	})
	require.ElementsMatch(t, routes, documented)
}

// codeRow is a row of a table of codes, in openapi.yaml or docs/api.md.
var codeRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\d+) \\| (.+) \\|$")

func TestTheReferenceHasEveryCode(t *testing.T) {
	t.Parallel()
	var rows, codes []string
	for _, r := range api.ProblemRows() {
		rows = append(rows, fmt.Sprintf("%s %d %s", r.Code, r.Status, r.Title))
		codes = append(codes, r.Code)
	}
	spec := reference(t, 0)
	code := spec.Components.Schemas["Problem"].Value.Properties["code"].Value
	var table, enum []string
	for _, match := range codeRow.FindAllStringSubmatch(code.Description, -1) {
		table = append(table, strings.Join(match[1:], " "))
	}
	for _, one := range code.Enum {
		enum = append(enum, one.(string))
	}
	slices.Sort(codes)
	require.ElementsMatch(t, rows, table)
	require.ElementsMatch(t, slices.Compact(codes), enum)

	// An operation answers a code with the status that the code has.
	known := map[string]bool{}
	for _, r := range api.ProblemRows() {
		known[fmt.Sprintf("%d %s", r.Status, r.Code)] = true
	}
	for _, answer := range documented(spec) {
		if _, problem, _ := strings.Cut(answer, " "); strings.Contains(problem, " ") {
			require.True(t, known[problem], answer)
		}
	}
}

// TestTheGuideHasEveryCode holds the table of docs/api.md to the problems: each
// has its status, and what to do.
func TestTheGuideHasEveryCode(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/api.md")
	require.NoError(t, err)
	var want, got []string
	for _, r := range api.ProblemRows() {
		want = append(want, r.Code+" "+strconv.Itoa(r.Status))
	}
	for _, match := range codeRow.FindAllStringSubmatch(string(page), -1) {
		got = append(got, match[1]+" "+match[2])
		require.Greater(t, len(match[3]), 10, "what to do about %s", match[1])
	}
	require.ElementsMatch(t, want, got)
}

// TestTheReferenceIsServed to whoever asks, and not twice to who has it.
func TestTheReferenceIsServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.do("GET", "/openapi.yaml", "", "Authorization", "")
	require.Equal(t, http.StatusOK, got.status)
	file, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(file), got.body)
	require.Equal(t, "application/yaml", got.header.Get("Content-Type"))
	require.Equal(t, "no-cache", got.header.Get("Cache-Control"))
	require.Regexp(t, `^"[0-9a-f]{32}"$`, got.header.Get("ETag"))

	again := w.do("GET", "/openapi.yaml", "", "If-None-Match", got.header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.status)
	require.Empty(t, again.body)
	require.Equal(t, http.StatusOK, w.do("GET", "/openapi.yaml", "", "If-None-Match", `"older"`).status)
}

// content calls a function for every media type of an operation, with a name
// for people.
func content(operation *openapi3.Operation, each func(at string, media *openapi3.MediaType)) {
	if operation.RequestBody != nil {
		each(operation.OperationID+" body", operation.RequestBody.Value.Content["application/json"])
	}
	for status, response := range operation.Responses.Map() {
		for kind, media := range response.Value.Content {
			each(operation.OperationID+" "+status+" "+kind, media)
		}
	}
}

// TestExamplesKeepTheirSchemas with every object closed, and those of problems
// are what the server says.
func TestExamplesKeepTheirSchemas(t *testing.T) {
	t.Parallel()
	spec := reference(t, 0)
	used := map[string]bool{}
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			content(operation, func(at string, media *openapi3.MediaType) {
				for name, example := range media.Examples {
					used[name] = true
					value := plain(t, example.Value.Value)
					require.NoError(t, media.Schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()), "%s, %s", at, name)
					if strings.HasSuffix(at, "application/problem+json") {
						requireTrueProblem(t, name, value.(map[string]any))
					}
				}
				if strings.HasSuffix(at, "body") {
					require.NotEmpty(t, media.Examples, at)
				}
			})
			for _, parameter := range operation.Parameters {
				requireExample(t, parameter.Value)
			}
		}
		for _, parameter := range item.Parameters {
			requireExample(t, parameter.Value)
		}
	}
	for name, schema := range spec.Components.Schemas {
		if schema.Value.Example != nil {
			require.NoError(t, schema.Value.VisitJSON(schema.Value.Example, openapi3.EnableJSONSchema2020()), name)
		}
	}
	for name := range spec.Components.Examples {
		require.True(t, used[name], "%s is shown nowhere", name)
	}
}

func requireExample(t *testing.T, parameter *openapi3.Parameter) {
	t.Helper()
	if parameter.Example != nil {
		require.NoError(t, parameter.Schema.Value.VisitJSON(parameter.Example, openapi3.EnableJSONSchema2020()), parameter.Name)
	}
}

// plain is a value as JSON has it.
func plain(t *testing.T, value any) any {
	t.Helper()
	data, err := json.Marshal(value)
	require.NoError(t, err)
	var decoded any
	require.NoError(t, json.Unmarshal(data, &decoded))
	return decoded
}

func requireTrueProblem(t *testing.T, name string, example map[string]any) {
	t.Helper()
	require.True(t, slices.ContainsFunc(api.ProblemRows(), func(r api.ProblemRow) bool {
		same := func(title, detail string) bool {
			return r.Code == example["code"] && float64(r.Status) == example["status"] && title == example["title"] && detail == example["detail"]
		}
		return same(r.Title, r.Detail) || same(r.Spanish, r.SpanishWhat)
	}), "%s is not what the server says", name)
}

// filled puts the examples of a path's parameters into it.
func filled(t *testing.T, path string, item *openapi3.PathItem) string {
	t.Helper()
	for _, parameter := range item.Parameters {
		if p := parameter.Value; p.In == "path" {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", p.Example.(string))
		}
	}
	require.NotContains(t, path, "{")
	return path
}

// exemplary is a server that knows what the examples are about. What each
// operation needs to succeed, its payment's status included, is here.
func exemplary(t *testing.T, operation string) *world {
	t.Helper()
	w := newWorld(t)
	captured := money.MustParse("25.00")
	p := payment.Payment{
		ID: ledger.DeriveID("default", "order-1042"), Status: payment.StatusCompleted, Captured: &captured,
		Request:   payment.Request{Total: captured, ExpiresIn: 5 * time.Minute},
		CreatedAt: start, UpdatedAt: start, ExpiresAt: start.Add(5 * time.Minute),
	}
	if operation == "cancelPayment" || operation == "setPhoneNumber" {
		p.Status = payment.StatusOpen
	}
	if operation != "createPayment" {
		require.NoError(t, w.store.AnnounceReceivers(t.Context(), "shop", []ledger.Receiver{{Host: "shop", Event: payment.EventCompleted, Name: "send-receipt"}}))
		_, err := w.store.RecordPayment(t.Context(), ledger.Change{
			Record: ledger.Record{Payment: p, Revision: 1, Fingerprint: "f"}, Announce: payment.EventCreated,
		})
		require.NoError(t, err)
		_, err = w.store.RecordPayment(t.Context(), ledger.Change{
			Record: ledger.Record{Payment: p, Revision: 2, Fingerprint: "f"}, Announce: payment.EventCompleted, Workflow: p.ID,
		})
		require.NoError(t, err)
	}
	if operation == "reviewRefund" {
		amount := money.MustParse("5.00")
		_, err := w.store.ReserveRefund(t.Context(), ledger.Reservation{
			RefundID: ledger.DeriveRefundID(p.ID, "return-7"), PaymentID: p.ID, Amount: &amount, Fingerprint: "f", At: start,
		})
		require.NoError(t, err)
	}
	w.opens()
	w.refunds(payment.RefundCompleted)
	w.decides(workflows.ReviewOutcome{}, nil)
	w.flows.again = func(context.Context, payment.Delivery) (ledger.Redelivery, error) { return ledger.SentAgain, nil }
	w.flows.cancel = func(context.Context, string) (workflows.CancelOutcome, error) {
		p.Status = payment.StatusCancelled
		w.record(p, 3, "f")
		return workflows.CancelOutcome{}, nil
	}
	w.flows.phone = func(_ context.Context, _, _ string, in workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error) {
		p.PhoneNumber = in.PhoneNumber
		w.record(p, 3, "f")
		return workflows.PhoneNumberOutcome{}, nil
	}
	return w
}

// TestRequestExamplesAreAccepted by the server, each with the examples of its
// operation's parameters; the answers to two of them are the examples.
func TestRequestExamplesAreAccepted(t *testing.T) {
	t.Parallel()
	spec := reference(t, 0)
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			bodies := map[string]string{"": ""}
			if operation.RequestBody != nil {
				bodies = map[string]string{}
				for name, example := range operation.RequestBody.Value.Content["application/json"].Examples {
					body, err := json.Marshal(example.Value.Value)
					require.NoError(t, err)
					bodies[name] = string(body)
				}
			}
			for name, body := range bodies {
				t.Run(operation.OperationID+" "+name, func(t *testing.T) {
					t.Parallel()
					w := exemplary(t, operation.OperationID)
					var headers, query []string
					for _, parameter := range slices.Concat(item.Parameters, operation.Parameters) {
						switch p := parameter.Value; {
						case p.Example == nil:
						case p.In == "header":
							headers = append(headers, p.Name, p.Example.(string))
						case p.In == "query" && p.Name != "wait":
							query = append(query, p.Name+"="+strings.ReplaceAll(p.Example.(string), "+", "%2B"))
						}
					}
					got := w.do(method, cmp.Or(filled(t, path, item), path)+"?"+strings.Join(query, "&"), body, headers...)
					require.Less(t, got.status, 300, got.body)
					requireExamples(t, spec, name, got.body)
				})
			}
		}
	}
}

// answersOf names the example of an answer to the example of a request, and what
// in it is the gateway's or the clock's.
var answersOf = map[string]struct {
	answer string
	vary   []string
}{
	"AskForAPayment": {"OpenPayment", []string{"ecommerce_id", "updated_at"}},
	"RefundPart":     {"CompletedRefund", []string{"reference_number", "created_at", "completed_at"}},
	"Announce":       {"ReceiverList", nil},
}

func requireExamples(t *testing.T, spec *openapi3.T, name, body string) {
	t.Helper()
	of, known := answersOf[name]
	if !known {
		return
	}
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	want := plain(t, spec.Components.Examples[of.answer].Value.Value).(map[string]any)
	for _, member := range of.vary {
		require.NotEmpty(t, got[member])
		got[member] = want[member]
	}
	require.Equal(t, want, got)
}

// failed is a store that fails whatever it is asked.
type failed struct{ database }

func (failed) ReservePayment(context.Context, ledger.Record) (ledger.Record, error) {
	return ledger.Record{}, errDisk
}

func (failed) ReserveRefund(context.Context, ledger.Reservation) (ledger.Reserved, error) {
	return ledger.Reserved{}, errDisk
}

func (failed) Payment(context.Context, string) (ledger.Record, error) {
	return ledger.Record{}, errDisk
}
func (failed) Payments(context.Context, ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error) {
	return nil, ledger.Cursor{}, errDisk
}
func (failed) Reviews(context.Context, ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error) {
	return nil, ledger.Cursor{}, errDisk
}
func (failed) Reconciliations(context.Context, int) ([]payment.Reconciliation, error) {
	return nil, errDisk
}
func (failed) AnnounceReceivers(context.Context, string, []ledger.Receiver) error { return errDisk }
func (failed) Receivers(context.Context) ([]ledger.Receiver, error)               { return nil, errDisk }
func (failed) Notifications(context.Context, ledger.DeliveryFilter) ([]payment.Delivery, ledger.Cursor, error) {
	return nil, ledger.Cursor{}, errDisk
}
func (failed) GatewayEvents(context.Context, ledger.GatewayEventFilter) ([]ledger.GatewayEvent, ledger.Cursor, error) {
	return nil, ledger.Cursor{}, errDisk
}
func (failed) Delivery(context.Context, string) (payment.Delivery, error) {
	return payment.Delivery{}, errDisk
}

// TestWhatEveryOperationAnswers provokes the answers that do not depend on what
// an operation does.
func TestWhatEveryOperationAnswers(t *testing.T) {
	t.Parallel()
	spec := reference(t, 0)
	sick := newWorld(t, func(cfg *configs) { cfg.store(failed{}) })
	absent := newWorld(t, func(cfg *configs) { cfg.store(struct{ database }{}) }) // whatever it is asked panics
	empty := newWorld(t)
	for path, item := range spec.Paths.Map() {
		for method, operation := range item.Operations() {
			if path == "/openapi.yaml" {
				continue
			}
			url := filled(t, path, item)
			body, headers := "", []string{"Idempotency-Key", "k"}
			if operation.RequestBody != nil {
				for _, example := range operation.RequestBody.Value.Content["application/json"].Examples {
					text, err := json.Marshal(example.Value.Value)
					require.NoError(t, err)
					body = string(text)
				}
			}
			with := func(more ...string) []string { return append(slices.Clone(headers), more...) }
			sick.requireProblem(empty.do(method, url, body, with("Authorization", "")...), 401, "unauthorized")
			sick.requireProblem(sick.do(method, url, body, headers...), 503, "temporarily_unavailable")
			sick.requireProblem(absent.do(method, url, body, headers...), 500, "internal")
			w := exemplary(t, operation.OperationID)
			w.requireProblem(w.do(method, url+"?colour=red", body, headers...), 400, "parameter_invalid")
			if method != http.MethodGet {
				w.requireProblem(w.do(method, url, `[]`, headers...), 400, "body_malformed")
				w.requireProblem(w.do(method, url, `{"colour":"red"}`, headers...), 422, "validation_failed")
				w.requireProblem(w.do(method, url, `{"colour":"`+strings.Repeat("r", 64<<10)+`"}`, headers...), 413, "body_too_large")
			}
			if operation.Responses.Value("415") != nil {
				w.requireProblem(w.do(method, url, body, with("Content-Type", "text/plain")...), 415, "unsupported_media_type")
			}
			if operation.Parameters.GetByInAndName("header", "Idempotency-Key") != nil {
				w.requireProblem(w.do(method, url, body, "Idempotency-Key", `"open`), 400, "idempotency_key_malformed")
			}
			for _, code := range codesOf(cmp.Or(operation.Responses.Value("404"), &openapi3.ResponseRef{Value: &openapi3.Response{}}).Value) {
				if code != "refund_not_found" {
					empty.requireProblem(empty.do(method, url, body, headers...), 404, code)
				}
			}
		}
	}
}

// agreeing are requests that are in order but for one member, around its limits.
func agreeing() []struct {
	method, path, before, after string
	sound                       map[string]string   // members that are there unless they are odd
	odd                         map[string][]string // what one member may be
} {
	text := func(most int) []string {
		length := func(n int) string { return `"` + strings.Repeat("é", n) + `"` }
		return []string{
			length(most), length(most + 1), `""`, `null`, `7`, `"Café"`, `"a\u0000b"`, `"\n"`, `"~"`, `"\u007f"`, `"\u009f"`, `"\u00a0"`,
		}
	}
	amount := []string{
		`"0"`, `"0.00"`, `"0.01"`, `"-0"`, `"-1"`, `"0.99"`, `"1"`, `"1.5"`, `"1.005"`, `"1499.99"`, `"1500"`, `"1500.0"`, `"1500.01"`, `"1501"`, `"10000"`,
		`"1e2"`, `" 1"`, `"1."`, `".5"`, `"+1"`, `"1,000"`, `"000000000001"`, `"0000000000001"`, `""`, `null`, `7`,
	}
	number := []string{
		`0`, `1`, `119`, `120`, `300`, `300.0`, `300.5`, `600`, `601`, `99999`, `100000`, `-1`, `"300"`, `null`, `[]`, `99999999999999999999`,
	}
	phoneNumber := []string{`"7875550199"`, `"17875550199"`, `"27875550199"`, `"+1 (787) 555-0199"`, `""`, `" "`, `null`, `7875550199`, `"787555ATHM"`}
	span := []string{
		`"30s"`, `"1m30s"`, `"+1.5h"`, `".5s"`, `"1us"`, `"1µs"`, `"0s"`, `"0h0m"`, `"-1s"`, `"soon"`, `"30"`, `"s"`, `""`, `null`, `30`,
	}
	name := func(n int) string { return `"` + strings.Repeat("a", n) + `"` }
	of := func(key string) string { return "/v1/payments/" + ledger.DeriveID("default", key) }
	return []struct {
		method, path, before, after string
		sound                       map[string]string
		odd                         map[string][]string
	}{
		{
			"POST", "/v1/payments", `{`, `}`, map[string]string{"total": `"10.00"`},
			map[string][]string{
				"total": amount, "subtotal": amount, "tax": amount, "reference": text(payment.MaxReference),
				"metadata1": text(payment.MaxMetadata), "metadata2": text(payment.MaxMetadata), "phone_number": phoneNumber,
				"expires_in": number, "items": {`[]`, `null`, `{}`, `[1]`, `[null]`}, "colour": {`null`, `"red"`},
			},
		},
		{
			"POST", "/v1/payments", `{"total":"10.00","items":[{`, `}]}`,
			map[string]string{"name": `"a"`, "quantity": `1`, "price": `"1.00"`},
			map[string][]string{
				"name": text(payment.MaxItemText), "description": text(payment.MaxItemText), "metadata": text(payment.MaxItemText),
				"quantity": number, "price": amount, "tax": amount, "colour": {`null`, `"red"`},
			},
		},
		{
			"PUT", of("open") + "/phone-number", `{`, `}`, map[string]string{"phone_number": `"7875550199"`},
			map[string][]string{"phone_number": phoneNumber, "colour": {`null`}},
		},
		{
			"POST", of("paid") + "/refunds", `{`, `}`, nil,
			map[string][]string{"amount": amount, "message": text(payment.MaxRefundMessage), "colour": {`null`}},
		},
		{
			"POST", of("open") + "/review", `{`, `}`, map[string]string{"verdict": `"completed"`, "reason": `"seen"`},
			map[string][]string{
				"verdict": {`"completed"`, `"not_executed"`, `"maybe"`, `""`, `null`, `7`}, "reason": text(payment.MaxReviewReason), "colour": {`null`},
			},
		},
		{
			"PUT", "/v1/receivers/shop", `{"receivers":[{`, `}]}`, map[string]string{"event": `"payment_completed"`, "name": `"a"`},
			map[string][]string{
				"event":   {`"payment_completed"`, `"paid"`, `""`, `null`, `7`},
				"name":    {name(1), name(ledger.MaxReceiverName), name(ledger.MaxReceiverName + 1), `"a-b"`, `"-a"`, `"a-"`, `"A"`, `""`, `null`, `7`},
				"timeout": span, "retry_first": span, "retry_most": span, "retry_for": span, "colour": {`null`},
			},
		},
		{
			"PUT", "/v1/receivers/shop", `{`, `}`, nil,
			map[string][]string{"receivers": {`[]`, `null`, `{}`, `[1]`}, "colour": {`null`}},
		},
		{"POST", of("open") + "/cancel", `{`, `}`, nil, map[string][]string{"colour": {`null`}}},
	}
}

// agreeable is a server that takes whatever keeps the rules.
func agreeable(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.completed("paid")
	w.open("open")
	w.opens()
	w.decides(workflows.ReviewOutcome{}, nil)
	w.flows.refund = func(context.Context, workflows.RefundPaymentInput) (workflows.RefundOutcome, error) {
		return workflows.RefundOutcome{}, flows.ErrStillWorking
	}
	w.flows.phone = func(context.Context, string, string, workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error) {
		return workflows.PhoneNumberOutcome{}, flows.ErrStillWorking
	}
	return w
}

// TestTheReferenceAndTheServerAgree about every limit: the handler of the world
// compares the two. With one odd member alone, no rule hides another.
func TestTheReferenceAndTheServerAgree(t *testing.T) {
	t.Parallel()
	w := agreeable(t)
	taken, refused := 0, 0
	for _, target := range agreeing() {
		for odd, values := range target.odd {
			for _, value := range values {
				members := []string{strconv.Quote(odd) + ":" + value}
				for name, sound := range target.sound {
					if name != odd {
						members = append(members, strconv.Quote(name)+":"+sound)
					}
				}
				body := target.before + strings.Join(members, ",") + target.after
				got := w.do(target.method, target.path, body, "Idempotency-Key", strconv.Itoa(taken+refused+1))
				if got.status < 300 {
					taken++
				} else {
					require.Contains(t, []int{409, 422}, got.status, got.body)
					refused++
				}
			}
		}
	}
	require.Greater(t, taken, 100)
	require.Greater(t, refused, 100)
}

// TestTheReferenceAndTheServerAgreeOnTexts that chance makes.
func TestTheReferenceAndTheServerAgreeOnTexts(t *testing.T) {
	t.Parallel()
	w := agreeable(t)
	rapid.Check(t, func(rt *rapid.T) {
		w.differs = rt.Errorf
		total := rapid.StringMatching(`0{0,12}[0-9]{1,4}(\.[0-9]{1,3})?`).Draw(rt, "total")
		number := rapid.StringMatching(`\+?[ .()-]?1?[ .()-]?[0-9]{3}[ .()-]?[0-9]{3}[ .()-]{0,2}[0-9]{3,5} ?`).Draw(rt, "phone number")
		w.do("POST", "/v1/payments", fmt.Sprintf(`{"total":%q}`, total))
		w.do("POST", "/v1/payments", fmt.Sprintf(`{"total":"10.00","phone_number":%q}`, number))
		w.do("POST", "/v1/payments", fmt.Sprintf(`{"total":"10.00","tax":%q}`, total))
	})
	w.differs = t.Errorf
}
