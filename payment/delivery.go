package payment

import (
	"time"

	"github.com/cobropay/cobro/private"
)

// Delivery is one notification on its way to one receiver. Its JSON is the
// API's.
type Delivery struct {
	ID        string         `json:"id"` // the notification's
	PaymentID string         `json:"payment_id,omitempty"`
	RefundID  string         `json:"refund_id,omitempty"` // set for the refund events
	Event     Event          `json:"event"`
	Receiver  string         `json:"receiver"`
	Host      string         `json:"host"`
	Sequence  int            `json:"sequence"`
	Status    DeliveryStatus `json:"status"`
	Attempts  int            `json:"attempts"` // how often the receiver was called, as far as its host tells
	// LastError is what the last attempt that failed said. It may name a
	// customer.
	LastError private.Text `json:"last_error,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	EndedAt   *time.Time   `json:"ended_at,omitempty"`
	// WorkflowID is the workflow that delivers, or delivered last.
	WorkflowID string `json:"workflow_id,omitempty"`
}

// DeliveryStatus is where a delivery stands. Stored: never rename a value.
type DeliveryStatus string

// The statuses of a delivery. All but pending are ends, until it is sent again.
const (
	DeliveryPending   DeliveryStatus = "pending"
	DeliveryDelivered DeliveryStatus = "delivered"
	DeliveryFailed    DeliveryStatus = "failed"  // its time was over, or the receiver refused it for good
	DeliveryDropped   DeliveryStatus = "dropped" // its receiver was removed
)

// DeliveryStatuses lists every status.
func DeliveryStatuses() []DeliveryStatus {
	return []DeliveryStatus{DeliveryPending, DeliveryDelivered, DeliveryFailed, DeliveryDropped}
}

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

// DeliveryFilter selects deliveries of a list. Its zero value selects all.
type DeliveryFilter struct {
	PaymentID   string
	Status      DeliveryStatus
	Event       Event
	Host        string
	Receiver    string    // the name
	CreatedFrom time.Time // inclusive; zero means no bound
	CreatedTo   time.Time // exclusive; zero means no bound
	After       Cursor    // where the last page ended
	Limit       int       // 1 to 100
}

// Reopened answers the wish to send a notification again.
type Reopened struct {
	Notification Notification `json:"notification"`
	Receiver     Receiver     `json:"receiver"`
}

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
	Event    Event
	Status   DeliveryStatus
	Count    int
}
