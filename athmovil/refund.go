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

// maxMessage is the longest refund message, in characters (docs/athmovil.md
// §1.5).
const maxMessage = 50

// RefundRequest describes a refund (docs/athmovil.md §1.5).
type RefundRequest struct {
	ReferenceNumber string       // of the sale; required
	Amount          money.Amount // required, 0.01 or more, at most what is not refunded yet
	Message         private.Text // at most 50 characters; may be empty
}

// Validate reports everything that the gateway would refuse, in one error.
// Refund calls it.
func (r RefundRequest) Validate() error {
	problems := []error{checkLength("message", r.Message, maxMessage)}
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

// Refund returns all or part of a sale to the customer. The gateway has no
// idempotency keys, so the same call again is a second refund. The Client never
// retries it. Refund succeeds only if the refund is COMPLETED with exactly the
// amount requested. After [ErrUnknown], compare Find's TotalRefundedAmount with
// its value before the call.
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

// RefundResult describes a completed refund (docs/athmovil.md §1.5).
type RefundResult struct {
	Status TicketStatus // always COMPLETED: anything else is an error of Refund
	Amount money.Amount // equal to the amount requested
	// ReferenceNumber is the refund's own or that of the sale: the gateway's
	// documentation and its sample disagree. Never use it alone as a key.
	ReferenceNumber    string
	DailyTransactionID string
	Date               time.Time // in [Location]; zero if unreadable
	Name               private.Text
	PhoneNumber        private.Text // ten digits
	Email              private.Text
	// Original is the refunded sale. Its TotalRefundedAmount includes this
	// refund. Nil if the gateway left it out or it cannot be read.
	Original *ReportRow
	// Unreadable names the fields that are present but cannot be read.
	Unreadable []string
}

// RefundedAmountError is the cause of the error of a Refund that the gateway says
// it executed with another amount. It is an [ErrUnknown].
type RefundedAmountError struct {
	Asked, Refunded money.Amount
}

// Error implements the error interface.
func (e *RefundedAmountError) Error() string {
	return fmt.Sprintf("requested %s, but the gateway refunded %s", e.Asked, e.Refunded)
}

func readRefund(data *object, asked money.Amount) (RefundResult, error) {
	o := data.nested("refund")
	if o == nil {
		return RefundResult{}, errors.New("refund is missing")
	}
	r := RefundResult{
		Status:             TicketStatus(strings.ToUpper(o.text("status"))),
		Amount:             o.amountOrZero("refundedAmount"),
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
		return RefundResult{}, &RefundedAmountError{Asked: asked, Refunded: r.Amount}
	}
	return r, nil
}
