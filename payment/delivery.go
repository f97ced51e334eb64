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
