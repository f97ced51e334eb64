package activity

import (
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// CompareSpanInput names the span of time to compare, To not included.
type CompareSpanInput struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// DryRun writes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// CompareSpanResult is what comparing a span came to.
type CompareSpanResult struct {
	Rows        int                `json:"rows"`
	Matched     int                `json:"matched"`
	Filled      int                `json:"filled"`
	Quarantined int                `json:"quarantined"`
	Mismatches  []payment.Mismatch `json:"mismatches,omitempty"`
	// Omitted counts the differences beyond those that fit into a history.
	Omitted int `json:"omitted,omitempty"`
}

// LookForRefundsInput names one page of completed payments.
type LookForRefundsInput struct {
	From  time.Time     `json:"from"`
	To    time.Time     `json:"to"`
	After ledger.Cursor `json:"after"`
}

// LookForRefundsResult is what a page came to.
type LookForRefundsResult struct {
	Looked int `json:"looked"`
	// Unbooked are the refunds that the books do not have.
	Unbooked   []ledger.ExternalRefund `json:"unbooked,omitempty"`
	Mismatches []payment.Mismatch      `json:"mismatches,omitempty"`
	// Next is where the next page starts; zero at the end.
	Next ledger.Cursor `json:"next"`
}

// RefundsInReviewResult lists refunds whose outcome nobody knows.
type RefundsInReviewResult struct {
	RefundIDs []string `json:"refund_ids,omitempty"`
}

// SearchReportInput names a refund in review.
type SearchReportInput struct {
	RefundID string `json:"refund_id"`
}

// SearchReportResult says whether a report lists it.
type SearchReportResult struct {
	Until  time.Time `json:"until"` // what the report covers
	Listed bool      `json:"listed"`
	// Whole says that the report covers everything since the refund was asked
	// for, and that every row of it could be read.
	Whole bool `json:"whole"`
}
