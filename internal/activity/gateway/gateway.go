// Package gateway does the activities that call ATH Móvil.
//
// Money moves at two call sites, [Gateway.Authorize] and [Gateway.Refund]: each
// is one attempt, and an outcome that is not known is reported as such.
package gateway

import (
	"context"
	crand "crypto/rand"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	sdk "go.temporal.io/sdk/activity"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// RefundLocks remembers which tries of a refund may have been sent. internal/store
// satisfies it.
type RefundLocks interface {
	// ClaimRefund gives the right to send a try, from 1, to one execution of the
	// activity. It returns a *payment.RefundRefusal with payment.RefusedHeld where
	// that, or a later one, was given before.
	ClaimRefund(ctx context.Context, refundID string, try int, by string) error
}

// Gateway calls ATH Móvil. Safe for concurrent use.
type Gateway struct {
	Client *athmovil.Client
	// Locks is asked before a refund is sent.
	Locks RefundLocks
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	unknown sync.Map // the statuses that were logged
}

// Bindings lists the activities.
func (g *Gateway) Bindings() []activity.Binding {
	return []activity.Binding{
		activity.CreateTicket.Bind(g.CreateTicket), activity.FindTicket.Bind(g.FindTicket), activity.Authorize.Bind(g.Authorize),
		activity.CancelTicket.Bind(g.CancelTicket), activity.SetPhoneNumber.Bind(g.SetPhoneNumber), activity.Refund.Bind(g.Refund),
	}
}

// CreateTicket does [activity.CreateTicket].
func (g *Gateway) CreateTicket(ctx context.Context, in activity.CreateTicketInput) (activity.CreateTicketResult, error) {
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
		return activity.CreateTicketResult{}, Error(err)
	}
	return activity.CreateTicketResult{EcommerceID: ticket.EcommerceID, AuthToken: private.Text(ticket.AuthToken.Reveal())}, nil
}

// FindTicket does [activity.FindTicket].
func (g *Gateway) FindTicket(ctx context.Context, in activity.TicketInput) (activity.Ticket, error) {
	failpoint.Reach(failpoint.FindBefore)
	found, err := g.Client.Find(ctx, in.EcommerceID)
	failpoint.Reach(failpoint.FindAfter)
	if err != nil {
		return activity.Ticket{}, Error(err)
	}
	return g.ticket(ctx, found), nil
}

// Authorize does [activity.Authorize]. An outcome that is not known is an error
// of kind unknown.
func (g *Gateway) Authorize(ctx context.Context, in activity.AuthorizeInput) (activity.Ticket, error) {
	failpoint.Reach(failpoint.AuthorizeBefore)
	debited, err := g.Client.Authorize(ctx, private.NewToken(string(in.AuthToken)))
	failpoint.Reach(failpoint.AuthorizeAfter)
	if err != nil {
		return activity.Ticket{}, Error(err)
	}
	return g.ticket(ctx, debited), nil
}

// CancelTicket does [activity.CancelTicket].
func (g *Gateway) CancelTicket(ctx context.Context, in activity.TicketInput) (activity.None, error) {
	failpoint.Reach(failpoint.CancelBefore)
	err := g.Client.Cancel(ctx, in.EcommerceID)
	failpoint.Reach(failpoint.CancelAfter)
	return activity.None{}, Error(err)
}

// SetPhoneNumber does [activity.SetPhoneNumber].
func (g *Gateway) SetPhoneNumber(ctx context.Context, in activity.SetPhoneNumberInput) (activity.None, error) {
	failpoint.Reach(failpoint.PhoneBefore)
	err := g.Client.UpdatePhoneNumber(ctx, private.NewToken(string(in.AuthToken)), in.EcommerceID, in.PhoneNumber)
	failpoint.Reach(failpoint.PhoneAfter)
	return activity.None{}, Error(err)
}

// Refund does [activity.Refund]. An outcome that is not known is an error of kind
// unknown. A workflow that was reset, or that Temporal has from a backup, comes here
// again for a try that may have been sent: then nothing is sent, and the outcome is
// not known.
func (g *Gateway) Refund(ctx context.Context, in activity.RefundInput) (activity.RefundResult, error) {
	if err := g.claim(ctx, in); err != nil {
		return activity.RefundResult{}, err
	}
	failpoint.Reach(failpoint.RefundBefore)
	refunded, err := g.Client.Refund(ctx, athmovil.RefundRequest{
		ReferenceNumber: in.ReferenceNumber, Amount: in.Amount,
		Message: refundMessage(in.Message, in.RefundID),
	})
	failpoint.Reach(failpoint.RefundAfter)
	if err != nil {
		return activity.RefundResult{}, Error(err)
	}
	if how := otherSale(refunded.Original, in); how != "" {
		return activity.RefundResult{}, differs(how)
	}
	return activity.RefundResult{ReferenceNumber: refunded.ReferenceNumber}, nil
}

// otherSale says how the sale that the gateway says it refunded differs from
// ours; empty where it does not, or where the gateway does not say.
func otherSale(sale *athmovil.ReportRow, in activity.RefundInput) string {
	switch {
	case sale == nil:
		return ""
	case sale.ReferenceNumber != "" && !sameReference(sale.ReferenceNumber, in.ReferenceNumber):
		return "the answer names another reference number"
	case sale.Total != in.Captured:
		return "the sale was of $" + in.Captured.String() + ", and the answer says $" + sale.Total.String()
	default:
		return ""
	}
}

// sameReference compares two reference numbers, of which one may lack the digits
// in front of the dash: the samples of a refund do (docs/athmovil.md §1.5).
func sameReference(a, b string) bool {
	return a == b || strings.HasSuffix(a, "-"+b) || strings.HasSuffix(b, "-"+a)
}

// claim asks for the right to send a try of a refund.
func (g *Gateway) claim(ctx context.Context, in activity.RefundInput) error {
	execution := sdk.GetInfo(ctx).WorkflowExecution.RunID + " " + crand.Text()
	err := g.Locks.ClaimRefund(ctx, in.RefundID, in.Try, execution)
	var refusal *payment.RefundRefusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return failed("the refund may have been sent before", activity.KindUnknown)
	default:
		return failed("the refund was not claimed, so nothing was sent", activity.KindUnavailable)
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

// ticket reads a transaction of the gateway. A status that nobody knows is kept,
// and logged once, for the operator.
func (g *Gateway) ticket(ctx context.Context, t athmovil.Transaction) activity.Ticket {
	if !t.Status.Known() {
		if _, told := g.unknown.LoadOrStore(t.Status, true); !told {
			sdk.GetLogger(ctx).Warn("ATH Móvil answers with a ticket status that Cobro does not know", "status", printable(t.Status))
		}
	}
	return activity.Ticket{
		EcommerceID: t.EcommerceID, Status: activity.TicketStatus(t.Status), ReferenceNumber: t.ReferenceNumber, DailyTransactionID: t.DailyTransactionID,
		Total: t.Total, Fee: t.Fee, NetAmount: t.NetAmount, TotalRefunded: t.TotalRefundedAmount,
		SeenAt: g.now().UTC(),
	}
}

// statusForm is what a status looks like. Any other text in its place may be
// anything, and is not logged.
var statusForm = regexp.MustCompile(`^[A-Z_ -]{1,20}$`)

func printable(status athmovil.TicketStatus) string {
	if !statusForm.MatchString(string(status)) {
		return "unreadable"
	}
	return string(status)
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
