package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/api"
)

// contract holds a server's requests and answers to openapi.yaml.
type contract struct {
	spec     *openapi3.T
	complain func(format string, args ...any)
}

// reference reads openapi.yaml for a server whose shortest payment is so long.
// Clients must bear with members that they do not know; a test must not, so
// every object is closed in this copy.
func reference(t testing.TB, minExpiresIn time.Duration) *openapi3.T {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	require.NoError(t, err)
	if minExpiresIn > 0 {
		least := minExpiresIn.Seconds()
		spec.Components.Schemas["PaymentRequest"].Value.Properties["expires_in"].Value.Min = &least
	}
	seen := map[*openapi3.Schema]bool{}
	for _, schema := range spec.Components.Schemas {
		closeObjects(schema, seen)
	}
	return spec
}

func closeObjects(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) {
	if ref == nil || ref.Value == nil || seen[ref.Value] {
		return
	}
	schema := ref.Value
	seen[schema] = true
	if schema.Type.Is("object") && schema.AdditionalProperties.Has == nil {
		schema.AdditionalProperties.Has = new(bool)
	}
	closeObjects(schema.Items, seen)
	for _, property := range schema.Properties {
		closeObjects(property, seen)
	}
	for _, one := range slices.Concat(schema.AllOf, schema.AnyOf, schema.OneOf) {
		closeObjects(one, seen)
	}
}

// answered are the answers that tests have provoked: "createPayment 422
// validation_failed", or "createPayment 201".
var answered sync.Map

// watched serves like next and complains of whatever openapi.yaml does not say.
func (c contract) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, readErr := io.ReadAll(r.Body)
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{readErr}))
		answer := httptest.NewRecorder()
		asked := r.Clone(r.Context())
		asked.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(answer, r)
		if readErr == nil { // a sender that breaks off asks nothing
			if err := c.check(asked, body, answer); err != nil {
				c.complain("openapi.yaml and the server differ at %s %s %s: %v\nanswered %d %s", r.Method, r.URL, body, err, answer.Code, answer.Body)
			}
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the client may be gone
	})
}

// failing ends a body as it ended.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// brief is what decides about a problem document.
type brief struct {
	Code   string
	Errors []struct{ Field, Rule string }
}

func (c contract) check(r *http.Request, body []byte, answer *httptest.ResponseRecorder) error {
	var refused brief
	if answer.Header().Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(answer.Body.Bytes(), &refused); err != nil {
			return err
		}
	}
	route, params := c.find(r.Method, r.URL.EscapedPath())
	if route == nil { // the webhook, or nowhere
		if refused.Code == "" {
			return nil
		}
		var document any
		if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil {
			return err
		}
		return c.spec.Components.Schemas["Problem"].Value.VisitJSON(document, openapi3.EnableJSONSchema2020())
	}
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true, IncludeResponseStatus: true,
		},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: answer.Code, Header: answer.Header(),
		Body: io.NopCloser(bytes.NewReader(answer.Body.Bytes())), Options: in.Options,
	}); err != nil {
		return err
	}
	answered.Store(strings.TrimSpace(fmt.Sprintf("%s %d %s", route.Operation.OperationID, answer.Code, refused.Code)), true)

	invalid := c.checkRequest(in, body)
	switch {
	case answer.Code < 400 && invalid != nil:
		return fmt.Errorf("the server accepts what the document does not: %w", invalid)
	case invalid == nil && blamesTheShape(refused):
		return errors.New("the server refuses the shape of what the document accepts")
	default:
		return nil
	}
}

// find returns the operation at a path, and the path's parameters.
func (c contract) find(method, path string) (*routers.Route, map[string]string) {
	for template, item := range c.spec.Paths.Map() {
		operation := item.GetOperation(method)
		want, got := strings.Split(template, "/"), strings.Split(path, "/")
		if operation == nil || len(want) != len(got) {
			continue
		}
		params, fits := map[string]string{}, true
		for i := range want {
			if name, parameter := strings.CutPrefix(want[i], "{"); parameter && got[i] != "" {
				params[strings.TrimSuffix(name, "}")] = strings.ReplaceAll(got[i], "%20", " ")
			} else if want[i] != got[i] {
				fits = false
			}
		}
		if fits {
			return &routers.Route{Spec: c.spec, Path: template, PathItem: item, Method: method, Operation: operation}, params
		}
	}
	return nil, nil
}

// checkRequest says what the document has against a request. What its prose
// says of bodies, queries and keys and no schema can, is here.
func (c contract) checkRequest(in *openapi3filter.RequestValidationInput, body []byte) error {
	r, operation := in.Request, in.Route.Operation
	if len(r.Header.Values("Idempotency-Key")) > 1 {
		return errors.New("two keys")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	for name, values := range query {
		if operation.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("the document has no parameter %q", name)
		}
		if len(values) > 1 {
			return fmt.Errorf("%q appears twice", name)
		}
	}
	if operation.RequestBody != nil && len(bytes.TrimSpace(body)) > 0 {
		if !utf8.Valid(body) || !json.Valid(body) || len(body) > api.DefaultMaxBody {
			return errors.New("not JSON, or too long")
		}
	}
	return openapi3filter.ValidateRequest(r.Context(), in)
}

// beyond are rules that no schema can say; the document has them in words.
var beyond = []string{
	"must equal subtotal plus tax", "debe ser igual a subtotal más tax", // two fields
	"must not have characters that are invisible", "no debe tener caracteres invisibles", // except in emoji
	"must not have half of a character", "no debe tener la mitad de un carácter",
	"must not be an email address", "no debe ser un correo electrónico", // a guess
	"must appear once", "debe aparecer una sola vez",
	"must be nested less deeply", "debe tener menos niveles",
	"of at most 1m0s",              // a sum of units
	"must be a next_cursor",        // what only the server reads
	"the longest pause is shorter", // two fields
	"must be announced once for each event",
	"which is Cobro's own", // kin-openapi reads no "not" in a parameter
}

// blamesTheShape reports whether a problem blames what a schema can say.
func blamesTheShape(refused brief) bool {
	switch refused.Code {
	case "idempotency_key_malformed", "idempotency_key_required", "unsupported_media_type":
		return true
	case "body_malformed", "parameter_invalid", "validation_failed":
		return len(refused.Errors) == 0 || slices.ContainsFunc(refused.Errors, func(e struct{ Field, Rule string }) bool {
			return !slices.ContainsFunc(beyond, func(rule string) bool { return strings.Contains(e.Rule, rule) })
		})
	default:
		return false
	}
}

// suite fails a whole run in which an answer of the document was not seen.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	if code != 0 || !whole() {
		return code
	}
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, answer := range documented(spec) {
		if _, seen := answered.Load(answer); !seen {
			fmt.Fprintln(os.Stderr, "openapi.yaml has an answer that no test saw:", answer)
			code = 1
		}
	}
	return code
}

// whole reports whether every test runs.
func whole() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.fuzz"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return true
}

// documented lists the answers of the document as in answered.
func documented(spec *openapi3.T) []string {
	var all []string
	for _, item := range spec.Paths.Map() {
		for _, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				codes := codesOf(response.Value)
				if codes == nil {
					codes = []string{""}
				}
				for _, code := range codes {
					all = append(all, strings.TrimSpace(operation.OperationID+" "+status+" "+code))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// codesOf returns the codes of the problems that a response may be.
func codesOf(response *openapi3.Response) []string {
	media := response.Content["application/problem+json"]
	if media == nil {
		return nil
	}
	var codes []string
	for _, part := range media.Schema.Value.AllOf {
		if part.Ref == "" {
			for _, code := range part.Value.Properties["code"].Value.Enum {
				codes = append(codes, code.(string))
			}
		}
	}
	return codes
}
