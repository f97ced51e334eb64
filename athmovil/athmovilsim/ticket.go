package athmovilsim

import (
	"slices"
	"time"
)

// status is a ticket's ecommerceStatus (docs/athmovil.md §3). Journals store the
// values: never rename one.
type status string

const (
	statusOpen      status = "OPEN"
	statusConfirm   status = "CONFIRM"
	statusCompleted status = "COMPLETED"
	statusCancel    status = "CANCEL"
)

// ending says why a ticket is CANCEL. The status does not show it
// (docs/athmovil.md §1.2), but errors and webhooks do.
type ending string

const (
	byCustomer ending = "customer"
	byMerchant ending = "merchant"
	byTimer    ending = "timer"
)

// ticket is one sale. Tickets are values: each transition returns a new one, which
// the journal stores whole.
type ticket struct {
	ID        string    `json:"id"`
	Business  string    `json:"business"` // public token of its owner
	Subject   string    `json:"subject"`  // claim "sub" of its auth token
	Status    status    `json:"status"`
	EndedBy   ending    `json:"ended_by,omitempty"`
	Total     cents     `json:"total"`
	SubTotal  cents     `json:"subtotal"`
	Tax       cents     `json:"tax"`
	Metadata1 string    `json:"metadata1"`
	Metadata2 string    `json:"metadata2"`
	Items     []item    `json:"items"`
	Phone     string    `json:"phone"` // ten digits, or empty
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Plan      []step    `json:"plan,omitempty"` // the remaining steps of a scripted customer

	// Set by the authorization.
	CompletedAt time.Time `json:"completed_at,omitzero"`
	Reference   string    `json:"reference,omitempty"`
	DailyID     int       `json:"daily_id,omitempty"`
	Fee         cents     `json:"fee,omitempty"`
	Refunds     []refund  `json:"refunds,omitempty"`
}

// item is a line of the receipt, for display only.
type item struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Quantity    int    `json:"quantity"`
	Price       cents  `json:"price"`
	Tax         cents  `json:"tax"`
	Metadata    string `json:"metadata"`
	SKU         string `json:"sku,omitempty"`
}

// refund is money that went back to the customer.
type refund struct {
	Reference string    `json:"reference"`
	DailyID   int       `json:"daily_id"`
	Amount    cents     `json:"amount"`
	Message   string    `json:"message,omitempty"`
	At        time.Time `json:"at"`
	External  bool      `json:"external,omitempty"` // made in the ATH Business app
}

// step is one planned action of a scripted customer.
type step struct {
	At     time.Time `json:"at"`
	Action action    `json:"action"`
}

// live reports whether the ticket can still change its status.
func (t ticket) live() bool { return t.Status == statusOpen || t.Status == statusConfirm }

// refunded is the total of the refunds.
func (t ticket) refunded() cents {
	var sum cents
	for _, r := range t.Refunds {
		sum += r.Amount
	}
	return sum
}

// net is what the business received, before refunds. It is zero until the ticket is
// completed.
func (t ticket) net() cents {
	if t.Status != statusCompleted {
		return 0
	}
	return t.Total - t.Fee
}

// deadline is when the ticket expires. It returns false if the timer has stopped.
func (t ticket) deadline(confirmStops bool) (time.Time, bool) {
	if !t.live() || confirmStops && t.Status == statusConfirm {
		return time.Time{}, false
	}
	return t.ExpiresAt, true
}

// due is the time of the ticket's next automatic change. It returns false if there
// is none.
func (t ticket) due(confirmStops bool) (time.Time, bool) {
	at, running := t.deadline(confirmStops)
	if !t.live() || len(t.Plan) == 0 || running && !t.Plan[0].At.Before(at) {
		return at, running
	}
	return t.Plan[0].At, true
}

// withPhone sets the ticket's phone number. Its owner sees the ticket from then on,
// and follows the script in the table of customers.
func (t ticket) withPhone(phone string, now time.Time) ticket {
	t.Phone = phone
	t.Plan = customerOf(phone).plan(now, t.ExpiresAt)
	return t
}

// confirmed is the ticket after the customer confirms. phone is that customer's
// number. Empty means the one that got the push (docs/athmovil.md §1.11).
func (t ticket) confirmed(phone string) (ticket, error) {
	if phone == "" {
		phone = t.Phone
	}
	switch {
	case t.EndedBy == byTimer:
		return t, refuse(codeTicketExpired)
	case t.Status == statusCancel:
		return t, refuse(codeCancelled)
	case t.Status != statusOpen:
		return t, refuse(codeWrongStatus)
	case t.Phone != "" && phone != t.Phone:
		return t, refuse(codeOtherCustomer)
	case customerOf(phone).ownsBusiness:
		return t, refuse(codeOwnCard)
	}
	t.Phone = phone
	t.Status = statusConfirm
	return t, nil
}

// cancelled is the ticket after it is canceled or expires. It must not be completed.
func (t ticket) cancelled(by ending) (ticket, error) {
	switch {
	case t.live():
	case t.EndedBy == byTimer && by == byCustomer:
		return t, refuse(codeTicketExpired)
	default:
		return t, refuse(codeWrongStatus)
	}
	t.Status = statusCancel
	t.EndedBy = by
	t.Plan = nil
	return t, nil
}

// authorizable returns why the ticket cannot be debited, or nil (docs/athmovil.md
// §1.3).
func (t ticket) authorizable() error {
	switch {
	case t.Status == statusConfirm:
		return nil
	case t.EndedBy == byTimer:
		return refuse(codeTicketExpired)
	case t.Status == statusCancel:
		return refuse(codeCancelled)
	default:
		return refuse(codeNotConfirmed)
	}
}

// completed is the ticket after the debit. The caller has checked authorizable.
func (t ticket) completed(now time.Time, reference string, dailyID int, fee cents) ticket {
	t.Status = statusCompleted
	t.Plan = nil
	t.CompletedAt = now
	t.Reference = reference
	t.DailyID = dailyID
	t.Fee = fee
	return t
}

// withRefund adds r. The refunds must not exceed the total (docs/athmovil.md §1.5).
func (t ticket) withRefund(r refund) (ticket, error) {
	switch {
	case t.Status != statusCompleted:
		return t, refuse(codeWrongStatus)
	case r.Amount < minimumRefund:
		return t, refuse(codeBelowCent)
	case r.Amount > t.Total-t.refunded():
		return t, refuse(codeOverLimit)
	}
	t.Refunds = append(slices.Clone(t.Refunds), r)
	return t, nil
}
