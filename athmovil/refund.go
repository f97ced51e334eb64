package athmovil

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// maxMessage is in characters (docs/athmovil.md §1.5).
const maxMessage = 50

// RefundRequest asks for a refund (docs/athmovil.md §1.5).
type RefundRequest struct {
	ReferenceNumber string       // of the sale
	Amount          money.Amount // 0.01 or more, up to what is left
	Message         private.Text // at most 50 characters; may be empty
}

// Validate reports everything in the request that the gateway would refuse, in
// one error. Refund calls it.
func (r RefundRequest) Validate() error {
	problems := []error{notLonger("message", r.Message, maxMessage)}
	if r.ReferenceNumber == "" {
		problems = append(problems, errors.New("reference number is required"))
	}
	if r.Amount.Cents() < 1 {
		problems = append(problems, errors.New("amount must be 0.01 or more"))
	}
	return errors.Join(problems...)
}

type refundBody struct {
	PublicToken     string `json:"publicToken"`
	PrivateToken    string `json:"privateToken"`
	ReferenceNumber string `json:"referenceNumber"`
	Amount          string `json:"amount"`
	Message         string `json:"message"`
}

// Refund gives money back, in part or in full. It is never repeated by the
// Client, and the gateway knows no idempotency key: the same call again is a
// second refund. It succeeds only where the refund is COMPLETED with the very
// amount asked for; after [ErrUnknown] compare Find's TotalRefundedAmount with
// what it was before.
func (c *Client) Refund(ctx context.Context, r RefundRequest) (RefundResult, error) {
	if err := r.Validate(); err != nil {
		return RefundResult{}, invalid(OpRefund, err)
	}
	var result RefundResult
	err := c.do(ctx, request{
		op: OpRefund, method: http.MethodPost, url: c.config.BaseURL + ecommercePath + "/refund",
		body: refundBody{
			PublicToken: c.config.PublicToken, PrivateToken: c.config.PrivateToken.Reveal(),
			ReferenceNumber: r.ReferenceNumber, Amount: r.Amount.String(), Message: string(r.Message),
		},
		read: fromData(func(data *object) (err error) {
			result, err = readRefund(data, r.Amount)
			return err
		}),
	})
	if err != nil {
		return RefundResult{}, err
	}
	return result, nil
}

// RefundResult is a refund that was carried out (docs/athmovil.md §1.5).
type RefundResult struct {
	Status TicketStatus // always COMPLETED: anything else is an error of Refund
	Amount money.Amount // as echoed, equal to the amount asked for
	// ReferenceNumber is the refund's own, or the sale's again: the gateway's
	// text and sample disagree. Never use it alone as a key.
	ReferenceNumber    string
	DailyTransactionID string
	Date               time.Time // zero where unreadable; in [Location]
	Name               private.Text
	PhoneNumber        private.Text // ten digits
	Email              private.Text
	// Original is the refunded sale with its TotalRefundedAmount after this
	// refund; nil where the gateway left it out or it cannot be read.
	Original *ReportRow
	// Unreadable names the fields that were there and made no sense.
	Unreadable []string
}

func readRefund(data *object, asked money.Amount) (RefundResult, error) {
	o := data.nested("refund")
	if o == nil {
		return RefundResult{}, errors.New("refund is missing")
	}
	r := RefundResult{
		Status:             TicketStatus(strings.ToUpper(o.text("status"))),
		Amount:             o.sum("refundedAmount"),
		ReferenceNumber:    o.text("referenceNumber"),
		DailyTransactionID: o.dailyID(),
		Date:               o.date("date"),
		Name:               o.private("name"),
		PhoneNumber:        o.phone("phoneNumber"),
		Email:              o.private("email"),
	}
	if original := data.nested("originalTransaction"); original != nil {
		row := readRow(original)
		if original.require("total", "totalRefundedAmount") == nil {
			r.Original = &row
		} else {
			data.unreadable = append(data.unreadable, "originalTransaction")
		}
	}
	r.Unreadable = append(o.unreadable, data.unreadable...)
	if err := o.require("status", "refundedAmount"); err != nil {
		return RefundResult{}, err
	}
	if r.Status != StatusCompleted {
		return RefundResult{}, errors.New("the refund's status is not COMPLETED")
	}
	if r.Amount != asked {
		return RefundResult{}, fmt.Errorf("%s was asked for, %s is said to be refunded", asked, r.Amount)
	}
	return r, nil
}
