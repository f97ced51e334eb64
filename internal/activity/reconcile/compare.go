package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// Kinds of transaction in a report (docs/athmovil.md §1.8).
const (
	rowSale   = "ECOMMERCE"
	rowRefund = "REFUND"
)

// comparison compares rows of a report with payments, one after another.
type comparison struct {
	day  string // names rows that have no other name
	rows map[string]int
	sold map[string]string // the reference under which a payment was seen
	seen map[string]bool   // payments that the report lists

	found []payment.Mismatch
}

func newComparison(day string) *comparison {
	return &comparison{day: day, rows: map[string]int{}, sold: map[string]string{}, seen: map[string]bool{}}
}

// add notes a difference. about is the payment or reference that it is of.
func (c *comparison) add(kind payment.MismatchKind, p *payment.Payment, reference, ours, theirs string) {
	m := payment.Mismatch{
		Kind: kind, ReferenceNumber: reference, Ours: ours, Theirs: theirs, Source: payment.FoundByReconciliation,
	}
	about := reference
	if p != nil {
		m.PaymentID, about = p.ID, p.ID
	}
	m.ID = ledger.DeriveMismatchID(kind, about, ours, theirs)
	c.found = append(c.found, m)
}

// row compares one row with the payment that it is of; nil where there is none.
func (c *comparison) row(row athmovil.ReportRow, p *payment.Payment) {
	if row.TransactionType == rowRefund {
		return // it does not name its payment; the sale's own row has the total
	}
	if row.TransactionType != rowSale {
		c.add(payment.MismatchUnsolicited, nil, row.ReferenceNumber, "", row.TransactionType+" "+row.Total.String())
		return
	}
	c.rows[row.ReferenceNumber]++
	if c.rows[row.ReferenceNumber] == 2 {
		c.add(payment.MismatchDuplicate, p, row.ReferenceNumber, "", "listed twice")
	}
	if p == nil {
		c.add(payment.MismatchMissingHere, nil, row.ReferenceNumber, "", row.Total.String())
		return
	}
	c.seen[p.ID] = true
	if before, ok := c.sold[p.ID]; ok && before != row.ReferenceNumber {
		c.add(payment.MismatchDuplicate, p, row.ReferenceNumber, before, row.ReferenceNumber)
	}
	c.sold[p.ID] = row.ReferenceNumber
	if row.Status != string(athmovil.StatusCompleted) || p.Status != payment.StatusCompleted {
		if (row.Status == string(athmovil.StatusCompleted)) != (p.Status == payment.StatusCompleted) {
			c.add(payment.MismatchStatus, p, row.ReferenceNumber, string(p.Status), row.Status)
		}
		return
	}
	c.amounts(row, p)
}

// amounts compares what a completed sale came to. A report that leaves fee and
// net out says nothing about them.
func (c *comparison) amounts(row athmovil.ReportRow, p *payment.Payment) {
	differ := func(kind payment.MismatchKind, ours, theirs *money.Amount) {
		if ours != nil && theirs != nil && *ours != *theirs {
			c.add(kind, p, row.ReferenceNumber, ours.String(), theirs.String())
		}
	}
	differ(payment.MismatchAmount, p.Captured, &row.Total)
	differ(payment.MismatchFee, p.Fee, row.Fee)
	differ(payment.MismatchNet, p.NetAmount, row.NetAmount)
	if row.TotalRefundedAmount.Cmp(p.RefundedAmount) < 0 {
		differ(payment.MismatchRefunded, &p.RefundedAmount, &row.TotalRefundedAmount)
	}
}

// missingThere notes a completed payment that the report ought to list.
func (c *comparison) missingThere(p payment.Payment) {
	if !c.seen[p.ID] {
		c.add(payment.MismatchMissingThere, &p, p.ReferenceNumber, p.Captured.String(), "")
	}
}

// unreadable notes a row that was set aside. Its id is that of its content: its place
// in the report changes.
func (c *comparison) unreadable(row athmovil.RowError) {
	c.found = append(c.found, payment.Mismatch{
		ID:   ledger.DeriveMismatchID(payment.MismatchUnreadableRow, row.ReferenceNumber, row.Digest),
		Kind: payment.MismatchUnreadableRow, ReferenceNumber: row.ReferenceNumber, Source: payment.FoundByReconciliation,
		Theirs: fmt.Sprintf("%s, row %d: %v", c.day, row.Index, row.Err),
	})
}

// paymentIDIn finds our payment's id in a row's metadata; it was put into the
// one that the merchant left empty.
func paymentIDIn(row athmovil.ReportRow) string {
	for _, metadata := range []string{string(row.Metadata2), string(row.Metadata1)} {
		if ledger.IsID(metadata) {
			return metadata
		}
	}
	return ""
}

// lists reports whether a report has a refund of the payment's with the amount:
// by our short id in its message, by a reference, or by the customer.
func lists(rows []athmovil.ReportRow, refund payment.Refund, p payment.Payment) bool {
	for _, row := range rows {
		if row.TransactionType != rowRefund || row.Total != refund.Amount {
			continue
		}
		ours := strings.HasSuffix(strings.TrimSpace(string(row.Message)), "#"+ledger.ShortRefundID(refund.ID))
		named := row.ReferenceNumber != "" && (row.ReferenceNumber == p.ReferenceNumber || row.ReferenceNumber == refund.ReferenceNumber)
		customer := row.PhoneNumber != "" && (row.PhoneNumber == p.Customer.PhoneNumber || row.PhoneNumber == p.PhoneNumber)
		if ours || named || customer {
			return true
		}
	}
	return false
}

// reportLead widens a span of the report: the gateway's clock and ours write a
// sale down at different moments.
const reportLead = 10 * time.Minute
