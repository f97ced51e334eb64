package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// ProcessPaymentResult is what ProcessPayment ends with.
type ProcessPaymentResult struct {
	Status payment.Status `json:"status"`
}

// processPayment owns one payment, from the merchant's request until its
// terminal status is written and every receiver was notified.
func processPayment(ctx workflow.Context, in ProcessPaymentInput) (ProcessPaymentResult, error) {
	p, err := newProcess(ctx, in)
	if err != nil {
		return ProcessPaymentResult{}, err
	}
	// A payment is never left half way: what cancels the workflow in the
	// Temporal UI is heard as the merchant's cancel, and nothing else stops.
	if err := p.run(detached(ctx)); err != nil {
		return ProcessPaymentResult{}, err
	}
	return ProcessPaymentResult{Status: p.payment.Status}, nil
}

// detached returns a context that the workflow's cancellation does not reach.
func detached(ctx workflow.Context) workflow.Context {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	return ctx
}

// process is one running ProcessPayment. The coroutine of run owns the
// payment's status and alone schedules Authorize; handlers only ask.
type process struct {
	timing Timing

	payment     payment.Payment
	fingerprint string
	revision    int64
	transitions int                 // how many there were
	unwritten   []ledger.Transition // those that the store was not given yet
	token       private.Text        // the ticket's; see activity.CreateTicketResult

	recorder      recorder
	notifier      notifier
	reviewCase    *reviewCase
	ticketSeen    workflow.ReceiveChannel
	events        workflow.ReceiveChannel
	pendingEvents []GatewayEvent // completed events that wait for the gateway's word
	asks          workflow.Channel

	waited         time.Duration // see TicketOutcome
	settled        bool          // the ticket's row, or the failure's, is written
	workflowErr    func() error  // of the workflow's own context: not nil once it is canceled
	cancelAsked    bool          // before any Authorize was scheduled
	cancelAccepted bool          // the gateway took the merchant's cancel before the deadline
	authorizing    bool          // from the first Authorize on, a cancel only learns its outcome
	ended          bool          // the terminal row is written
	contradicted   bool          // a contradicting event was recorded

	refused *payment.Failure // why the debit was refused, unless a look says otherwise
	said    *activity.Ticket // an answer about the debit that differs from what was asked
}

// newProcess installs every handler before anything can block.
func newProcess(ctx workflow.Context, in ProcessPaymentInput) (*process, error) {
	p := &process{
		timing:      in.Timing.withDefaults(),
		payment:     ledger.NewRecord(in.PaymentID, in.Fingerprint, in.Request, in.CreatedAt).Payment,
		fingerprint: in.Fingerprint,
		ticketSeen:  workflow.GetSignalChannel(ctx, SignalTicketSeen),
		events:      workflow.GetSignalChannel(ctx, SignalGatewayEvent),
		asks:        workflow.NewBufferedChannel(ctx, 1),
		workflowErr: ctx.Err,
		waited:      max(0, workflow.Now(ctx).Sub(workflow.GetInfo(ctx).WorkflowStartTime)),
	}
	if got := workflow.GetInfo(ctx).WorkflowExecution.ID; got != PaymentWorkflowID(in.PaymentID) {
		return nil, temporal.NewNonRetryableApplicationError("the workflow's id is not its payment's", "invalid", nil)
	}
	var err error
	if p.reviewCase, err = newReviewCase(ctx, in.PaymentID, "", func() bool { return p.ended }, p.describe); err != nil {
		return nil, err
	}
	if err := p.notifier.install(ctx); err != nil {
		return nil, err
	}
	if err := workflow.SetUpdateHandler(ctx, UpdateAwaitTicket, p.handleAwaitTicket); err != nil {
		return nil, err
	}
	if err := workflow.SetUpdateHandler(ctx, UpdateCancel, p.handleCancel); err != nil {
		return nil, err
	}
	if err := workflow.SetUpdateHandler(ctx, UpdateSetPhoneNumber, p.handleSetPhoneNumber); err != nil {
		return nil, err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		ctx.Done().Receive(ctx, nil)
		p.askCancel()
	})
	return p, nil
}

// run is the payment's life.
func (p *process) run(ctx workflow.Context) error {
	p.recorder.start(ctx)
	if err := p.open(ctx); err != nil {
		return err
	}
	if p.payment.Status == payment.StatusOpen {
		if err := p.awaitDecision(ctx); err != nil {
			return err
		}
	}
	if err := p.close(ctx); err != nil {
		return err
	}
	if err := p.announceEnd(ctx); err != nil {
		return err
	}
	return p.finish(ctx)
}

// open makes the ticket. The reserved row precedes the workflow, and the open row
// precedes the answer to the merchant.
func (p *process) open(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "Asks ATH Móvil for a ticket.")
	if p.withdrawn() {
		p.learn(ctx, payment.FactCancelled, cancelledByMerchant())
		return nil
	}
	if err := p.createTicket(ctx); err != nil || p.payment.Status != payment.StatusOpen {
		return err
	}
	// The customer is asked by now, so a store that is away holds up the answer
	// to the merchant and nothing else.
	p.whenWritten(ctx, p.announce(ctx, payment.EventCreated), func() { p.settled = true })
	return nil
}

// Tries of CreateTicket: a request that was surely not sent may be sent again,
// and one whose answer was lost once more, since its ticket is an orphan that
// nobody can authorize.
const (
	createTriesUnsent = 3
	createTriesLost   = 2
)

// createTicket moves the payment to open, failed or cancelled.
func (p *process) createTicket(ctx workflow.Context) error {
	options := p.timing.callOptions("asks for $" + p.payment.Total.String())
	left := p.payment.CreatedAt.Add(p.timing.Stale).Sub(workflow.Now(ctx))
	for unsent, lost := 1, 1; ; left = p.timing.Stale {
		if left <= 0 {
			p.learn(ctx, payment.FactFailed, stale())
			return nil
		}
		options.ScheduleToStartTimeout = left
		ticket, err := activity.CreateTicket.Do(workflow.WithActivityOptions(ctx, options),
			activity.CreateTicketInput{PaymentID: p.payment.ID, Request: p.payment.Request})
		if err == nil {
			p.payment.EcommerceID = ticket.EcommerceID
			p.token = ticket.AuthToken
			p.learn(ctx, payment.FactOpened, nil)
			return nil
		}
		failure := activity.FailureOf(err)
		countUnknown(ctx, opCreate, failure)
		switch {
		case activity.NeverStarted(err):
			p.learn(ctx, payment.FactFailed, stale())
			return nil
		case failure.Kind == activity.KindUnavailable && unsent < createTriesUnsent:
			unsent++
		case failure.Kind == activity.KindUnknown && lost < createTriesLost:
			lost++
		default:
			p.learn(ctx, payment.FactFailed, failure.Reason())
			return nil
		}
		if err := workflow.Sleep(ctx, time.Duration(unsent+lost-2)*p.timing.PollFirst); err != nil {
			return err
		}
		if p.withdrawn() {
			p.learn(ctx, payment.FactCancelled, cancelledByMerchant())
			return nil
		}
	}
}

// awaitDecision waits for the poller's word that the ticket is no longer open, a
// webhook's hint to look, the merchant's cancel, or the deadline. It returns when
// the payment is terminal or has to be closed.
func (p *process) awaitDecision(ctx workflow.Context) error {
	workflow.SetCurrentDetails(ctx, "Waits for the customer to confirm, until "+p.payment.ExpiresAt.Format(time.RFC3339)+".")
	// Workers may have been away until after the deadline; then there is nothing
	// to wait for, and the payment is closed at once.
	left := max(0, p.payment.ExpiresAt.Sub(workflow.Now(ctx)))
	// This timer is not canceled when the customer decides: that would be one
	// more event in every history, and the payment ends long before it fires.
	deadline := workflow.NewTimer(ctx, left)
	p.watchGrace(ctx, deadline)
	if left == 0 {
		return nil
	}
	again := workflow.NewTimer(ctx, watchEvery) // not cancelled either
	told := false                               // by the poller, and no look has agreed yet
	looks := lookCoalescer{look: func(ctx workflow.Context) workflow.Future { return p.find(ctx).Future }}
	var seen activity.Ticket
	for {
		answered, closing := false, false
		sel := workflow.NewSelector(ctx)
		if looks.underway != nil {
			sel.AddFuture(looks.underway, func(f workflow.Future) {
				answered = f.Get(ctx, &seen) == nil
				looks.done(ctx)
			})
		}
		sel.AddReceive(p.ticketSeen, func(c workflow.ReceiveChannel, _ bool) {
			for c.ReceiveAsync(nil) {
			}
			told = true
			looks.ask(ctx)
		})
		sel.AddReceive(p.events, func(workflow.ReceiveChannel, bool) {
			p.drain()
			looks.ask(ctx)
		})
		sel.AddReceive(p.asks, func(c workflow.ReceiveChannel, _ bool) { c.ReceiveAsync(nil) })
		sel.AddFuture(again, func(workflow.Future) {
			p.watchTicket(ctx)
			if told { // the poller tells each status once
				looks.ask(ctx)
			}
			again = workflow.NewTimer(ctx, watchEvery)
		})
		sel.AddFuture(deadline, func(workflow.Future) { closing = true })
		sel.Select(ctx)
		if p.withdrawn() || closing {
			return nil
		}
		if answered {
			if err := p.see(ctx, seen); err != nil || p.payment.Status.Terminal() {
				return err
			}
		}
	}
}

// watchEvery is how often a waiting payment puts its ticket before a poller again:
// the one that had it may have died, with a store that never had the row.
const watchEvery = time.Minute

// watchTicket puts the ticket before the poller of the worker that runs this.
func (p *process) watchTicket(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		_, err := activity.WatchTicket.Do(ctx, activity.WatchTicketInput{
			PaymentID: p.payment.ID, EcommerceID: p.payment.EcommerceID, Until: p.payment.ExpiresAt,
		})
		if err != nil {
			workflow.GetLogger(ctx).Error("ticket not watched", "payment_id", p.payment.ID, "error", err)
		}
	})
}

// lookCoalescer turns any number of webhooks into at most one look under way and
// one waiting.
type lookCoalescer struct {
	look     func(workflow.Context) workflow.Future
	underway workflow.Future
	again    bool
}

func (l *lookCoalescer) ask(ctx workflow.Context) {
	if l.underway != nil {
		l.again = true
		return
	}
	l.underway = l.look(ctx)
}

func (l *lookCoalescer) done(ctx workflow.Context) {
	l.underway = nil
	if l.again {
		l.again = false
		l.underway = l.look(ctx)
	}
}

// find looks at the ticket, for as long as that takes.
func (p *process) find(ctx workflow.Context) activity.Future[activity.Ticket] {
	return p.timing.find(ctx, p.payment.EcommerceID, "looks at the ticket")
}

// look waits for the gateway's word on the ticket or, in review, for a person's
// decision, and draws the conclusion from whichever comes first.
func (p *process) look(ctx workflow.Context) (activity.Ticket, error) {
	looking, stop := workflow.WithCancel(ctx)
	defer stop()
	found := p.find(looking)
	if request := p.reviewCase.await(ctx, found.Future); request != nil {
		return activity.Ticket{}, p.decide(ctx, request)
	}
	seen, err := found.Result(ctx)
	if err != nil {
		return activity.Ticket{}, err
	}
	return seen, p.see(ctx, seen)
}

// rest pauses between looks, unless a person decides.
func (p *process) rest(ctx workflow.Context, pause time.Duration) error {
	request, err := p.reviewCase.rest(ctx, pause)
	if err != nil || request == nil {
		return err
	}
	return p.decide(ctx, request)
}

// decide takes a person's decision on a payment in review, unless a fresh look
// at the gateway contradicts it. A look that is not answered contradicts nothing.
func (p *process) decide(ctx workflow.Context, request *decisionRequest) error {
	if !p.reviewCase.isOpen() {
		request.refuse()
		return nil
	}
	seen, err := p.timing.findOnce(ctx, p.payment.EcommerceID)
	if err == nil && seen.Status == activity.TicketCompleted && p.said != nil {
		p.said = &seen
	}
	if request.Verdict == payment.VerdictCompleted && p.said != nil && (err != nil || seen.Status == activity.TicketCompleted) {
		return p.completeByPerson(ctx, request, *p.said)
	}
	if err == nil && request.Verdict == payment.VerdictNotExecuted && alive(seen) {
		// The ticket must not be authorized after a person has said that it was not.
		p.cancelAsked = true
		p.cancelTicket(ctx)
		seen, err = p.timing.findOnce(ctx, p.payment.EcommerceID)
	}
	if err == nil && seen.Status.Known() {
		agrees := (request.Verdict == payment.VerdictCompleted) == (seen.Status == activity.TicketCompleted)
		if !agrees {
			request.contradict(string(seen.Status))
			return p.see(ctx, seen)
		}
		if !alive(seen) { // the gateway is definite by now
			request.accept()
			return p.see(ctx, seen)
		}
	}
	if request.Verdict == payment.VerdictCompleted {
		return p.completeByPerson(ctx, request, activity.Ticket{})
	}
	p.reviewCase.decide(ctx, request.byPerson())
	request.accept()
	p.learn(ctx, payment.FactFailed, &payment.Failure{
		Code: payment.FailureReviewed, Message: "a person decided that the customer was not debited",
	})
	return nil
}

// alive reports whether a ticket can still be authorized.
func alive(seen activity.Ticket) bool {
	return seen.Status == activity.TicketOpen || seen.Status == activity.TicketConfirmed
}

// see draws the conclusion from what the gateway said of the ticket.
func (p *process) see(ctx workflow.Context, ticket activity.Ticket) error {
	switch ticket.Status {
	case activity.TicketConfirmed:
		if p.withdrawn() || p.authorizing {
			return nil
		}
		return p.authorize(ctx)
	case activity.TicketCompleted:
		return p.complete(ctx, ticket)
	case activity.TicketOver, activity.TicketExpired:
		p.over(ctx, ticket)
	case activity.TicketOpen:
	default: // a status that nobody knows decides nothing
		p.reviewCase.note(ctx, "the ticket is %s", ticket.Status)
	}
	return nil
}

// authorize debits the customer and returns when the payment is terminal. No
// store write is awaited before the call: a database that is down never costs
// a sale.
func (p *process) authorize(ctx workflow.Context) error {
	p.authorizing = true
	p.learn(ctx, payment.FactConfirmed, nil)
	workflow.SetCurrentDetails(ctx, "The customer confirmed; debits.")
	pause := p.timing.PollFirst // grows over all tries: a gateway that is away is not hammered
	for tries := 1; !p.payment.Status.Terminal(); tries++ {
		debited, err := activity.Authorize.Do(p.timing.calling(ctx, "debits $"+p.payment.Total.String()),
			activity.AuthorizeInput{EcommerceID: p.payment.EcommerceID, AuthToken: p.token})
		if err == nil {
			return p.complete(ctx, debited)
		}
		failure := activity.FailureOf(err)
		countUnknown(ctx, opAuthorize, failure)
		p.reviewCase.note(ctx, "Authorize, try %d: %s", tries, failure)
		p.write(ctx)
		if failure.Definite() {
			return p.refuse(ctx, failure, pause)
		}
		if pause, err = p.settleAuthorize(ctx, failure, pause); err != nil {
			return err
		}
	}
	return nil
}

// refuse takes a refusal that the reference documents as without effect, once a
// look agrees: COMPLETED means that the customer was debited all the same. A
// ticket that is still alive is cancelled, since nobody will authorize it.
func (p *process) refuse(ctx workflow.Context, failure activity.GatewayFailure, pause time.Duration) error {
	workflow.SetCurrentDetails(ctx, "The debit was refused; looks, and closes the ticket.")
	p.refused = failure.Reason()
	for ; ; pause = min(2*pause, p.pauseMost()) {
		seen, err := p.look(ctx)
		if err != nil || p.payment.Status.Terminal() {
			return err
		}
		p.reviewCase.note(ctx, "the ticket is %s", seen.Status)
		if alive(seen) {
			p.cancelTicket(ctx)
			if seen, err = p.look(ctx); err != nil || p.payment.Status.Terminal() {
				return err
			}
			p.reviewCase.note(ctx, "the ticket is %s", seen.Status)
		}
		if err := p.rest(ctx, pause); err != nil || p.payment.Status.Terminal() {
			return err
		}
	}
}

// settleAuthorize looks until the payment is terminal, or until an
// authorization that was not answered was surely not executed and may be sent
// again: at once where nothing was sent, otherwise when the ticket is still
// confirmed longer than a call can last. It returns the next pause.
func (p *process) settleAuthorize(
	ctx workflow.Context, failure activity.GatewayFailure, pause time.Duration,
) (time.Duration, error) {
	workflow.SetCurrentDetails(ctx, "The debit's outcome is not known; looks before anything else.")
	ended := workflow.Now(ctx)
	executing := p.timing.Call
	if failure.Kind == activity.KindUnavailable {
		executing = 0
	}
	for ; ; pause = min(2*pause, p.pauseMost()) {
		if err := p.rest(ctx, pause); err != nil || p.payment.Status.Terminal() {
			return pause, err
		}
		seen, err := p.look(ctx)
		if err != nil || p.payment.Status.Terminal() {
			return pause, err
		}
		p.reviewCase.note(ctx, "the ticket is %s", seen.Status)
		switch {
		case seen.Status != activity.TicketConfirmed || workflow.Now(ctx).Sub(ended) < executing:
		case p.timing.ForbidSecondAuthorize:
			p.needReview(ctx, payment.CauseSecondAuthorize)
		default:
			return min(2*pause, p.pauseMost()), nil
		}
	}
}

// close brings a payment that the customer did not confirm to its end. It looks
// first at the deadline, since a confirmation may have won; it cancels first
// for a merchant, since the merchant's word wins over the customer's until the
// debit is under way.
func (p *process) close(ctx workflow.Context) error {
	if p.payment.Status.Terminal() {
		return nil
	}
	workflow.SetCurrentDetails(ctx, "Closes the ticket at ATH Móvil.")
	for pause := p.timing.PollFirst; ; pause = min(2*pause, p.pauseMost()) {
		if p.withdrawn() {
			p.cancelTicket(ctx)
		}
		seen, err := p.look(ctx)
		if err != nil || p.payment.Status.Terminal() {
			return err
		}
		p.reviewCase.note(ctx, "the ticket is %s", seen.Status)
		if seen.Status == activity.TicketOpen && !p.withdrawn() {
			p.cancelTicket(ctx)
		}
		if err := p.rest(ctx, pause); err != nil || p.payment.Status.Terminal() {
			return err
		}
	}
}

// cancelTicket asks the gateway once; a look that follows tells what came of it.
func (p *process) cancelTicket(ctx workflow.Context) {
	_, err := activity.CancelTicket.Do(p.timing.calling(ctx, "cancels the ticket"), activity.TicketInput{EcommerceID: p.payment.EcommerceID})
	if err != nil {
		p.reviewCase.note(ctx, "CancelTicket: %s", activity.FailureOf(err))
		return
	}
	if p.cancelAsked && workflow.Now(ctx).Before(p.payment.ExpiresAt) {
		p.cancelAccepted = true
	}
}

// complete takes the gateway's word that the customer was debited, where it says
// so of what was asked: this ticket, this total, and a reference number that no
// other payment has. An answer that differs never completes a payment: a person
// is asked, and the looks go on.
func (p *process) complete(ctx workflow.Context, debited activity.Ticket) error {
	differs := p.differs(debited)
	if differs == "" {
		other, err := p.debit(ctx, debited)
		if err != nil || other == "" {
			return err
		}
		differs = fmt.Sprintf("the reference number %s is that of %s", debited.ReferenceNumber, other)
	}
	p.reviewCase.note(ctx, "asked for $%s; ATH Móvil says that the ticket is completed, but %s", p.payment.Total, differs)
	looking := p.said != nil
	p.said = &debited
	if looking {
		return nil
	}
	// From here on nothing is sent again, and a cancel only learns what comes of it.
	p.authorizing = true
	p.learn(ctx, payment.FactConfirmed, nil)
	if p.reviewCase.isOpen() {
		p.write(ctx) // the new evidence
	}
	p.needReview(ctx, payment.CauseAnswerDiffers)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Needs a review: debited, but %s; looks every %s.", differs, p.timing.Review))
	for !p.payment.Status.Terminal() {
		if err := p.rest(ctx, p.pauseMost()); err != nil || p.payment.Status.Terminal() {
			return err
		}
		if _, err := p.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// differs says how an answer about the debit differs from what was asked.
func (p *process) differs(debited activity.Ticket) string {
	switch {
	case !strings.EqualFold(debited.EcommerceID, p.payment.EcommerceID):
		return fmt.Sprintf("the ticket is %s, not %s", debited.EcommerceID, p.payment.EcommerceID)
	case debited.Total != p.payment.Total:
		return "the total is $" + debited.Total.String()
	case debited.ReferenceNumber == "":
		return "there is no reference number"
	default:
		return ""
	}
}

// debit writes that the customer was debited. Where another payment has the
// debit's reference number, the store says so; then nothing was written, and
// nothing has happened.
func (p *process) debit(ctx workflow.Context, debited activity.Ticket) (other string, err error) {
	before, transitions, unwritten := p.payment, p.transitions, p.unwritten
	at := now(ctx)
	p.payment.CompletedAt = &at
	p.payment.Captured = &debited.Total
	p.payment.ReferenceNumber = debited.ReferenceNumber
	p.payment.DailyTransactionID = debited.DailyTransactionID
	p.payment.Fee, p.payment.NetAmount = debited.Fee, debited.NetAmount
	p.learn(ctx, payment.FactConfirmed, nil)
	p.learn(ctx, payment.FactCompleted, nil)
	p.takePayer()
	recorded, err := p.write(ctx).Result(ctx)
	if err == nil && recorded.DebitOf != "" {
		p.payment, p.transitions, p.unwritten = before, transitions, unwritten
		p.reviewCase.reopen()
	}
	return recorded.DebitOf, err
}

// completeByPerson takes a person's word that the customer was debited, with what
// the gateway says of the debit, if anything: its total is what was captured.
func (p *process) completeByPerson(ctx workflow.Context, request *decisionRequest, said activity.Ticket) error {
	p.reviewCase.decide(ctx, request.byPerson())
	request.accept()
	if !strings.EqualFold(said.EcommerceID, p.payment.EcommerceID) { // nothing was said of ours
		said = activity.Ticket{Total: p.payment.Total}
	}
	other, err := p.debit(ctx, said)
	if err == nil && other != "" {
		// A refund by that number would be the other payment's.
		said.ReferenceNumber = ""
		p.reviewCase.decide(ctx, request.byPerson())
		_, err = p.debit(ctx, said)
	}
	return err
}

// over decides between cancelled and expired, which the gateway does not tell
// apart (docs/athmovil.md §1.2) unless it says EXPIRED. An event never decides
// it. After a refused debit it is the refusal that ended the payment.
func (p *process) over(ctx workflow.Context, ticket activity.Ticket) {
	early := ticket.SeenAt.Before(p.payment.ExpiresAt.Add(-p.timing.CancelMargin))
	switch {
	case p.refused != nil:
		p.learn(ctx, payment.FactFailed, p.refused)
	case ticket.Status == activity.TicketExpired:
		p.learn(ctx, payment.FactExpired, nil)
	case p.cancelAccepted || early && p.cancelAsked:
		p.learn(ctx, payment.FactCancelled, cancelledByMerchant())
	case early:
		p.learn(ctx, payment.FactCancelled, &payment.Failure{
			Code: payment.FailureCancelledByCustomer, Message: "cancelled in the ATH Móvil app",
		})
	default:
		p.learn(ctx, payment.FactExpired, nil)
	}
}

// learn applies a fact. A fact that is already true, or that contradicts the
// status, changes nothing.
func (p *process) learn(ctx workflow.Context, fact payment.Fact, reason *payment.Failure) {
	next, err := payment.Next(p.payment.Status, fact)
	if err != nil {
		workflow.GetLogger(ctx).Error("fact refused", "payment_id", p.payment.ID, "error", err)
		return
	}
	if next == p.payment.Status {
		return
	}
	p.transitions++
	step := ledger.Transition{
		PaymentID: p.payment.ID, Sequence: p.transitions, From: p.payment.Status, To: next, At: now(ctx),
	}
	if reason != nil {
		step.Reason = reason.Code
	}
	p.unwritten = append(p.unwritten, step)
	p.payment.Status = next
	p.payment.Failure = reason
	if next.Terminal() {
		p.payment.NeedsReview = false
		verdict := payment.VerdictNotExecuted
		if next == payment.StatusCompleted {
			verdict = payment.VerdictCompleted
		}
		p.reviewCase.decide(ctx, payment.Decision{Verdict: verdict, Source: payment.DecidedByGateway})
	}
}

func cancelledByMerchant() *payment.Failure {
	return &payment.Failure{Code: payment.FailureCancelledByMerchant, Message: "cancelled by the merchant"}
}

func stale() *payment.Failure {
	return &payment.Failure{Code: payment.FailureStale, Message: "work began too long after the request; ask again with a new key"}
}

// pauseMost is the longest pause between looks: short while time is of the
// essence, long while a person is asked.
func (p *process) pauseMost() time.Duration {
	if p.payment.NeedsReview {
		return p.timing.Review
	}
	return max(p.timing.PollMost, p.timing.PollFirst)
}

// watchGrace asks for a review when the payment is not terminal by the end of
// its grace period, whatever it waits for then.
func (p *process) watchGrace(ctx workflow.Context, deadline workflow.Future) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		if deadline.Get(ctx, nil) != nil || p.payment.Status.Terminal() {
			return
		}
		left := p.payment.ExpiresAt.Add(p.timing.Grace).Sub(workflow.Now(ctx))
		// Where the workers were stopped for longer than that, the first look
		// still comes before a person is woken.
		if workflow.Sleep(ctx, max(left, p.timing.Call)) == nil && !p.payment.Status.Terminal() {
			p.needReview(ctx, payment.CauseUndecided)
		}
	})
}

// needReview flags the payment and tells of it, once.
func (p *process) needReview(ctx workflow.Context, cause payment.ReviewCause) {
	p.reviewCase.note(ctx, "still %s; the deadline is %s", p.payment.Status, p.payment.ExpiresAt.Format(time.RFC3339))
	if !p.reviewCase.open(ctx, cause) {
		return
	}
	p.payment.NeedsReview = true
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("Needs a review: ATH Móvil has not decided; looks every %s.", p.timing.Review))
	p.upsert(ctx, SearchNeedsReview.ValueSet(true))
	p.announce(ctx, payment.EventNeedsReview)
}
