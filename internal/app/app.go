// Package app is what can be done with Cobro, whoever asks: HTTP, pages or the
// command line.
//
// A use case is a method of [App]. It finds the ids, recognizes a repeated
// request by its idempotency key, reads the store before it asks a workflow, and
// waits for the outcome. A refusal is an [*Error] with the facts that an answer
// needs; how it is worded, and under which HTTP status, is the caller's business.
//
// # Store first
//
// A request for a payment or a refund reserves it in the store, in one transaction
// that locks what it decides on, before Temporal is called. What is refused before
// or by that transaction keeps nothing: its key is free, and nobody is told. After
// it the payment or refund can be read, its key stands for it as long as it exists,
// and it ends in a state that receivers are told of, whether or not Temporal could
// be reached. Reads never touch Temporal, so they work while Temporal is away.
//
// # Idempotency
//
// A payment's id is derived from the merchant and the idempotency key, so the row
// and the workflow's id are themselves the lock: two requests at once with one key
// join the same workflow. A keyed digest of the validated request, kept with the
// payment, tells a replay from a key that is used for something else.
package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Config says what an [App] works with.
type Config struct {
	// Required fields

	// Store is what the workflows write and the use cases read.
	Store Store
	// Flows reaches the workflows.
	Flows Flows
	// MerchantID goes into every payment id that is derived from an idempotency
	// key. It must never change: API keys are not what it depends on, because
	// they rotate.
	MerchantID string
	// Fingerprint returns a keyed digest, the same for the same purpose and data,
	// from which nothing can be guessed. It must be safe for concurrent use.
	Fingerprint func(purpose string, data []byte) string

	// Optional fields

	// MinExpiresIn is the shortest life of a payment. Zero means
	// [payment.MinExpiresIn], the gateway's; a simulator takes one second.
	MinExpiresIn time.Duration
	// Timing travels in the input of every workflow. Its zero fields mean the
	// defaults.
	Timing workflows.Timing
	// Wait is how long a use case waits for its outcome before it answers that
	// the work goes on. Zero means
	// [settings.DefaultWait].
	Wait time.Duration
	// Stopping is closed when this process stops: from then on nothing waits. Nil
	// means never.
	Stopping <-chan struct{}
	// Comparer compares a day with the gateway's report. Nil means that
	// [App.CompareDays] cannot be used.
	Comparer Comparer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Entropy is where random ids come from; nil means crypto/rand. It must be
	// safe for concurrent use.
	Entropy io.Reader
}

// Store is what the use cases read and, where no workflow owns the row, write. It
// returns errors that are [ledger.ErrNotFound] where an id is unknown, and is safe
// for concurrent use.
type Store interface {
	Payment(ctx context.Context, id string) (ledger.Record, error)
	// ReservePayment keeps a new payment, or returns the one with its id as it
	// stands now. It returns a *ledger.ReferenceInUseError, having written
	// nothing, where the reference has another unfinished payment.
	ReservePayment(ctx context.Context, record ledger.Record) (ledger.Record, error)
	// Payments returns one page, newest first, and the cursor of the next: the
	// zero value at the end.
	Payments(ctx context.Context, filter ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error)
	// ReserveRefund keeps a new refund, or returns the one with its id and
	// fingerprint as it stands now. It returns a *payment.RefundRefusal, having
	// written nothing, where it must not be.
	ReserveRefund(ctx context.Context, reservation ledger.Reservation) (ledger.Reserved, error)
	Refund(ctx context.Context, id string) (ledger.RefundRecord, error)
	// Refunds returns a payment's refunds, oldest first.
	Refunds(ctx context.Context, paymentID string) ([]payment.Refund, error)

	// Reviews returns one page of what people were asked, newest first, as
	// Payments does.
	Reviews(ctx context.Context, filter ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error)

	// Reconciliations returns the latest runs, newest first.
	Reconciliations(ctx context.Context, limit int) ([]payment.Reconciliation, error)
	// Mismatches returns differences, newest first.
	Mismatches(ctx context.Context, filter ledger.MismatchFilter) ([]payment.Mismatch, error)

	// AnnounceReceivers adds a host's receivers or updates them; it never
	// removes one.
	AnnounceReceivers(ctx context.Context, host string, receivers []ledger.Receiver) error
	// RemoveReceivers forgets a host's receivers and returns them, narrowed down
	// by event and name where they are not empty.
	RemoveReceivers(ctx context.Context, host string, event payment.Event, name string) ([]ledger.Receiver, error)
	// Receivers returns every receiver, ordered by host, event and name.
	Receivers(ctx context.Context) ([]ledger.Receiver, error)

	// Transitions returns a payment's, oldest first.
	Transitions(ctx context.Context, paymentID string) ([]ledger.Transition, error)
	// Deliveries returns the notifications of a payment and of its refunds.
	Deliveries(ctx context.Context, paymentID string) ([]payment.Delivery, error)
	// RecordDeliveries notes what became of deliveries.
	RecordDeliveries(ctx context.Context, deliveries []payment.Delivery) error
	// Notifications returns one page, newest first, as Payments does.
	Notifications(ctx context.Context, filter ledger.DeliveryFilter) ([]payment.Delivery, ledger.Cursor, error)
	Delivery(ctx context.Context, id string) (payment.Delivery, error)
	// Attempts returns the calls of a delivery's receiver, oldest first.
	Attempts(ctx context.Context, deliveryID string) ([]ledger.Attempt, error)

	// GatewayEvents returns one page, newest first, as Payments does.
	GatewayEvents(ctx context.Context, filter ledger.GatewayEventFilter) ([]ledger.GatewayEvent, ledger.Cursor, error)
}

// Flows asks the workflows. [flows.Flows] says what each method does; its errors
// are those that a use case understands.
type Flows interface {
	OpenPayment(ctx context.Context, in workflows.ProcessPaymentInput) (workflows.TicketOutcome, error)
	CancelPayment(ctx context.Context, paymentID string) (workflows.CancelOutcome, error)
	SetPhoneNumber(ctx context.Context, paymentID, updateID string, in workflows.SetPhoneNumberRequest) (workflows.PhoneNumberOutcome, error)
	RefundPayment(ctx context.Context, in workflows.RefundPaymentInput) (workflows.RefundOutcome, error)
	ReviewPayment(ctx context.Context, paymentID, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error)
	ReviewRefund(ctx context.Context, refundID, updateID string, in workflows.ReviewRequest) (workflows.ReviewOutcome, error)
	SettleRefund(ctx context.Context, updateID string, in workflows.SettleRefundInput) (workflows.ReviewOutcome, error)
	Redeliver(ctx context.Context, d payment.Delivery) (ledger.Redelivery, error)
	Drop(ctx context.Context, workflowID string, deliveryIDs []string) error
	ReconcileDay(ctx context.Context, in workflows.ReconcileDayInput) (workflows.ReconcileDayResult, error)
	BacklogAge(ctx context.Context) (time.Duration, error)
}

// App is every use case. Make one with [New]. It is safe for concurrent use and
// holds nothing that needs closing.
type App struct {
	cfg     Config
	store   Store
	flows   Flows
	creates *creates
}

// New returns an App, or an error that names everything that is wrong with the
// configuration.
func New(cfg Config) (*App, error) {
	var errs []error
	demand := func(ok bool, text string) {
		if !ok {
			errs = append(errs, errors.New("app: "+text))
		}
	}
	demand(cfg.Store != nil, "Store is required")
	demand(cfg.Flows != nil, "Flows is required")
	demand(cfg.MerchantID != "", "MerchantID is required")
	demand(cfg.Fingerprint != nil, "Fingerprint is required")
	demand(cfg.MinExpiresIn >= 0 && cfg.MinExpiresIn <= payment.MaxExpiresIn,
		fmt.Sprintf("MinExpiresIn must be between 0 and %s", payment.MaxExpiresIn))
	demand(cfg.Wait >= 0, "Wait must not be negative")
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.MinExpiresIn == 0 {
		cfg.MinExpiresIn = payment.MinExpiresIn
	}
	if cfg.Wait == 0 {
		cfg.Wait = settings.DefaultWait
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Entropy == nil {
		cfg.Entropy = rand.Reader
	}
	return &App{cfg: cfg, store: cfg.Store, flows: cfg.Flows, creates: newCreates(cfg.Now, cfg.Flows.BacklogAge)}, nil
}

// Page is one page of a list.
type Page[T any] struct {
	Items []T
	Next  ledger.Cursor // where the next page starts; the zero value at the end
}

// page makes a [Page] of what a store answers.
func page[T any](items []T, next ledger.Cursor, err error) (Page[T], error) {
	return Page[T]{items, next}, fromStore(err)
}

// now is the present, cut to what the store keeps.
func (a *App) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Microsecond) }

// fingerprint is the keyed digest of a value's JSON. The order of a struct's
// fields makes that canonical. Purposes are part of what is stored: never change
// one.
func (a *App) fingerprint(purpose string, value any) (string, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("fingerprint: %w", err)
	}
	return a.cfg.Fingerprint(purpose, data), nil
}

// lookEvery is how often something is looked at that is waited for.
const lookEvery = 250 * time.Millisecond

// wait returns after [lookEvery], or false at once where ctx has ended or the
// process stops.
func (a *App) wait(ctx context.Context) bool {
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-a.cfg.Stopping:
		return false
	case <-look.C:
		return true
	}
}
