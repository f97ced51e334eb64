// Package reconcile does the activities that compare Cobro's books with the
// gateway's report.
package reconcile

import (
	"context"
	"errors"
	"slices"
	"time"

	sdk "go.temporal.io/sdk/activity"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/activity/gateway"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// Store is what a report is compared with. internal/store satisfies it.
type Store interface {
	// Payment returns a payment, or ledger.ErrNotFound.
	Payment(ctx context.Context, id string) (ledger.Record, error)
	// PaymentByReference returns the payment with the gateway's reference
	// number, or ledger.ErrNotFound.
	PaymentByReference(ctx context.Context, reference string) (payment.Payment, error)
	// CompletedPayments returns payments completed from a moment on and before
	// another, oldest first, after a cursor of completion time and id.
	CompletedPayments(ctx context.Context, from, to time.Time, after ledger.Cursor, limit int) ([]payment.Payment, error)
	// FillPayer writes who paid, where that is not known yet.
	FillPayer(ctx context.Context, paymentID string, payer payment.Customer) (bool, error)
	// Reviews lists reviews.
	Reviews(ctx context.Context, filter ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error)
	// Refunds returns the refunds of a payment, oldest first.
	Refunds(ctx context.Context, paymentID string) ([]payment.Refund, error)
	// Refund returns a refund, or ledger.ErrNotFound.
	Refund(ctx context.Context, id string) (ledger.RefundRecord, error)
	// RecordReconciliation keeps what a run came to.
	RecordReconciliation(ctx context.Context, r payment.Reconciliation) error
}

// Reconcile compares the gateway's report with the store. Safe for concurrent
// use.
type Reconcile struct {
	Client *athmovil.Client
	Store  Store
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// maxMismatches bounds what one span puts into a history.
const maxMismatches = 200

// Bindings lists the activities.
func (r *Reconcile) Bindings() []activity.Binding {
	return []activity.Binding{
		activity.CompareSpan.Bind(r.CompareSpan), activity.LookForRefunds.Bind(r.LookForRefunds), activity.SearchReport.Bind(r.SearchReport),
		activity.RefundsInReview.Bind(r.RefundsInReview), activity.RecordReconciliation.Bind(r.RecordReconciliation),
	}
}

// CompareSpan compares the report of a span with the payments, and fills in the
// payers that only the report knows. Rows of the report never leave it: a day
// may have more than a history takes. It heartbeats.
func (r *Reconcile) CompareSpan(ctx context.Context, in activity.CompareSpanInput) (activity.CompareSpanResult, error) {
	// The gateway refuses days to come (docs/athmovil.md §1.12, BTRA_0047, 0048).
	from, to, now := in.From.Add(-reportLead), in.To.Add(reportLead), r.now()
	if to.After(now) {
		to = now
	}
	if !from.Before(to.Add(-time.Second)) {
		return activity.CompareSpanResult{}, nil
	}
	report, err := r.Client.TransactionReport(ctx, from, to)
	if err != nil {
		return activity.CompareSpanResult{}, gateway.Error(err)
	}
	unreadable, err := r.unreadable(ctx, in, report.Quarantined)
	if err != nil {
		return activity.CompareSpanResult{}, err
	}
	result := activity.CompareSpanResult{Quarantined: len(unreadable)}
	c := newComparison(in.From.In(athmovil.Location()).Format(time.DateOnly))
	for _, row := range unreadable {
		c.unreadable(row)
	}
	for _, row := range report.Rows {
		p, err := r.paymentOf(ctx, row)
		if err != nil {
			return activity.CompareSpanResult{}, err
		}
		if row.Date.Before(in.From) || !row.Date.Before(in.To) {
			if p != nil {
				c.seen[p.ID] = true // another span compares it
			}
			continue
		}
		result.Rows++
		c.row(row, p)
		if p == nil {
			continue
		}
		result.Matched++
		filled, err := r.fill(ctx, in, row, *p)
		if err != nil {
			return activity.CompareSpanResult{}, err
		}
		if filled {
			result.Filled++
		}
		heartbeat(ctx)
	}
	if err := r.missing(ctx, in, c); err != nil {
		return activity.CompareSpanResult{}, err
	}
	result.Mismatches = c.found[:min(len(c.found), maxMismatches)]
	result.Omitted = len(c.found) - len(result.Mismatches)
	return result, nil
}

// unreadable returns the rows of a span itself that cannot be read, out of those of a
// wider report. Of rows whose date is what cannot be read, only a report of the span
// alone tells.
func (r *Reconcile) unreadable(ctx context.Context, in activity.CompareSpanInput, wider []athmovil.RowError) ([]athmovil.RowError, error) {
	var found []athmovil.RowError
	undated := func(row athmovil.RowError) bool { return row.Date.IsZero() }
	for _, row := range wider {
		if !undated(row) && !row.Date.Before(in.From) && row.Date.Before(in.To) {
			found = append(found, row)
		}
	}
	last := in.To.Add(-time.Second) // a report has the rows of its last second
	if now := r.now(); last.After(now) {
		last = now
	}
	if !slices.ContainsFunc(wider, undated) || !in.From.Before(last) {
		return found, nil
	}
	report, err := r.Client.TransactionReport(ctx, in.From, last)
	if err != nil {
		return nil, gateway.Error(err)
	}
	for _, row := range report.Quarantined {
		if undated(row) {
			found = append(found, row)
		}
	}
	return found, nil
}

// heartbeat says that the work goes on; a dry run has nobody to say it to.
func heartbeat(ctx context.Context) {
	if sdk.IsActivity(ctx) {
		sdk.RecordHeartbeat(ctx)
	}
}

// paymentOf finds the payment that a row is of; nil where there is none.
func (r *Reconcile) paymentOf(ctx context.Context, row athmovil.ReportRow) (*payment.Payment, error) {
	if row.TransactionType != rowSale {
		return nil, nil //nolint:nilnil // it is of no payment
	}
	p, err := r.Store.PaymentByReference(ctx, row.ReferenceNumber)
	if err == nil {
		return &p, nil
	}
	if id := paymentIDIn(row); id != "" && errors.Is(err, ledger.ErrNotFound) {
		var record ledger.Record
		if record, err = r.Store.Payment(ctx, id); err == nil {
			return &record.Payment, nil
		}
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil //nolint:nilnil // nobody knows it
	}
	return nil, err
}

// fill writes who paid, where only the report knows.
func (r *Reconcile) fill(ctx context.Context, in activity.CompareSpanInput, row athmovil.ReportRow, p payment.Payment) (bool, error) {
	payer := payment.Customer{Name: row.Name, PhoneNumber: row.PhoneNumber, Email: row.Email}
	if in.DryRun || payer.IsZero() || !p.Customer.IsZero() || p.Status != payment.StatusCompleted ||
		row.ReferenceNumber != p.ReferenceNumber || row.Total != *p.Captured {
		return false, nil
	}
	return r.Store.FillPayer(ctx, p.ID, payer)
}

// comparePage is how many payments are read at once.
const comparePage = 100

// missing notes the completed payments of the span that the report ought to
// list and does not.
func (r *Reconcile) missing(ctx context.Context, in activity.CompareSpanInput, c *comparison) error {
	for after := (ledger.Cursor{}); ; {
		page, err := r.Store.CompletedPayments(ctx, in.From, in.To, after, comparePage)
		if err != nil {
			return err
		}
		for _, p := range page {
			c.missingThere(p)
		}
		if len(page) < comparePage {
			return nil
		}
		last := page[len(page)-1]
		after = ledger.Cursor{CreatedAt: *last.CompletedAt, ID: last.ID}
		heartbeat(ctx)
	}
}

// lookPage is how many payments one activity looks at.
const lookPage = 50

// LookForRefunds looks at completed payments for what the gateway has refunded
// beyond the books and no event told of. It heartbeats. A payment that cannot be
// looked at fails the page, which is tried again.
func (r *Reconcile) LookForRefunds(ctx context.Context, in activity.LookForRefundsInput) (activity.LookForRefundsResult, error) {
	page, err := r.Store.CompletedPayments(ctx, in.From, in.To, in.After, lookPage)
	if err != nil {
		return activity.LookForRefundsResult{}, err
	}
	var result activity.LookForRefundsResult
	c := newComparison("")
	for _, p := range page {
		heartbeat(ctx)
		if p.EcommerceID == "" {
			continue
		}
		seen, err := r.Client.Find(ctx, p.EcommerceID)
		if err != nil {
			return activity.LookForRefundsResult{}, gateway.Error(err)
		}
		result.Looked++
		if p.Captured != nil && seen.Total != *p.Captured {
			c.add(payment.MismatchAmount, &p, p.ReferenceNumber, p.Captured.String(), seen.Total.String())
			continue // its total of refunds is of another sale
		}
		total := seen.TotalRefundedAmount
		if err := r.stuck(ctx, c, p, total); err != nil {
			return activity.LookForRefundsResult{}, err
		}
		switch total.Cmp(p.RefundedAmount) {
		case 1:
			result.Unbooked = append(result.Unbooked, ledger.ExternalRefund{
				RefundID: ledger.DeriveExternalRefundID(p.ID, "total "+total.String()), PaymentID: p.ID,
				Amount: total.Sub(p.RefundedAmount), Total: total, Source: payment.SourceUnexplained, At: r.now().UTC(),
			})
		case -1:
			c.add(payment.MismatchRefunded, &p, p.ReferenceNumber, p.RefundedAmount.String(), total.String())
		}
	}
	result.Mismatches = c.found
	if len(page) == lookPage {
		last := page[len(page)-1]
		result.Next = ledger.Cursor{CreatedAt: *last.CompletedAt, ID: last.ID}
	}
	return result, nil
}

// stuckAfter is how long a refund may be on its way before somebody is told.
const stuckAfter = 24 * time.Hour

// stuck notes a refund of ours that keeps all others of its payment waiting, and
// keeps what was refunded elsewhere out of the books. One in review is known to
// people, unless the gateway's total has risen meanwhile.
func (r *Reconcile) stuck(ctx context.Context, c *comparison, p payment.Payment, total money.Amount) error {
	refunds, err := r.Store.Refunds(ctx, p.ID)
	if err != nil {
		return err
	}
	for _, refund := range refunds {
		if refund.Status != payment.RefundPending || r.now().Sub(refund.CreatedAt) <= stuckAfter ||
			refund.NeedsReview && total.Cmp(p.RefundedAmount) <= 0 {
			continue
		}
		ours := p.RefundedAmount.String() + ", and " + refund.Amount.String() + " pending as " + refund.ID
		c.add(payment.MismatchRefunded, &p, p.ReferenceNumber, ours, total.String())
	}
	return nil
}

// RefundsInReview does [activity.RefundsInReview].
func (r *Reconcile) RefundsInReview(ctx context.Context, _ activity.None) (activity.RefundsInReviewResult, error) {
	open := true
	filter := ledger.ReviewFilter{Open: &open, Limit: 100}
	var result activity.RefundsInReviewResult
	for {
		reviews, next, err := r.Store.Reviews(ctx, filter)
		if err != nil {
			return activity.RefundsInReviewResult{}, err
		}
		for _, review := range reviews {
			if review.RefundID != "" {
				result.RefundIDs = append(result.RefundIDs, review.RefundID)
			}
		}
		if next == (ledger.Cursor{}) {
			return result, nil
		}
		filter.After = next
	}
}

// longestReport is how far back a report reaches, safely (docs/athmovil.md §1.8).
const longestReport = 30 * 24 * time.Hour

// SearchReport asks for the report since a refund was asked for.
func (r *Reconcile) SearchReport(ctx context.Context, in activity.SearchReportInput) (activity.SearchReportResult, error) {
	record, err := r.Store.Refund(ctx, in.RefundID)
	if err != nil {
		return activity.SearchReportResult{}, err
	}
	of, err := r.Store.Payment(ctx, record.Refund.PaymentID)
	if err != nil {
		return activity.SearchReportResult{}, err
	}
	until := r.now()
	from := record.Refund.CreatedAt.Add(-reportLead)
	whole := until.Sub(from) < longestReport
	if !whole {
		from = until.Add(-longestReport)
	}
	report, err := r.Client.TransactionReport(ctx, from, until)
	if err != nil {
		return activity.SearchReportResult{}, gateway.Error(err)
	}
	return activity.SearchReportResult{
		Until: until.UTC(), Listed: lists(report.Rows, record.Refund, of.Payment), Whole: whole && len(report.Quarantined) == 0,
	}, nil
}

// RecordReconciliation does [activity.RecordReconciliation].
func (r *Reconcile) RecordReconciliation(ctx context.Context, in payment.Reconciliation) (activity.None, error) {
	return activity.None{}, r.Store.RecordReconciliation(ctx, in)
}

func (r *Reconcile) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
