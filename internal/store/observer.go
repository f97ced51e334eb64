package store

import (
	"time"

	"github.com/cobropay/cobro/internal/ledger"
)

// Observer is notified after a commit that wrote something for the first time,
// and never about a repetition in any process. If a process dies between the
// commit and the call, the call is lost. Observers are safe for concurrent use
// and never block.
type Observer interface {
	// PaymentMoved hears of a step of a payment that was asked for at a moment.
	// Imported payments are not heard of.
	PaymentMoved(step ledger.Transition, askedAt time.Time)
	// EventSettled hears of a verdict that replaces another one.
	EventSettled(verdict ledger.EventVerdict)
	// ReceiverCalled hears of an attempt to notify. Of the receiver only its host,
	// event and name are given.
	ReceiverCalled(receiver ledger.Receiver, failed bool)
}

// nobody is the observer of a store that has none.
type nobody struct{}

func (nobody) PaymentMoved(ledger.Transition, time.Time) {}
func (nobody) EventSettled(ledger.EventVerdict)          {}
func (nobody) ReceiverCalled(ledger.Receiver, bool)      {}
