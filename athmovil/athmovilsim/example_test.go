package athmovilsim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// A client completes a sale with a scripted customer who confirms at once.
func Example() {
	ctx := context.Background()
	sim, err := athmovilsim.New(athmovilsim.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sim.Close() }()
	gateway := httptest.NewServer(sim.Gateway())
	defer gateway.Close()
	control := httptest.NewServer(sim.Control())
	defer control.Close()

	client, err := athmovil.New(athmovil.Config{
		PublicToken:   athmovilsim.DefaultPublicToken,
		PrivateToken:  private.NewToken(athmovilsim.DefaultPrivateToken),
		BaseURL:       gateway.URL,
		ReportBaseURL: gateway.URL,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()

	ticket, err := client.Create(ctx, athmovil.CreateRequest{
		Total:       money.MustParse("25.00"),
		PhoneNumber: "787-555-0100",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	found, err := client.Find(ctx, ticket.EcommerceID)
	fmt.Println(found.Status, err)
	sale, err := client.Authorize(ctx, ticket.AuthToken)
	fmt.Println(sale.Status, sale.Total, sale.Fee, err)

	// The books show what was really debited and credited.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, control.URL+"/_sim/books", http.NoBody)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := control.Client().Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	var books struct{ Debits, Credits string }
	err = json.NewDecoder(response.Body).Decode(&books)
	fmt.Println(books.Debits, books.Credits, err)
	// Output:
	// CONFIRM <nil>
	// COMPLETED 25.00 0.56 <nil>
	// 25.00 0.00 <nil>
}
