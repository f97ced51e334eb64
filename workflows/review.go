package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// maxEvidence bounds what a review shows: the first and the latest that was
// seen matter, and the history has the rest.
const maxEvidence = 20

// docket keeps the review of one payment or refund, and takes people's words to
// the coroutine that owns the outcome: that one alone decides.
type docket struct {
	paymentID, refundID string

	evidence []payment.Evidence // what was seen before the review was opened, too
	review   *payment.Review    // the latest one; nil where there was none
	opened   int
	unsaved  bool // the store was not given the review as it stands
	rulings  workflow.Channel
	written  func() bool // the outcome's row is in the store
}

// ruling is one person's word and what came of it.
type ruling struct {
	ReviewRequest
	answer *ReviewOutcome
}

// newDocket installs the handler of people's words.
func newDocket(ctx workflow.Context, paymentID, refundID string, written func() bool) (*docket, error) {
	d := &docket{paymentID: paymentID, refundID: refundID, rulings: workflow.NewBufferedChannel(ctx, 1), written: written}
	return d, workflow.SetUpdateHandler(ctx, UpdateReview, d.handle)
}

// handle answers one person. A review that ended by itself meanwhile is not
// open any more.
func (d *docket) handle(ctx workflow.Context, in ReviewRequest) (ReviewOutcome, error) {
	ctx = detached(ctx)
	if !d.isOpen() {
		return ReviewOutcome{Refused: ReviewNotOpen}, nil
	}
	r := &ruling{ReviewRequest: in}
	workflow.Go(ctx, func(ctx workflow.Context) { d.rulings.Send(ctx, r) })
	if err := workflow.Await(ctx, func() bool { return r.answer != nil || !d.isOpen() && d.written() }); err != nil {
		return ReviewOutcome{}, err
	}
	if r.answer == nil {
		return ReviewOutcome{Refused: ReviewNotOpen}, nil
	}
	if !d.isOpen() {
		if err := workflow.Await(ctx, d.written); err != nil {
			return ReviewOutcome{}, err
		}
	}
	return *r.answer, nil
}

// await waits for a future or, in review, for a person's word, whichever comes
// first. It returns nil where the future did.
func (d *docket) await(ctx workflow.Context, future workflow.Future) *ruling {
	var heard *ruling
	workflow.NewSelector(ctx).
		AddFuture(future, func(workflow.Future) {}).
		AddReceive(d.rulings, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, &heard) }).
		Select(ctx)
	return heard
}

// rest pauses, unless a person speaks.
func (d *docket) rest(ctx workflow.Context, pause time.Duration) (*ruling, error) {
	resting, stop := workflow.WithCancel(ctx)
	defer stop()
	timer := workflow.NewTimer(resting, pause)
	if heard := d.await(ctx, timer); heard != nil {
		return heard, nil
	}
	return nil, timer.Get(ctx, nil)
}

// note keeps what was seen, unless it is what was seen last.
func (d *docket) note(ctx workflow.Context, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if n := len(d.evidence); n > 0 && d.evidence[n-1].What == what {
		return
	}
	d.evidence = append(d.evidence, payment.Evidence{At: workflow.Now(ctx).UTC(), What: what})
	if len(d.evidence) > maxEvidence {
		d.evidence = slices.Delete(d.evidence, maxEvidence/2, maxEvidence/2+1)
	}
	d.unsaved = d.isOpen()
}

// open begins a review; false where one is open.
func (d *docket) open(ctx workflow.Context, cause payment.ReviewCause) bool {
	if d.isOpen() {
		return false
	}
	d.opened++
	subject := d.paymentID
	if d.refundID != "" {
		subject = d.refundID
	}
	d.review = &payment.Review{
		ID: ledger.DeriveReviewID(subject, d.opened), PaymentID: d.paymentID, RefundID: d.refundID,
		Cause: cause, OpenedAt: workflow.Now(ctx).UTC(),
	}
	d.unsaved = true
	return true
}

func (d *docket) isOpen() bool { return d.review != nil && d.review.Decision == nil }

// decide ends a review that is open.
func (d *docket) decide(ctx workflow.Context, decision payment.Decision) {
	if !d.isOpen() {
		return
	}
	decision.At = workflow.Now(ctx).UTC()
	d.review.Decision = &decision
	d.unsaved = true
}

// current returns the review as it stands, for a notification; nil where there
// was none.
func (d *docket) current() *payment.Review {
	if d.review == nil {
		return nil
	}
	review := *d.review
	review.Evidence = slices.Clone(d.evidence)
	return &review
}

// take returns the review where the store was not given it as it stands.
func (d *docket) take() *payment.Review {
	if !d.unsaved {
		return nil
	}
	d.unsaved = false
	return d.current()
}

// byPerson is a person's decision.
func (r *ruling) byPerson() payment.Decision {
	return payment.Decision{Verdict: r.Verdict, Source: payment.DecidedByPerson, By: r.By, Reason: r.Reason}
}

// accept answers that the person's word counts, or agrees with the gateway's.
func (r *ruling) accept() { r.answer = &ReviewOutcome{} }

// contradict answers that the gateway says otherwise.
func (r *ruling) contradict(says string) {
	r.answer = &ReviewOutcome{Refused: ReviewContradicted, Says: says}
}

// glance looks at a ticket once: a person waits, and an answer that does not
// come tells nothing.
func (t Timing) glance(ctx workflow.Context, ecommerceID string) (activities.Ticket, error) {
	options := t.activityOptions(activities.FindTicketName, "looks before a person's word counts")
	options.RetryPolicy = &temporal.RetryPolicy{MaximumAttempts: 1}
	var seen activities.Ticket
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), activities.FindTicketName,
		activities.TicketInput{EcommerceID: ecommerceID}).Get(ctx, &seen)
	return seen, err
}
