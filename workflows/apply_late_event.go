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

// ApplyLateEventResult is what ApplyLateEvent ends with.
type ApplyLateEventResult struct {
	Verdict   string `json:"verdict"` // what became of the event
	PaymentID string `json:"payment_id,omitempty"`
	Effect    string `json:"effect"` // in words for people
}

// applyLateEvent takes an event that no payment's own workflow can take: one
// that came after that workflow had closed, or one about a refund. Like every
// event it is a hint: what it says counts as far as the gateway's own answer
// vouches for it.
func applyLateEvent(ctx workflow.Context, in ApplyLateEventInput) (ApplyLateEventResult, error) {
	if got := workflow.GetInfo(ctx).WorkflowExecution.ID; got != LateEventWorkflowID(in.Event.Digest) {
		return ApplyLateEventResult{}, temporal.NewNonRetryableApplicationError("the workflow's id is not its event's", "invalid", nil)
	}
	l := lateEvent{input: in, timing: in.Timing.withDefaults(), signaled: make(map[string]bool)}
	if err := l.notifier.install(ctx); err != nil {
		return ApplyLateEventResult{}, err
	}
	// What was begun is finished, so the workflow's cancellation is not heard.
	result, err := l.run(detached(ctx))
	if err != nil {
		return ApplyLateEventResult{}, err
	}
	return result, l.finish(detached(ctx), result)
}

// lateEvent is one running ApplyLateEvent.
type lateEvent struct {
	input    ApplyLateEventInput
	timing   Timing
	notifier notifier
	signaled map[string]bool // the unsettled refunds that know of the event
}

func (l *lateEvent) run(ctx workflow.Context) (ApplyLateEventResult, error) {
	switch ledger.EventKind(l.input.Event.Kind) {
	case ledger.KindRefund:
		return l.refund(ctx)
	case ledger.KindPaymentCompleted:
		return l.completed(ctx)
	case ledger.KindPaymentCancelled, ledger.KindPaymentExpired:
		return l.over(ctx)
	default:
		return verdict(ledger.EventIgnored, "", "not about a payment of ours"), nil
	}
}

func verdict(v ledger.EventVerdict, paymentID, format string, args ...any) ApplyLateEventResult {
	return ApplyLateEventResult{Verdict: string(v), PaymentID: paymentID, Effect: fmt.Sprintf(format, args...)}
}

// finish writes the verdict and waits for the receivers.
func (l *lateEvent) finish(ctx workflow.Context, result ApplyLateEventResult) error {
	workflow.SetCurrentDetails(ctx, result.Verdict+": "+result.Effect+".")
	if _, err := activity.SettleEvent.Do(ctx, activity.SettleEventInput{
		EventID: l.input.EventID, Verdict: ledger.EventVerdict(result.Verdict), MatchedID: result.PaymentID, Effect: result.Effect,
	}); err != nil {
		return err
	}
	return l.notifier.finish(ctx)
}

// refundCandidatesSince is how long before the event a payment may have been
// completed that is found by its phone number alone.
const refundCandidatesSince = 90 * 24 * time.Hour

// parkFirst is the first pause while another refund of the payment is unsettled;
// the longest is the review's.
const parkFirst = 5 * time.Second

// refund books a refund that was made elsewhere, where the gateway's total
// proves one that the books do not explain. An event of our own completed refund
// tells nothing new; one of a refund that we hold for failed contradicts us, and
// is booked or recorded. While a refund of ours is unsettled its events are
// parked with it.
func (l *lateEvent) refund(ctx workflow.Context) (ApplyLateEventResult, error) {
	e := l.input.Event
	if e.Total == nil || e.Total.Cmp(money.FromCents(1)) < 0 {
		return verdict(ledger.EventMalformed, "", "a refund event without an amount"), nil
	}
	lagging := true // the gateway's own answers may lag behind its events
	for pause := min(parkFirst, l.timing.Review); ; {
		known, err := activity.RefundContext.Do(ctx, ledger.RefundClaim{
			PaymentID: e.PaymentID, EcommerceID: e.EcommerceID, ReferenceNumber: e.ReferenceNumber, PhoneNumber: e.PhoneNumber,
			Amount: *e.Total, Message: e.Message, CompletedAfter: l.input.ReceivedAt.Add(-refundCandidatesSince),
		})
		if err != nil {
			return ApplyLateEventResult{}, err
		}
		switch known.EchoStatus {
		case payment.RefundCompleted:
			return verdict(ledger.EventKnown, l.input.PaymentID, "tells of our own refund %s", known.EchoOf), nil
		case payment.RefundPending: // no sign of another one: it is settled by the total
			workflow.SetCurrentDetails(ctx, "Waits until the refund "+known.EchoOf+" is settled.")
			if err := workflow.Sleep(ctx, pause); err != nil {
				return ApplyLateEventResult{}, err
			}
			pause = min(2*pause, l.timing.Review)
			continue
		case payment.RefundFailed, "": // a failed one's payment is the candidate
		}
		if parked, err := l.park(ctx, known.Candidates, pause); err != nil {
			return ApplyLateEventResult{}, err
		} else if parked {
			pause = min(2*pause, l.timing.Review)
			continue
		}
		found, err := l.unbookedOf(ctx, known.Candidates)
		if err != nil {
			return ApplyLateEventResult{}, err
		}
		if len(found) == 1 {
			result, again, err := l.book(ctx, found[0], known.EchoOf)
			if err != nil || !again {
				return result, err
			}
			// The books have changed since they were read.
			if err := workflow.Sleep(ctx, pause); err != nil {
				return ApplyLateEventResult{}, err
			}
			continue
		}
		if len(found) == 0 && lagging {
			lagging = false
			if err := workflow.Sleep(ctx, l.timing.Settle); err != nil {
				return ApplyLateEventResult{}, err
			}
			continue
		}
		if known.EchoOf != "" {
			return l.contradicted(ctx, known)
		}
		if known.Named && len(known.Candidates) == 1 {
			return verdict(ledger.EventKnown, known.Candidates[0].Payment.ID,
				"ATH Móvil's total of refunds is explained by the books"), nil
		}
		return l.unmatched(ctx, len(found))
	}
}

// park tells the refunds of ours that are unsettled that another one may exist,
// and waits a while. It reports whether there were any.
func (l *lateEvent) park(ctx workflow.Context, candidates []ledger.RefundCandidate, pause time.Duration) (bool, error) {
	parked := false
	for _, c := range candidates {
		if c.Unsettled == "" {
			continue
		}
		parked = true
		if l.signaled[c.Unsettled] {
			continue
		}
		l.signaled[c.Unsettled] = true
		workflow.SetCurrentDetails(ctx, "Waits until the refund "+c.Unsettled+" is settled.")
		// One that ended in this moment has settled without it.
		err := workflow.SignalExternalWorkflow(ctx, RefundWorkflowID(c.Unsettled), "", SignalGatewayEvent, l.input.Event).Get(ctx, nil)
		if err != nil {
			workflow.GetLogger(ctx).Info("the refund had ended", "refund_id", c.Unsettled)
		}
	}
	if !parked {
		return false, nil
	}
	return true, workflow.Sleep(ctx, pause)
}

// unbookedRefund is a payment of which more was refunded than the books have.
type unbookedRefund struct {
	payment payment.Payment
	total   money.Amount // the gateway's
}

// unbookedOf looks at every candidate and returns those whose unbooked amount has
// room for the event's amount. A look that tells of another sale proves nothing.
func (l *lateEvent) unbookedOf(ctx workflow.Context, candidates []ledger.RefundCandidate) ([]unbookedRefund, error) {
	var found []unbookedRefund
	for _, c := range candidates {
		seen, err := l.look(ctx, c.Payment)
		if err != nil {
			return nil, err
		}
		if otherSale(c.Payment, seen) == "" && seen.TotalRefunded.Sub(c.Payment.RefundedAmount).Cmp(*l.input.Event.Total) >= 0 {
			found = append(found, unbookedRefund{payment: c.Payment, total: seen.TotalRefunded})
		}
	}
	return found, nil
}

func (l *lateEvent) look(ctx workflow.Context, p payment.Payment) (activity.Ticket, error) {
	workflow.SetCurrentDetails(ctx, "Looks at ATH Móvil.")
	return l.timing.find(ctx, p.EcommerceID, "looks at "+p.ID).Result(ctx)
}

// book writes the refund, which may be one that we hold for failed. It asks for
// another look where the books have changed meanwhile.
func (l *lateEvent) book(ctx workflow.Context, r unbookedRefund, echoOf string) (result ApplyLateEventResult, again bool, err error) {
	e := l.input.Event
	id := ledger.DeriveExternalRefundID(r.payment.ID, e.Digest)
	if echoOf != "" {
		id = ledger.DeriveEchoedRefundID(echoOf)
	}
	external := ledger.ExternalRefund{
		RefundID:  id,
		PaymentID: r.payment.ID, Amount: *e.Total, Total: r.total, Source: payment.SourceExternal,
		ReferenceNumber: e.ReferenceNumber, Message: e.Message, At: l.input.ReceivedAt.UTC(), BookedAt: now(ctx),
	}
	booked, err := activity.BookExternalRefund.Do(ctx, external)
	switch {
	case err != nil:
		return ApplyLateEventResult{}, false, err
	case booked.Refusal == nil && echoOf != "":
		l.notifier.announceRefund(ctx, external, booked)
		return verdict(ledger.EventApplied, r.payment.ID, "booked %s: our own refund %s was executed after all", booked.Refund.ID, echoOf), false, nil
	case booked.Refusal == nil:
		l.notifier.announceRefund(ctx, external, booked)
		return verdict(ledger.EventApplied, r.payment.ID, "booked %s, made elsewhere", booked.Refund.ID), false, nil
	case booked.Refusal.Code == payment.RefusedInProgress, booked.Refusal.Code == payment.RefusedExplained:
		return ApplyLateEventResult{}, true, nil
	default:
		err := l.mismatch(ctx, r.payment, payment.MismatchRefunded, r.payment.RefundedAmount.String(), r.total.String())
		return verdict(ledger.EventApplied, r.payment.ID, "recorded a difference: %s", booked.Refusal.Code), false, err
	}
}

// contradicted records that an event tells of a refund of ours which we hold for
// failed, and that the gateway's total does not show.
func (l *lateEvent) contradicted(ctx workflow.Context, known ledger.RefundContext) (ApplyLateEventResult, error) {
	p := known.Candidates[0].Payment
	err := l.mismatch(ctx, p, payment.MismatchContradictingEvent, known.EchoOf+" "+string(known.EchoStatus), l.input.Event.claim())
	return verdict(ledger.EventRefuted, p.ID, "our own refund %s is %s, and ATH Móvil's total does not show it", known.EchoOf, known.EchoStatus), err
}

// unmatched records a refund of no payment, or of several.
func (l *lateEvent) unmatched(ctx workflow.Context, several int) (ApplyLateEventResult, error) {
	e := l.input.Event
	err := l.notifier.recordMismatch(ctx, payment.Mismatch{
		ID:   ledger.DeriveMismatchID(payment.MismatchUnmatchedRefund, e.Digest),
		Kind: payment.MismatchUnmatchedRefund, ReferenceNumber: e.ReferenceNumber, Theirs: e.Total.String(), Source: payment.FoundByEvent,
	})
	return verdict(ledger.EventUnmatched, "", "a refund made elsewhere that fits %d payments", several), err
}

// completed fills in who paid, where the event agrees with the authorization's
// answer, and otherwise compares what it says with the gateway's word.
func (l *lateEvent) completed(ctx workflow.Context) (ApplyLateEventResult, error) {
	p, err := l.payment(ctx)
	if err != nil || p == nil {
		return verdict(ledger.EventUnmatched, "", "no payment has this ticket, reference number or id"), err
	}
	e := l.input.Event
	if p.Status == payment.StatusCompleted && e.agrees(*p) {
		return l.fill(ctx, *p)
	}
	return l.compare(ctx, *p)
}

// fill writes who paid, where nobody knows.
func (l *lateEvent) fill(ctx workflow.Context, p payment.Payment) (ApplyLateEventResult, error) {
	filled, err := activity.FillPayer.Do(ctx, activity.FillPayerInput{PaymentID: p.ID, Payer: l.input.Event.payer()})
	if err != nil || !filled.Filled {
		return verdict(ledger.EventKnown, p.ID, "the payment is completed, and its payer known"), err
	}
	return verdict(ledger.EventApplied, p.ID, "told who paid"), nil
}

// over compares a cancelled or expired event with the payment. One that does not
// name the payment's ticket may be of another that was made for it, in an answer
// that was lost: it contradicts nothing.
func (l *lateEvent) over(ctx workflow.Context) (ApplyLateEventResult, error) {
	p, err := l.payment(ctx)
	switch {
	case err != nil || p == nil:
		return verdict(ledger.EventUnmatched, "", "no payment has this ticket, reference number or id"), err
	case p.Status != payment.StatusCompleted:
		return verdict(ledger.EventKnown, p.ID, "the payment is %s", p.Status), nil
	case l.input.Event.EcommerceID != p.EcommerceID: // the expired event names none (docs/athmovil.md §4.2)
		return verdict(ledger.EventKnown, p.ID, "it may be of another ticket of the payment, whose answer was lost"), nil
	default:
		return l.compare(ctx, *p)
	}
}

// compare asks the gateway whose word is right, the event's or the payment's. A
// terminal status never changes: a difference is recorded for people.
func (l *lateEvent) compare(ctx workflow.Context, p payment.Payment) (ApplyLateEventResult, error) {
	if p.EcommerceID == "" {
		return verdict(ledger.EventRefuted, p.ID, "the payment never had a ticket"), nil
	}
	seen, err := l.look(ctx, p)
	if err != nil {
		return ApplyLateEventResult{}, err
	}
	m := l.input.Event.mismatch(p, seen)
	switch {
	case m == nil: // a person completed it, and knew less
		return l.fill(ctx, p)
	case m.Kind == payment.MismatchStatus:
		return verdict(ledger.EventApplied, p.ID, "recorded a difference: ATH Móvil says %s", seen.Status), l.notifier.recordMismatch(ctx, *m)
	default:
		return verdict(ledger.EventRefuted, p.ID, "ATH Móvil itself says %s", seen.Status), l.notifier.recordMismatch(ctx, *m)
	}
}

// payment reads the payment that the event was matched with; nil where there is
// none.
func (l *lateEvent) payment(ctx workflow.Context) (*payment.Payment, error) {
	if l.input.PaymentID == "" {
		return nil, nil
	}
	result, err := activity.LookUpPayment.Do(ctx, activity.LookUpPaymentInput{PaymentID: l.input.PaymentID})
	return result.Payment, err
}

func (l *lateEvent) mismatch(ctx workflow.Context, p payment.Payment, kind payment.MismatchKind, ours, theirs string) error {
	return l.notifier.recordMismatch(ctx, payment.Mismatch{
		ID: ledger.DeriveMismatchID(kind, p.ID, ours, theirs), Kind: kind, PaymentID: p.ID,
		ReferenceNumber: p.ReferenceNumber, Ours: ours, Theirs: theirs, Source: payment.FoundByEvent,
	})
}

// names reports whether the event is about the payment's ticket.
func (e GatewayEvent) names(p payment.Payment) bool {
	return e.EcommerceID == p.EcommerceID || e.EcommerceID == "" && e.PaymentID == p.ID
}

// agrees reports whether the event says what the authorization's answer said:
// only then its payer's details count.
func (e GatewayEvent) agrees(p payment.Payment) bool {
	return e.names(p) && e.ReferenceNumber == p.ReferenceNumber && e.Total != nil && p.Captured != nil && *e.Total == *p.Captured
}

// mismatch is the difference between an event and a payment that has ended, by
// the gateway's own word on the ticket; nil where that confirms both.
func (e GatewayEvent) mismatch(p payment.Payment, seen activity.Ticket) *payment.Mismatch {
	m := &payment.Mismatch{
		Kind: payment.MismatchContradictingEvent, PaymentID: p.ID, ReferenceNumber: p.ReferenceNumber,
		Ours: string(p.Status), Theirs: e.claim(), Source: payment.FoundByEvent,
	}
	debited := seen.Status == activity.TicketCompleted
	switch {
	case debited != (p.Status == payment.StatusCompleted):
		m.Kind, m.Theirs = payment.MismatchStatus, string(seen.Status)
	case debited && e.Kind == string(ledger.KindPaymentCompleted) && e.names(p) &&
		e.ReferenceNumber == seen.ReferenceNumber && e.Total != nil && *e.Total == seen.Total:
		return nil
	}
	m.ID = ledger.DeriveMismatchID(m.Kind, p.ID, m.Ours, m.Theirs)
	return m
}

func (e GatewayEvent) payer() payment.Customer {
	return payment.Customer{Name: e.Name, PhoneNumber: e.PhoneNumber, Email: e.Email}
}

// claim is what the event says, in words for people.
func (e GatewayEvent) claim() string {
	text := e.Kind
	if e.Total != nil {
		text += " $" + e.Total.String()
	}
	if e.ReferenceNumber != "" {
		text += " " + e.ReferenceNumber
	}
	return text
}
