package ledger

import (
	"time"

	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// Attempt is one call of a receiver. Its JSON is the API's.
type Attempt struct {
	DeliveryID string `json:"-"`
	// Execution and Number tell the attempts of a delivery apart: each time that
	// it is sent again is an execution of its own, whose attempts count from 1.
	Execution string    `json:"-"`
	Number    int       `json:"number"`
	At        time.Time `json:"at"` // when it ended
	// Error is what the receiver said; empty means that it took the
	// notification. It may name a customer.
	Error private.Text `json:"error,omitempty"`
	// Answer is what an HTTP endpoint answered; nil for other receivers.
	Answer *Answer `json:"answer,omitempty"`
}

// Answer is what an HTTP endpoint answered.
type Answer struct {
	Status int          `json:"status"`         // HTTP's; 0 where there was no answer
	Body   private.Text `json:"body,omitempty"` // its beginning
}

// Reopened answers the wish to send a notification again.
type Reopened struct {
	Notification payment.Notification `json:"notification"`
	Receiver     Receiver             `json:"receiver"`
}

// Redelivery is what an order to send a notification again comes to. It is part
// of the API: never rename a value.
type Redelivery string

// What an order comes to.
const (
	// SentAgain says that the delivery had ended, and that the receiver is called
	// again, with its own retries.
	SentAgain Redelivery = "sent_again"
	// TriedNow says that the notification was on its way, and that the next attempt
	// is made at once.
	TriedNow Redelivery = "tried_now"
	// LeftAlone says that it was on its way and that its next attempt comes when it
	// is due: the same was asked too often.
	LeftAlone Redelivery = "left_alone"
)

// DeliveryPendingError refuses to send again what is being sent.
type DeliveryPendingError struct {
	WorkflowID string // that sends it
}

// Error implements error.
func (e *DeliveryPendingError) Error() string {
	return "the notification is being sent by workflow " + e.WorkflowID
}

// DeliveryCount counts the notifications of one receiver in one status.
type DeliveryCount struct {
	Host     string
	Receiver string
	Event    payment.Event
	Status   payment.DeliveryStatus
	Count    int
}
