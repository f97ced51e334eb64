package athmovil

import (
	"log/slog"
	"time"

	"github.com/cobropay/cobro/money"
)

// A JSON log handler would marshal whole structs, and [private.Text] is not
// hidden in JSON. So each struct with personal data lists what a log may show.

// LogValue implements [slog.LogValuer] and leaves out personal data.
func (t Transaction) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("status", string(t.Status)),
		slog.String("ecommerce_id", t.EcommerceID),
		slog.String("reference_number", t.ReferenceNumber),
		slog.String("total", t.Total.String()),
		slog.String("total_refunded", t.TotalRefundedAmount.String()),
		slog.Any("unreadable", t.Unreadable),
	)
}

// LogValue implements [slog.LogValuer] and leaves out personal data.
func (r RefundResult) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("status", string(r.Status)),
		slog.String("amount", r.Amount.String()),
		slog.String("reference_number", r.ReferenceNumber),
		slog.Any("unreadable", r.Unreadable),
	)
}

// LogValue implements [slog.LogValuer] and leaves out personal data.
func (r ReportRow) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("transaction_type", r.TransactionType),
		slog.String("status", r.Status),
		slog.String("date", r.Date.Format(time.RFC3339)),
		slog.String("reference_number", r.ReferenceNumber),
		slog.String("total", r.Total.String()),
	)
}

// LogValue implements [slog.LogValuer] and counts the rows.
func (r Report) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("rows", len(r.Rows)), slog.Int("quarantined", len(r.Quarantined)))
}

// LogValue implements [slog.LogValuer] and leaves out personal data.
func (e Event) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("kind", string(e.Kind)),
		slog.String("ecommerce_id", e.EcommerceID),
		slog.String("reference_number", e.ReferenceNumber),
		slog.String("total", shown(e.Total)),
		slog.String("digest", e.digest),
		slog.Any("unreadable", e.Unreadable),
	)
}

// LogValue implements [slog.LogValuer] and leaves out what was bought.
func (i Item) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("quantity", i.Quantity), slog.String("price", i.Price.String()))
}

// LogValue implements [slog.LogValuer] and leaves out personal data.
func (r CreateRequest) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("total", r.Total.String()),
		slog.Duration("timeout", r.Timeout),
		slog.Int("items", len(r.Items)),
	)
}

// LogValue implements [slog.LogValuer] and leaves out personal data.
func (r RefundRequest) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("reference_number", r.ReferenceNumber),
		slog.String("amount", r.Amount.String()),
	)
}

// LogValue implements [slog.LogValuer] and leaves out personal data.
func (r SearchRequest) LogValue() slog.Value {
	return slog.GroupValue(slog.String("reference_number", r.ReferenceNumber))
}

func shown(amount *money.Amount) string {
	if amount == nil {
		return ""
	}
	return amount.String()
}
