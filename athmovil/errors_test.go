package athmovil_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

func errorBody(code string) []byte {
	return []byte(`{"status":"error","message":"no","errorcode":"` + code + `","data":null}`)
}

// documentedCodes reads the codes of docs/athmovil.md §1.12.
func documentedCodes(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "docs", "athmovil.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(doc), "\n## 1.12 ")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n# 2")
	codes := regexp.MustCompile(`BTRA_\d{4}|token\.(?:expired|invalid\.header)`).FindAllString(section, -1)
	slices.Sort(codes)
	codes = slices.Compact(codes)
	require.Greater(t, len(codes), 50)
	return codes
}

// Every code of docs/athmovil.md §1.12, and the legacy ones of §1.10, under
// the HTTP status of a business rule. If want is nil, the code does not say
// whether the call was executed: unknown for a write, unavailable for a read.
func TestEveryErrorCodeHasAKind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code string
		want error
	}{
		{"token.invalid.header", athmovil.ErrAuthentication}, // §1.3
		{"token.expired", athmovil.ErrAuthentication},        // §1.3
		{"BTRA_0401", athmovil.ErrAuthentication},            // §1.12, as all below
		{"BTRA_0402", athmovil.ErrAuthentication},
		{"BTRA_0403", athmovil.ErrAuthentication},
		{"BTRA_0017", athmovil.ErrAuthentication},
		{"BCUS_0092", athmovil.ErrAuthentication},
		{"BTRA_0001", athmovil.ErrInvalid},
		{"BTRA_0002", athmovil.ErrDeclined},
		{"BTRA_0003", athmovil.ErrDeclined},
		{"BTRA_0004", athmovil.ErrDeclined},
		{"BTRA_0005", athmovil.ErrDeclined},
		{"BTRA_0006", athmovil.ErrInvalid},
		{"BTRA_0007", athmovil.ErrDeclined},
		{"BTRA_0008", athmovil.ErrDeclined},
		{"BTRA_0009", athmovil.ErrDeclined},
		{"BTRA_0010", athmovil.ErrDeclined},
		{"BTRA_0011", athmovil.ErrDeclined},
		{"BTRA_0012", athmovil.ErrDeclined},
		{"BTRA_0013", athmovil.ErrInvalid},
		{"BTRA_0014", athmovil.ErrDeclined},
		{"BTRA_0015", nil},
		{"BTRA_0016", nil},
		{"BTRA_0018", athmovil.ErrInvalid},
		{"BTRA_0019", athmovil.ErrInvalid},
		{"BTRA_0020", athmovil.ErrInvalid},
		{"BTRA_0021", athmovil.ErrInvalid},
		{"BTRA_0023", athmovil.ErrInvalid},
		{"BTRA_0024", athmovil.ErrInvalid},
		{"BTRA_0025", athmovil.ErrInvalid},
		{"BTRA_0026", athmovil.ErrInvalid},
		{"BTRA_0027", athmovil.ErrDeclined},
		{"BTRA_0028", athmovil.ErrInvalid},
		{"BTRA_0029", athmovil.ErrInvalid},
		{"BTRA_0030", nil}, // §1.5: logLines of a refund that failed with a status error
		{"BTRA_0031", athmovil.ErrDeclined},
		{"BTRA_0032", athmovil.ErrDeclined},
		{"BTRA_0033", nil},
		{"BTRA_0034", nil},
		{"BTRA_0035", athmovil.ErrDeclined},
		{"BTRA_0036", athmovil.ErrDeclined},
		{"BTRA_0037", athmovil.ErrDeclined},
		{"BTRA_0038", athmovil.ErrInvalid},
		{"BTRA_0039", athmovil.ErrDeclined},
		{"BTRA_0040", athmovil.ErrInvalid},
		{"BTRA_0041", athmovil.ErrDeclined},
		{"BTRA_0042", athmovil.ErrInvalid},
		{"BTRA_0043", athmovil.ErrDeclined},
		{"BTRA_0044", athmovil.ErrDeclined},
		{"BTRA_0045", athmovil.ErrDeclined},
		{"BTRA_0047", athmovil.ErrInvalid},
		{"BTRA_0048", athmovil.ErrInvalid},
		{"BTRA_0049", athmovil.ErrDeclined},
		{"BTRA_0050", athmovil.ErrDeclined},
		{"BTRA_0051", athmovil.ErrInvalid},
		{"BTRA_0052", athmovil.ErrInvalid},
		{"BTRA_0053", athmovil.ErrDeclined},
		{"BTRA_9998", nil},
		{"BTRA_9999", nil},
		{"3010", athmovil.ErrAuthentication}, // §1.10, as all below
		{"3020", athmovil.ErrAuthentication},
		{"3030", athmovil.ErrAuthentication},
		{"3040", athmovil.ErrAuthentication},
		{"3050", athmovil.ErrAuthentication},
		{"3060", athmovil.ErrAuthentication},
		{"3070", athmovil.ErrAuthentication},
		{"4010", athmovil.ErrInvalid},
		{"4020", athmovil.ErrDeclined},
		{"5020", athmovil.ErrDeclined},
		{"5030", athmovil.ErrDeclined},
		{"7010", athmovil.ErrDeclined},
		{"7020", athmovil.ErrInvalid},
		{"7030", athmovil.ErrInvalid},
		{"7040", nil},
	}
	// Those of empty lists have a test of their own, below.
	known := map[string]bool{"BTRA_0022": true, "BTRA_0046": true}
	for _, tt := range tests {
		known[tt.code] = true
	}
	for _, code := range documentedCodes(t) {
		require.True(t, known[code], "docs/athmovil.md §1.12 has %s, and no row here", code)
	}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			gateway := newGateway(t, http.StatusConflict, errorBody(tt.code))
			client := newClient(t, gateway.URL)
			for _, c := range calls() {
				want := tt.want
				if want == nil {
					want = lost(c.op)
				}
				failed := requireKind(t, c.make(t, client), want)
				require.Equal(t, c.op, failed.Op)
				require.Equal(t, tt.code, failed.Code)
				require.Equal(t, http.StatusConflict, failed.HTTPStatus)
				require.Equal(t, "no", string(failed.Message))
				require.Contains(t, failed.Error(), tt.code+" (", "a documented code is explained")
			}
			require.Len(t, gateway.requests(), len(calls()), "nothing is repeated")
		})
	}
}

// The codes for an empty list (docs/athmovil.md §1.8, §1.10) are errors of every
// other call.
func TestEmptyListCodesAreErrorsOfOtherCalls(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"BTRA_0022", "BTRA_0046", "5010"} {
		gateway := newGateway(t, http.StatusConflict, errorBody(code))
		_, err := newClient(t, gateway.URL).Find(t.Context(), openTicket)
		requireKind(t, err, athmovil.ErrDeclined)
	}
}

func TestKindWithoutDocumentedCode(t *testing.T) {
	t.Parallel()
	page := wire(t, "error.html")
	down := wire(t, "error.unavailable.html")
	tests := []struct {
		name               string
		status             int
		body               []byte
		money, write, read error
	}{
		{"blocked by a proxy", 403, page, athmovil.ErrUnknown, athmovil.ErrUnknown, athmovil.ErrUnavailable},
		{"page of a proxy under 200", 200, down, athmovil.ErrUnknown, athmovil.ErrUnknown, athmovil.ErrUnavailable},
		{"empty body under an error", 502, nil, athmovil.ErrUnknown, athmovil.ErrUnknown, athmovil.ErrUnavailable},
		{"redirect", 302, nil, athmovil.ErrUnknown, athmovil.ErrUnknown, athmovil.ErrUnavailable},
		{"too many requests, as a page", 429, page, athmovil.ErrUnknown, athmovil.ErrUnavailable, athmovil.ErrUnavailable},
		{"too many requests, as JSON", 429, []byte(`{"message":"slow down"}`), athmovil.ErrUnknown, athmovil.ErrUnavailable, athmovil.ErrUnavailable},
		{"unauthorized without a code", 401, []byte(`{"message":"Unauthorized"}`), athmovil.ErrUnknown, athmovil.ErrAuthentication, athmovil.ErrAuthentication},
		{"bad request without a code", 400, []byte(`{"status":400,"error":"Bad Request"}`), athmovil.ErrUnknown, athmovil.ErrInvalid, athmovil.ErrInvalid},
		{"bad request with an undocumented code", 400, errorBody("BTRA_0099"), athmovil.ErrUnknown, athmovil.ErrInvalid, athmovil.ErrInvalid},
		{"unprocessable with an undocumented code", 422, errorBody("BTRA_0099"), athmovil.ErrUnknown, athmovil.ErrInvalid, athmovil.ErrInvalid},
		{"forbidden with an undocumented code", 403, errorBody("BTRA_0099"), athmovil.ErrUnknown, athmovil.ErrAuthentication, athmovil.ErrAuthentication},
		{"too many requests with an undocumented code", 429, errorBody("BTRA_0099"), athmovil.ErrUnknown, athmovil.ErrUnavailable, athmovil.ErrUnavailable},
		{"conflict with an undocumented code", 409, errorBody("BTRA_0099"), athmovil.ErrUnknown, athmovil.ErrDeclined, athmovil.ErrDeclined},
		{"declining code under 500", 500, errorBody("BTRA_0044"), athmovil.ErrUnknown, athmovil.ErrUnknown, athmovil.ErrUnavailable},
		{"internal error", 500, wire(t, "error.http500.json"), athmovil.ErrUnknown, athmovil.ErrUnknown, athmovil.ErrUnavailable},
		{"declining code under 200", 200, wire(t, "error.http200.json"), athmovil.ErrDeclined, athmovil.ErrDeclined, athmovil.ErrDeclined},
		{"error without code under 200", 200, []byte(`{"status":"ERROR"}`), athmovil.ErrUnknown, athmovil.ErrUnknown, athmovil.ErrUnavailable},
		{"validation", 400, wire(t, "error.http400.json"), athmovil.ErrInvalid, athmovil.ErrInvalid, athmovil.ErrInvalid},
		{"token", 401, wire(t, "error.http401.json"), athmovil.ErrAuthentication, athmovil.ErrAuthentication, athmovil.ErrAuthentication},
		{"legacy keys", 200, wire(t, "error.legacy.json"), athmovil.ErrAuthentication, athmovil.ErrAuthentication, athmovil.ErrAuthentication},
		{"legacy code as a number, after a byte order mark", 200, []byte("\ufeff{\"errorCode\":7020}"), athmovil.ErrInvalid, athmovil.ErrInvalid, athmovil.ErrInvalid},
		{"longer than any response", 200, []byte("[" + strings.Repeat("0,", 1<<20) + "0]"), athmovil.ErrUnknown, athmovil.ErrUnknown, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gateway := newGateway(t, tt.status, tt.body)
			client := newClient(t, gateway.URL)
			for _, c := range calls() {
				want := tt.write
				switch {
				case isMoney(c.op):
					want = tt.money
				case isRead(c.op):
					want = tt.read
				}
				if want == nil {
					continue
				}
				requireKind(t, c.make(t, client), want)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := newGateway(t, http.StatusOK, wire(t, "authorization.response.json"))
	gateway := newGateway(t, http.StatusOK, nil)
	gateway.Config.Handler = http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect)
	client := newClient(t, gateway.URL)
	for _, c := range calls() {
		requireKind(t, c.make(t, client), lost(c.op))
	}
	require.Empty(t, elsewhere.requests(), "no token is sent to the target of a redirect")
}

// A success without its required fields is never a success with zeros in it.
func TestIncompleteSuccessIsAnError(t *testing.T) {
	t.Parallel()
	sale := func(change string) string { // ecommerceId, total and reference number are right unless changed
		return `{"status":"success","data":{"ecommerceStatus":"COMPLETED","ecommerceId":"` + completedTicket +
			`","total":1,"referenceNumber":"r"` + change + `}}`
	}
	refund := func(inner string) string { return `{"status":"success","data":{"refund":` + inner + `}}` }
	tests := []struct {
		name, body string
		op         athmovil.Op
		problem    string
	}{
		{"no data", `{"status":"success"}`, athmovil.OpAuthorize, "has no data"},
		{"data of text", `{"status":"success","data":"done"}`, athmovil.OpAuthorize, "has no data"},
		{"no status in the envelope", `{"data":{}}`, athmovil.OpAuthorize, "does not say success"},
		{"array", `[]`, athmovil.OpAuthorize, "not JSON"},
		{"empty body", ``, athmovil.OpAuthorize, "not JSON"},
		{"cut JSON", `{"status":"success","data":{"ecommerceStatus":"COMP`, athmovil.OpAuthorize, "not JSON"},
		{"no status", sale(`,"ecommerceStatus":null`), athmovil.OpAuthorize, "ecommerceStatus is missing"},
		{"unreadable status", sale(`,"ecommerceStatus":{}`), athmovil.OpAuthorize, "ecommerceStatus cannot be read"},
		{"no total", sale(`,"total":""`), athmovil.OpAuthorize, "total is missing"},
		{"unreadable total", sale(`,"total":"1e400"`), athmovil.OpAuthorize, "total cannot be read"},
		{"no reference", sale(`,"referenceNumber":""`), athmovil.OpAuthorize, "referenceNumber is missing"},
		{"another known status", sale(`,"ecommerceStatus":"CONFIRM"`), athmovil.OpAuthorize, "not COMPLETED"},
		{"another status", sale(`,"ecommerceStatus":"DONE"`), athmovil.OpAuthorize, "not COMPLETED"},
		{"unreadable refunds", sale(`,"totalRefundedAmount":"some"`), athmovil.OpFind, "totalRefundedAmount cannot be read"},
		{"another ticket", sale(`,"ecommerceId":"other"`), athmovil.OpFind, "another ticket"},
		{"no refund", refund(`null`), athmovil.OpRefund, "refund is missing"},
		{"no refund status", refund(`{"refundedAmount":1}`), athmovil.OpRefund, "status is missing"},
		{"refund not completed", refund(`{"status":"FAILED","refundedAmount":1}`), athmovil.OpRefund, "not COMPLETED"},
		{"no refunded amount", refund(`{"status":"COMPLETED"}`), athmovil.OpRefund, "refundedAmount is missing"},
		{"another amount", refund(`{"status":"COMPLETED","refundedAmount":10}`), athmovil.OpRefund, "requested 1.00, but the gateway refunded 10.00"},
		{"no token", `{"status":"success","data":{"ecommerceId":"x"}}`, athmovil.OpCreate, "auth_token is missing"},
		{"no ticket", `{"status":"success","data":{"auth_token":"x"}}`, athmovil.OpCreate, "ecommerceId is missing"},
		{"cancel without success", `{}`, athmovil.OpCancel, "does not say success"},
		{"phone without success", `{"data":"Update Phone Number"}`, athmovil.OpUpdatePhoneNumber, "does not say success"},
		{"report that is not an array", `{"status":"success"}`, athmovil.OpTransactionReport, "not a JSON array"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, newGateway(t, http.StatusOK, []byte(tt.body)).URL)
			for _, c := range calls() {
				if c.op == tt.op {
					failed := requireKind(t, c.make(t, client), lost(tt.op))
					require.ErrorContains(t, failed, tt.problem)
				}
			}
		})
	}
}

// docs/athmovil.md §1.3: these refusals can follow a success whose response was
// lost.
func TestLookFirstWhereMoneyMayHaveMoved(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"BTRA_0032", "BTRA_0035", "BTRA_0037", "BTRA_0039"} {
		client := newClient(t, newGateway(t, http.StatusConflict, errorBody(code)).URL)
		for _, c := range calls() {
			failed := requireKind(t, c.make(t, client), athmovil.ErrDeclined)
			require.Equal(t, isMoney(c.op), failed.LookFirst(), "%s %s", c.op, code)
		}
	}
	for _, code := range []string{"BTRA_0044", "BTRA_9999"} {
		client := newClient(t, newGateway(t, http.StatusConflict, errorBody(code)).URL)
		_, err := client.Authorize(t.Context(), private.NewToken(authToken))
		var failed *athmovil.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, code == "BTRA_9999", failed.LookFirst(), code)
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	client := newClient(t, newGateway(t, http.StatusConflict, errorBody("BTRA_0044")).URL)
	_, err := client.Authorize(t.Context(), private.NewToken(authToken))
	require.EqualError(t, err, "athmovil: authorize: declined by the gateway: BTRA_0044 (over the financial institution's limits): HTTP 409")
	_, err = client.Refund(t.Context(), athmovil.RefundRequest{})
	require.EqualError(t, err, "athmovil: refund: invalid request: reference number is required; amount must be 0.01 or more")
}

func TestInvalidRequestsAreNotSent(t *testing.T) {
	t.Parallel()
	long := private.Text(strings.Repeat("ñ", 41))
	dollars := money.MustParse
	line := athmovil.Item{Name: "x", Quantity: 1, Price: dollars("1")}
	create := func(change func(*athmovil.CreateRequest)) func(context.Context, *athmovil.Client) error {
		return func(ctx context.Context, c *athmovil.Client) error {
			r := athmovil.CreateRequest{Total: dollars("100")}
			change(&r)
			_, err := c.Create(ctx, r)
			return err
		}
	}
	item := func(change func(*athmovil.Item)) func(context.Context, *athmovil.Client) error {
		return create(func(r *athmovil.CreateRequest) {
			i := line
			change(&i)
			r.Items = []athmovil.Item{line, i}
		})
	}
	tests := []struct {
		name, problem string
		call          func(context.Context, *athmovil.Client) error
	}{
		{"total 0.99", "from 1.00 to 1500.00", create(func(r *athmovil.CreateRequest) { r.Total = dollars("0.99") })},
		{"total 1500.01", "from 1.00 to 1500.00", create(func(r *athmovil.CreateRequest) { r.Total = dollars("1500.01") })},
		{"90 plus 5 is not 100", "must equal the total", create(func(r *athmovil.CreateRequest) { r.SubTotal, r.Tax = dollars("90"), dollars("5") })},
		{"negative tax", "must not be negative", create(func(r *athmovil.CreateRequest) { r.Tax = dollars("-1") })},
		{"metadata1 of 41", "metadata1 must not be longer than 40", create(func(r *athmovil.CreateRequest) { r.Metadata1 = long })},
		{"metadata2 of 41", "metadata2 must not be longer than 40", create(func(r *athmovil.CreateRequest) { r.Metadata2 = long })},
		{"half a second", "whole seconds", create(func(r *athmovil.CreateRequest) { r.Timeout = 1 })},
		{"phone", "phone number: not a phone number", create(func(r *athmovil.CreateRequest) { r.PhoneNumber = "555-1234" })},
		{"item quantity 0", "items[1]: quantity must be 1", item(func(i *athmovil.Item) { i.Quantity = 0 })},
		{"item price -1", "items[1]: price and tax", item(func(i *athmovil.Item) { i.Price = dollars("-1") })},
		{"item without name", "items[1]: name is required", item(func(i *athmovil.Item) { i.Name = "" })},
		{"item sku", "sku must not be longer", item(func(i *athmovil.Item) { i.SKU = strings.Repeat("x", 101) })},
		{"find nothing", "ecommerce id is required", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Find(ctx, "")
			return err
		}},
		{"cancel nothing", "ecommerce id is required", func(ctx context.Context, c *athmovil.Client) error { return c.Cancel(ctx, "") }},
		{"authorize without token", "auth token is required", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Authorize(ctx, private.Token{})
			return err
		}},
		{"authorize with a token of two lines", "contains a space", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Authorize(ctx, private.NewToken("a\nb"))
			return err
		}},
		{"phone number without any argument", "auth token is required; ecommerce id is required; phone number", func(ctx context.Context, c *athmovil.Client) error {
			return c.UpdatePhoneNumber(ctx, private.Token{}, "", "")
		}},
		{"refund 0", "amount must be 0.01", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Refund(ctx, athmovil.RefundRequest{ReferenceNumber: "r"})
			return err
		}},
		{"refund message of 51", "message must not be longer than 50", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Refund(ctx, athmovil.RefundRequest{ReferenceNumber: "r", Amount: dollars("1"), Message: private.Text(strings.Repeat("x", 51))})
			return err
		}},
		{"report backwards", "from must be before to", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.TransactionReport(ctx, at(2021, 7, 9, 0, 0, 0), at(2021, 7, 8, 0, 0, 0))
			return err
		}},
		{"search for nothing", "at least one field", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Search(ctx, athmovil.SearchRequest{})
			return err
		}},
		{"search for part of a phone number", "phone number", func(ctx context.Context, c *athmovil.Client) error {
			_, err := c.Search(ctx, athmovil.SearchRequest{PhoneNumber: "787"})
			return err
		}},
		{"listener without https", "must be like https://", func(ctx context.Context, c *athmovil.Client) error {
			return c.SubscribeWebhook(ctx, athmovil.AllEvents(private.NewToken("http://your.site/webhook")))
		}},
		{"listener that is not a URL", "must be like https://", func(ctx context.Context, c *athmovil.Client) error {
			return c.SubscribeWebhook(ctx, athmovil.AllEvents(private.NewToken("not-a-url")))
		}},
	}
	gateway := newGateway(t, http.StatusOK, nil)
	client := newClient(t, gateway.URL)
	for _, tt := range tests {
		err := tt.call(t.Context(), client)
		failed := requireKind(t, err, athmovil.ErrInvalid)
		require.ErrorContains(t, failed, tt.problem, tt.name)
	}
	require.Empty(t, gateway.requests())
	for _, most := range []string{"1.00", "1500.00"} {
		require.NoError(t, athmovil.CreateRequest{Total: dollars(most), Metadata1: long[:len("ñ")*40]}.Validate())
	}
}

func TestNewReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := athmovil.New(athmovil.Config{
		PrivateToken: private.NewToken("two words"), BaseURL: "payments.athmovil.com",
		ReportBaseURL: "https://user:hunter2@www.athmovil.com", Timeout: -1, CallsPerSecond: -1,
	})
	for _, problem := range []string{
		"public token is required", "private token contains a space", "\nbase URL is not", "report base URL is not",
		"timeout is negative", "calls per second is negative",
	} {
		require.ErrorContains(t, err, problem)
	}
	require.NotContains(t, err.Error(), "hunter2")
}
