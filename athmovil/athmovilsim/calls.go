package athmovilsim

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// business returns the business of a body's publicToken.
func (s *Simulator) business(f fields) (Business, error) {
	token, err := f.required("publicToken")
	if err != nil {
		return Business{}, err
	}
	b, known := s.businesses[token]
	if !known {
		return Business{}, refuse(codeBadCredentials)
	}
	return b, nil
}

// authenticate returns the business of a body's publicToken and privateToken.
func (s *Simulator) authenticate(f fields) (Business, error) {
	b, err := s.business(f)
	if err != nil {
		return Business{}, err
	}
	private, err := f.required("privateToken")
	if err != nil {
		return Business{}, err
	}
	if subtle.ConstantTimeCompare([]byte(private), []byte(b.PrivateToken)) != 1 {
		return Business{}, refuse(codeBadCredentials)
	}
	return b, nil
}

// readBody parses a call's body and returns its business. The second argument is
// s.business, s.authenticate or s.legacyAuthenticate.
func readBody(c call, authenticate func(fields) (Business, error)) (fields, Business, error) {
	f, err := parseFields(c.body)
	if err != nil {
		return nil, Business{}, err
	}
	b, err := authenticate(f)
	return f, b, err
}

// canSell returns why a business cannot sell, or nil.
func (b Business) canSell() error {
	switch b.Standing {
	case Inactive:
		return refuse(codeNotActive)
	case Suspended:
		return refuse(codeStatusNotActive)
	case TokenExpired:
		return refuse(codeBusinessToken)
	default:
		return nil
	}
}

// owned returns the ticket that a call's body names, if it belongs to the
// business of its publicToken.
func (s *Simulator) owned(c call) (ticket, error) {
	f, b, err := readBody(c, s.business)
	if err != nil {
		return ticket{}, err
	}
	id, err := f.required("ecommerceId")
	if err != nil {
		return ticket{}, err
	}
	t, known := s.state.tickets[id]
	switch {
	case !known:
		return ticket{}, refuse(codeUnknownTicket)
	case t.Business != b.PublicToken && s.config.Settings.ForeignTicketIsNamed:
		return ticket{}, refuse(codeForeignID)
	case t.Business != b.PublicToken:
		return ticket{}, refuse(codeUnknownTicket)
	}
	return t, nil
}

// create opens a ticket (docs/athmovil.md §1.1).
func (s *Simulator) create(c call, now time.Time) (effect, error) {
	f, b, err := readBody(c, s.business)
	if err != nil {
		return effect{}, err
	}
	if err := b.canSell(); err != nil {
		return effect{}, err
	}
	t, err := s.newTicket(f, now)
	if err != nil {
		return effect{}, err
	}
	t.Business = b.PublicToken
	token, err := s.sign(t.Subject, now)
	if err != nil {
		return effect{}, err
	}
	return effect{change{Ticket: &t}, created{EcommerceID: t.ID, AuthToken: token}}, nil
}

// newTicket reads the ticket from the body of a create.
func (s *Simulator) newTicket(f fields, now time.Time) (t ticket, err error) {
	id, err := uuid.NewUUID() // version 1, as in every sample
	if err != nil {
		return t, fmt.Errorf("make ecommerceId: %w", err)
	}
	t = ticket{ID: id.String(), Subject: newSubject(), Status: statusOpen, CreatedAt: now}
	if t.Total, err = f.total(); err != nil {
		return t, err
	}
	if t.SubTotal, err = f.displayAmount("subtotal"); err != nil {
		return t, err
	}
	if t.Tax, err = f.displayAmount("tax"); err != nil {
		return t, err
	}
	if t.Metadata1, err = f.limited("metadata1", maxMetadata, codeLongMetadata); err != nil {
		return t, err
	}
	if t.Metadata2, err = f.limited("metadata2", maxMetadata, codeLongMetadata); err != nil {
		return t, err
	}
	if t.Items, err = f.items(); err != nil {
		return t, err
	}
	timeout, err := f.timeout(s.config.MinTimeout, s.config.Settings.LongTimeout)
	if err != nil {
		return t, err
	}
	t.ExpiresAt = now.Add(timeout)
	phone, err := f.phone()
	if err != nil {
		return t, err
	}
	return t.withPhone(phone, now), nil
}

// find returns the state of a ticket (docs/athmovil.md §1.2). It ignores a bearer
// token.
func (s *Simulator) find(c call, _ time.Time) (effect, error) {
	t, err := s.owned(c)
	if err != nil {
		return effect{}, err
	}
	return effect{answer: s.transactionOf(t)}, nil
}

// authorization debits the customer (docs/athmovil.md §1.3). The token alone
// identifies the ticket. The body is ignored.
func (s *Simulator) authorization(c call, now time.Time) (effect, error) {
	t, err := s.bearer(c.header, now)
	if err != nil {
		return effect{}, err
	}
	if t.Status == statusCompleted && s.config.Settings.AuthorizeTwiceSucceeds {
		return effect{answer: s.transactionOf(t)}, nil
	}
	if err := t.authorizable(); err != nil {
		return effect{}, err
	}
	if code := customerOf(t.Phone).declined; code != "" {
		return effect{}, refuse(code)
	}
	done := s.state.authorize(t, now, feeOf(t.Total, s.config.Settings.FeeRoundsDown))
	return effect{done, s.transactionOf(*done.Ticket)}, nil
}

// updatePhoneNumber sets the phone number that gets the push (docs/athmovil.md
// §1.4).
func (s *Simulator) updatePhoneNumber(c call, now time.Time) (effect, error) {
	t, err := s.bearer(c.header, now)
	if err != nil {
		return effect{}, err
	}
	f, err := parseFields(c.body)
	if err != nil {
		return effect{}, err
	}
	id, err := f.required("ecommerceId")
	if err != nil {
		return effect{}, err
	}
	if _, err := f.required("phoneNumber"); err != nil {
		return effect{}, err
	}
	phone, err := f.phone()
	if err != nil {
		return effect{}, err
	}
	_, known := s.state.tickets[id]
	switch {
	case !known:
		return effect{}, refuse(codeUnknownTicket)
	case id != t.ID:
		return effect{}, refuse(codeTokenOfOther)
	case t.Status != statusOpen && !s.config.Settings.PhoneAtAnyTime:
		return effect{}, refuse(codeWrongStatus)
	case t.Phone != "":
		return effect{}, refuse(codeHasPhone)
	}
	t = t.withPhone(phone, now)
	return effect{change{Ticket: &t}, "Update Phone Number"}, nil
}

// refund credits the customer (docs/athmovil.md §1.5).
func (s *Simulator) refund(c call, now time.Time) (effect, error) {
	f, b, err := readBody(c, s.authenticate)
	if err != nil {
		return effect{}, err
	}
	reference, err := f.required("referenceNumber")
	if err != nil {
		return effect{}, err
	}
	amount, err := f.amount("amount")
	if err != nil {
		return effect{}, err
	}
	message, err := f.limited("message", maxMessage, codeLongMessage)
	if err != nil {
		return effect{}, err
	}
	if amount < minimumRefund {
		return effect{}, refuse(codeBelowCent)
	}
	t, known := s.state.tickets[s.state.references[reference]]
	switch {
	case !known:
		return effect{}, refuse(codeUnknownReference)
	case t.Business != b.PublicToken:
		return effect{}, refuse(codeNotOwner)
	}
	if code := customerOf(t.Phone).notRefunded; code != "" {
		return effect{}, refuse(code)
	}
	done, err := s.state.refund(t, refund{Amount: amount, Message: message}, now, s.config.Settings.RefundEchoesReference)
	if err != nil {
		return effect{}, err
	}
	return effect{done, s.refundAnswer(*done.Ticket)}, nil
}

// cancelTicket cancels a ticket for the merchant (docs/athmovil.md §1.6).
func (s *Simulator) cancelTicket(c call, _ time.Time) (effect, error) {
	const answer = "Payment Cancelled."
	t, err := s.owned(c)
	if err != nil {
		return effect{}, err
	}
	if t.Status == statusCancel && s.config.Settings.CancelTwiceSucceeds {
		return effect{answer: answer}, nil
	}
	done, err := s.state.cancel(t.ID, byMerchant, s.config.Settings.MerchantCancelIsSilent)
	if err != nil {
		return effect{}, err
	}
	return effect{done, answer}, nil
}

// subscribe sets the listener for a business's webhooks (docs/athmovil.md §1.7). A
// new listener replaces the old one.
func (s *Simulator) subscribe(c call, _ time.Time) (effect, error) {
	f, b, err := readBody(c, s.authenticate)
	if err != nil {
		return effect{}, err
	}
	listener, err := f.required("listenerURL")
	if err != nil {
		return effect{}, err
	}
	if !isListenerURL(listener) {
		return effect{}, refuse(codeInvalidFormat)
	}
	sub := subscription{Business: b.PublicToken, URL: listener, Events: map[string]bool{}}
	for _, flag := range subscriptionFlags() {
		raw := bytes.TrimSpace(f[flag])
		switch strings.ToLower(string(raw)) {
		case "true":
			sub.Events[flag] = true
		case "", "false", "null":
		default:
			return effect{}, refuse(codeInvalidFormat)
		}
	}
	return effect{change{Subscription: &sub}, "Webhook subscribed"}, nil
}
