package reconcile

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

func TestComparison(t *testing.T) {
	t.Parallel()
	sold := func(change func(*payment.Payment)) *payment.Payment {
		captured, fee, net := money.FromCents(25_00), money.FromCents(60), money.FromCents(24_40)
		p := &payment.Payment{
			ID: "pay_1", Status: payment.StatusCompleted, Request: payment.Request{Total: money.FromCents(25_00)},
			ReferenceNumber: "rn-1", Captured: &captured, Fee: &fee, NetAmount: &net,
		}
		if change != nil {
			change(p)
		}
		return p
	}
	cents := func(n int64) *money.Amount {
		a := money.FromCents(n)
		return &a
	}
	listed := func(change func(*athmovil.ReportRow)) athmovil.ReportRow {
		row := athmovil.ReportRow{
			TransactionType: "ECOMMERCE", Status: "COMPLETED", ReferenceNumber: "rn-1", Total: money.FromCents(25_00),
			Fee: cents(60), NetAmount: cents(24_40),
		}
		if change != nil {
			change(&row)
		}
		return row
	}
	type difference struct {
		kind         payment.MismatchKind
		ours, theirs string
	}
	for _, tt := range []struct {
		name string
		rows []athmovil.ReportRow
		p    *payment.Payment
		want []difference
	}{
		{"the same", []athmovil.ReportRow{listed(nil)}, sold(nil), nil},
		{"amount", []athmovil.ReportRow{listed(func(r *athmovil.ReportRow) { r.Total = money.FromCents(24_99) })}, sold(nil),
			[]difference{{payment.MismatchAmount, "25.00", "24.99"}}},
		{"fee and net", []athmovil.ReportRow{listed(func(r *athmovil.ReportRow) { r.Fee, r.NetAmount = cents(61), cents(24_39) })}, sold(nil),
			[]difference{{payment.MismatchFee, "0.60", "0.61"}, {payment.MismatchNet, "24.40", "24.39"}}},
		{"fee and net left out", []athmovil.ReportRow{listed(func(r *athmovil.ReportRow) { r.Fee, r.NetAmount = nil, nil })}, sold(nil), nil},
		{"a fee that we never heard of", []athmovil.ReportRow{listed(nil)}, sold(func(p *payment.Payment) { p.Fee, p.NetAmount = nil, nil }), nil},
		{"fewer refunds there", []athmovil.ReportRow{listed(nil)}, sold(func(p *payment.Payment) { p.RefundedAmount = money.FromCents(5_00) }),
			[]difference{{payment.MismatchRefunded, "5.00", "0.00"}}},
		{"more refunds there are booked, not told", []athmovil.ReportRow{listed(func(r *athmovil.ReportRow) { r.TotalRefundedAmount = money.FromCents(5_00) })}, sold(nil), nil},
		{"not completed here", []athmovil.ReportRow{listed(nil)}, sold(func(p *payment.Payment) { p.Status = payment.StatusExpired }),
			[]difference{{payment.MismatchStatus, "expired", "COMPLETED"}}},
		{"not completed there", []athmovil.ReportRow{listed(func(r *athmovil.ReportRow) { r.Status = "CANCEL" })}, sold(nil),
			[]difference{{payment.MismatchStatus, "completed", "CANCEL"}}},
		{"unknown here", []athmovil.ReportRow{listed(nil)}, nil, []difference{{payment.MismatchMissingHere, "", "25.00"}}},
		{"listed twice", []athmovil.ReportRow{listed(nil), listed(nil), listed(nil)}, sold(nil), []difference{{payment.MismatchDuplicate, "", "listed twice"}}},
		{"sold twice", []athmovil.ReportRow{listed(nil), listed(func(r *athmovil.ReportRow) { r.ReferenceNumber = "rn-2" })}, sold(nil),
			[]difference{{payment.MismatchDuplicate, "rn-1", "rn-2"}}},
		{"a donation", []athmovil.ReportRow{listed(func(r *athmovil.ReportRow) { r.TransactionType = "DONATION" })}, nil,
			[]difference{{payment.MismatchUnsolicited, "", "DONATION 25.00"}}},
		{"a refund names no payment", []athmovil.ReportRow{listed(func(r *athmovil.ReportRow) { r.TransactionType = "REFUND" })}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			compare := func() []payment.Mismatch {
				c := newComparison("2026-03-02")
				for _, row := range tt.rows {
					c.row(row, tt.p)
				}
				return c.found
			}
			found := compare()
			var got []difference
			for _, m := range found {
				got = append(got, difference{m.Kind, m.Ours, m.Theirs})
				require.Equal(t, payment.FoundByReconciliation, m.Source)
				require.NotEmpty(t, m.ID)
			}
			require.Equal(t, tt.want, got)
			require.Equal(t, found, compare(), "the same difference is the same record")
		})
	}
}

func TestComparisonOfWhatIsNotListed(t *testing.T) {
	t.Parallel()
	c := newComparison("2026-03-02")
	captured := money.FromCents(1_00)
	seen := payment.Payment{ID: "pay_1", Status: payment.StatusCompleted, Captured: &captured}
	c.row(athmovil.ReportRow{TransactionType: "ECOMMERCE", Status: "COMPLETED", ReferenceNumber: "rn", Total: money.FromCents(1_00)}, &seen)
	c.missingThere(seen)
	require.Empty(t, c.found)
	another := money.FromCents(2_00)
	c.missingThere(payment.Payment{ID: "pay_2", ReferenceNumber: "rn-2", Captured: &another})
	c.unreadable(athmovil.RowError{Index: 7, Err: errors.New("total is unreadable")})
	require.Len(t, c.found, 2)
	require.Equal(t, payment.MismatchMissingThere, c.found[0].Kind)
	require.Equal(t, "2.00", c.found[0].Ours)
	require.Equal(t, payment.MismatchUnreadableRow, c.found[1].Kind)
	require.Equal(t, "2026-03-02, row 7: total is unreadable", c.found[1].Theirs)
}

func TestLists(t *testing.T) {
	t.Parallel()
	refund := payment.Refund{ID: "ref_00000000000000000012345678", Amount: money.FromCents(5_00)}
	p := payment.Payment{ReferenceNumber: "rn-1", Customer: payment.Customer{PhoneNumber: "7875551234"}}
	row := func(change func(*athmovil.ReportRow)) []athmovil.ReportRow {
		r := athmovil.ReportRow{TransactionType: "REFUND", Total: money.FromCents(5_00), Date: time.Time{}}
		change(&r)
		return []athmovil.ReportRow{r}
	}
	for name, tt := range map[string]struct {
		rows []athmovil.ReportRow
		want bool
	}{
		"by our short id":      {row(func(r *athmovil.ReportRow) { r.Message = "sorry #12345678 " }), true},
		"by the payment":       {row(func(r *athmovil.ReportRow) { r.ReferenceNumber = "rn-1" }), true},
		"by the customer":      {row(func(r *athmovil.ReportRow) { r.PhoneNumber = "7875551234" }), true},
		"another amount":       {row(func(r *athmovil.ReportRow) { r.PhoneNumber, r.Total = "7875551234", money.FromCents(5_01) }), false},
		"another customer":     {row(func(r *athmovil.ReportRow) { r.PhoneNumber = "7875550000" }), false},
		"a sale":               {row(func(r *athmovil.ReportRow) { r.TransactionType, r.ReferenceNumber = "ECOMMERCE", "rn-1" }), false},
		"nothing that we know": {row(func(*athmovil.ReportRow) {}), false},
	} {
		require.Equal(t, tt.want, lists(tt.rows, refund, p), name)
	}
}
