package athmovil_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// exampleGateway starts a gateway that answers every call with a file of
// testdata/wire.
func exampleGateway(status int, file string) (*athmovil.Client, func()) {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := os.ReadFile(filepath.Join("testdata", "wire", file))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	client, err := athmovil.New(athmovil.Config{
		PublicToken:   "public-token",
		PrivateToken:  private.NewToken("private-token"),
		BaseURL:       gateway.URL,
		ReportBaseURL: gateway.URL,
	})
	if err != nil {
		fmt.Println(err)
	}
	return client, gateway.Close
}

func ExampleNew() {
	_, err := athmovil.New(athmovil.Config{BaseURL: "payments.athmovil.com"})
	fmt.Println(err)
	// Output:
	// athmovil: configuration:
	// public token is required
	// private token is required
	// base URL is not a URL such as https://payments.athmovil.com
}

func ExampleClient_Create() {
	client, done := exampleGateway(http.StatusOK, "create.response.json")
	defer done()

	ticket, err := client.Create(context.Background(), athmovil.CreateRequest{
		Total:       money.MustParse("10.00"),
		PhoneNumber: "787-555-1234",
		Metadata1:   "order 1042",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// Store both before anything else: the token is never returned again.
	fmt.Println(ticket.EcommerceID, ticket.AuthToken)
	// Output: 0ab257f5-3837-11ed-855f-9b4af5a393ce [private]
}

func ExampleClient_Find() {
	client, done := exampleGateway(http.StatusOK, "find.confirm.response.json")
	defer done()

	found, err := client.Find(context.Background(), "39906664-e44e-11ed-b127-a519df48811e")
	if err != nil {
		fmt.Println(err)
		return
	}
	switch found.Status {
	case athmovil.StatusConfirm:
		fmt.Println("the customer agreed to", found.Total, "so authorize now")
	case athmovil.StatusCompleted:
		fmt.Println("paid")
	default:
		fmt.Println("not yet, or no longer")
	}
	// Output: the customer agreed to 2.33 so authorize now
}

func ExampleClient_Authorize() {
	client, done := exampleGateway(http.StatusOK, "authorization.response.json")
	defer done()

	sale, err := client.Authorize(context.Background(), private.NewToken("token-of-the-ticket"))
	if failed := (*athmovil.Error)(nil); errors.As(err, &failed) && failed.LookFirst() {
		fmt.Println("check with Find before anything else")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(sale.Status, sale.Total, "less", sale.Fee, "is", sale.NetAmount)
	// Output: COMPLETED 1.00 less 0.60 is 0.40
}

// An unknown outcome differs from a refusal.
func ExampleClient_Authorize_unknown() {
	client, done := exampleGateway(http.StatusInternalServerError, "error.http500.json")
	defer done()

	_, err := client.Authorize(context.Background(), private.NewToken("token-of-the-ticket"))
	fmt.Println(err)
	fmt.Println(errors.Is(err, athmovil.ErrUnknown), errors.Is(err, athmovil.ErrDeclined))
	// Output:
	// athmovil: authorize: outcome unknown: BTRA_9999 (internal error): HTTP 500
	// true false
}

func ExampleClient_UpdatePhoneNumber() {
	client, done := exampleGateway(http.StatusOK, "updatePhoneNumber.response.json")
	defer done()

	err := client.UpdatePhoneNumber(context.Background(),
		private.NewToken("token-of-the-ticket"), "0ab257f5-3837-11ed-855f-9b4af5a393ce", "(786) 657-5255")
	fmt.Println(err)
	// Output: <nil>
}

func ExampleClient_Cancel() {
	client, done := exampleGateway(http.StatusOK, "cancel.response.json")
	defer done()

	fmt.Println(client.Cancel(context.Background(), "39906664-e44e-11ed-b127-a519df48811e"))
	// Output: <nil>
}

func ExampleClient_Refund() {
	client, done := exampleGateway(http.StatusOK, "refund.response.json")
	defer done()

	refund, err := client.Refund(context.Background(), athmovil.RefundRequest{
		ReferenceNumber: "402894d56b240610016b2e6c78a6003a",
		Amount:          money.MustParse("1.00"),
		Message:         "wrong size",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(refund.Amount, "back to", refund.Name, "of", refund.Original.Total)
	// Output: 1.00 back to [private] of 1.00
}

func ExampleClient_TransactionReport() {
	client, done := exampleGateway(http.StatusOK, "report.quirks.response.json")
	defer done()

	day := time.Date(2021, time.July, 8, 0, 0, 0, 0, athmovil.Location())
	report, err := client.TransactionReport(context.Background(), day, day.AddDate(0, 0, 1))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range report.Rows {
		fmt.Println(row.Date.Format(time.TimeOnly), row.TransactionType, row.Total, row.TotalRefundedAmount)
	}
	for _, problem := range report.Quarantined {
		fmt.Println(problem)
	}
	// Output:
	// 00:36:39 ECOMMERCE 1.00 1.00
	// 09:12:44 PAYMENT 3.00 0.00
	// row 2: total cannot be read
	// row 3: not a JSON object
}

func ExampleClient_Search() {
	client, done := exampleGateway(http.StatusOK, "search.response.json")
	defer done()

	found, err := client.Search(context.Background(), athmovil.SearchRequest{Metadata1: "metadata1 test"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(found.Rows), found.Rows[0].ReferenceNumber)
	// Output: 1 402894d56b240610016b2e6c78a6003a
}

func ExampleClient_SubscribeWebhook() {
	client, done := exampleGateway(http.StatusOK, "cancel.response.json")
	defer done()

	listener := private.NewToken("https://your.site/webhooks/an-unguessable-path")
	fmt.Println(client.SubscribeWebhook(context.Background(), athmovil.AllEvents(listener)))
	// Output: <nil>
}

func ExampleParseWebhook() {
	body, err := os.ReadFile(filepath.Join("testdata", "wire", "webhook.completed.captured.json"))
	if err != nil {
		fmt.Println(err)
		return
	}
	event, err := athmovil.ParseWebhook(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	// This is a claim, not a fact. Check it with Find.
	fmt.Println(event.Kind, event.EcommerceID, event.Total)
	// Output: ecommerce_completed a1b2c3d4-e5f6-7890-abcd-ef1234567890 3.00
}

func ExampleParsePhone() {
	fmt.Println(athmovil.ParsePhone("+1 (787) 555-1234"))
	fmt.Println(athmovil.ParsePhone("555-1234"))
	// Output:
	// 7875551234 <nil>
	//  not a phone number of ten digits, such as 7875551234
}
