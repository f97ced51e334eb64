package activities

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"go.temporal.io/sdk/activity"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// RefundClaims remembers which run of a workflow may send a refund.
// internal/store satisfies it.
type RefundClaims interface {
	// ClaimRefund gives the refund to the run, or returns a
	// *payment.RefundRefusal with payment.RefusedHeld where another one has it.
	ClaimRefund(ctx context.Context, refundID, runID string) error
}

// Gateway calls ATH Móvil. Safe for concurrent use.
type Gateway struct {
	Client *athmovil.Client
	// Claims is asked before a refund is sent.
	Claims RefundClaims
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// CreateTicketInput asks for a ticket.
type CreateTicketInput struct {
	PaymentID string          `json:"payment_id"`
	Request   payment.Request `json:"request"`
}

// CreateTicketResult is a ticket.
type CreateTicketResult struct {
	EcommerceID string `json:"ecommerce_id"`
	// AuthToken cannot be issued again, and without it a confirmed sale is
	// lost. It lives in the history, encrypted, and nowhere else.
	AuthToken private.Text `json:"auth_token"`
}

// CreateTicket asks the gateway for a ticket, which rings the customer's phone
// where a number is given. Class create: an attempt whose answer is lost leaves
// an orphan that nobody can authorise.
func (g *Gateway) CreateTicket(ctx context.Context, in CreateTicketInput) (CreateTicketResult, error) {
	request := in.Request
	// The gateway's expired event names nothing but the metadata, so the
	// payment's id travels in whichever the merchant left empty.
	metadata1, metadata2 := request.Metadata1, request.Metadata2
	switch {
	case metadata2 == "":
		metadata2 = private.Text(in.PaymentID)
	case metadata1 == "":
		metadata1 = private.Text(in.PaymentID)
	}
	items := make([]athmovil.Item, len(request.Items))
	for i, item := range request.Items {
		items[i] = athmovil.Item{
			Name: item.Name, Description: item.Description, Quantity: item.Quantity,
			Price: item.Price, Tax: orZero(item.Tax), Metadata: item.Metadata,
		}
	}
	failpoint.Reach(failpoint.CreateBefore)
	ticket, err := g.Client.Create(ctx, athmovil.CreateRequest{
		Total: request.Total, SubTotal: orZero(request.Subtotal), Tax: orZero(request.Tax),
		PhoneNumber: request.PhoneNumber, Metadata1: metadata1, Metadata2: metadata2,
		Items: items, Timeout: request.ExpiresIn,
	})
	failpoint.Reach(failpoint.CreateAfter)
	if err != nil {
		return CreateTicketResult{}, gatewayError(err)
	}
	return CreateTicketResult{EcommerceID: ticket.EcommerceID, AuthToken: private.Text(ticket.AuthToken.Reveal())}, nil
}

// TicketInput names a ticket.
type TicketInput struct {
	EcommerceID string `json:"ecommerce_id"`
}

// Ticket is what the gateway said of a ticket at one moment.
type Ticket struct {
	Status             athmovil.TicketStatus `json:"status"`
	ReferenceNumber    string                `json:"reference_number,omitempty"`
	DailyTransactionID string                `json:"daily_transaction_id,omitempty"`
	Total              money.Amount          `json:"total"`
	Fee                money.Amount          `json:"fee"`
	NetAmount          money.Amount          `json:"net_amount"`
	TotalRefunded      money.Amount          `json:"total_refunded"`
	SeenAt             time.Time             `json:"seen_at"` // by the worker's clock
}

// FindTicket looks. Class read.
func (g *Gateway) FindTicket(ctx context.Context, in TicketInput) (Ticket, error) {
	failpoint.Reach(failpoint.FindBefore)
	found, err := g.Client.Find(ctx, in.EcommerceID)
	failpoint.Reach(failpoint.FindAfter)
	if err != nil {
		return Ticket{}, gatewayError(err)
	}
	return g.ticket(found), nil
}

// AwaitDecisionInput asks to be told when a ticket is no longer open.
type AwaitDecisionInput struct {
	EcommerceID string        `json:"ecommerce_id"`
	Until       time.Time     `json:"until"` // when to give up waiting
	First       time.Duration `json:"first"` // pause after the first look
	Most        time.Duration `json:"most"`  // the longest pause
}

// errWorkerStopping makes Temporal hand a poll to another worker at once.
var errWorkerStopping = errors.New("the worker is stopping; another one goes on")

// AwaitDecision looks again and again until the ticket is no longer open, or
// until the deadline, and returns the last look. It heartbeats after each look.
// Class read: an error, of the gateway or of a worker that stops, is retried.
func (g *Gateway) AwaitDecision(ctx context.Context, in AwaitDecisionInput) (Ticket, error) {
	for pause := in.First; ; pause = min(pause*5/4, in.Most) {
		seen, err := g.FindTicket(ctx, TicketInput{EcommerceID: in.EcommerceID})
		if err != nil {
			return Ticket{}, err
		}
		left := in.Until.Sub(g.now())
		// A status that nobody knows is no decision, so the wait goes on.
		if decided := seen.Status.Known() && seen.Status != athmovil.StatusOpen; decided || left <= 0 {
			return seen, nil
		}
		activity.RecordHeartbeat(ctx)
		// Jitter, so that tickets made together are not polled together.
		timer := time.NewTimer(min(left, pause-rand.N(pause/4+1)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Ticket{}, ctx.Err()
		case <-activity.GetWorkerStopChannel(ctx):
			timer.Stop()
			return Ticket{}, errWorkerStopping
		}
	}
}

// AuthorizeInput debits a confirmed ticket.
type AuthorizeInput struct {
	EcommerceID string       `json:"ecommerce_id"`
	AuthToken   private.Text `json:"auth_token"`
}

// Authorize debits the customer. Class moveMoney: one attempt, and an outcome
// that is not known is an error of kind unknown.
func (g *Gateway) Authorize(ctx context.Context, in AuthorizeInput) (Ticket, error) {
	failpoint.Reach(failpoint.AuthorizeBefore)
	debited, err := g.Client.Authorize(ctx, private.NewToken(string(in.AuthToken)))
	failpoint.Reach(failpoint.AuthorizeAfter)
	if err != nil {
		return Ticket{}, gatewayError(err)
	}
	return g.ticket(debited), nil
}

// CancelTicket asks the gateway to cancel a ticket that was not authorised.
// Class ask: one attempt, then look.
func (g *Gateway) CancelTicket(ctx context.Context, in TicketInput) error {
	failpoint.Reach(failpoint.CancelBefore)
	err := g.Client.Cancel(ctx, in.EcommerceID)
	failpoint.Reach(failpoint.CancelAfter)
	return gatewayError(err)
}

// SetPhoneNumberInput rings a phone for a ticket that was made without one.
type SetPhoneNumberInput struct {
	EcommerceID string       `json:"ecommerce_id"`
	AuthToken   private.Text `json:"auth_token"`
	PhoneNumber private.Text `json:"phone_number"` // ten digits
}

// SetPhoneNumber gives the ticket a phone number. Class ask.
func (g *Gateway) SetPhoneNumber(ctx context.Context, in SetPhoneNumberInput) error {
	failpoint.Reach(failpoint.PhoneBefore)
	err := g.Client.UpdatePhoneNumber(ctx, private.NewToken(string(in.AuthToken)), in.EcommerceID, in.PhoneNumber)
	failpoint.Reach(failpoint.PhoneAfter)
	return gatewayError(err)
}

// RefundInput gives money back.
type RefundInput struct {
	RefundID        string       `json:"refund_id"`
	ReferenceNumber string       `json:"reference_number"` // the payment's
	Amount          money.Amount `json:"amount"`
	Message         private.Text `json:"message,omitempty"`
}

// RefundResult is a refund that the gateway executed.
type RefundResult struct {
	ReferenceNumber string `json:"reference_number,omitempty"` // the refund's own, or the payment's (docs/athmovil.md §1.5)
}

// Refund credits the customer. Class moveMoney: one attempt, and an outcome
// that is not known is an error of kind unknown. A workflow that was reset runs
// again under another run id, and an earlier run may have sent the refund: then
// nothing is sent, and the outcome is not known.
func (g *Gateway) Refund(ctx context.Context, in RefundInput) (RefundResult, error) {
	if err := g.claim(ctx, in.RefundID); err != nil {
		return RefundResult{}, err
	}
	failpoint.Reach(failpoint.RefundBefore)
	refunded, err := g.Client.Refund(ctx, athmovil.RefundRequest{
		ReferenceNumber: in.ReferenceNumber, Amount: in.Amount,
		Message: refundMessage(in.Message, in.RefundID),
	})
	failpoint.Reach(failpoint.RefundAfter)
	if err != nil {
		return RefundResult{}, gatewayError(err)
	}
	return RefundResult{ReferenceNumber: refunded.ReferenceNumber}, nil
}

// claim asks for the right to send a refund.
func (g *Gateway) claim(ctx context.Context, refundID string) error {
	err := g.Claims.ClaimRefund(ctx, refundID, activity.GetInfo(ctx).WorkflowExecution.RunID)
	var refusal *payment.RefundRefusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return failed("another run of the workflow may have sent the refund", athmovil.KindUnknown)
	default:
		return failed("the refund was not claimed, so nothing was sent", athmovil.KindUnavailable)
	}
}

// refundMessage adds the refund's short id to the message where the gateway's
// limit leaves room: the refund event echoes the message, and nothing else in
// it names our refund (docs/athmovil.md §4.2).
func refundMessage(message private.Text, refundID string) private.Text {
	with := strings.TrimSpace(string(message) + " #" + ledger.ShortRefundID(refundID))
	if utf8.RuneCountInString(with) > payment.MaxRefundMessage {
		return message
	}
	return private.Text(with)
}

// ticket reads a transaction of the gateway.
func (g *Gateway) ticket(t athmovil.Transaction) Ticket {
	return Ticket{
		Status: t.Status, ReferenceNumber: t.ReferenceNumber, DailyTransactionID: t.DailyTransactionID,
		Total: t.Total, Fee: t.Fee, NetAmount: t.NetAmount, TotalRefunded: t.TotalRefundedAmount,
		SeenAt: g.now().UTC(),
	}
}

func (g *Gateway) now() time.Time {
	if g.Now == nil {
		return time.Now()
	}
	return g.Now()
}

func orZero(a *money.Amount) money.Amount {
	if a == nil {
		return money.Amount{}
	}
	return *a
}
