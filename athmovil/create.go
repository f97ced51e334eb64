package athmovil

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// The gateway's limits (docs/athmovil.md §1.1). Text limits are in characters.
const (
	minTotalCents  = 1_00
	maxTotalCents  = 1500_00
	maxMetadata    = 40
	maxItemText    = 255
	maxSKU         = 100
	defaultTimeout = 600 * time.Second
)

// CreateRequest describes a ticket to open (docs/athmovil.md §1.1). Only Total
// is required. The customer sees Tax, SubTotal and Items.
type CreateRequest struct {
	Total    money.Amount // required, 1.00 to 1500.00
	Tax      money.Amount
	SubTotal money.Amount // SubTotal plus Tax must equal Total, if both are set
	// Timeout is how long the customer has to confirm, in whole seconds. 0
	// means the gateway's default of 600. The documented range is 120 to 600.
	// Above 900 the AuthToken expires before the ticket (docs/athmovil.md §2).
	Timeout time.Duration
	// PhoneNumber receives the push notification, in any form that [ParsePhone]
	// accepts. Empty means that UpdatePhoneNumber sets it later.
	PhoneNumber private.Text
	Metadata1   private.Text // at most 40 characters
	Metadata2   private.Text // at most 40 characters
	Items       []Item
}

// Validate reports everything that the gateway would refuse, in one error.
// Create calls it.
func (r CreateRequest) Validate() error {
	problems := []error{
		checkLength("metadata1", r.Metadata1, maxMetadata),
		checkLength("metadata2", r.Metadata2, maxMetadata),
	}
	if r.Total.Cents() < minTotalCents || r.Total.Cents() > maxTotalCents {
		problems = append(problems, errors.New("total must be from 1.00 to 1500.00"))
	}
	if r.Tax.IsNegative() || r.SubTotal.IsNegative() {
		problems = append(problems, errors.New("tax and subtotal must not be negative"))
	}
	if !r.Tax.IsZero() && !r.SubTotal.IsZero() && r.Tax.Add(r.SubTotal) != r.Total {
		problems = append(problems, errors.New("subtotal plus tax must equal the total"))
	}
	if r.Timeout < 0 || r.Timeout%time.Second != 0 {
		problems = append(problems, errors.New("timeout must be whole seconds"))
	}
	if _, err := optionalPhone(r.PhoneNumber); err != nil {
		problems = append(problems, fmt.Errorf("phone number: %w", err))
	}
	for i, item := range r.Items {
		if err := item.validate(); err != nil {
			problems = append(problems, fmt.Errorf("items[%d]: %w", i, err))
		}
	}
	return errors.Join(problems...)
}

func (i Item) validate() error {
	problems := []error{
		checkLength("name", i.Name, maxItemText),
		checkLength("description", i.Description, maxItemText),
		checkLength("metadata", i.Metadata, maxItemText),
		checkLength("sku", private.Text(i.SKU), maxSKU),
	}
	if i.Name == "" {
		problems = append(problems, errors.New("name is required"))
	}
	if i.Quantity < 1 {
		problems = append(problems, errors.New("quantity must be 1 or more"))
	}
	if i.Price.IsNegative() || i.Tax.IsNegative() {
		problems = append(problems, errors.New("price and tax must not be negative"))
	}
	return errors.Join(problems...)
}

func checkLength(name string, text private.Text, most int) error {
	if utf8.RuneCountInString(string(text)) > most {
		return fmt.Errorf("%s must not be longer than %d characters", name, most)
	}
	return nil
}

func optionalPhone(phone private.Text) (string, error) {
	if phone == "" {
		return "", nil
	}
	return ParsePhone(string(phone))
}

// createBody and itemBody are the form that is known to work (docs/athmovil.md
// §1.1): every key is sent, and every number is a string.
type createBody struct {
	Env         string     `json:"env"`
	PublicToken string     `json:"publicToken"`
	Timeout     string     `json:"timeout"`
	Total       string     `json:"total"`
	Tax         string     `json:"tax"`
	Subtotal    string     `json:"subtotal"`
	Metadata1   string     `json:"metadata1"`
	Metadata2   string     `json:"metadata2"`
	Items       []itemBody `json:"items"`
	PhoneNumber string     `json:"phoneNumber"`
}

type itemBody struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Quantity    string `json:"quantity"`
	Price       string `json:"price"`
	Tax         string `json:"tax"`
	Metadata    string `json:"metadata"`
	SKU         string `json:"sku,omitempty"`
}

// Create opens a ticket and, if the request has a phone number, sends a push
// notification to it. It debits nothing. After [ErrUnknown] a ticket may exist
// that cannot be authorized, because its token was lost. It expires by itself.
func (c *Client) Create(ctx context.Context, r CreateRequest) (Ticket, error) {
	if err := r.Validate(); err != nil {
		return Ticket{}, invalid(OpCreate, err)
	}
	phone, _ := optionalPhone(r.PhoneNumber) // validated above
	timeout := r.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	items := make([]itemBody, 0, len(r.Items))
	for _, i := range r.Items {
		items = append(items, itemBody{
			Name: string(i.Name), Description: string(i.Description), Quantity: strconv.Itoa(i.Quantity),
			Price: i.Price.String(), Tax: i.Tax.String(), Metadata: string(i.Metadata), SKU: i.SKU,
		})
	}
	var ticket Ticket
	err := c.do(ctx, request{
		op: OpCreate, method: http.MethodPost, url: c.config.BaseURL + ecommercePath + "/payment",
		body: createBody{
			Env: "production", PublicToken: c.config.PublicToken,
			Timeout: strconv.FormatInt(int64(timeout/time.Second), 10),
			Total:   r.Total.String(), Tax: r.Tax.String(), Subtotal: r.SubTotal.String(),
			Metadata1: string(r.Metadata1), Metadata2: string(r.Metadata2),
			Items: items, PhoneNumber: phone,
		},
		read: fromData(func(data *object) error {
			ticket = Ticket{
				EcommerceID: data.text("ecommerceId", "ecommerceID"),
				AuthToken:   private.NewToken(data.text("auth_token", "authToken")),
			}
			return data.require("ecommerceId", "auth_token")
		}),
	})
	if err != nil {
		return Ticket{}, err
	}
	return ticket, nil
}
