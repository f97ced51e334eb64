package payment

import (
	"encoding/json"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// paymentJSON is the payment as the API, the notifications and the histories
// write it. Fields are only ever added.
type paymentJSON struct {
	ID                 string        `json:"id"`
	Reference          *string       `json:"reference"`
	Status             Status        `json:"status"`
	Total              money.Amount  `json:"total"`
	Subtotal           *money.Amount `json:"subtotal"`
	Tax                *money.Amount `json:"tax"`
	PhoneNumber        *private.Text `json:"phone_number"`
	Metadata1          *private.Text `json:"metadata1"`
	Metadata2          *private.Text `json:"metadata2"`
	Items              []Item        `json:"items"`
	EcommerceID        *string       `json:"ecommerce_id"`
	ReferenceNumber    *string       `json:"reference_number"`
	DailyTransactionID *string       `json:"daily_transaction_id"`
	Captured           *money.Amount `json:"captured_amount"`
	Fee                *money.Amount `json:"fee"`
	NetAmount          *money.Amount `json:"net_amount"`
	RefundedAmount     money.Amount  `json:"refunded_amount"`
	Customer           customerJSON  `json:"customer"`
	Failure            *Failure      `json:"failure"`
	NeedsReview        bool          `json:"needs_review"`
	ExpiresAt          time.Time     `json:"expires_at"`
	CreatedAt          time.Time     `json:"created_at"`
	UpdatedAt          time.Time     `json:"updated_at"`
	CompletedAt        *time.Time    `json:"completed_at"`
}

type customerJSON struct {
	Name        *private.Text `json:"name"`
	PhoneNumber *private.Text `json:"phone_number"`
	Email       *private.Text `json:"email"`
}

// MarshalJSON writes the API's form of the payment.
func (p Payment) MarshalJSON() ([]byte, error) {
	items := p.Items
	if items == nil {
		items = []Item{}
	}
	return json.Marshal(paymentJSON{
		ID: p.ID, Reference: orNull(p.Reference), Status: p.Status,
		Total: p.Total, Subtotal: p.Subtotal, Tax: p.Tax,
		PhoneNumber: orNull(p.PhoneNumber), Metadata1: orNull(p.Metadata1), Metadata2: orNull(p.Metadata2),
		Items: items, EcommerceID: orNull(p.EcommerceID), ReferenceNumber: orNull(p.ReferenceNumber),
		DailyTransactionID: orNull(p.DailyTransactionID), Captured: p.Captured, Fee: p.Fee, NetAmount: p.NetAmount,
		RefundedAmount: p.RefundedAmount,
		Customer: customerJSON{
			Name: orNull(p.Customer.Name), PhoneNumber: orNull(p.Customer.PhoneNumber), Email: orNull(p.Customer.Email),
		},
		Failure: p.Failure, NeedsReview: p.NeedsReview,
		ExpiresAt: p.ExpiresAt.UTC(), CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(), CompletedAt: utc(p.CompletedAt),
	})
}

// UnmarshalJSON reads the API's form of the payment. ExpiresIn is not part of
// it and is set from the two times that are.
func (p *Payment) UnmarshalJSON(data []byte) error {
	var w paymentJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*p = Payment{
		ID: w.ID, Status: w.Status,
		Request: Request{
			Reference: orZero(w.Reference), Total: w.Total, Subtotal: w.Subtotal, Tax: w.Tax,
			PhoneNumber: orZero(w.PhoneNumber), Metadata1: orZero(w.Metadata1), Metadata2: orZero(w.Metadata2),
			Items: w.Items, ExpiresIn: w.ExpiresAt.Sub(w.CreatedAt),
		},
		EcommerceID: orZero(w.EcommerceID), ReferenceNumber: orZero(w.ReferenceNumber),
		DailyTransactionID: orZero(w.DailyTransactionID), Captured: w.Captured, Fee: w.Fee, NetAmount: w.NetAmount,
		RefundedAmount: w.RefundedAmount,
		Customer: Customer{
			Name: orZero(w.Customer.Name), PhoneNumber: orZero(w.Customer.PhoneNumber), Email: orZero(w.Customer.Email),
		},
		Failure: w.Failure, NeedsReview: w.NeedsReview,
		ExpiresAt: w.ExpiresAt, CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt, CompletedAt: w.CompletedAt,
	}
	return nil
}

// refundJSON is the refund as the API, the notifications and the histories
// write it. Fields are only ever added.
type refundJSON struct {
	ID              string        `json:"id"`
	PaymentID       string        `json:"payment_id"`
	Amount          money.Amount  `json:"amount"`
	Status          RefundStatus  `json:"status"`
	NeedsReview     bool          `json:"needs_review"`
	Failure         *Failure      `json:"failure"`
	ReferenceNumber *string       `json:"reference_number"`
	Message         *private.Text `json:"message"`
	Source          RefundSource  `json:"source"`
	CreatedAt       time.Time     `json:"created_at"`
	CompletedAt     *time.Time    `json:"completed_at"`
}

// MarshalJSON writes the API's form of the refund.
func (r Refund) MarshalJSON() ([]byte, error) {
	return json.Marshal(refundJSON{
		ID: r.ID, PaymentID: r.PaymentID, Amount: r.Amount, Status: r.Status, NeedsReview: r.NeedsReview,
		Failure: r.Failure, ReferenceNumber: orNull(r.ReferenceNumber), Message: orNull(r.Message),
		Source: r.Source, CreatedAt: r.CreatedAt.UTC(), CompletedAt: utc(r.CompletedAt),
	})
}

// UnmarshalJSON reads the API's form of the refund.
func (r *Refund) UnmarshalJSON(data []byte) error {
	var w refundJSON
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	*r = Refund{
		ID: w.ID, PaymentID: w.PaymentID, Amount: w.Amount, Status: w.Status, NeedsReview: w.NeedsReview,
		Failure: w.Failure, ReferenceNumber: orZero(w.ReferenceNumber), Message: orZero(w.Message),
		Source: w.Source, CreatedAt: w.CreatedAt, CompletedAt: w.CompletedAt,
	}
	return nil
}

func orNull[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

func orZero[S ~string](s *S) S {
	if s == nil {
		return ""
	}
	return *s
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
