package app

import (
	"context"
	"errors"
	"time"

	"github.com/cobropay/cobro/internal/failpoint"
	"github.com/cobropay/cobro/internal/flows"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// OpenPaymentInput asks for a payment.
type OpenPaymentInput struct {
	Key     string // the idempotency key; empty makes every request a new payment
	Request payment.Request
}

// Opened is what became of a request for a payment. Payment.ID and Replayed are
// set beside an error too, as far as they were known by then.
type Opened struct {
	Payment  payment.Payment
	Replayed bool // the request is a repetition
}

// ValidatePayment checks every rule of a request and returns
// [payment.FieldErrors], or nil.
func (a *App) ValidatePayment(r payment.Request) error { return r.Validate(a.cfg.MinExpiresIn) }

// OpenPayment asks the gateway for a ticket, once for each key, and returns the
// payment once it is open. It is still pending where that takes longer than
// Config.Wait.
func (a *App) OpenPayment(ctx context.Context, in OpenPaymentInput) (Opened, error) {
	if err := invalid(a.ValidatePayment(in.Request)); err != nil {
		return Opened{}, err
	}
	work, err := a.paymentInput(in)
	if err != nil {
		return Opened{}, err
	}
	made, err := a.open(ctx, work)
	opened := Opened{Payment: made.Payment}
	if err == nil {
		opened.Replayed, err = check(work, made)
	}
	opened.Payment.ID = work.PaymentID
	return opened, err
}

// paymentInput names the payment that a request asks for.
func (a *App) paymentInput(in OpenPaymentInput) (workflows.ProcessPaymentInput, error) {
	asked := a.now()
	id := ledger.DeriveID(a.cfg.MerchantID, in.Key)
	if in.Key == "" {
		var err error
		if id, err = ledger.NewID(asked, a.cfg.Entropy); err != nil {
			return workflows.ProcessPaymentInput{}, err
		}
	}
	fingerprint, err := a.fingerprint("POST /v1/payments", in.Request)
	return workflows.ProcessPaymentInput{
		PaymentID: id, Fingerprint: fingerprint, Request: in.Request, CreatedAt: asked, Timing: a.cfg.Timing,
	}, err
}

// open returns the payment that the key stands for. A new one is reserved first,
// unless there are too many under way to begin it in time. Then its workflow is
// started, or joined, where the outcome is not known yet.
func (a *App) open(ctx context.Context, in workflows.ProcessPaymentInput) (ledger.Record, error) {
	known, err := a.store.Payment(ctx, in.PaymentID)
	if !errors.Is(err, ledger.ErrNotFound) && (err != nil || decided(known, in)) {
		return known, fromStore(err)
	}
	place, err := a.creates.enter(ctx)
	if err != nil {
		return ledger.Record{}, err
	}
	defer place.leave()
	reserved, err := a.store.ReservePayment(ctx, ledger.NewRecord(in.PaymentID, in.Fingerprint, in.Request, in.CreatedAt))
	if inUse, ok := errors.AsType[*ledger.ReferenceInUseError](err); ok {
		return ledger.Record{}, &Error{Kind: KindReferenceInUse, PaymentID: inUse.PaymentID}
	}
	if err != nil || decided(reserved, in) {
		return reserved, fromStore(err)
	}
	in.CreatedAt = reserved.Payment.CreatedAt // of the first request: the deadline counts from it

	waiting, cancel := context.WithTimeout(ctx, a.cfg.Wait)
	defer cancel()
	failpoint.Reach(failpoint.OpenBefore)
	asked := a.now()
	outcome, err := a.flows.OpenPayment(waiting, in)
	failpoint.Reach(failpoint.OpenAfter)
	switch took := a.now().Sub(asked); {
	case err == nil && outcome.Payment != nil && outcome.Payment.CreatedAt.Equal(in.CreatedAt): // and no earlier request's
		place.began(asked.Sub(in.CreatedAt) + outcome.Waited)
	case errors.Is(err, flows.ErrUnavailable) && took >= mostDelay: // Temporal itself does not keep up
		place.began(took)
	}
	switch {
	case errors.Is(err, flows.ErrUnavailable):
		refusal := Unavailable(err)
		refusal.PaymentID = in.PaymentID // it exists all the same
		return reserved, refusal
	case err != nil && !unfinished(err):
		return reserved, fromFlows(err)
	case outcome.Payment != nil:
		reserved.Payment = *outcome.Payment
		return reserved, nil
	}
	made, err := a.store.Payment(ctx, in.PaymentID)
	return made, fromStore(err)
}

// decided reports whether the store has the answer to a request.
func decided(known ledger.Record, in workflows.ProcessPaymentInput) bool {
	return known.Payment.Status != payment.StatusPending || known.Fingerprint != in.Fingerprint
}

// check answers a request, the first one or a replay, from what the payment has
// become.
func check(in workflows.ProcessPaymentInput, made ledger.Record) (replayed bool, err error) {
	if made.Fingerprint != in.Fingerprint {
		return false, &Error{Kind: KindKeyReused}
	}
	p := made.Payment
	replayed = !p.CreatedAt.Equal(in.CreatedAt)
	if p.Status != payment.StatusFailed || p.EcommerceID != "" {
		return replayed, nil
	}
	return replayed, unopened(p)
}

// unopened says why a payment failed before the gateway made a ticket.
func unopened(p payment.Payment) *Error {
	refusal := &Error{Kind: KindDeclined, PaymentID: p.ID, Status: p.Status}
	if p.Failure == nil {
		return refusal
	}
	switch p.Failure.Code {
	case payment.FailureGatewayUnavailable, payment.FailureGatewayNoAnswer, payment.FailureStale:
		refusal.Kind, refusal.RetryAfter = KindGatewayUnavailable, retrySoon
	default:
		refusal.GatewayCode, refusal.GatewayMessage = p.Failure.Code, p.Failure.Message
	}
	return refusal
}

// Payment returns a payment: at once, or with a wait once it is terminal or the
// wait is over.
func (a *App) Payment(ctx context.Context, id string, wait time.Duration) (payment.Payment, error) {
	if !ledger.IsID(id) {
		return payment.Payment{}, &Error{Kind: KindPaymentNotFound}
	}
	record, err := a.store.Payment(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return payment.Payment{}, &Error{Kind: KindPaymentNotFound}
	}
	if err != nil || wait <= 0 {
		return record.Payment, fromStore(err)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for !record.Payment.Status.Terminal() && a.wait(waiting) {
		next, err := a.store.Payment(waiting, id)
		if waiting.Err() != nil {
			break
		}
		if err != nil {
			return record.Payment, fromStore(err)
		}
		record = next
	}
	return record.Payment, nil
}

// became is a payment after an update: as the update answers it, unless that was
// an earlier request's update and the payment has changed since.
func (a *App) became(ctx context.Context, before payment.Payment, answered *payment.Payment) (payment.Payment, error) {
	if answered != nil && !answered.UpdatedAt.Before(before.UpdatedAt) {
		return *answered, nil
	}
	return a.Payment(ctx, before.ID, 0)
}

// Payments returns one page of payments, newest first.
func (a *App) Payments(ctx context.Context, filter ledger.PaymentFilter) (Page[payment.Payment], error) {
	return page(a.store.Payments(ctx, filter))
}

// CancelPayment cancels a payment, which is idempotent by itself. A payment that
// is not terminal yet is still being decided.
func (a *App) CancelPayment(ctx context.Context, id string) (payment.Payment, error) {
	p, err := a.Payment(ctx, id, 0)
	if err != nil {
		return p, err
	}
	if !p.Status.Terminal() {
		waiting, cancel := context.WithTimeout(ctx, a.cfg.Wait)
		defer cancel()
		outcome, err := a.flows.CancelPayment(waiting, id)
		if err != nil && !unfinished(err) {
			return p, fromFlows(err)
		}
		if p, err = a.became(ctx, p, outcome.Payment); err != nil {
			return p, err
		}
	}
	if p.Status.Terminal() && p.Status != payment.StatusCancelled {
		return p, &Error{Kind: KindNotCancellable, PaymentID: p.ID, Status: p.Status}
	}
	return p, nil
}

// SetPhoneNumberInput rings a customer's phone for a payment that was made
// without a number, or with another one.
type SetPhoneNumberInput struct {
	PaymentID   string
	Key         string       // the idempotency key; empty makes every request a try of its own
	PhoneNumber private.Text // ten digits
}

// PhoneNumberSet is what became of it.
type PhoneNumberSet struct {
	Payment payment.Payment
	Pending bool // the gateway has not answered yet
}

// SetPhoneNumber has the gateway ring a customer's phone.
func (a *App) SetPhoneNumber(ctx context.Context, in SetPhoneNumberInput) (PhoneNumberSet, error) {
	p, err := a.Payment(ctx, in.PaymentID, 0)
	switch {
	case err != nil:
		return PhoneNumberSet{}, err
	case p.PhoneNumber == in.PhoneNumber:
		return PhoneNumberSet{Payment: p}, nil
	case p.Status.Terminal():
		return PhoneNumberSet{}, &Error{Kind: KindPaymentEnded, PaymentID: p.ID, Status: p.Status}
	}
	updateID, err := a.phoneUpdateID(in)
	if err != nil {
		return PhoneNumberSet{}, err
	}
	waiting, cancel := context.WithTimeout(ctx, a.cfg.Wait)
	defer cancel()
	outcome, err := a.flows.SetPhoneNumber(waiting, p.ID, updateID, workflows.SetPhoneNumberRequest{PhoneNumber: in.PhoneNumber})
	if err != nil && !unfinished(err) {
		return PhoneNumberSet{}, fromFlows(err)
	}
	p, readErr := a.became(ctx, p, outcome.Payment)
	switch {
	case readErr != nil:
		return PhoneNumberSet{}, readErr
	case errors.Is(err, flows.ErrStillWorking):
		return PhoneNumberSet{Payment: p, Pending: true}, nil
	case err != nil, outcome.Failure != nil && outcome.Failure.Code == payment.FailureEnded:
		return PhoneNumberSet{}, &Error{Kind: KindPaymentEnded, PaymentID: p.ID, Status: p.Status}
	case outcome.Failure != nil:
		return PhoneNumberSet{}, &Error{
			Kind: KindPhoneDeclined, PaymentID: p.ID, Status: p.Status,
			GatewayCode: outcome.Failure.Code, GatewayMessage: outcome.Failure.Message,
		}
	default:
		return PhoneNumberSet{Payment: p}, nil
	}
}

// phoneUpdateID lets a request with a key join the one before it.
func (a *App) phoneUpdateID(in SetPhoneNumberInput) (string, error) {
	if in.Key == "" {
		return ledger.FreshID("phone-", a.cfg.Now(), a.cfg.Entropy)
	}
	digest, err := a.fingerprint("PUT /v1/payments/{id}/phone-number", []string{in.Key, string(in.PhoneNumber)})
	return "phone-" + digest, err
}
