package athmovil

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cobropay/cobro/private"
)

// ticketBody is the body of Find and Cancel.
type ticketBody struct {
	EcommerceID string `json:"ecommerceId"`
	PublicToken string `json:"publicToken"`
}

// Find returns the current state of a ticket (docs/athmovil.md §1.2). The error
// for an unknown ticket has [CodeTicketNotFound].
func (c *Client) Find(ctx context.Context, ecommerceID string) (Transaction, error) {
	if err := checkTicket(ecommerceID); err != nil {
		return Transaction{}, invalid(OpFind, err)
	}
	var found Transaction
	err := c.do(ctx, request{
		op: OpFind, method: http.MethodPost, url: c.config.BaseURL + ecommercePath + "/business/findPayment",
		body: ticketBody{EcommerceID: ecommerceID, PublicToken: c.config.PublicToken},
		read: fromData(func(data *object) (err error) {
			found, err = readTransaction(data)
			if err == nil && !strings.EqualFold(found.EcommerceID, ecommerceID) {
				return errors.New("the response is about another ticket")
			}
			return err
		}),
	})
	if err != nil {
		return Transaction{}, err
	}
	return found, nil
}

// Authorize debits the customer (docs/athmovil.md §1.3). It is the only call that
// takes money. The token alone identifies the ticket, whose status must be
// CONFIRM. The Client never retries it. After an error for which
// [Error.LookFirst] is true, call Find before anything else.
func (c *Client) Authorize(ctx context.Context, token private.Token) (Transaction, error) {
	if err := checkTicketToken(token); err != nil {
		return Transaction{}, invalid(OpAuthorize, err)
	}
	var done Transaction
	err := c.do(ctx, request{
		op: OpAuthorize, method: http.MethodPost, url: c.config.BaseURL + ecommercePath + "/authorization",
		bearer: token, body: struct{}{},
		read: fromData(func(data *object) (err error) {
			if done, err = readTransaction(data); err != nil {
				return err
			}
			if done.Status != StatusCompleted {
				return errors.New("the ticket's status is not COMPLETED")
			}
			return data.require("referenceNumber")
		}),
	})
	if err != nil {
		return Transaction{}, err
	}
	return done, nil
}

type phoneBody struct {
	EcommerceID string `json:"ecommerceId"`
	PhoneNumber string `json:"phoneNumber"`
}

// UpdatePhoneNumber sets the phone number of an open ticket, which receives the
// push notification (docs/athmovil.md §1.4). If the ticket already has a number,
// the error has [CodePhoneAssigned].
func (c *Client) UpdatePhoneNumber(ctx context.Context, token private.Token, ecommerceID string, phone private.Text) error {
	digits, err := ParsePhone(string(phone))
	if err != nil {
		err = fmt.Errorf("phone number: %w", err)
	}
	if err := errors.Join(checkTicketToken(token), checkTicket(ecommerceID), err); err != nil {
		return invalid(OpUpdatePhoneNumber, err)
	}
	return c.do(ctx, request{
		op: OpUpdatePhoneNumber, method: http.MethodPut,
		url:    c.config.BaseURL + ecommercePath + "/business/updatePhoneNumber",
		bearer: token, body: phoneBody{EcommerceID: ecommerceID, PhoneNumber: digits},
		read: fromEnvelope,
	})
}

// Cancel ends a ticket that is not completed (docs/athmovil.md §1.6). Check with
// Find afterwards: the sale may have completed first.
func (c *Client) Cancel(ctx context.Context, ecommerceID string) error {
	if err := checkTicket(ecommerceID); err != nil {
		return invalid(OpCancel, err)
	}
	return c.do(ctx, request{
		op: OpCancel, method: http.MethodPost, url: c.config.BaseURL + ecommercePath + "/business/cancel",
		body: ticketBody{EcommerceID: ecommerceID, PublicToken: c.config.PublicToken},
		read: fromEnvelope,
	})
}

func checkTicket(ecommerceID string) error {
	if ecommerceID == "" {
		return errors.New("ecommerce id is required")
	}
	return nil
}

func checkTicketToken(token private.Token) error { return checkToken("auth token", token.Reveal()) }
