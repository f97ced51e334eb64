package workflows

import (
	"cmp"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// The types of this file are stored in histories: fields are only ever added.

// ProcessPaymentInput starts ProcessPayment, once the payment is reserved.
type ProcessPaymentInput struct {
	PaymentID   string          `json:"payment_id"`
	Fingerprint string          `json:"fingerprint"` // keyed digest of the request
	Request     payment.Request `json:"request"`
	CreatedAt   time.Time       `json:"created_at"` // when the merchant asked; the deadline counts from it
	Timing      Timing          `json:"timing"`
}

// TicketOutcome answers UpdateAwaitTicket with the payment, whose row is written
// by then.
type TicketOutcome struct {
	Payment *payment.Payment `json:"payment,omitempty"`
	// Waited is how long the workflow waited for a worker before it began, by the
	// server's clock.
	Waited time.Duration `json:"waited,omitempty"`
}

// CancelOutcome answers UpdateCancel with what became of the payment.
type CancelOutcome struct {
	Payment *payment.Payment `json:"payment,omitempty"`
}

// SetPhoneNumberRequest asks the gateway to send its push notification to a
// customer for a payment that was made without a number.
type SetPhoneNumberRequest struct {
	PhoneNumber private.Text `json:"phone_number"` // ten digits
}

// PhoneNumberOutcome answers UpdateSetPhoneNumber. Failure is nil where the
// gateway took the number.
type PhoneNumberOutcome struct {
	Payment *payment.Payment `json:"payment,omitempty"`
	Failure *payment.Failure `json:"failure,omitempty"`
}

// RefundPaymentInput starts RefundPayment, once the refund is reserved.
type RefundPaymentInput struct {
	RefundID    string        `json:"refund_id"`
	PaymentID   string        `json:"payment_id"`
	Amount      *money.Amount `json:"amount,omitempty"` // nil means all that is left
	Message     private.Text  `json:"message,omitempty"`
	Fingerprint string        `json:"fingerprint"`
	CreatedAt   time.Time     `json:"created_at"`
	Timing      Timing        `json:"timing"`
}

// RefundOutcome answers UpdateAwaitRefund and is RefundPayment's result. It has
// either Refund or Refusal.
type RefundOutcome struct {
	Refund  *payment.Refund        `json:"refund,omitempty"`
	Refusal *payment.RefundRefusal `json:"refusal,omitempty"`
}

// ReviewRequest is a person's decision on a payment or a refund in review.
type ReviewRequest struct {
	Verdict payment.Verdict `json:"verdict"`
	Reason  private.Text    `json:"reason"`
	By      string          `json:"by"` // the API key, by its name
}

// SettleRefundInput starts SettleRefund.
type SettleRefundInput struct {
	PaymentID string        `json:"payment_id"`
	RefundID  string        `json:"refund_id"`
	Word      ReviewRequest `json:"word"`
	Timing    Timing        `json:"timing"`
}

// ReviewOutcome answers UpdateReview and UpdateAwaitSettlement. Where Refused is
// empty the decision was recorded, or agrees with what the gateway says by now.
// Either way the row is written.
type ReviewOutcome struct {
	Payment *payment.Payment `json:"payment,omitempty"` // set where a payment is under review
	Refund  *payment.Refund  `json:"refund,omitempty"`  // set where a refund is
	Refused ReviewRefusal    `json:"refused,omitempty"`
	// Says is what the gateway says, where that contradicts the verdict.
	Says string `json:"says,omitempty"`
}

// ReviewRefusal says why a person's decision was not taken. Stored in histories:
// never rename a value.
type ReviewRefusal string

// The refusals.
const (
	ReviewNotOpen      ReviewRefusal = "not_in_review"
	ReviewContradicted ReviewRefusal = "review_contradicted" // by a fresh look at the gateway
)

// ReportAnswered tells a refund in review that a report which covers the time
// since it was sent has answered.
type ReportAnswered struct {
	Until time.Time `json:"until"` // the end of what the report covers
	// Listed says that the report has a refund of the payment's reference or
	// customer with the refund's amount.
	Listed bool `json:"listed"`
}

// ApplyLateEventInput starts ApplyLateEvent.
type ApplyLateEventInput struct {
	EventID string       `json:"event_id"` // of the stored webhook
	Event   GatewayEvent `json:"event"`
	// PaymentID is the payment that the event was matched with, or empty.
	PaymentID  string    `json:"payment_id,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	Timing     Timing    `json:"timing"`
}

// GatewayEvent is what a webhook claims, relayed by SignalGatewayEvent. It
// moves nothing by itself: it makes the workflow look, and its payer details
// are taken only where the gateway's own answer vouches for them.
type GatewayEvent struct {
	Digest          string        `json:"digest"` // also the signal's request id
	Kind            string        `json:"kind"`   // as docs/athmovil.md §4.2 names it
	EcommerceID     string        `json:"ecommerce_id,omitempty"`
	PaymentID       string        `json:"payment_id,omitempty"` // from metadata
	ReferenceNumber string        `json:"reference_number,omitempty"`
	Total           *money.Amount `json:"total,omitempty"`
	Name            private.Text  `json:"name,omitempty"`
	PhoneNumber     private.Text  `json:"phone_number,omitempty"` // digits
	Email           private.Text  `json:"email,omitempty"`
	Message         private.Text  `json:"message,omitempty"`
}

// Timing is every duration that a payment or a refund obeys. It travels in the
// workflow's input, so that a changed setting never changes a running payment.
// The zero value of each field means its default.
type Timing struct {
	// Details is how long a completed payment waits for the webhook with the
	// payer's details before receivers are notified. Default 10 s.
	Details time.Duration `json:"details,omitempty"`
	// CancelMargin is how long before the deadline a ticket that is over must
	// be seen to count as cancelled rather than expired. Default 5 s.
	CancelMargin time.Duration `json:"cancel_margin,omitempty"`
	// Grace is how long after the deadline the gateway may stay undecided
	// before the payment needs a review. Default 15 min.
	Grace time.Duration `json:"grace,omitempty"`
	// Stale is how long after the request work may begin. Default 30 s.
	Stale time.Duration `json:"stale,omitempty"`
	// PollFirst is the pause between the first looks of a payment that has to be
	// closed or whose debit is unknown; it grows to PollMost. A worker's poller
	// has its own. Defaults 1 s and 5 s.
	PollFirst time.Duration `json:"poll_first,omitempty"`
	PollMost  time.Duration `json:"poll_most,omitempty"`
	// Call is the gateway client's timeout for one call; a ticket that is
	// still confirmed longer than this after an authorization was sent was not
	// authorized by it. Default 30 s.
	Call time.Duration `json:"call,omitempty"`
	// Settle is how long a refund with an unknown outcome is watched before it
	// needs a review. Default 2 min.
	Settle time.Duration `json:"settle,omitempty"`
	// Review is the pause between looks while a review is needed. Default 1 h.
	Review time.Duration `json:"review,omitempty"`
	// Sweep is how old a reservation must be before a workflow that it lacks is
	// started for it; whoever reserved is first. Default 2 min.
	Sweep time.Duration `json:"sweep,omitempty"`
	// ForbidSecondAuthorize makes an authorization that surely did not happen
	// wait for a person instead of being tried again. Default false.
	ForbidSecondAuthorize bool `json:"forbid_second_authorize,omitempty"`
}

// DefaultTiming returns the default of every field.
func DefaultTiming() Timing {
	return Timing{
		Details: 10 * time.Second, CancelMargin: 5 * time.Second, Grace: 15 * time.Minute, Stale: 30 * time.Second,
		PollFirst: time.Second, PollMost: 5 * time.Second, Call: 30 * time.Second,
		Settle: 2 * time.Minute, Review: time.Hour, Sweep: 2 * time.Minute,
	}
}

// withDefaults fills the fields that are zero.
func (t Timing) withDefaults() Timing {
	standard := DefaultTiming()
	return Timing{
		Details:      cmp.Or(t.Details, standard.Details),
		CancelMargin: cmp.Or(t.CancelMargin, standard.CancelMargin),
		Grace:        cmp.Or(t.Grace, standard.Grace),
		Stale:        cmp.Or(t.Stale, standard.Stale),
		PollFirst:    cmp.Or(t.PollFirst, standard.PollFirst),
		PollMost:     cmp.Or(t.PollMost, standard.PollMost),
		Call:         cmp.Or(t.Call, standard.Call),
		Settle:       cmp.Or(t.Settle, standard.Settle),
		Review:       cmp.Or(t.Review, standard.Review),
		Sweep:        cmp.Or(t.Sweep, standard.Sweep),

		ForbidSecondAuthorize: t.ForbidSecondAuthorize,
	}
}

// DeliveryOrder is a person's order to give notifications up, by their ids. One
// that is not on its way is noted as dropped in any case.
type DeliveryOrder struct {
	Drop []string `json:"drop,omitempty"` // their receiver was removed
}

// DeliverNowRequest asks for an attempt at once, whatever the next pause is.
type DeliverNowRequest struct {
	NotificationID string `json:"notification_id"`
}

// DeliverNowOutcome answers UpdateDeliverNow.
type DeliverNowOutcome struct {
	Trying bool `json:"trying"` // false where the delivery has ended in this moment
}

// Types of the errors that UpdateDeliverNow is refused with.
const (
	// NotInFlight says that the workflow does not deliver the notification, or no
	// longer.
	NotInFlight = "not_in_flight"
	// HurriedEnough says that it does, and has been asked too often already: it
	// goes on by the receiver's retry policy.
	HurriedEnough = "hurried_enough"
)

// RedeliverNotificationInput starts RedeliverNotification.
type RedeliverNotificationInput struct {
	NotificationID string `json:"notification_id"`
	// Left is the workflow that had the delivery and has it no longer, or empty:
	// then only what has ended is sent again.
	Left string `json:"left,omitempty"`
}

// RedeliverNotificationResult is what came of it.
type RedeliverNotificationResult struct {
	Status  payment.DeliveryStatus `json:"status,omitempty"`
	Refusal string                 `json:"refusal,omitempty"` // why nothing was sent, in words for people
}
