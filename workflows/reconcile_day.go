package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/cobropay/cobro/internal/activity"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// ReconcileDayInput starts ReconcileDay.
type ReconcileDayInput struct {
	// Day is "2006-01-02", in Puerto Rico. Empty means the day before the one
	// that the schedule started this run for, however late that was.
	Day    string `json:"day,omitempty"`
	Timing Timing `json:"timing"`
}

// ReconcileDayResult is what a run came to.
type ReconcileDayResult struct {
	Reconciliation payment.Reconciliation `json:"reconciliation"`
}

// scheduledStart is set by the server on runs that a schedule starts.
var scheduledStart = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")

// puertoRico is the gateway's time, four hours behind UTC all the year round
// (docs/athmovil.md §3).
func puertoRico() *time.Location { return time.FixedZone("AST", -4*60*60) }

// Spans of a day's report. One that gets no answer is halved, down to the
// shortest, and then set aside: the rest goes on.
const (
	firstSpan    = 6 * time.Hour
	shortestSpan = 90 * time.Minute
	// lookBackFor is how long a completed payment is watched for refunds made
	// elsewhere.
	lookBackFor = 30 * 24 * time.Hour
)

// reconcile compares one day with the gateway's report, and the completed
// payments of the last 30 days with the gateway's totals of refunds. Differences
// are recorded and announced, never settled silently.
func reconcile(ctx workflow.Context, in ReconcileDayInput) (ReconcileDayResult, error) {
	day, err := dayOf(ctx, in.Day)
	if err != nil {
		return ReconcileDayResult{}, err
	}
	r := reconcileDay{timing: in.Timing.withDefaults(), day: day, result: payment.Reconciliation{
		RunID: workflow.GetInfo(ctx).WorkflowExecution.RunID, Day: day.Format(time.DateOnly), StartedAt: now(ctx),
	}}
	if err := r.notifier.install(ctx); err != nil {
		return ReconcileDayResult{}, err
	}
	// What was found is announced, so the workflow ignores its own cancellation.
	if err := r.run(detached(ctx)); err != nil {
		return ReconcileDayResult{}, err
	}
	return ReconcileDayResult{Reconciliation: r.result}, nil
}

// dayOf reads the day, at its first moment.
func dayOf(ctx workflow.Context, text string) (time.Time, error) {
	if text != "" {
		day, err := time.ParseInLocation(time.DateOnly, text, puertoRico())
		if err != nil {
			return time.Time{}, temporal.NewNonRetryableApplicationError("the day must be like 2026-01-31", "invalid", nil)
		}
		return day, nil
	}
	due, ok := workflow.GetTypedSearchAttributes(ctx).GetTime(scheduledStart)
	if !ok {
		due = workflow.Now(ctx)
	}
	due = due.In(puertoRico())
	return time.Date(due.Year(), due.Month(), due.Day()-1, 0, 0, 0, 0, puertoRico()), nil
}

type reconcileDay struct {
	timing   Timing
	day      time.Time
	result   payment.Reconciliation
	notifier notifier
}

func (r *reconcileDay) run(ctx workflow.Context) error {
	end := r.day.AddDate(0, 0, 1)
	for from := r.day; from.Before(end); from = from.Add(firstSpan) {
		if err := r.compare(ctx, from, from.Add(firstSpan)); err != nil {
			return err
		}
	}
	if err := r.lookBack(ctx, end); err != nil {
		return err
	}
	if err := r.settleReviews(ctx); err != nil {
		return err
	}
	r.result.EndedAt = now(ctx)
	if _, err := activity.RecordReconciliation.Do(ctx, r.result); err != nil {
		return err
	}
	return r.notifier.finish(ctx)
}

// compare compares one span, in halves where the report gives no answer.
func (r *reconcileDay) compare(ctx workflow.Context, from, to time.Time) error {
	name := fmt.Sprintf("%s to %s", from.Format(time.DateTime), to.Format(time.DateTime))
	workflow.SetCurrentDetails(ctx, "Compares "+name+".")
	compared, err := activity.CompareSpan.Do(r.timing.reporting(ctx, "compares "+name), activity.CompareSpanInput{From: from.UTC(), To: to.UTC()})
	if half := to.Sub(from) / 2; err != nil && half >= shortestSpan {
		if err := r.compare(ctx, from, from.Add(half)); err != nil {
			return err
		}
		return r.compare(ctx, from.Add(half), to)
	}
	if err != nil {
		r.result.Quarantined++
		return r.mismatch(ctx, payment.Mismatch{
			ID:   ledger.DeriveMismatchID(payment.MismatchReportUnavailable, name),
			Kind: payment.MismatchReportUnavailable, Theirs: name,
		})
	}
	r.result.Rows += compared.Rows
	r.result.Matched += compared.Matched
	r.result.Filled += compared.Filled
	r.result.Quarantined += compared.Quarantined
	r.result.Mismatches += compared.Omitted
	return r.mismatches(ctx, compared.Mismatches)
}

func (r *reconcileDay) mismatches(ctx workflow.Context, all []payment.Mismatch) error {
	for _, m := range all {
		if err := r.mismatch(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (r *reconcileDay) mismatch(ctx workflow.Context, m payment.Mismatch) error {
	r.result.Mismatches++
	m.Source = payment.FoundByReconciliation
	return r.notifier.recordMismatch(ctx, m)
}

// lookBack looks for refunds made elsewhere that no event reported. A page that
// cannot be looked at is left for tomorrow.
func (r *reconcileDay) lookBack(ctx workflow.Context, end time.Time) error {
	workflow.SetCurrentDetails(ctx, "Looks for refunds made elsewhere.")
	page := activity.LookForRefundsInput{From: end.Add(-lookBackFor).UTC(), To: end.UTC()}
	for {
		looked, err := activity.LookForRefunds.Do(r.timing.reporting(ctx, "looks for refunds made elsewhere"), page)
		if err != nil {
			workflow.GetLogger(ctx).Warn("refunds made elsewhere are looked for tomorrow", "error", err)
			r.result.Quarantined++
			return nil
		}
		for _, unbooked := range looked.Unbooked {
			if err := r.book(ctx, unbooked); err != nil {
				return err
			}
		}
		if err := r.mismatches(ctx, looked.Mismatches); err != nil {
			return err
		}
		if looked.Next == (ledger.Cursor{}) {
			return nil
		}
		page.After = looked.Next
	}
}

// book books a refund made elsewhere. Where a refund of ours is under way, or
// the books have explained it meanwhile, tomorrow is another day.
func (r *reconcileDay) book(ctx workflow.Context, unbooked ledger.ExternalRefund) error {
	unbooked.BookedAt = now(ctx)
	booked, err := activity.BookExternalRefund.Do(ctx, unbooked)
	if err != nil || booked.Refusal != nil {
		return err
	}
	r.result.Booked++
	r.notifier.announceRefund(ctx, unbooked, booked)
	return nil
}

// settleReviews tells refunds in review what the report says of them.
func (r *reconcileDay) settleReviews(ctx workflow.Context) error {
	waiting, err := activity.RefundsInReview.Do(ctx, activity.None{})
	if err != nil {
		return err
	}
	for _, id := range waiting.RefundIDs {
		found, err := activity.SearchReport.Do(r.timing.reporting(ctx, "looks for the refund "+id), activity.SearchReportInput{RefundID: id})
		if err != nil || !found.Whole {
			continue // it goes on waiting
		}
		err = workflow.SignalExternalWorkflow(ctx, RefundWorkflowID(id), "", SignalReportAnswered,
			ReportAnswered{Until: found.Until, Listed: found.Listed}).Get(ctx, nil)
		if err != nil {
			workflow.GetLogger(ctx).Info("the refund was settled meanwhile", "refund_id", id)
		}
	}
	return nil
}
