package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
)

const (
	// endpointPrefix begins the name of the receiver that an endpoint is.
	endpointPrefix = "webhook-"
	// endpointMargin is what an attempt gets beyond its endpoint's timeout, so
	// that the sender's own, more precise error wins.
	endpointMargin = 10 * time.Second
)

// Endpoints tells the endpoints of the endpoints file. Each is a receiver of
// its own, "webhook-" and its name, so that one that fails never delays or
// repeats another. They come and go while the worker runs, so one dynamic
// activity serves all of them instead of one registration each.
type Endpoints struct {
	// File is nil where no endpoints file is named. Deliveries to endpoints then
	// fail, and are tried again, by a worker that has one.
	File   *outbound.File
	Sender *outbound.Sender
	// Attempts may be nil. A note that cannot be written never fails a delivery.
	Attempts AttemptStore
	// Now is the clock of the notes; nil means time.Now.
	Now func() time.Time
}

// EndpointReceivers lists what the store is told of endpoints that belong to
// host: a receiver for each event of each.
func EndpointReceivers(host string, endpoints []outbound.Endpoint) []payment.Receiver {
	var receivers []payment.Receiver
	for _, e := range endpoints {
		for _, event := range e.Events {
			receivers = append(receivers, payment.Receiver{
				Host: host, Event: event, Name: endpointPrefix + e.Name, Timeout: e.Timeout + endpointMargin,
			})
		}
	}
	return receivers
}

// Deliver is the dynamic activity: its type says which event goes to which
// endpoint, and its one argument is the notification.
func (e *Endpoints) Deliver(ctx context.Context, arguments converter.EncodedValues) error {
	var n payment.Notification
	if err := arguments.Get(&n); err != nil {
		return temporal.NewApplicationErrorWithOptions("the notification cannot be read", typeReceiver, temporal.ApplicationErrorOptions{
			Category: temporal.ApplicationErrorCategoryBenign, Cause: err, // its text may hold what it could not read
		})
	}
	event, receiver, _ := strings.Cut(activity.GetInfo(ctx).ActivityType.Name, "/")
	failpoint.Reach(failpoint.NotifyBefore)
	answer, err := e.send(ctx, payment.Event(event), receiver, n)
	failpoint.Reach(failpoint.NotifyAfter)
	if err != nil {
		activity.GetLogger(ctx).Warn("receiver failed", "event", event, "receiver", receiver, "notification", n.ID, "error", err)
	}
	e.note(ctx, n.ID, answer, err)
	return endpointError(err)
}

// send finds the endpoint and makes one attempt. What is missing is missing
// only until somebody mends it, so each error is tried again.
func (e *Endpoints) send(ctx context.Context, event payment.Event, receiver string, n payment.Notification) (outbound.Answer, error) {
	name, ok := strings.CutPrefix(receiver, endpointPrefix)
	if !ok {
		return outbound.Answer{}, fmt.Errorf("receiver %q is unknown to this worker: start one that has it, or remove it with \"cobro receiver remove\"", receiver)
	}
	if e.File == nil {
		return outbound.Answer{}, fmt.Errorf("endpoint %q is unknown to this worker, which has no endpoints file: set COBRO_ENDPOINTS, or remove it with \"cobro receiver remove\"", name)
	}
	endpoint, ok := e.File.Find(name)
	if !ok {
		return outbound.Answer{}, fmt.Errorf("endpoint %q is not in the endpoints file: put it back, or remove it with \"cobro receiver remove\"", name)
	}
	if !slices.Contains(endpoint.Events, event) {
		return outbound.Answer{}, fmt.Errorf("endpoint %q no longer wants %s by the endpoints file: put the event back, or remove it with \"cobro receiver remove\"", name, event)
	}
	return e.Sender.Send(ctx, endpoint, n)
}

// note writes down how an attempt went. It is the one place that passes on what
// the endpoint answered: today the status, in the error's text. The answer's
// body may name a customer, so it goes nowhere that is not encrypted.
func (e *Endpoints) note(ctx context.Context, deliveryID string, _ outbound.Answer, err error) {
	if e.Attempts == nil {
		return
	}
	now, lastError := e.Now, ""
	if now == nil {
		now = time.Now
	}
	if err != nil {
		lastError = err.Error()
	}
	attempt := int(activity.GetInfo(ctx).Attempt)
	if noteErr := e.Attempts.RecordAttempt(context.WithoutCancel(ctx), deliveryID, attempt, lastError, now()); noteErr != nil {
		activity.GetLogger(ctx).Warn("attempt not noted", "notification", deliveryID, "error", noteErr)
	}
}

// endpointError says to Temporal whether, and when at the earliest, to try
// again.
func endpointError(err error) error {
	var failure *outbound.Error
	if !errors.As(err, &failure) {
		return quiet(err)
	}
	if failure.Permanent {
		return Permanent(err)
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), typeReceiver, temporal.ApplicationErrorOptions{
		Category: temporal.ApplicationErrorCategoryBenign, NextRetryDelay: failure.RetryAfter,
	})
}

// LeftOver returns those of the known receivers that are endpoints of host, and
// that the announced ones lack.
func LeftOver(host string, known, announced []payment.Receiver) []payment.Receiver {
	var left []payment.Receiver
	for _, k := range known {
		same := func(a payment.Receiver) bool { return a.Event == k.Event && a.Name == k.Name }
		if k.Host == host && strings.HasPrefix(k.Name, endpointPrefix) && !slices.ContainsFunc(announced, same) {
			left = append(left, k)
		}
	}
	return left
}
