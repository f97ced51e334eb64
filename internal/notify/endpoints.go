package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sdk "go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
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
	// Attempts keeps what each attempt came to, and what was answered; nil means
	// nobody.
	Attempts AttemptStore
	// Now is the clock of the notes; nil means time.Now.
	Now func() time.Time
}

// EndpointReceivers lists what the store is told of endpoints that belong to
// host: a receiver for each event of each.
func EndpointReceivers(host string, endpoints []outbound.Endpoint) []ledger.Receiver {
	var receivers []ledger.Receiver
	for _, e := range endpoints {
		for _, event := range e.Events {
			receivers = append(receivers, ledger.Receiver{
				Host: host, Event: event, Name: endpointPrefix + e.Name, Timeout: e.Timeout + endpointMargin, Retry: e.Retry,
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
	info := sdk.GetInfo(ctx)
	return endpointError(info, deliver(ctx, n, e.Attempts, e.Now, func(ctx context.Context) (*ledger.Answer, error) {
		endpoint, err := e.find(info.ActivityType.Name)
		if err != nil {
			return nil, err
		}
		answer, err := e.Sender.Send(ctx, endpoint, n)
		return &ledger.Answer{Status: answer.Status, Body: answer.Body}, err
	}))
}

// find returns the endpoint of an activity. What is missing is missing only
// until somebody mends it, so its errors are tried again.
func (e *Endpoints) find(activityName string) (outbound.Endpoint, error) {
	event, receiver, _ := strings.Cut(activityName, "/")
	name, ok := strings.CutPrefix(receiver, endpointPrefix)
	if !ok {
		return outbound.Endpoint{}, fmt.Errorf(`receiver %q is unknown to this worker: start one that has it, or remove it with "cobro receiver remove"`, receiver)
	}
	if e.File == nil {
		return outbound.Endpoint{}, fmt.Errorf(`endpoint %q is unknown to this worker, which has no endpoints file: set COBRO_ENDPOINTS, or remove it with "cobro receiver remove"`, name)
	}
	endpoint, ok := e.File.Find(name)
	if !ok {
		return outbound.Endpoint{}, fmt.Errorf(`endpoint %q is not in the endpoints file: put it back, or remove it with "cobro receiver remove"`, name)
	}
	if !slices.Contains(endpoint.Events, payment.Event(event)) {
		return outbound.Endpoint{}, fmt.Errorf(`endpoint %q no longer wants %s by the endpoints file: put the event back, or remove it with "cobro receiver remove"`, name, event)
	}
	return endpoint, nil
}

// endpointError adds to the error of a delivery whether, and when at the
// earliest, it is tried again.
func endpointError(info sdk.Info, err error) error {
	var failure *outbound.Error
	switch {
	case !errors.As(err, &failure):
		return err
	case failure.Permanent:
		return activities.Permanent(failure)
	default: // a pause of zero leaves it to the receiver's ways of trying again
		return temporal.NewApplicationErrorWithOptions(failure.Error(), typeReceiver, temporal.ApplicationErrorOptions{
			Category: temporal.ApplicationErrorCategoryBenign, NextRetryDelay: failure.RetryDelay(int(info.Attempt), pauseAfter(info)), Cause: failure,
		})
	}
}

// pauseAfter is how long Temporal waits after an attempt by the activity's own
// retry policy.
func pauseAfter(info sdk.Info) time.Duration {
	policy := info.RetryPolicy
	if policy == nil {
		return 0
	}
	pause := policy.InitialInterval
	for n := int32(1); n < info.Attempt && pause < policy.MaximumInterval; n++ {
		pause = time.Duration(float64(pause) * policy.BackoffCoefficient)
	}
	return min(pause, policy.MaximumInterval)
}

// LeftOver returns those of the known receivers that are endpoints of host, and
// that the announced ones lack.
func LeftOver(host string, known, announced []ledger.Receiver) []ledger.Receiver {
	var left []ledger.Receiver
	for _, k := range known {
		same := func(a ledger.Receiver) bool { return a.Event == k.Event && a.Name == k.Name }
		if k.Host == host && strings.HasPrefix(k.Name, endpointPrefix) && !slices.ContainsFunc(announced, same) {
			left = append(left, k)
		}
	}
	return left
}
