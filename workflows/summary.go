package workflows

import (
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// DescribePayment returns the summary of a payment's workflow for people who look
// at the UI, and its first search attributes: no personal data.
func DescribePayment(r payment.Request) (summary string, attributes []temporal.SearchAttributeUpdate) {
	summary = "$" + r.Total.String()
	attributes = []temporal.SearchAttributeUpdate{SearchTotalCents.ValueSet(r.Total.Cents())}
	if r.Reference != "" {
		summary += " · " + r.Reference
		attributes = append(attributes, SearchReference.ValueSet(r.Reference))
	}
	return summary, attributes
}

// DescribeRefund does so for a refund. A nil amount means all that is left.
func DescribeRefund(paymentID string, amount *money.Amount) (summary string, attributes []temporal.SearchAttributeUpdate) {
	if amount == nil {
		return "refund of all that is left · " + paymentID, nil
	}
	return "refund of $" + amount.String() + " · " + paymentID, []temporal.SearchAttributeUpdate{SearchTotalCents.ValueSet(amount.Cents())}
}
