package store

import (
	"time"

	"github.com/cobropay/cobro/internal/ledger"
)

// Observer hears of what was written for the first time, after the commit:
// never of a repetition, in whichever process it happens. A process that dies
// between the commit and the call takes what it had to say with it. Observers
// are safe for concurrent use and never block.
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
