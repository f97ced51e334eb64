package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// refundPayment gives money of one payment back, at most once. A refusal is a
// result, not a failure: nothing was reserved and nothing was sent.
func refundPayment(ctx workflow.Context, in RefundPaymentInput) (RefundOutcome, error) {
	r, err := newRefund(ctx, in)
	if err != nil {
		return RefundOutcome{}, err
	}
	// A refund that may have been sent is never abandoned, so the workflow's
	// cancellation is not heard.
	if err := r.run(detached(ctx)); err != nil {
		return RefundOutcome{}, err
	}
	return r.outcome(), nil
}

// refund is one running RefundPayment.
type refund struct {
	input  RefundPaymentInput
	timing Timing

	refund   payment.Refund
	stored   *payment.Refund // as the store has it; nil before it is reserved
	payment  payment.Payment // as it was when the refund was reserved
	revision int64
	refusal  *payment.RefundRefusal

	notifier   notifier
	reviewCase *reviewCase
	events     workflow.ReceiveChannel // signs of other refunds of the payment
	report     workflow.ReceiveChannel
	signs      map[string]bool // digests of those events

	settled bool // those who wait can be answered
	ended   bool // the terminal row is written
}

// newRefund installs the handler before anything can block.
func newRefund(ctx workflow.Context, in RefundPaymentInput) (*refund, error) {
	r := &refund{
		input: in, timing: in.Timing.withDefaults(), signs: make(map[string]bool),
		events: workflow.GetSignalChannel(ctx, SignalGatewayEvent),
		report: workflow.GetSignalChannel(ctx, SignalReportAnswered),
	}
	if got := workflow.GetInfo(ctx).WorkflowExecution.ID; got != RefundWorkflowID(in.RefundID) {
		return nil, temporal.NewNonRetryableApplicationError("the workflow's id is not its refund's", "invalid", nil)
	}
	var err error
	if r.reviewCase, err = newReviewCase(ctx, in.PaymentID, in.RefundID, func() bool { return r.ended }, r.describe); err != nil {
		return nil, err
	}
	if err := r.notifier.install(ctx); err != nil {
		return nil, err
	}
	return r, workflow.SetUpdateHandler(ctx, UpdateAwaitRefund, func(ctx workflow.Context) (RefundOutcome, error) {
		err := workflow.Await(detached(ctx), func() bool { return r.settled })
		return r.outcome(), err
	})
}

// describe puts the refund into the answer to a person's decision.
func (r *refund) describe(outcome *ReviewOutcome) { outcome.Refund = r.stored }

func (r *refund) outcome() RefundOutcome {
	if r.refusal != nil {
		return RefundOutcome{Refusal: r.refusal}
	}
	return RefundOutcome{Refund: r.stored}
}

// run is the refund's life.
func (r *refund) run(ctx workflow.Context) error {
	if err := r.reserve(ctx); err != nil {
		return err
	}
	// A refund that is settled already was reserved by an earlier run.
	if r.refusal == nil && r.refund.Status == payment.RefundPending {
		if err := r.execute(ctx); err != nil {
			return err
		}
		if err := r.announceEnd(ctx); err != nil {
			return err
		}
	}
	r.settled, r.ended = true, true
	return r.notifier.finish(ctx)
}

// reserve reads what was reserved for the refund. A store that was restored
// meanwhile reserves it again, or refuses.
func (r *refund) reserve(ctx workflow.Context) error {
	in := r.input
	result, err := activity.ReserveRefund.Do(ctx, ledger.Reservation{
		RefundID: in.RefundID, PaymentID: in.PaymentID, Amount: in.Amount, Message: in.Message,
		Fingerprint: in.Fingerprint, At: in.CreatedAt.UTC(),
	})
	if err != nil {
		return err
	}
	if r.refusal = result.Refusal; r.refusal == nil {
		r.refund, r.stored, r.payment = result.Reserved.Refund, &result.Reserved.Refund, result.Reserved.Payment
	}
	return nil
}

// refundTriesUnsent bounds the tries of a refund that was surely not sent.
const refundTriesUnsent = 3

// execute sends the refund and settles what came of it. Only a request that was
// surely not sent is sent again; what is not known is never sent again.
func (r *refund) execute(ctx workflow.Context) error {
	// What the gateway had refunded before is recorded in the history, to tell
	// afterwards whether an unanswered refund was executed.
	seen, err := r.find(ctx).Result(ctx)
	if err != nil {
		return err
	}
	before := seen.TotalRefunded
	if differs := otherSale(r.payment, seen); differs != "" {
		r.end(ctx, payment.RefundFailed, &payment.Failure{
			Code: payment.FailureAnswerDiffers, Message: "what ATH Móvil says is not of this sale: " + differs + "; nothing was sent",
		})
		return nil
	}
	r.reviewCase.note(ctx, "before: ATH Móvil's total of refunds is $%s, and Cobro's $%s", before, r.payment.RefundedAmount)
	if err := r.explain(ctx, before); err != nil || r.refund.Status != payment.RefundPending {
		return err
	}
	workflow.SetCurrentDetails(ctx, "Sends the refund to ATH Móvil.")
	for tries := 1; ; tries++ {
		done, err := activity.Refund.Do(r.timing.calling(ctx, "gives $"+r.refund.Amount.String()+" back"), activity.RefundInput{
			RefundID: r.refund.ID, Try: tries, ReferenceNumber: r.payment.ReferenceNumber, Amount: r.refund.Amount,
			Captured: *r.payment.Captured, Message: r.refund.Message,
		})
		failure := activity.FailureOf(err)
		if err != nil {
			countUnknown(ctx, opRefund, failure)
			r.reviewCase.note(ctx, "Refund, try %d: %s", tries, failure)
		}
		switch {
		case err == nil:
			r.complete(ctx, done.ReferenceNumber)
			return nil
		case failure.Definite():
			return r.refuse(ctx, failure, before)
		case failure.Kind != activity.KindUnavailable:
			return r.settle(ctx, before)
		case tries == refundTriesUnsent:
			r.fail(ctx, failure)
			return nil
		}
		if err := workflow.Sleep(ctx, time.Duration(tries)*r.timing.PollFirst); err != nil {
			return err
		}
	}
}

// refuse takes a refusal that the reference documents as without effect, where
// a look agrees: the total rose by less than the amount, so that ours is not in
// it. Otherwise nobody knows.
func (r *refund) refuse(ctx workflow.Context, failure activity.GatewayFailure, before money.Amount) error {
	seen, err := r.find(ctx).Result(ctx)
	if err != nil {
		return err
	}
	r.reviewCase.note(ctx, "ATH Móvil's total of refunds is $%s", seen.TotalRefunded)
	if !r.isOurs(ctx, seen) || seen.TotalRefunded.Sub(before).Cmp(r.refund.Amount) >= 0 {
		return r.settle(ctx, before)
	}
	r.fail(ctx, failure)
	return nil
}

// isOurs reports whether a look tells of the payment's sale, and notes how not:
// its total of refunds proves nothing then.
func (r *refund) isOurs(ctx workflow.Context, seen activity.Ticket) bool {
	differs := otherSale(r.payment, seen)
	if differs != "" {
		r.reviewCase.note(ctx, "what ATH Móvil says is not of this sale: %s", differs)
	}
	return differs == ""
}

// otherSale says how a look tells of another sale than the payment's; empty
// where it does not.
func otherSale(p payment.Payment, seen activity.Ticket) string {
	switch {
	case seen.Status != activity.TicketCompleted:
		return "the ticket is " + string(seen.Status)
	case p.ReferenceNumber != "" && seen.ReferenceNumber != p.ReferenceNumber:
		return "the reference number is another one"
	case p.Captured != nil && seen.Total != *p.Captured:
		return "the total is $" + seen.Total.String() + ", and $" + p.Captured.String() + " was captured"
	default:
		return ""
	}
}

// explain books what was refunded elsewhere before our own refund is sent, so
// that the difference afterwards is ours. Where too little is left for our own
// refund then, it fails without being sent.
func (r *refund) explain(ctx workflow.Context, before money.Amount) error {
	booked := r.payment.RefundedAmount
	switch before.Cmp(booked) {
	case 0:
		return nil
	case -1:
		return r.mismatch(ctx, payment.Mismatch{
			ID:   ledger.DeriveMismatchID(payment.MismatchRefunded, r.payment.ID, booked.String(), before.String()),
			Kind: payment.MismatchRefunded, Ours: booked.String(), Theirs: before.String(),
		})
	}
	external := ledger.ExternalRefund{
		RefundID:  ledger.DeriveExternalRefundID(r.payment.ID, "total "+before.String()),
		PaymentID: r.payment.ID, Amount: before.Sub(booked), Total: before, Source: payment.SourceUnexplained,
		For: r.refund.ID, At: now(ctx), BookedAt: now(ctx),
	}
	result, err := activity.BookExternalRefund.Do(ctx, external)
	if err != nil {
		return err
	}
	if result.Refusal != nil {
		// More was refunded than was captured: nothing that we know explains it.
		if err := r.mismatch(ctx, payment.Mismatch{
			ID:   ledger.DeriveMismatchID(payment.MismatchRefunded, r.payment.ID, booked.String(), before.String()),
			Kind: payment.MismatchRefunded, Ours: booked.String(), Theirs: before.String(),
		}); err != nil {
			return err
		}
	} else {
		r.notifier.announceRefund(ctx, external, result)
	}
	if left := r.payment.Captured.Sub(before); r.refund.Amount.Cmp(left) > 0 {
		r.end(ctx, payment.RefundFailed, &payment.Failure{
			Code: payment.FailureExceedsBalance, Message: "refunds made elsewhere left $" + left.String() + "; nothing was sent",
		})
	}
	return nil
}

// mismatch records a difference of the payment and tells of it.
func (r *refund) mismatch(ctx workflow.Context, m payment.Mismatch) error {
	m.PaymentID, m.ReferenceNumber = r.payment.ID, r.payment.ReferenceNumber
	m.Source = payment.FoundByRefund
	return r.notifier.recordMismatch(ctx, m)
}

// settle decides what an unanswered refund came to: completed where the
// gateway's total rose by exactly the amount after the settling period, with no
// sign of another refund, and a review in every other case. It goes on looking
// while the review lasts.
func (r *refund) settle(ctx workflow.Context, before money.Amount) error {
	workflow.SetCurrentDetails(ctx, "The refund's outcome is not known; watches ATH Móvil's total.")
	ended := workflow.Now(ctx)
	for pause := r.timing.Settle; ; pause = r.timing.Review {
		covered, err := r.rest(ctx, before, pause)
		if err != nil || r.refund.Status != payment.RefundPending {
			return err
		}
		looking, stop := workflow.WithCancel(ctx)
		found := r.find(looking)
		if request := r.reviewCase.await(ctx, found.Future); request != nil {
			stop()
			if err := r.decide(ctx, request, before); err != nil || r.refund.Status != payment.RefundPending {
				return err
			}
			continue
		}
		seen, err := found.Result(ctx)
		stop()
		if err != nil {
			return err
		}
		r.drainSigns()
		r.reviewCase.note(ctx, "ATH Móvil's total of refunds is $%s; signs of other refunds: %d", seen.TotalRefunded, len(r.signs))
		switch increase := seen.TotalRefunded.Sub(before); {
		case !r.isOurs(ctx, seen):
		case increase == r.refund.Amount && len(r.signs) == 0:
			r.complete(ctx, "")
			return nil
		case increase.IsZero() && len(r.signs) == 0 && covered.After(ended):
			r.end(ctx, payment.RefundFailed, &payment.Failure{
				Code: payment.FailureNotExecuted, Message: "a report of ATH Móvil that covers it does not list it",
			})
			return nil
		}
		if !r.refund.NeedsReview {
			if err := r.needReview(ctx, before, seen.TotalRefunded); err != nil {
				return err
			}
		}
	}
}

// rest pauses between looks, unless a person decides or a report answers. It
// returns until when a report that does not list the refund covers it.
func (r *refund) rest(ctx workflow.Context, before money.Amount, pause time.Duration) (covered time.Time, err error) {
	resting, stop := workflow.WithCancel(ctx)
	defer stop()
	timer := workflow.NewTimer(resting, pause)
	for {
		var request *decisionRequest
		var answered ReportAnswered
		over := false
		workflow.NewSelector(ctx).
			AddFuture(timer, func(workflow.Future) { over = true }).
			AddReceive(r.reviewCase.requests, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &request) }).
			AddReceive(r.report, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &answered) }).
			Select(ctx)
		switch {
		case over:
			return time.Time{}, timer.Get(ctx, nil)
		case request != nil:
			return time.Time{}, r.decide(ctx, request, before)
		case r.refund.NeedsReview && !answered.Listed:
			return answered.Until, nil
		}
	}
}

// decide takes a person's decision on a refund in review, unless a fresh look at
// the gateway's total contradicts it. A look that is not answered contradicts
// nothing, nor does a total that another refund may have moved.
func (r *refund) decide(ctx workflow.Context, request *decisionRequest, before money.Amount) error {
	if !r.reviewCase.isOpen() {
		request.refuse()
		return nil
	}
	seen, err := r.timing.findOnce(ctx, r.payment.EcommerceID)
	if err == nil && r.isOurs(ctx, seen) && r.contradicted(request.Verdict, before, seen.TotalRefunded) {
		request.contradict("refunded in all: $" + seen.TotalRefunded.String() + ", before: $" + before.String())
		return nil
	}
	r.settleBy(ctx, request)
	return nil
}

// contradicted reports whether the gateway's total, before and after the refund,
// denies a person's verdict.
func (r *refund) contradicted(verdict payment.Verdict, before, after money.Amount) bool {
	increase := after.Sub(before)
	if verdict == payment.VerdictCompleted {
		return increase.Cmp(r.refund.Amount) < 0
	}
	return increase == r.refund.Amount && len(r.signs) == 0
}

// settleBy settles the refund by a person's decision.
func (r *refund) settleBy(ctx workflow.Context, request *decisionRequest) {
	r.reviewCase.decide(ctx, request.byPerson())
	request.accept()
	if request.Verdict == payment.VerdictCompleted {
		r.complete(ctx, "")
		return
	}
	r.end(ctx, payment.RefundFailed, &payment.Failure{
		Code: payment.FailureReviewed, Message: "a person decided that the refund was not executed",
	})
}

// drainSigns takes the events that tell of other refunds of the payment.
func (r *refund) drainSigns() {
	for {
		var event GatewayEvent
		if !r.events.ReceiveAsync(&event) {
			return
		}
		r.signs[event.Digest] = true
	}
}

// find looks at the ticket, for as long as that takes.
func (r *refund) find(ctx workflow.Context) activity.Future[activity.Ticket] {
	return r.timing.find(ctx, r.payment.EcommerceID, "looks at what was refunded")
}

func (r *refund) complete(ctx workflow.Context, reference string) {
	r.refund.ReferenceNumber = reference
	r.end(ctx, payment.RefundCompleted, nil)
}

func (r *refund) fail(ctx workflow.Context, failure activity.GatewayFailure) {
	r.end(ctx, payment.RefundFailed, failure.Reason())
}

// end settles the refund, and its review where it has one.
func (r *refund) end(ctx workflow.Context, status payment.RefundStatus, reason *payment.Failure) {
	at := now(ctx)
	r.refund.Status = status
	r.refund.Failure = reason
	r.refund.CompletedAt = &at
	r.refund.NeedsReview = false
	verdict := payment.VerdictNotExecuted
	if status == payment.RefundCompleted {
		verdict = payment.VerdictCompleted
	}
	r.reviewCase.decide(ctx, payment.Decision{Verdict: verdict, Source: payment.DecidedByGateway})
}

// needReview flags the refund and tells of it. Those who wait get the refund as
// it is: pending, and in review.
func (r *refund) needReview(ctx workflow.Context, before, after money.Amount) error {
	r.reviewCase.open(ctx, payment.CauseRefundUnknown)
	r.refund.NeedsReview = true
	workflow.SetCurrentDetails(ctx, fmt.Sprintf(
		"Needs a review: ATH Móvil's total of refunds was $%s and is $%s; the refund is of $%s. Looks every %s.",
		before, after, r.refund.Amount, r.timing.Review))
	if err := workflow.UpsertTypedSearchAttributes(ctx, SearchNeedsReview.ValueSet(true)); err != nil {
		return err
	}
	err := r.announce(ctx, payment.EventNeedsReview)
	r.settled = true
	return err
}

// announceEnd writes the outcome and tells the receivers.
func (r *refund) announceEnd(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "The refund is "+string(r.refund.Status)+".")
	if err := workflow.UpsertTypedSearchAttributes(ctx,
		SearchNeedsReview.ValueSet(false), SearchReferenceNumber.ValueSet(r.payment.ReferenceNumber),
	); err != nil {
		return err
	}
	if r.refund.Status == payment.RefundCompleted {
		return r.announce(ctx, payment.EventRefundCompleted)
	}
	return r.announce(ctx, payment.EventRefundFailed)
}

// announce writes the refund as it stands, waits until it is written, and tells
// the event's receivers in the background.
func (r *refund) announce(ctx workflow.Context, event payment.Event) error {
	r.revision++
	change := ledger.RefundChange{
		Record: r.record(), Announce: event, At: now(ctx), Review: r.reviewCase.take(),
	}
	announced, err := activity.RecordRefund.Do(ctx, change)
	if err != nil {
		return err
	}
	r.stored = &change.Record.Refund
	r.notifier.announce(ctx, r.refund.ID, change.Notification(announced.Payment), already(announced))
	return nil
}

func (r *refund) record() ledger.RefundRecord {
	return ledger.RefundRecord{Refund: r.refund, Revision: r.revision, Fingerprint: r.input.Fingerprint}
}
