package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/athmovil"
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
		p.whenWritten(ctx, p.write(ctx), p.markEnded)
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
	// Not cancelled when the event comes, like the deadline's timer.
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

// maxClaims bounds the events kept until the gateway's word comes: anybody can
// send one.
const maxClaims = 100

// drain takes every event that has arrived. It reports whether the payment
// learnt who paid.
func (p *process) drain() bool {
	for {
		var event GatewayEvent
		if !p.events.ReceiveAsync(&event) {
			return p.testClaims()
		}
		if event.Kind == string(athmovil.EventEcommerceCompleted) && len(p.claims) < maxClaims {
			p.claims = append(p.claims, event)
		}
	}
}

// testClaims takes the payer's details from the first event that agrees with
// the authorisation's answer in ticket, reference number and total. It reports
// whether it found one.
func (p *process) testClaims() bool {
	if p.payment.Status != payment.StatusCompleted || !p.payment.Customer.IsZero() {
		return false
	}
	for _, claim := range p.claims {
		if !claim.agrees(p.payment) {
			continue
		}
		p.payment.Customer = claim.payer()
		return !p.payment.Customer.IsZero()
	}
	return false
}

// contradictions records, once, that an event claims a debit of our ticket which
// the gateway's own word denies.
func (p *process) contradictions(ctx workflow.Context) {
	for _, claim := range p.claims {
		if p.contradicted || !claim.names(p.payment) || p.payment.Status == payment.StatusCompleted && claim.agrees(p.payment) {
			continue
		}
		p.contradicted = true
		m := payment.Mismatch{
			ID:   ledger.DeriveMismatchID(payment.MismatchContradictingEvent, p.payment.ID),
			Kind: payment.MismatchContradictingEvent, PaymentID: p.payment.ID, ReferenceNumber: p.payment.ReferenceNumber,
			Ours: string(p.payment.Status), Theirs: claim.claim(), Source: payment.FoundByEvent,
		}
		p.outbox.spawn(ctx, func(ctx workflow.Context) {
			if err := p.outbox.recordMismatch(ctx, m); err != nil {
				workflow.GetLogger(ctx).Error("mismatch not recorded", "payment_id", p.payment.ID, "error", err)
			}
		})
	}
}

// finish returns when every receiver was told, every row is written, every
// handler has answered and no event is left. A receiver may take days, so what
// is learnt meanwhile is written at once.
func (p *process) finish(ctx workflow.Context) error {
	over := func() bool {
		return p.outbox.atRest() && p.recorder.idle() && workflow.AllHandlersFinished(ctx)
	}
	for {
		if p.drain() {
			p.write(ctx) // details that came too late for the notification still reach the store
		}
		p.contradictions(ctx)
		if over() {
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
	return TicketOutcome{Status: p.payment.Status, Failure: p.payment.Failure, InProgressID: p.inProgressID}, nil
}

// handleCancel answers with the status that the payment reached. Once the debit
// is under way, that is the debit's outcome.
func (p *process) handleCancel(ctx workflow.Context) (CancelOutcome, error) {
	p.askCancel()
	if err := workflow.Await(detached(ctx), func() bool { return p.ended }); err != nil {
		return CancelOutcome{}, err
	}
	return CancelOutcome{Status: p.payment.Status}, nil
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
		return PhoneNumberOutcome{Status: p.payment.Status, Failure: &payment.Failure{
			Code: payment.FailureEnded, Message: "the payment is " + string(p.payment.Status),
		}}, nil
	}
	options := p.timing.activityOptions(activities.SetPhoneNumberName, "rings the customer's phone")
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activities.SetPhoneNumberName,
		activities.SetPhoneNumberInput{EcommerceID: p.payment.EcommerceID, AuthToken: p.token, PhoneNumber: in.PhoneNumber}).Get(ctx, nil)
	if err != nil {
		return PhoneNumberOutcome{Status: p.payment.Status, Failure: activities.FailureOf(err).Reason()}, nil
	}
	p.payment.PhoneNumber = in.PhoneNumber
	if _, err := p.write(ctx).get(ctx); err != nil {
		return PhoneNumberOutcome{}, err
	}
	return PhoneNumberOutcome{Status: p.payment.Status}, nil
}
