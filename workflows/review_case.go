package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// maxEvidence bounds what a review shows: the first and the latest that was
// seen matter, and the history has the rest.
const maxEvidence = 20

// reviewCase keeps the review of one payment or refund, and takes people's
// decisions to the coroutine that owns the outcome: that one alone decides.
type reviewCase struct {
	paymentID, refundID string

	evidence []payment.Evidence // what was seen, also before the review was opened
	review   *payment.Review    // the latest one; nil where there was none
	opened   int
	unsaved  bool // the store was not given the review as it stands
	requests workflow.Channel
	written  func() bool // the outcome's row is in the store
}

// decisionRequest is one person's decision and what came of it.
type decisionRequest struct {
	ReviewRequest
	answer *ReviewOutcome
}

// newReviewCase installs the handler of people's decisions. subject puts what is
// under review into an answer.
func newReviewCase(
	ctx workflow.Context, paymentID, refundID string, written func() bool, subject func(*ReviewOutcome),
) (*reviewCase, error) {
	c := &reviewCase{paymentID: paymentID, refundID: refundID, requests: workflow.NewBufferedChannel(ctx, 1), written: written}
	return c, workflow.SetUpdateHandler(ctx, UpdateReview, func(ctx workflow.Context, in ReviewRequest) (ReviewOutcome, error) {
		outcome, err := c.handle(detached(ctx), in)
		subject(&outcome)
		return outcome, err
	})
}

// handle answers one person. A review that ended by itself meanwhile is not
// open any more.
func (c *reviewCase) handle(ctx workflow.Context, in ReviewRequest) (ReviewOutcome, error) {
	if !c.isOpen() {
		return ReviewOutcome{Refused: ReviewNotOpen}, nil
	}
	r := &decisionRequest{ReviewRequest: in}
	workflow.Go(ctx, func(ctx workflow.Context) { c.requests.Send(ctx, r) })
	if err := workflow.Await(ctx, func() bool { return r.answer != nil || !c.isOpen() && c.written() }); err != nil {
		return ReviewOutcome{}, err
	}
	if r.answer == nil {
		return ReviewOutcome{Refused: ReviewNotOpen}, nil
	}
	if !c.isOpen() {
		if err := workflow.Await(ctx, c.written); err != nil {
			return ReviewOutcome{}, err
		}
	}
	return *r.answer, nil
}

// await waits for a future or, in review, for a person's decision, whichever
// comes first. It returns nil where the future did.
func (c *reviewCase) await(ctx workflow.Context, future workflow.Future) *decisionRequest {
	var request *decisionRequest
	workflow.NewSelector(ctx).
		AddFuture(future, func(workflow.Future) {}).
		AddReceive(c.requests, func(ch workflow.ReceiveChannel, _ bool) { ch.Receive(ctx, &request) }).
		Select(ctx)
	return request
}

// rest pauses, unless a person decides.
func (c *reviewCase) rest(ctx workflow.Context, pause time.Duration) (*decisionRequest, error) {
	resting, stop := workflow.WithCancel(ctx)
	defer stop()
	timer := workflow.NewTimer(resting, pause)
	if request := c.await(ctx, timer); request != nil {
		return request, nil
	}
	return nil, timer.Get(ctx, nil)
}

// note keeps what was seen, unless it is what was seen last.
func (c *reviewCase) note(ctx workflow.Context, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if n := len(c.evidence); n > 0 && c.evidence[n-1].What == what {
		return
	}
	c.evidence = append(c.evidence, payment.Evidence{At: now(ctx), What: what})
	if len(c.evidence) > maxEvidence {
		c.evidence = slices.Delete(c.evidence, maxEvidence/2, maxEvidence/2+1)
	}
	c.unsaved = c.isOpen()
}

// open begins a review; false where one is open.
func (c *reviewCase) open(ctx workflow.Context, cause payment.ReviewCause) bool {
	if c.isOpen() {
		return false
	}
	c.opened++
	subject := c.paymentID
	if c.refundID != "" {
		subject = c.refundID
	}
	c.review = &payment.Review{
		ID: ledger.DeriveReviewID(subject, c.opened), PaymentID: c.paymentID, RefundID: c.refundID,
		Cause: cause, OpenedAt: now(ctx),
	}
	c.unsaved = true
	return true
}

func (c *reviewCase) isOpen() bool { return c.review != nil && c.review.Decision == nil }

// decide ends a review that is open.
func (c *reviewCase) decide(ctx workflow.Context, decision payment.Decision) {
	if !c.isOpen() {
		return
	}
	decision.At = now(ctx)
	c.review.Decision = &decision
	c.unsaved = true
}

// reopen takes back a decision that the store was not given.
func (c *reviewCase) reopen() {
	if c.review != nil && c.review.Decision != nil {
		c.review.Decision = nil
		c.unsaved = true
	}
}

// take returns the review where the store was not given it as it stands.
func (c *reviewCase) take() *payment.Review {
	if !c.unsaved {
		return nil
	}
	c.unsaved = false
	review := *c.review
	review.Evidence = slices.Clone(c.evidence)
	return &review
}

// byPerson is a person's decision.
func (r *decisionRequest) byPerson() payment.Decision {
	return payment.Decision{Verdict: r.Verdict, Source: payment.DecidedByPerson, By: r.By, Reason: r.Reason}
}

// accept answers that the person's decision counts, or agrees with the gateway's
// word.
func (r *decisionRequest) accept() { r.answer = &ReviewOutcome{} }

// refuse answers that no review is open.
func (r *decisionRequest) refuse() { r.answer = &ReviewOutcome{Refused: ReviewNotOpen} }

// contradict answers that the gateway says otherwise.
func (r *decisionRequest) contradict(says string) {
	r.answer = &ReviewOutcome{Refused: ReviewContradicted, Says: says}
}
