package rig

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

// Verdict counts what was checked.
type Verdict struct {
	Payments, Completed, Refunds, Reviews, Notifications, Workflows int
}

// calmLooks is how often in a row nothing may be going on: a webhook may be on
// its way, and Temporal's list of workflows follows a moment later.
const calmLooks = 5

// Settle waits until nothing is going on any more: every payment and refund is
// terminal or in review, every webhook has its verdict, and only reviews are
// open in Temporal. It returns the reason why not, when ctx ends.
func (s *System) Settle(ctx context.Context) error {
	e, err := s.look(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for calm := 0; ; {
		reason := e.unsettled(ctx)
		if reason == nil {
			calm++
		} else {
			calm = 0
		}
		if calm == calmLooks {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("never settled: %w", reason)
		}
	}
}

// Check checks the invariants of a settled system, and reports every one that
// does not hold.
func (s *System) Check(ctx context.Context, m *Merchant, heard *Heard) (Verdict, error) {
	e, err := s.look(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer e.close()
	e.merchant, e.heard = m, heard
	if err := e.read(ctx); err != nil {
		return Verdict{}, err
	}
	e.checkMoney(ctx)
	e.checkPayments(ctx)
	e.checkNotifications(ctx)
	e.checkWebhooks(ctx)
	e.checkWorkflows(ctx)
	for _, line := range s.Problems() {
		e.broken("log: %s", line)
	}
	return e.verdict, errors.Join(e.problems...)
}

// eye sees the whole system: the gateway's books, the store and Temporal.
type eye struct {
	system   *System
	store    *store.Store
	temporal client.Client
	merchant *Merchant
	heard    *Heard

	payments []payment.Payment
	tickets  map[string]ticket
	debits   map[string][]money.Amount // by ecommerce id
	credits  map[string]money.Amount
	verdict  Verdict
	problems []error
}

// ticket is what the simulator knows of one.
type ticket struct {
	EcommerceID string `json:"ecommerce_id"`
	Status      string `json:"status"`
}

func (s *System) look(ctx context.Context) (*eye, error) {
	ring, err := seal.Load(s.At().KeyFile)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(ctx, store.Config{DSN: s.At().Store, Sealer: ring})
	if err != nil {
		return nil, err
	}
	temporal, err := s.dial(ctx, ring)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &eye{system: s, store: db, temporal: temporal}, nil
}

func (s *System) dial(ctx context.Context, ring *seal.Ring) (client.Client, error) {
	return temporalclient.Dial(ctx, temporalclient.Options{
		Sealer: ring, Address: s.At().Temporal, Namespace: "default", Logger: slog.New(slog.DiscardHandler),
	})
}

// CancelWorkflow cancels a payment's workflow as a person can in the Temporal
// UI.
func (s *System) CancelWorkflow(ctx context.Context, paymentID string) error {
	return s.inTemporal(ctx, func(temporal client.Client) error {
		return temporal.CancelWorkflow(ctx, workflows.PaymentWorkflowID(paymentID), "")
	})
}

// TerminateWorkflow ends a workflow as a person can in the Temporal UI.
func (s *System) TerminateWorkflow(ctx context.Context, id string) error {
	return s.inTemporal(ctx, func(temporal client.Client) error {
		return temporal.TerminateWorkflow(ctx, id, "", "by hand")
	})
}

func (s *System) inTemporal(ctx context.Context, do func(client.Client) error) error {
	ring, err := seal.Load(s.At().KeyFile)
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

func (e *eye) close() {
	e.temporal.Close()
	_ = e.store.Close() // it was only read
}

// broken notes that an invariant does not hold. A last argument that is a nil
// error is left out with its colon.
func (e *eye) broken(format string, args ...any) {
	if n := len(args); n > 0 && args[n-1] == nil {
		format, args = strings.TrimSuffix(format, ": %w"), args[:n-1]
	}
	e.problems = append(e.problems, fmt.Errorf(format, args...))
}

func (e *eye) unsettled(ctx context.Context) error {
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

// openWorkflows lists the workflows that run without a review that they wait
// for.
func (e *eye) openWorkflows(ctx context.Context) ([]string, error) {
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
	err := e.eachWorkflow(ctx, func(id, _ string, status enumspb.WorkflowExecutionStatus) error {
		if status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
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

func (e *eye) eachWorkflow(ctx context.Context, see func(id, kind string, status enumspb.WorkflowExecutionStatus) error) error {
	for token := []byte(nil); ; {
		page, err := e.temporal.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{NextPageToken: token, PageSize: 500})
		if err != nil {
			return err
		}
		for _, w := range page.GetExecutions() {
			if err := see(w.GetExecution().GetWorkflowId(), w.GetType().GetName(), w.GetStatus()); err != nil {
				return err
			}
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return nil
		}
	}
}

// read takes everything down that the checks compare.
func (e *eye) read(ctx context.Context) (err error) {
	if e.payments, err = everyPayment(ctx, e.store); err != nil {
		return err
	}
	e.verdict.Payments = len(e.payments)
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

func (e *eye) control(ctx context.Context, path string, into any) error {
	status, answer, err := e.system.Control(ctx, http.MethodGet, path, nil)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %s: %w", path, status, answer, err)
	}
	return json.Unmarshal(answer, into)
}

// checkMoney compares the gateway's books with the store's: one debit for each
// completed payment and none for any other, and credits that are the completed
// refunds.
func (e *eye) checkMoney(ctx context.Context) {
	ours := map[string]bool{}
	paid := map[string]int{} // every order of these tests is sold once, however often its merchant asks
	for _, p := range e.payments {
		ours[p.EcommerceID] = true
		debits := e.debits[p.EcommerceID]
		switch {
		case len(debits) > 1:
			e.broken("%s was debited %d times", p.ID, len(debits))
		case p.Status == payment.StatusCompleted && (len(debits) != 1 || debits[0] != p.Total):
			e.broken("%s is completed with %s, and the books say %v", p.ID, p.Total, debits)
		case p.Status.Terminal() && p.Status != payment.StatusCompleted && len(debits) > 0:
			e.broken("%s is %s, and was debited %v", p.ID, p.Status, debits)
		}
		if p.Reference != "" && len(debits) > 0 {
			if paid[p.Reference]++; paid[p.Reference] > 1 {
				e.broken("the order %s was paid %d times", p.Reference, paid[p.Reference])
			}
		}
		e.checkRefunds(ctx, p)
	}
	for id, debits := range e.debits {
		if !ours[id] {
			e.broken("a ticket that no payment has, %s, was debited %v", id, debits)
		}
	}
}

func (e *eye) checkRefunds(ctx context.Context, p payment.Payment) {
	refunds, err := e.store.Refunds(ctx, p.ID)
	if err != nil {
		e.broken("refunds of %s: %w", p.ID, err)
		return
	}
	var completed, doubtful money.Amount
	for _, r := range refunds {
		e.verdict.Refunds++
		switch r.Status {
		case payment.RefundCompleted:
			completed = completed.Add(r.Amount)
		case payment.RefundPending:
			doubtful = doubtful.Add(r.Amount)
			if !r.NeedsReview {
				e.broken("%s of %s is pending and not in review", r.ID, p.ID)
			}
		case payment.RefundFailed:
		}
	}
	credited := e.credits[p.EcommerceID]
	if credited != completed && credited != completed.Add(doubtful) {
		e.broken("%s: the books credit %s, completed refunds are %s, in review %s", p.ID, credited, completed, doubtful)
	}
	if p.RefundedAmount != completed {
		e.broken("%s says that %s was refunded, its refunds say %s", p.ID, p.RefundedAmount, completed)
	}
	if credited.Cmp(p.Total) > 0 {
		e.broken("%s of %s was credited %s", p.ID, p.Total, credited)
	}
}

// checkPayments says that each payment is terminal, with the gateway's own
// terminal answer, or in review; and that nothing which was promised is lost.
func (e *eye) checkPayments(ctx context.Context) {
	known := map[string]payment.Payment{}
	for _, p := range e.payments {
		known[p.ID] = p
		gateway := e.tickets[p.EcommerceID].Status
		if p.NeedsReview {
			e.verdict.Reviews++
		}
		switch p.Status {
		case payment.StatusCompleted:
			e.verdict.Completed++
			if gateway != string(athmovil.StatusCompleted) {
				e.broken("%s is completed, and its ticket %s", p.ID, gateway)
			}
		case payment.StatusCancelled, payment.StatusExpired:
			if p.EcommerceID != "" && gateway != string(athmovil.StatusCancel) && gateway != string(athmovil.StatusExpired) {
				e.broken("%s is %s, and its ticket %s", p.ID, p.Status, gateway)
			}
		case payment.StatusFailed:
			if gateway == string(athmovil.StatusCompleted) {
				e.broken("%s is failed, and its ticket %s", p.ID, gateway)
			}
		case payment.StatusPending, payment.StatusOpen, payment.StatusConfirmed:
			if !p.NeedsReview {
				e.broken("%s is %s, and nobody is asked", p.ID, p.Status)
			}
		default:
			e.broken("%s is %q", p.ID, p.Status)
		}
	}
	for _, id := range e.merchant.Promised() {
		if _, ok := known[id]; !ok {
			e.broken("%s was answered for, and is lost", id)
		}
	}
	for id, told := range e.merchant.refunds {
		kept, err := e.store.Refund(ctx, id)
		if err != nil {
			e.broken("refund %s was answered for: %w", id, err)
		} else if told.Status != payment.RefundPending && kept.Refund.Status != told.Status {
			e.broken("refund %s was answered as %s and is %s", id, told.Status, kept.Refund.Status)
		}
	}
}

// checkNotifications says that each event of a payment has one notification
// for each receiver, delivered, and that the receiver was called under that id
// and no other.
func (e *eye) checkNotifications(ctx context.Context) {
	times := e.heard.Times()
	expected := map[string]bool{}
	for _, p := range e.payments {
		deliveries, err := e.store.Deliveries(ctx, p.ID)
		if err != nil {
			e.broken("deliveries of %s: %w", p.ID, err)
			continue
		}
		seen := map[string]bool{}
		counts := map[payment.Event]int{}
		for _, d := range deliveries {
			e.verdict.Notifications++
			if d.Status != payment.DeliveryDelivered {
				e.broken("%s of %s to %s is %s", d.Event, p.ID, d.Host, d.Status)
			}
			if d.Event != payment.EventReconciliationMismatch {
				one := fmt.Sprintf("%s of %s%s to %s/%s", d.Event, p.ID, d.RefundID, d.Host, d.Receiver)
				if seen[one] {
					e.broken("%s has two notifications", one)
				}
				seen[one] = true
			}
			if d.Host != Host {
				continue
			}
			counts[d.Event]++
			expected[d.ID] = true
			if times[d.ID] == 0 {
				e.broken("%s of %s was never heard", d.Event, p.ID)
			}
		}
		if end, ok := payment.EventFor(p.Status); ok && counts[end] != 1 {
			e.broken("%s is %s, and %s was told %d times", p.ID, p.Status, end, counts[end])
		}
		refunds, err := e.store.Refunds(ctx, p.ID)
		settled := slices.DeleteFunc(refunds, func(r payment.Refund) bool { return r.Status == payment.RefundPending })
		if told := counts[payment.EventRefundCompleted] + counts[payment.EventRefundFailed]; err != nil || told != len(settled) {
			e.broken("%s has %d settled refunds, and %d were told of: %w", p.ID, len(settled), told, errors.Join(err))
		}
	}
	unknown := 0
	for id := range times {
		if !expected[id] {
			unknown++
		}
	}
	// What concerns no payment is told too: refunds that fit none.
	all, err := e.store.Mismatches(ctx, ledger.MismatchFilter{Limit: 100})
	strange := 0
	for _, m := range all {
		if m.PaymentID == "" && m.Kind.Announced() {
			strange++
		}
	}
	if err != nil || unknown > strange {
		e.broken("%d notifications were heard that the store does not know, %d mismatches concern no payment: %w", unknown, strange, errors.Join(err))
	}
}

// checkWebhooks says that no webhook which was answered is without a verdict.
func (e *eye) checkWebhooks(ctx context.Context) {
	waiting, _, err := e.store.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventPending, Limit: 100})
	if err != nil || len(waiting) > 0 {
		e.broken("%d webhooks have no verdict: %w", len(waiting), errors.Join(err))
	}
	late, _, err := e.store.GatewayEvents(ctx, ledger.GatewayEventFilter{Verdict: ledger.EventLate, Limit: 100})
	if err != nil {
		e.broken("webhooks: %w", err)
	}
	for _, event := range late {
		description, err := e.temporal.DescribeWorkflowExecution(ctx, workflows.LateEventWorkflowID(event.Digest), "")
		if err != nil || description.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			e.broken("webhook %s was handed over, and has no verdict: %w", event.ID, errors.Join(err))
		}
	}
	// What the gateway's own log says was accepted, and what strangers posted.
	var sent struct {
		Webhooks []struct {
			HTTPStatus int    `json:"http_status"`
			Body       string `json:"body"`
		}
	}
	if err := e.control(ctx, "/_sim/webhooks", &sent); err != nil {
		e.broken("webhooks: %w", err)
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
		if err != nil {
			e.broken("posted %s: %w", body, err)
			continue
		}
		known, err := e.store.HasGatewayEvent(ctx, claim.Digest())
		if err != nil || !known {
			e.broken("webhook %s was answered with 200, and is lost: %w", claim.Digest(), errors.Join(err))
		}
	}
}

// checkWorkflows says that no workflow failed, that none runs without a reason,
// and that each ended with what the store says.
func (e *eye) checkWorkflows(ctx context.Context) {
	open, err := e.openWorkflows(ctx)
	if err != nil || len(open) > 0 {
		e.broken("workflows run for no reason: %v: %w", open, errors.Join(err))
	}
	known := map[string]payment.Payment{}
	for _, p := range e.payments {
		known[p.ID] = p
	}
	err = e.eachWorkflow(ctx, func(id, kind string, status enumspb.WorkflowExecutionStatus) error {
		e.verdict.Workflows++
		switch status {
		case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
			return nil
		case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		default:
			e.broken("workflow %s is %s", id, status)
			return nil
		}
		run := e.temporal.GetWorkflow(ctx, id, "")
		switch kind {
		case workflows.ProcessPaymentName:
			var result workflows.ProcessPaymentResult
			if err := run.Get(ctx, &result); err != nil || result.Status != known[id].Status {
				e.broken("workflow %s ended as %s, the store says %s: %w", id, result.Status, known[id].Status, errors.Join(err))
			}
		case workflows.RefundPaymentName:
			var result workflows.RefundOutcome
			if err := run.Get(ctx, &result); err != nil || result.Refund == nil {
				return err
			}
			kept, err := e.store.Refund(ctx, result.Refund.ID)
			if err != nil || kept.Refund.Status != result.Refund.Status {
				e.broken("workflow %s ended as %s, the store says %s: %w", id, result.Refund.Status, kept.Refund.Status, errors.Join(err))
			}
		}
		return nil
	})
	if err != nil {
		e.broken("workflows: %w", err)
	}
}
