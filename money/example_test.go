package money_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cobropay/cobro/money"
)

func ExampleParse() {
	price, err := money.Parse("12.50")
	fmt.Println(price, err)
	_, err = money.Parse("1.005")
	fmt.Println(err)
	fmt.Println(errors.Is(err, money.ErrSyntax))
	// Output:
	// 12.50 <nil>
	// not an amount: "1.005": at most two decimals
	// true
}

func ExampleFromCents() {
	fmt.Println(money.FromCents(12_50))
	fmt.Println(money.FromCents(-5))
	fmt.Println(money.FromCents(12_50).Cents())
	// Output:
	// 12.50
	// -0.05
	// 1250
}

func ExampleParseNoisy() {
	fee, err := money.ParseNoisy("0.6000000238418579") // as ATH Móvil sends it
	fmt.Println(fee, err)
	// Output:
	// 0.60 <nil>
}

func ExampleAmount_Add() {
	subtotal, tax := money.MustParse("22.42"), money.MustParse("2.58")
	fmt.Println(subtotal.Add(tax))
	// Output:
	// 25.00
}

func ExampleAmount_Sub() {
	paid, refunded := money.MustParse("25.00"), money.MustParse("5.00")
	fmt.Println(paid.Sub(refunded))
	// Output:
	// 20.00
}

func ExampleAmount_Cmp() {
	paid, refund := money.MustParse("25.00"), money.MustParse("30.00")
	if refund.Cmp(paid) > 0 {
		fmt.Println("refund exceeds payment")
	}
	fmt.Println(paid == money.MustParse("25"))
	// Output:
	// refund exceeds payment
	// true
}

func ExampleAmount_MarshalJSON() {
	data, err := json.Marshal(map[string]money.Amount{"total": money.FromCents(12_50)})
	fmt.Println(string(data), err)
	// Output:
	// {"total":"12.50"} <nil>
}

func ExampleAmount_UnmarshalJSON() {
	var order struct {
		Total money.Amount `json:"total"`
	}
	err := json.Unmarshal([]byte(`{"total": "12.50"}`), &order)
	fmt.Println(order.Total, err)
	err = json.Unmarshal([]byte(`{"total": 12.5}`), &order)
	fmt.Println(err)
	// Output:
	// 12.50 <nil>
	// not an amount: "12.5": write it as a string like "25.00"
}
