package testcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/seal"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/workflows"
)

// Counts is how much was checked.
type Counts struct {
	Payments, Completed, Refunds, Reviews, Notifications, Workflows int
}

// quietChecks is how often in a row nothing may be in progress: a webhook may
// still be in flight, and Temporal's list of workflows lags behind.
const quietChecks = 5

// Settle waits until nothing is in progress: every payment and refund is
// terminal or in review, every webhook has its verdict, and only reviews keep
// workflows running. If ctx ends first, the error says what is in progress.
func (s *System) Settle(ctx context.Context) error {
	e, err := s.examine(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	quiet := 0
	var reason error
	if err := Poll(ctx, 100*time.Millisecond, func() (bool, error) {
		if reason = e.unsettled(ctx); reason == nil {
			quiet++
		} else {
			quiet = 0
		}
		return quiet == quietChecks, nil
	}); err != nil {
		return fmt.Errorf("never settled: %w", errors.Join(reason, err))
	}
	return nil
}

// Check waits until the merchant's system has settled, and reports every
// invariant that does not hold. The merchant has to listen; see
// [Merchant.Listen].
func (m *Merchant) Check(ctx context.Context) (Counts, error) {
	if err := m.System.Settle(ctx); err != nil {
		return Counts{}, err
	}
	e, err := m.System.examine(ctx)
	if err != nil {
		return Counts{}, err
	}
	defer e.close()
	e.merchant = m
	if err := e.read(ctx); err != nil {
		return Counts{}, err
	}
	e.checkMoney(ctx)
	e.checkPayments(ctx)
	e.checkNotifications(ctx)
	e.checkWebhooks(ctx)
	e.checkWorkflows(ctx)
	for _, line := range m.System.Problems() {
		e.violated("log: %s", line)
	}
	return e.counts, errors.Join(e.violations...)
}

// examiner reads the whole system: the gateway's ledger, the store and Temporal.
type examiner struct {
	system   *System
	store    *store.Store
	temporal client.Client
	merchant *Merchant

	payments []payment.Payment
	tickets  map[string]ticket
	debits   map[string][]money.Amount // by ecommerce id
	credits  map[string]money.Amount

	counts     Counts
	violations []error
}

// ticket is one as the simulator shows it.
type ticket struct {
	EcommerceID string `json:"ecommerce_id"`
	Status      string `json:"status"`
}

func (s *System) examine(ctx context.Context) (*examiner, error) {
	ring, err := seal.Load(s.Addresses().KeyFile)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Config{DSN: s.Addresses().Store, Sealer: ring})
	if err != nil {
		return nil, err
	}
	temporal, err := s.dial(ctx, ring)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &examiner{system: s, store: db, temporal: temporal}, nil
}

func (s *System) dial(ctx context.Context, ring *seal.Ring) (client.Client, error) {
	return temporalclient.Dial(ctx, temporalclient.Options{
		Sealer: ring, Address: s.Addresses().Temporal, Namespace: "default", Logger: slog.New(slog.DiscardHandler),
	})
}

// CancelWorkflow cancels a payment's workflow, as a person can in the Temporal
// UI.
func (s *System) CancelWorkflow(ctx context.Context, paymentID string) error {
	return s.withTemporal(ctx, func(temporal client.Client) error {
		return temporal.CancelWorkflow(ctx, workflows.PaymentWorkflowID(paymentID), "")
	})
}

// TerminateWorkflow terminates a workflow, as a person can in the Temporal UI.
func (s *System) TerminateWorkflow(ctx context.Context, id string) error {
	return s.withTemporal(ctx, func(temporal client.Client) error {
		return temporal.TerminateWorkflow(ctx, id, "", "by hand")
	})
}

// Reserve keeps a payment of a minute ago as the API does before it asks Temporal: it
// has died in between.
func (s *System) Reserve(ctx context.Context, id string, request payment.Request) error {
	return s.withStore(ctx, func(db *store.Store) error {
		_, err := db.ReservePayment(ctx, ledger.NewRecord(id, "fingerprint", request, time.Now().Add(-time.Minute)))
		return err
	})
}

// ReserveRefund does so for a refund.
func (s *System) ReserveRefund(ctx context.Context, r ledger.Reservation) error {
	return s.withStore(ctx, func(db *store.Store) error {
		_, err := db.ReserveRefund(ctx, r)
		return err
	})
}

func (s *System) withStore(ctx context.Context, do func(*store.Store) error) error {
	ring, err := seal.Load(s.Addresses().KeyFile)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{DSN: s.Addresses().Store, Sealer: ring})
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// Sweep runs Sweep now, under an id, for reservations of any age.
func (s *System) Sweep(ctx context.Context, id string) (result workflows.SweepResult, err error) {
	err = s.withTemporal(ctx, func(temporal client.Client) error {
		run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: workflows.TaskQueue},
			workflows.SweepName, workflows.SweepInput{Timing: workflows.Timing{Sweep: time.Millisecond, Call: time.Second}})
		if err != nil {
			return err
		}
		return run.Get(ctx, &result)
	})
	return result, err
}

func (s *System) withTemporal(ctx context.Context, do func(client.Client) error) error {
	ring, err := seal.Load(s.Addresses().KeyFile)
	if err != nil {
		return err
	}
	temporal, err := s.dial(ctx, ring)
	if err != nil {
		return err
	}
	defer temporal.Close()
	return do(temporal)
}

func (e *examiner) close() {
	e.temporal.Close()
	_ = e.store.Close() // it was only read
}

// violated records that an invariant does not hold. A nil error as the last
// argument is left out with its colon.
func (e *examiner) violated(format string, args ...any) {
	if n := len(args); n > 0 && args[n-1] == nil {
		format, args = strings.TrimSuffix(format, ": %w"), args[:n-1]
	}
	e.violations = append(e.violations, fmt.Errorf(format, args...))
}

func (e *examiner) unsettled(ctx context.Context) error {
	all, err := everyPayment(ctx, e.store)
	if err != nil {
		return err
	}
	for _, p := range all {
		if !Settled(p) {
			return fmt.Errorf("%s is %s", p.ID, p.Status)
		}
		refunds, err := e.store.Refunds(ctx, p.ID)
		if err != nil {
			return err
		}
		for _, r := range refunds {
			if r.Status == payment.RefundPending && !r.NeedsReview {
				return fmt.Errorf("%s of %s is pending", r.ID, p.ID)
			}
		}
		deliveries, err := e.store.Deliveries(ctx, p.ID)
		if err != nil {
			return err
		}
		for _, d := range deliveries {
			if d.Status == payment.DeliveryPending {
				return fmt.Errorf("%s of %s to %s is pending", d.Event, p.ID, d.Host)
			}
		}
	}
	waiting, _, err := e.store.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventPending, Limit: 1})
	if err != nil || len(waiting) > 0 {
		return errors.Join(err, fmt.Errorf("%d webhooks are pending", len(waiting)))
	}
	open, err := e.openWorkflows(ctx)
	if err != nil || len(open) > 0 {
		return errors.Join(err, fmt.Errorf("workflows run for no reason: %v", open))
	}
	return nil
}

// openWorkflows lists the workflows that run and wait for no review.
func (e *examiner) openWorkflows(ctx context.Context) ([]string, error) {
	open := true
	var reviews []payment.Review
	for filter := (ledger.ReviewFilter{Open: &open, Limit: 100}); ; {
		page, next, err := e.store.Reviews(ctx, filter)
		if err != nil {
			return nil, err
		}
		reviews = append(reviews, page...)
		if next == (ledger.Cursor{}) {
			break
		}
		filter.After = next
	}
	var found []string
	err := e.eachWorkflow(ctx, func(id, kind string, status enumspb.WorkflowExecutionStatus, _ int64) error {
		if status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING || kind == workflows.SweepName { // one is due each minute
			return nil
		}
		_, late := workflows.LateEventDigestOf(id)
		refund, ofRefund := workflows.RefundIDOf(id)
		reason := slices.ContainsFunc(reviews, func(r payment.Review) bool {
			// Events that may be about a refund in review wait with it.
			return r.PaymentID == id || ofRefund && r.RefundID == refund || late && r.RefundID != ""
		})
		if !reason {
			found = append(found, id)
		}
		return nil
	})
	return found, err
}

// eachWorkflow calls see with each workflow, and the length of its history.
func (e *examiner) eachWorkflow(ctx context.Context, see func(id, kind string, status enumspb.WorkflowExecutionStatus, events int64) error) error {
	for token := []byte(nil); ; {
		page, err := e.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: token, PageSize: 500})
		if err != nil {
			return err
		}
		for _, w := range page.GetExecutions() {
			if err := see(w.GetExecution().GetWorkflowId(), w.GetType().GetName(), w.GetStatus(), w.GetHistoryLength()); err != nil {
				return err
			}
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return nil
		}
	}
}

// read loads what the checks compare.
func (e *examiner) read(ctx context.Context) (err error) {
	if e.payments, err = everyPayment(ctx, e.store); err != nil {
		return err
	}
	e.counts.Payments = len(e.payments)
	e.tickets, e.debits, e.credits = map[string]ticket{}, map[string][]money.Amount{}, map[string]money.Amount{}
	var answered struct{ Tickets []ticket }
	if err := e.control(ctx, "/_sim/tickets", &answered); err != nil {
		return err
	}
	for _, t := range answered.Tickets {
		e.tickets[t.EcommerceID] = t
	}
	var books struct {
		Entries []struct {
			Kind        string       `json:"kind"`
			EcommerceID string       `json:"ecommerce_id"`
			Amount      money.Amount `json:"amount"`
		}
	}
	if err := e.control(ctx, "/_sim/books", &books); err != nil {
		return err
	}
	for _, entry := range books.Entries {
		if entry.Kind == "debit" {
			e.debits[entry.EcommerceID] = append(e.debits[entry.EcommerceID], entry.Amount)
		} else {
			e.credits[entry.EcommerceID] = e.credits[entry.EcommerceID].Add(entry.Amount)
		}
	}
	return nil
}

func (e *examiner) control(ctx context.Context, path string, into any) error {
	status, answer, err := e.system.Control(ctx, http.MethodGet, path, nil)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %s: %w", path, status, answer, err)
	}
	return json.Unmarshal(answer, into)
}

// checkMoney compares the gateway's ledger with the store: one debit for each
// completed payment and none for any other, and credits equal to the completed
// refunds.
func (e *examiner) checkMoney(ctx context.Context) {
	ours := map[string]bool{}
	paid := map[string]int{} // each reference of these tests is sold once, however often the merchant retries
	for _, p := range e.payments {
		ours[p.EcommerceID] = true
		debits := e.debits[p.EcommerceID]
		switch {
		case len(debits) > 1:
			e.violated("%s was debited %d times", p.ID, len(debits))
		case p.Status == payment.StatusCompleted && (p.Captured == nil || len(debits) != 1 || debits[0] != *p.Captured):
			e.violated("%s is completed with %s, and the books say %v", p.ID, p.Captured, debits)
		case p.Status.Terminal() && p.Status != payment.StatusCompleted && len(debits) > 0:
			e.violated("%s is %s, and was debited %v", p.ID, p.Status, debits)
		}
		if p.Reference != "" && len(debits) > 0 {
			if paid[p.Reference]++; paid[p.Reference] > 1 {
				e.violated("the order %s was paid %d times", p.Reference, paid[p.Reference])
			}
		}
		e.checkRefunds(ctx, p)
	}
	for id, debits := range e.debits {
		if !ours[id] {
			e.violated("a ticket that no payment has, %s, was debited %v", id, debits)
		}
	}
}

func (e *examiner) checkRefunds(ctx context.Context, p payment.Payment) {
	refunds, err := e.store.Refunds(ctx, p.ID)
	if err != nil {
		e.violated("refunds of %s: %w", p.ID, err)
		return
	}
	var completed, doubtful money.Amount
	for _, r := range refunds {
		e.counts.Refunds++
		switch r.Status {
		case payment.RefundCompleted:
			completed = completed.Add(r.Amount)
		case payment.RefundPending:
			doubtful = doubtful.Add(r.Amount)
			if !r.NeedsReview {
				e.violated("%s of %s is pending and not in review", r.ID, p.ID)
			}
		case payment.RefundFailed:
		}
	}
	credited := e.credits[p.EcommerceID]
	if credited != completed && credited != completed.Add(doubtful) {
		e.violated("%s: the books credit %s, completed refunds are %s, in review %s", p.ID, credited, completed, doubtful)
	}
	if p.RefundedAmount != completed {
		e.violated("%s says that %s was refunded, its refunds say %s", p.ID, p.RefundedAmount, completed)
	}
	if credited.Cmp(p.Total) > 0 {
		e.violated("%s of %s was credited %s", p.ID, p.Total, credited)
	}
}

// checkPayments requires that each payment is terminal, as its ticket is at the
// gateway, or in review, and that everything the API acknowledged still exists.
func (e *examiner) checkPayments(ctx context.Context) {
	known := map[string]payment.Payment{}
	for _, p := range e.payments {
		known[p.ID] = p
		gateway := e.tickets[p.EcommerceID].Status
		if p.NeedsReview {
			e.counts.Reviews++
		}
		switch p.Status {
		case payment.StatusCompleted:
			e.counts.Completed++
			if gateway != string(athmovil.StatusCompleted) {
				e.violated("%s is completed, and its ticket %s", p.ID, gateway)
			}
		case payment.StatusCancelled, payment.StatusExpired:
			if p.EcommerceID != "" && gateway != string(athmovil.StatusCancel) && gateway != string(athmovil.StatusExpired) {
				e.violated("%s is %s, and its ticket %s", p.ID, p.Status, gateway)
			}
		case payment.StatusFailed:
			if gateway == string(athmovil.StatusCompleted) {
				e.violated("%s is failed, and its ticket %s", p.ID, gateway)
			}
		case payment.StatusPending, payment.StatusOpen, payment.StatusConfirmed:
			if !p.NeedsReview {
				e.violated("%s is %s, and not in review", p.ID, p.Status)
			}
		default:
			e.violated("%s is %q", p.ID, p.Status)
		}
	}
	for _, id := range e.merchant.Acknowledged() {
		if _, ok := known[id]; !ok {
			e.violated("%s was acknowledged, and is lost", id)
		}
	}
	for id, shown := range e.merchant.refunds {
		kept, err := e.store.Refund(ctx, id)
		if err != nil {
			e.violated("refund %s was acknowledged: %w", id, err)
		} else if shown.Status != payment.RefundPending && kept.Refund.Status != shown.Status {
			e.violated("refund %s was answered as %s and is %s", id, shown.Status, kept.Refund.Status)
		}
	}
}

// checkNotifications requires that each event of a payment has one notification
// for each receiver, delivered, and that the receiver was called with that id and
// no other.
func (e *examiner) checkNotifications(ctx context.Context) {
	times := e.merchant.Received()
	expected := map[string]bool{}
	for _, p := range e.payments {
		deliveries, err := e.store.Deliveries(ctx, p.ID)
		if err != nil {
			e.violated("deliveries of %s: %w", p.ID, err)
			continue
		}
		seen := map[string]bool{}
		counts := map[payment.Event]int{}
		for _, d := range deliveries {
			e.counts.Notifications++
			if d.Status != payment.DeliveryDelivered {
				e.violated("%s of %s to %s is %s", d.Event, p.ID, d.Host, d.Status)
			}
			if d.Event != payment.EventReconciliationMismatch {
				one := fmt.Sprintf("%s of %s%s to %s/%s", d.Event, p.ID, d.RefundID, d.Host, d.Receiver)
				if seen[one] {
					e.violated("%s has two notifications", one)
				}
				seen[one] = true
			}
			if d.Host != Host {
				continue
			}
			counts[d.Event]++
			expected[d.ID] = true
			if times[d.ID] == 0 {
				e.violated("%s of %s was never received", d.Event, p.ID)
			}
		}
		if end, ok := payment.EventFor(p.Status); ok && counts[end] != 1 {
			e.violated("%s is %s, and %s has %d notifications", p.ID, p.Status, end, counts[end])
		}
		refunds, err := e.store.Refunds(ctx, p.ID)
		settled := slices.DeleteFunc(refunds, func(r payment.Refund) bool { return r.Status == payment.RefundPending })
		if sent := counts[payment.EventRefundCompleted] + counts[payment.EventRefundFailed]; err != nil || sent != len(settled) {
			e.violated("%s has %d settled refunds, and %d notifications of them: %w", p.ID, len(settled), sent, errors.Join(err))
		}
	}
	unknown := 0
	for id := range times {
		if !expected[id] {
			unknown++
		}
	}
	// A refund that matches no payment has a notification, too.
	all, err := e.store.Mismatches(ctx, ledger.MismatchFilter{Limit: 100})
	unmatched := 0
	for _, m := range all {
		if m.PaymentID == "" && m.Kind.Announced() {
			unmatched++
		}
	}
	if err != nil || unknown > unmatched {
		e.violated("%d notifications arrived that the store does not know, %d mismatches concern no payment: %w", unknown, unmatched, errors.Join(err))
	}
}

// checkWebhooks requires that every accepted webhook is stored and has a verdict.
func (e *examiner) checkWebhooks(ctx context.Context) {
	waiting, _, err := e.store.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventPending, Limit: 100})
	if err != nil || len(waiting) > 0 {
		e.violated("%d webhooks have no verdict: %w", len(waiting), errors.Join(err))
	}
	late, _, err := e.store.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventLate, Limit: 100})
	if err != nil {
		e.violated("webhooks: %w", err)
	}
	for _, event := range late {
		description, err := e.temporal.DescribeWorkflowExecution(ctx, workflows.LateEventWorkflowID(event.Digest), "")
		if err != nil || description.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			e.violated("webhook %s was handed over, and has no verdict: %w", event.ID, errors.Join(err))
		}
	}
	// The gateway's log has what it posted; the merchant has what a test posted.
	var sent struct {
		Webhooks []struct {
			HTTPStatus int    `json:"http_status"`
			Body       string `json:"body"`
		}
	}
	if err := e.control(ctx, "/_sim/webhooks", &sent); err != nil {
		e.violated("webhooks: %w", err)
	}
	e.merchant.mu.Lock()
	accepted := slices.Clone(e.merchant.posted)
	e.merchant.mu.Unlock()
	for _, w := range sent.Webhooks {
		if w.HTTPStatus == http.StatusOK && w.Body != "" {
			accepted = append(accepted, w.Body)
		}
	}
	for _, body := range accepted {
		claim, err := athmovil.ParseWebhook([]byte(body))
		if errors.Is(err, athmovil.ErrNotObject) { // what lacks a field is a hint all the same
			e.violated("posted %s: %w", body, err)
			continue
		}
		known, err := e.store.HasGatewayEvent(ctx, claim.Digest())
		if err != nil || !known {
			e.violated("webhook %s was accepted with 200, and is lost: %w", claim.Digest(), errors.Join(err))
		}
	}
}

// checkWorkflows requires that no workflow failed, that none runs without a
// reason, and that each result agrees with the store.
func (e *examiner) checkWorkflows(ctx context.Context) {
	open, err := e.openWorkflows(ctx)
	if err != nil || len(open) > 0 {
		e.violated("workflows run for no reason: %v: %w", open, errors.Join(err))
	}
	known := map[string]payment.Payment{}
	for _, p := range e.payments {
		known[p.ID] = p
	}
	err = e.eachWorkflow(ctx, func(id, kind string, status enumspb.WorkflowExecutionStatus, _ int64) error {
		e.counts.Workflows++
		switch status {
		case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
			return nil
		case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		default:
			e.violated("workflow %s is %s", id, status)
			return nil
		}
		run := e.temporal.GetWorkflow(ctx, id, "")
		switch kind {
		case workflows.ProcessPaymentName:
			var result workflows.ProcessPaymentResult
			if err := run.Get(ctx, &result); err != nil || result.Status != known[id].Status {
				e.violated("workflow %s ended as %s, the store says %s: %w", id, result.Status, known[id].Status, errors.Join(err))
			}
		case workflows.RefundPaymentName:
			var result workflows.RefundOutcome
			if err := run.Get(ctx, &result); err != nil || result.Refund == nil {
				return err
			}
			kept, err := e.store.Refund(ctx, result.Refund.ID)
			if err != nil || kept.Refund.Status != result.Refund.Status {
				e.violated("workflow %s ended as %s, the store says %s: %w", id, result.Refund.Status, kept.Refund.Status, errors.Join(err))
			}
		}
		return nil
	})
	if err != nil {
		e.violated("workflows: %w", err)
	}
}
