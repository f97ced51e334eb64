package athmovil_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// at is a time of Puerto Rico, where the clock is four hours behind UTC.
func at(year int, month time.Month, day, hour, minute, second int) time.Time {
	return time.Date(year, month, day, hour+4, minute, second, 0, time.UTC)
}

func TestRequestsMatchDocumentation(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		answer, want  string
		method, path  string
		authorization string
		call          func(*testing.T, *athmovil.Client) error
	}{
		{
			name: "create", answer: "create.response.json", want: "create.request.json",
			method: http.MethodPost, path: "/api/business-transaction/ecommerce/payment",
			call: func(t *testing.T, c *athmovil.Client) error {
				_, err := c.Create(t.Context(), athmovil.CreateRequest{
					Total: money.MustParse("10"), Tax: money.MustParse("1"), SubTotal: money.MustParse("9"),
					PhoneNumber: "+1 (787) 555-1234", Metadata1: "order 1042", Metadata2: "San Juan",
					Items: []athmovil.Item{{
						Name: "Coffee", Description: "Yauco, one pound", Quantity: 1,
						Price: money.MustParse("9"), Tax: money.MustParse("1"), Metadata: "shelf 4", SKU: "YAUCO-1",
					}},
				})
				return err
			},
		},
		{
			name: "create with nothing but a total", answer: "create.response.json", want: "create.minimal.request.json",
			method: http.MethodPost, path: "/api/business-transaction/ecommerce/payment",
			call: func(t *testing.T, c *athmovil.Client) error {
				_, err := c.Create(t.Context(), athmovil.CreateRequest{Total: money.MustParse("10")})
				return err
			},
		},
		{
			name: "find", answer: "find.open.response.json", want: "find.request.json",
			method: http.MethodPost, path: "/api/business-transaction/ecommerce/business/findPayment",
			call: func(t *testing.T, c *athmovil.Client) error {
				_, err := c.Find(t.Context(), openTicket)
				return err
			},
		},
		{
			name: "authorize", answer: "authorization.response.json", want: "authorization.request.json",
			method: http.MethodPost, path: "/api/business-transaction/ecommerce/authorization",
			authorization: "Bearer " + authToken,
			call: func(t *testing.T, c *athmovil.Client) error {
				_, err := c.Authorize(t.Context(), private.NewToken(authToken))
				return err
			},
		},
		{
			name: "update phone number", answer: "updatePhoneNumber.response.json", want: "updatePhoneNumber.request.json",
			method: http.MethodPut, path: "/api/business-transaction/ecommerce/business/updatePhoneNumber",
			authorization: "Bearer " + authToken,
			call: func(t *testing.T, c *athmovil.Client) error {
				return c.UpdatePhoneNumber(t.Context(), private.NewToken(authToken), createdTicket, "786-657-5255")
			},
		},
		{
			name: "cancel", answer: "cancel.response.json", want: "cancel.request.json",
			method: http.MethodPost, path: "/api/business-transaction/ecommerce/business/cancel",
			call: func(t *testing.T, c *athmovil.Client) error { return c.Cancel(t.Context(), openTicket) },
		},
		{
			name: "refund", answer: "refund.response.json", want: "refund.request.json",
			method: http.MethodPost, path: "/api/business-transaction/ecommerce/refund",
			call: func(t *testing.T, c *athmovil.Client) error {
				_, err := c.Refund(t.Context(), athmovil.RefundRequest{
					ReferenceNumber: refundReference, Amount: money.MustParse("1"), Message: "wrong size",
				})
				return err
			},
		},
		{
			name: "transaction report", answer: "report.response.json", want: "report.request.json",
			method: http.MethodGet, path: "/transactions/v4/transactionReport",
			call: func(t *testing.T, c *athmovil.Client) error {
				_, err := c.TransactionReport(t.Context(), at(2021, 7, 8, 0, 0, 0), at(2021, 7, 8, 23, 59, 59))
				return err
			},
		},
		{
			name: "search", answer: "search.response.json", want: "search.request.json",
			method: http.MethodPost, path: "/api/v4/searchTransaction",
			call: func(t *testing.T, c *athmovil.Client) error {
				_, err := c.Search(t.Context(), athmovil.SearchRequest{
					ReferenceNumber: refundReference, PhoneNumber: "7871234567", Total: money.MustParse("1"),
				})
				return err
			},
		},
		{
			name: "subscribe", answer: "cancel.response.json", want: "subscribe.request.json",
			method: http.MethodPost, path: "/transactions/webhook/post",
			call: func(t *testing.T, c *athmovil.Client) error {
				return c.SubscribeWebhook(t.Context(), athmovil.AllEvents(private.NewToken("https://your.site/webhook")))
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gateway := newGateway(t, http.StatusOK, wire(t, tt.answer))
			require.NoError(t, tt.call(t, newClient(t, gateway.URL)))
			seen := gateway.requests()
			require.Len(t, seen, 1)
			require.Equal(t, tt.method, seen[0].method)
			require.Equal(t, tt.path, seen[0].path)
			require.Equal(t, tt.authorization, seen[0].authorization)
			require.JSONEq(t, string(wire(t, tt.want)), string(seen[0].body))
		})
	}
}

// No documented payload is left untested.
func TestEveryWireFileIsUsed(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "athmovilsim/*_test.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			tests.Write(data)
		}
	}
	files, err := os.ReadDir(filepath.Join("testdata", "wire"))
	require.NoError(t, err)
	require.Greater(t, len(files), 40)
	for _, file := range files {
		if file.Name() != "README.md" {
			require.Contains(t, tests.String(), file.Name())
		}
	}
}

func TestCreateReturnsTicket(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t, http.StatusOK, wire(t, "create.response.json"))
	ticket, err := newClient(t, gateway.URL).Create(t.Context(), athmovil.CreateRequest{Total: money.MustParse("10")})
	require.NoError(t, err)
	require.Equal(t, createdTicket, ticket.EcommerceID)
	require.Equal(t, authToken, ticket.AuthToken.Reveal())
}

func TestFindReadsEveryStatus(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]athmovil.TicketStatus{
		"find.open.response.json":    athmovil.StatusOpen,
		"find.confirm.response.json": athmovil.StatusConfirm,
		"find.cancel.response.json":  athmovil.StatusCancel,
		"find.expired.response.json": athmovil.StatusExpired,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			gateway := newGateway(t, http.StatusOK, wire(t, file))
			got, err := newClient(t, gateway.URL).Find(t.Context(), openTicket)
			require.NoError(t, err)
			line := athmovil.Item{
				Name: "First Item", Description: "This is a description.", Quantity: 1,
				Price: money.MustParse("1"), Tax: money.MustParse("1"), Metadata: "metadata test",
			}
			second := line
			second.Name, second.Description = "Second Item", "This is another description."
			require.Equal(t, athmovil.Transaction{
				Status: want, EcommerceID: openTicket, BusinessName: "Tdameritrade",
				Total: money.MustParse("2.33"), SubTotal: money.MustParse("1.33"), Tax: money.MustParse("1"),
				Fee: dollars("0"), NetAmount: dollars("0"),
				Metadata1: "metadata1 test", Metadata2: "metadata2 test",
				Items: []athmovil.Item{line, second},
			}, got)
			require.True(t, got.Status.Known())
		})
	}
}

// completed is find.completed.response.json and authorization.response.json.
func completed() athmovil.Transaction {
	return athmovil.Transaction{
		Status: athmovil.StatusCompleted, EcommerceID: completedTicket, BusinessName: "Tdameritrade",
		ReferenceNumber:    "215070443-402894c185ab1be40185acfe61c2000b",
		DailyTransactionID: "0006",
		TransactionDate:    at(2023, 1, 13, 16, 17, 6).In(athmovil.Location()),
		Total:              money.MustParse("1"), Fee: dollars("0.60"), NetAmount: dollars("0.40"),
		Metadata1: "metadata1 test", Metadata2: "metadata2 test",
		Items: []athmovil.Item{{
			Name: "First Item", Description: "This is a description.", Quantity: 1,
			Price: money.MustParse("1"), Metadata: "metadata test",
		}},
	}
}

func TestFindReadsBothDialects(t *testing.T) {
	t.Parallel()
	find := func(file string) athmovil.Transaction {
		gateway := newGateway(t, http.StatusOK, wire(t, file))
		got, err := newClient(t, gateway.URL).Find(t.Context(), completedTicket)
		require.NoError(t, err, file)
		return got
	}
	require.Equal(t, completed(), find("find.completed.response.json"))
	older := completed()
	older.DailyTransactionID = "6"
	require.Equal(t, older, find("find.strings.response.json"))
}

// Every spelling that is documented somewhere is one status, and any other is
// kept.
func TestTicketStatusSpellings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]athmovil.TicketStatus{
		"CONFIRM": athmovil.StatusConfirm, "confirm": athmovil.StatusConfirm, "CONFIRMED": athmovil.StatusConfirm, "Confirmed": athmovil.StatusConfirm,
		"EXPIRED": athmovil.StatusExpired, "expired": athmovil.StatusExpired, "Expired ": athmovil.StatusExpired,
		"CANCEL": athmovil.StatusCancel, "cancelled": athmovil.StatusCancel, "Canceled": athmovil.StatusCancel,
		"open": athmovil.StatusOpen, "completed": athmovil.StatusCompleted,
		"EXPIRADO": "EXPIRADO", "paused": "PAUSED",
	} {
		gateway := newGateway(t, http.StatusOK, []byte(`{"status":"success","data":{"ecommerceStatus":"`+text+`","ecommerceId":"`+openTicket+`","total":1}}`))
		got, err := newClient(t, gateway.URL).Find(t.Context(), openTicket)
		require.NoError(t, err, text)
		require.Equal(t, want, got.Status, text)
		require.Equal(t, want != "EXPIRADO" && want != "PAUSED", got.Status.Known(), text)
	}
}

// A fee that the gateway does not tell is none, and never zero.
func TestFeesThatAreNotTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fields string
		want   *money.Amount
	}{
		{``, nil},
		{`,"fee":null,"netAmount":null`, nil},
		{`,"fee":"","netAmount":""`, nil},
		{`,"fee":"free","netAmount":{}`, nil},
		{`,"fee":0,"netAmount":"0.00"`, dollars("0")},
		{`,"fee":0.0700000003,"netAmount":"0.07"`, dollars("0.07")},
	} {
		gateway := newGateway(t, http.StatusOK, []byte(`{"status":"success","data":{"ecommerceStatus":"COMPLETED","ecommerceId":"`+openTicket+`",
			"total":1,"referenceNumber":"r"`+tt.fields+`}}`))
		got, err := newClient(t, gateway.URL).Authorize(t.Context(), private.NewToken(authToken))
		require.NoError(t, err, tt.fields)
		require.Equal(t, tt.want, got.Fee, tt.fields)
		require.Equal(t, tt.want, got.NetAmount, tt.fields)
		report, err := athmovil.ParseReport([]byte(`[{"transactionType":"ECOMMERCE","status":"COMPLETED","date":"2021-07-08 00:36:39.0",
			"referenceNumber":"r","total":1` + tt.fields + `}]`))
		require.NoError(t, err)
		for _, row := range report.Rows { // one with a fee that cannot be read is quarantined
			require.Equal(t, tt.want, row.Fee, tt.fields)
			require.Equal(t, tt.want, row.NetAmount, tt.fields)
		}
	}
}

func TestAuthorizeReturnsSale(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t, http.StatusOK, wire(t, "authorization.response.json"))
	got, err := newClient(t, gateway.URL).Authorize(t.Context(), private.NewToken(authToken))
	require.NoError(t, err)
	require.Equal(t, completed(), got)
}

func TestRefundReturnsRefundAndSale(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]struct {
		date            time.Time
		daily, original string
	}{
		// Twelve digits are milliseconds. In the documentation they are a placeholder.
		"refund.response.json":        {time.UnixMilli(123412341234).In(athmovil.Location()), "0107", "0106"},
		"refund.v4date.response.json": {at(2021, 7, 8, 18, 13, 58).In(athmovil.Location()), "107", "106"},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			gateway := newGateway(t, http.StatusOK, wire(t, file))
			got, err := newClient(t, gateway.URL).Refund(t.Context(), athmovil.RefundRequest{
				ReferenceNumber: refundReference, Amount: money.MustParse("1"),
			})
			require.NoError(t, err)
			require.Equal(t, athmovil.RefundResult{
				Status: athmovil.StatusCompleted, Amount: money.MustParse("1"),
				ReferenceNumber: refundReference, DailyTransactionID: want.daily, Date: want.date,
				Name: "Valeria Herrero", PhoneNumber: "7871234567", Email: "valher@gmail.com",
				Original: &athmovil.ReportRow{
					TransactionType: "PAYMENT", Status: "COMPLETED", Date: want.date,
					ReferenceNumber: refundReference, DailyTransactionID: want.original,
					Name: "Valeria Herrero", PhoneNumber: "7871234567", Email: "valher@gmail.com",
					Total: money.MustParse("1"), Fee: dollars("0"), NetAmount: dollars("0"), TotalRefundedAmount: money.MustParse("1"),
					Metadata1: "metadata1 test", Metadata2: "metadata2 test",
					Items: []athmovil.Item{},
				},
			}, got)
		})
	}
}

// reported is the row of report.response.json.
func reported() athmovil.ReportRow {
	return athmovil.ReportRow{
		TransactionType: "ECOMMERCE", Status: "COMPLETED",
		Date:            at(2021, 7, 8, 0, 36, 39).In(athmovil.Location()),
		ReferenceNumber: refundReference, DailyTransactionID: "35",
		Name: "Valeria Herrero", PhoneNumber: "7871234567", Email: "valher@gmail.com",
		Total: money.MustParse("1"), Fee: dollars("0"), NetAmount: dollars("1"), TotalRefundedAmount: money.MustParse("1"),
		Metadata1: "metadata1 test", Metadata2: "metadata2 test",
		Items: []athmovil.Item{{
			Name: "Item", Description: "This is a description.", Quantity: 1,
			Price: money.MustParse("1"), Metadata: "metadata test",
		}},
	}
}

func TestReportIgnoresByteOrderMark(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"report.response.json", "report.bom.response.json"} {
		got, err := athmovil.ParseReport(wire(t, file))
		require.NoError(t, err)
		require.Equal(t, athmovil.Report{Rows: []athmovil.ReportRow{reported()}}, got, file)
	}
}

func TestReportQuarantinesUnreadableRows(t *testing.T) {
	t.Parallel()
	got, err := athmovil.ParseReport(wire(t, "report.quirks.response.json"))
	require.NoError(t, err)
	require.Len(t, got.Rows, 2)

	first := reported()
	first.Items = []athmovil.Item{}
	require.Equal(t, first, got.Rows[0], "trailing spaces of the reference number are removed")
	require.Equal(t, athmovil.ReportRow{
		TransactionType: "PAYMENT", Status: "COMPLETED",
		Date:            at(2021, 7, 8, 9, 12, 44).In(athmovil.Location()),
		ReferenceNumber: "402894d56b240610016b2e6c78a6003b", DailyTransactionID: "36",
		Total: money.MustParse("3"), Fee: dollars("0.07"), NetAmount: dollars("2.93"),
	}, got.Rows[1])

	require.Len(t, got.Quarantined, 2)
	require.Equal(t, 2, got.Quarantined[0].Index)
	require.Equal(t, "402894d56b240610016b2e6c78a6003c", got.Quarantined[0].ReferenceNumber)
	require.ErrorContains(t, got.Quarantined[0], "row 2: total cannot be read")
	require.NotContains(t, got.Quarantined[0].Error(), "a lot", "an error names the field, not its value")
	require.Equal(t, 3, got.Quarantined[1].Index)
	require.ErrorContains(t, got.Quarantined[1], "not a JSON object")
}

func TestReportMustBeAnArray(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", "null", "[", "[1,]", "<html>"} {
		_, err := athmovil.ParseReport([]byte(body))
		require.Error(t, err, body)
	}
	empty, err := athmovil.ParseReport([]byte("[]"))
	require.NoError(t, err)
	require.Empty(t, empty)
}

func TestSearchReadsOneSeveralOrNone(t *testing.T) {
	t.Parallel()
	second := reported()
	second.ReferenceNumber, second.DailyTransactionID = "402894d56b240610016b2e6c78a6003b", "36"
	tests := []struct {
		name string
		body []byte
		want []athmovil.ReportRow
	}{
		{"one object", wire(t, "search.response.json"), []athmovil.ReportRow{reported()}},
		{"an array", wire(t, "search.several.response.json"), []athmovil.ReportRow{reported(), second}},
		{"null", []byte("null"), nil},
		{"an empty array", []byte("[]"), nil},
		{"an empty object", []byte("{}"), nil},
		{"an error code for no match", []byte(`{"errorCode":"5010","description":"transaction does not exist"}`), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gateway := newGateway(t, http.StatusOK, tt.body)
			got, err := newClient(t, gateway.URL).Search(t.Context(), athmovil.SearchRequest{Metadata1: "metadata1 test"})
			require.NoError(t, err)
			require.Equal(t, tt.want, got.Rows)
			require.Empty(t, got.Quarantined)
		})
	}
}

func TestReportWithoutTransactionsIsEmpty(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"BTRA_0022", "BTRA_0046"} { // §1.8
		gateway := newGateway(t, http.StatusConflict, []byte(`{"status":"error","errorcode":"`+code+`"}`))
		got, err := newClient(t, gateway.URL).TransactionReport(t.Context(), at(2021, 7, 8, 0, 0, 0), at(2021, 7, 9, 0, 0, 0))
		require.NoError(t, err, code)
		require.Empty(t, got, code)
	}
}

func TestSubscribeAcceptsUndocumentedResponses(t *testing.T) {
	t.Parallel()
	subscribe := func(status int, body string) error {
		gateway := newGateway(t, status, []byte(body))
		return newClient(t, gateway.URL).SubscribeWebhook(t.Context(), athmovil.AllEvents(private.NewToken("https://your.site/webhook")))
	}
	for _, body := range []string{"", `{}`, `"ok"`, `{"status":"success"}`} {
		require.NoError(t, subscribe(http.StatusOK, body), body)
	}
	require.NoError(t, subscribe(http.StatusNoContent, ""))
	requireKind(t, subscribe(http.StatusOK, "<html>"), athmovil.ErrUnknown)
	requireKind(t, subscribe(http.StatusOK, `{"errorCode":"3010"}`), athmovil.ErrAuthentication)
}

func TestUnreadableFieldsDoNotHideSale(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t, http.StatusOK, []byte(`{"status":"success","data":{"ecommerceStatus":"COMPLETED",
		"ecommerceId":"`+completedTicket+`","referenceNumber":"r","total":1,"fee":"about a dollar",
		"transactionDate":"yesterday","items":[{"quantity":[]},3]}}`))
	got, err := newClient(t, gateway.URL).Authorize(t.Context(), private.NewToken(authToken))
	require.NoError(t, err, "the debit was made, whatever its fee looks like")
	require.Equal(t, athmovil.StatusCompleted, got.Status)
	require.Equal(t, []string{"transactionDate", "fee", "items[0].quantity", "items[1]"}, got.Unreadable)
}

func TestUnknownStatusIsKept(t *testing.T) {
	t.Parallel()
	gateway := newGateway(t, http.StatusOK, []byte(`{"status":"success","data":{"ecommerceStatus":"on_hold",
		"ecommerceId":"`+openTicket+`","total":1}}`))
	got, err := newClient(t, gateway.URL).Find(t.Context(), openTicket)
	require.NoError(t, err)
	require.Equal(t, athmovil.TicketStatus("ON_HOLD"), got.Status)
	require.False(t, got.Status.Known())
}
