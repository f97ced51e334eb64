package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// announceEnd writes the terminal row and tells the receivers. A completed
// payment shows at once, but is announced when the webhook has said who paid,
// or when it has had its moment to do so.
func (p *process) announceEnd(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "The payment is "+string(p.payment.Status)+".")
	p.describeEnd(ctx)
	if p.payment.Status == payment.StatusCompleted {
		p.markEnded() // its row is written
		if err := p.awaitDetails(ctx); err != nil {
			return err
		}
	}
	event, ok := payment.EventFor(p.payment.Status)
	if !ok {
		return temporal.NewNonRetryableApplicationError("a payment ended as "+string(p.payment.Status), "bug", nil)
	}
	p.whenWritten(ctx, p.announce(ctx, event), p.markEnded)
	return nil
}

// markEnded lets those who wait for the outcome go on.
func (p *process) markEnded() { p.settled, p.ended = true, true }

// describeEnd sets the search attributes, in the one upsert that a payment
// without a review makes.
func (p *process) describeEnd(ctx workflow.Context) {
	updates := []temporal.SearchAttributeUpdate{
		SearchStatus.ValueSet(string(p.payment.Status)),
		SearchNeedsReview.ValueSet(false),
	}
	if p.payment.EcommerceID != "" {
		updates = append(updates, SearchEcommerceID.ValueSet(p.payment.EcommerceID))
	}
	if p.payment.ReferenceNumber != "" {
		updates = append(updates, SearchReferenceNumber.ValueSet(p.payment.ReferenceNumber))
	}
	p.upsert(ctx, updates...)
}

// upsert sets search attributes. They are for people who look; one that the
// server refuses blocks the workflow task, visibly, until it is registered.
func (p *process) upsert(ctx workflow.Context, updates ...temporal.SearchAttributeUpdate) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, updates...); err != nil {
		workflow.GetLogger(ctx).Error("search attributes not set", "payment_id", p.payment.ID, "error", err)
	}
}

// awaitDetails waits a moment for an event that says who paid.
func (p *process) awaitDetails(ctx workflow.Context) error {
	// Not canceled when the event comes, like the deadline's timer.
	enough := workflow.NewTimer(ctx, p.timing.Details)
	for over := false; !over; {
		p.drain()
		if !p.payment.Customer.IsZero() {
			return nil
		}
		sel := workflow.NewSelector(ctx)
		sel.AddReceive(p.events, func(workflow.ReceiveChannel, bool) {})
		sel.AddFuture(enough, func(workflow.Future) { over = true })
		sel.Select(ctx)
	}
	return nil
}

// maxPendingEvents bounds the events kept until the gateway's word comes: anybody can
// send one.
const maxPendingEvents = 100

// drain takes every event that has arrived. It reports whether the payment
// learned who paid.
func (p *process) drain() bool {
	for {
		var event GatewayEvent
		if !p.events.ReceiveAsync(&event) {
			return p.takePayer()
		}
		if event.Kind == string(ledger.KindPaymentCompleted) && len(p.pendingEvents) < maxPendingEvents {
			p.pendingEvents = append(p.pendingEvents, event)
		}
	}
}

// takePayer takes the payer's details from the first event that agrees with
// the authorization's answer in ticket, reference number and total. It reports
// whether it found one.
func (p *process) takePayer() bool {
	if p.payment.Status != payment.StatusCompleted || !p.payment.Customer.IsZero() {
		return false
	}
	for _, event := range p.pendingEvents {
		if !event.agrees(p.payment) {
			continue
		}
		p.payment.Customer = event.payer()
		return !p.payment.Customer.IsZero()
	}
	return false
}

// contradictions records, once, that an event claims a debit of our ticket which
// the gateway's own word, asked again, denies; or that it denies our own.
func (p *process) contradictions(ctx workflow.Context) {
	for _, event := range p.pendingEvents {
		if p.contradicted || !event.names(p.payment) || p.payment.Status == payment.StatusCompleted && event.agrees(p.payment) {
			continue
		}
		p.contradicted = true
		p.notifier.spawn(ctx, func(ctx workflow.Context) {
			seen, err := p.find(ctx).Result(ctx)
			if m := event.mismatch(p.payment, seen); err == nil && m != nil {
				err = p.notifier.recordMismatch(ctx, *m)
			}
			if err != nil {
				workflow.GetLogger(ctx).Error("mismatch not recorded", "payment_id", p.payment.ID, "error", err)
			}
		})
	}
}

// finish returns when every receiver was notified, every row is written, every
// handler has answered and no event is left. A receiver may take days, so what
// is learned meanwhile is written at once.
func (p *process) finish(ctx workflow.Context) error {
	over := func() bool {
		return p.notifier.atRest() && p.recorder.idle() && workflow.AllHandlersFinished(ctx)
	}
	for {
		if p.drain() {
			p.write(ctx) // details that came too late for the notification still reach the store
		}
		p.contradictions(ctx)
		if over() {
			for p.ticketSeen.ReceiveAsync(nil) { // of a look that the end overtook
			}
			return nil
		}
		if err := workflow.Await(ctx, func() bool { return p.events.Len() > 0 || over() }); err != nil {
			return err
		}
	}
}

// handleAwaitTicket answers the merchant's POST.
func (p *process) handleAwaitTicket(ctx workflow.Context) (TicketOutcome, error) {
	if err := workflow.Await(detached(ctx), func() bool { return p.settled }); err != nil {
		return TicketOutcome{}, err
	}
	return TicketOutcome{Payment: p.recorder.stored, Waited: p.waited}, nil
}

// describe puts the payment into the answer to a person's decision.
func (p *process) describe(outcome *ReviewOutcome) { outcome.Payment = p.recorder.stored }

// handleCancel answers with what became of the payment. Once the debit is under
// way, that is the debit's outcome.
func (p *process) handleCancel(ctx workflow.Context) (CancelOutcome, error) {
	p.askCancel()
	if err := workflow.Await(detached(ctx), func() bool { return p.ended }); err != nil {
		return CancelOutcome{}, err
	}
	return CancelOutcome{Payment: p.recorder.stored}, nil
}

// withdrawn reports whether the merchant asked to cancel before any Authorize
// was scheduled. The workflow's own cancellation counts as soon as it is in the
// history: what the customer confirmed may be heard of in the same task, before
// the coroutine that waits for the cancellation has run.
func (p *process) withdrawn() bool {
	if p.workflowErr() != nil {
		p.askCancel()
	}
	return p.cancelAsked
}

func (p *process) askCancel() {
	if p.authorizing || p.payment.Status.Terminal() || p.cancelAsked {
		return
	}
	p.cancelAsked = true
	p.asks.SendAsync(nil)
}

// handleSetPhoneNumber asks the gateway, which takes a number only where none
// was given (docs/athmovil.md §1.4).
func (p *process) handleSetPhoneNumber(ctx workflow.Context, in SetPhoneNumberRequest) (PhoneNumberOutcome, error) {
	ctx = detached(ctx)
	if err := workflow.Await(ctx, func() bool { return p.settled }); err != nil {
		return PhoneNumberOutcome{}, err
	}
	if p.payment.Status.Terminal() {
		return PhoneNumberOutcome{Payment: p.recorder.stored, Failure: &payment.Failure{
			Code: payment.FailureEnded, Message: "the payment is " + string(p.payment.Status),
		}}, nil
	}
	_, err := activity.SetPhoneNumber.Do(p.timing.calling(ctx, "rings the customer's phone"), activity.SetPhoneNumberInput{
		EcommerceID: p.payment.EcommerceID, AuthToken: p.token, PhoneNumber: in.PhoneNumber,
	})
	if err != nil {
		return PhoneNumberOutcome{Payment: p.recorder.stored, Failure: activity.FailureOf(err).Reason()}, nil
	}
	p.payment.PhoneNumber = in.PhoneNumber
	if _, err := p.write(ctx).Result(ctx); err != nil {
		return PhoneNumberOutcome{}, err
	}
	return PhoneNumberOutcome{Payment: p.recorder.stored}, nil
}
