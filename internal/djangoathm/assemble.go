package djangoathm

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/payment"
)

// ticketLife is how long a ticket of django-athm's lives; it has no setting.
const ticketLife = 600 * time.Second

// assemble turns rows into records.
func (r *reader) assemble() {
	clients := make(map[string]payment.Customer)
	for _, read := range r.rows[Clients] {
		r.client(read, clients)
	}
	sales := make(map[string]*Sale) // by ecommerce id
	for _, read := range r.rows[Payments] {
		r.sale(read, clients, sales)
	}
	r.unfinished(sales)
	refunds := make(map[string]payment.Refund)
	for _, read := range r.rows[Refunds] {
		r.refund(read, sales, refunds)
	}
	for _, sale := range sales {
		slices.SortFunc(sale.Refunds, func(a, b Refund) int {
			return cmp.Or(a.Refund.CreatedAt.Compare(b.Refund.CreatedAt), strings.Compare(a.Refund.ID, b.Refund.ID))
		})
		r.dump.Sales = append(r.dump.Sales, *sale)
	}
	slices.SortFunc(r.dump.Sales, func(a, b Sale) int {
		return cmp.Or(a.Payment.CreatedAt.Compare(b.Payment.CreatedAt), strings.Compare(a.Payment.ID, b.Payment.ID))
	})
	r.look()
	for _, remarks := range [][]Remark{r.dump.Unfinished, r.dump.Unreadable, r.dump.Notes} {
		slices.SortStableFunc(remarks, func(a, b Remark) int {
			return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row))
		})
	}
}

// client reads who has paid.
func (r *reader) client(read *row, known map[string]payment.Customer) {
	id := read.id("id")
	client := Client{
		At: read.at, UpdatedAt: read.time("updated_at"),
		Customer: payment.Customer{Name: read.personal("name"), PhoneNumber: read.phone("phone_number"), Email: read.personal("email")},
	}
	if client.Customer.PhoneNumber == "" {
		read.problem("phone_number is missing")
	}
	if read.values["updated_at"] == "" {
		read.problem("updated_at is missing")
	}
	if len(read.problems) > 0 {
		r.unreadable(read)
		return
	}
	known[id] = client.Customer
	r.dump.Clients = append(r.dump.Clients, client)
}

// ways is how a payment of django-athm's came to its status; those that have
// not ended have no way.
func ways() map[string][]payment.Fact {
	return map[string][]payment.Fact{
		"OPEN": nil, "CONFIRM": nil,
		"COMPLETED": {payment.FactOpened, payment.FactConfirmed, payment.FactCompleted},
		"CANCEL":    {payment.FactOpened, payment.FactCancelled},
		"EXPIRED":   {payment.FactOpened, payment.FactExpired},
	}
}

// sale reads a payment.
func (r *reader) sale(read *row, clients map[string]payment.Customer, sales map[string]*Sale) {
	ecommerceID := read.id("ecommerce_id")
	way, known := ways()[read.values["status"]]
	if !known {
		read.problem("status is none of OPEN, CONFIRM, COMPLETED, CANCEL and EXPIRED")
	}
	p := r.payment(read, ecommerceID, clients)
	completed := slices.Contains(way, payment.FactCompleted)
	switch {
	case completed && p.ReferenceNumber == "" && read.values["reference_number"] == "":
		read.problem("reference_number is missing: nothing tells which of ATH Móvil's sales it is")
	case completed && ecommerceID != "" && isRandom(ecommerceID):
		read.problem("ecommerce_id is random, as athm_sync makes them up: ATH Móvil knows no such ticket")
	}
	if len(read.problems) > 0 {
		r.unreadable(read)
		return
	}
	if way == nil {
		read.problem("it is %s", read.values["status"])
		r.dump.Unfinished = append(r.dump.Unfinished, read.remark())
		return
	}
	sale := &Sale{At: read.at, Payment: p}
	ended := p.UpdatedAt
	if completed {
		if ended = read.gatewayTime("transaction_date", r.settings.Zone); ended.IsZero() {
			// Only a webhook tells it. updated_at moves with every refund, and a
			// ticket completes while it lives.
			ended = earlier(p.UpdatedAt, p.ExpiresAt)
		}
		sale.Payment.CompletedAt = &ended
		sale.Payment.Fee, sale.Payment.NetAmount = charged(read)
	}
	if err := sale.live(way, ended); err != nil {
		read.problem("its status contradicts itself: %v", err)
		r.unreadable(read)
		return
	}
	if before, twice := sales[ecommerceID]; twice {
		if !same(before.Payment, sale.Payment) {
			read.problem("row %d of %s is the same payment, with another amount, status or reference", before.At.Row, before.At.File)
			r.unreadable(read)
			return
		}
		r.dump.Repeated[Payments]++
		return
	}
	sales[ecommerceID] = sale
}

// payment reads what every payment has.
func (r *reader) payment(read *row, ecommerceID string, clients map[string]payment.Customer) payment.Payment {
	p := payment.Payment{
		ID:     ledger.DeriveID(r.settings.Merchant, Origin+":"+ecommerceID),
		Status: payment.StatusPending,
		Request: payment.Request{
			Total: read.price("total"), Subtotal: optional(read.amount("subtotal")), Tax: optional(read.amount("tax")),
			Metadata1: read.personal("metadata_1"), Metadata2: read.personal("metadata_2"), ExpiresIn: ticketLife,
		},
		EcommerceID:        ecommerceID,
		ReferenceNumber:    read.clear("reference_number", 255),
		DailyTransactionID: read.clear("daily_transaction_id", 10),
		Customer: payment.Customer{
			Name: read.personal("customer_name"), PhoneNumber: read.phone("customer_phone"), Email: read.personal("customer_email"),
		},
		CreatedAt: read.time("created_at"), UpdatedAt: read.time("updated_at"),
	}
	for _, column := range []string{"created_at", "updated_at"} {
		if read.values[column] == "" {
			read.problem("%s is missing", column)
		}
	}
	for _, column := range []string{"fee", "net_amount", "total_refunded_amount"} {
		read.amount(column) // for its problem
	}
	read.time("transaction_date") // for its problem
	if id, ok := parseUUID(read.values["client"]); ok && p.Customer.IsZero() {
		p.Customer = clients[id]
	}
	p.ExpiresAt = p.CreatedAt.Add(ticketLife)
	return p
}

// charged returns fee and net of a completed payment. Both are zero where no
// webhook came after the authorisation: then nobody knows them.
func charged(read *row) (fee, net *money.Amount) {
	charge, left := read.amount("fee"), read.amount("net_amount")
	if charge.IsZero() && left.IsZero() {
		return nil, nil
	}
	return &charge, &left
}

// live lets the payment go its way. When it was confirmed is written nowhere.
func (s *Sale) live(way []payment.Fact, ended time.Time) error {
	p := &s.Payment
	for i, fact := range way {
		next, err := payment.Next(p.Status, fact)
		if err != nil {
			return err
		}
		step := ledger.Transition{PaymentID: p.ID, Sequence: i + 1, From: p.Status, To: next, At: ended}
		switch fact {
		case payment.FactOpened:
			step.At = earlier(p.CreatedAt, ended)
		case payment.FactCancelled:
			p.Failure = &payment.Failure{
				Code: payment.FailureCancelledElsewhere, Message: "cancelled in django-athm, which does not say by whom",
			}
			step.Reason = p.Failure.Code
		case payment.FactConfirmed, payment.FactCompleted, payment.FactExpired, payment.FactFailed:
		}
		p.Status = next
		s.Transitions = append(s.Transitions, step)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// same reports whether two rows say the same of a payment, as far as it matters.
func same(a, b payment.Payment) bool {
	return a.Status == b.Status && a.Total == b.Total && a.ReferenceNumber == b.ReferenceNumber
}

// unfinished leaves out the payments that another row of the dump has the end
// of: an older dump may be beside it.
func (r *reader) unfinished(sales map[string]*Sale) {
	r.dump.Unfinished = slices.DeleteFunc(r.dump.Unfinished, func(u Remark) bool {
		_, ended := sales[u.Key]
		if ended {
			r.dump.Repeated[Payments]++
		}
		return ended
	})
	seen := make(map[string]bool)
	r.dump.Unfinished = slices.DeleteFunc(r.dump.Unfinished, func(u Remark) bool {
		again := seen[u.Key]
		seen[u.Key] = true
		if again {
			r.dump.Repeated[Payments]++
		}
		return again
	})
}

// refund reads a refund and gives it to its payment.
func (r *reader) refund(read *row, sales map[string]*Sale, known map[string]payment.Refund) {
	id, of := read.id("id"), read.id("payment")
	at := read.time("created_at")
	if read.values["created_at"] == "" {
		read.problem("created_at is missing")
	}
	done := read.gatewayTime("transaction_date", r.settings.Zone)
	if done.IsZero() {
		done = at
	}
	if read.values["status"] != "COMPLETED" {
		read.problem("status is not COMPLETED")
	}
	given := payment.Refund{
		Amount: read.price("amount"), Status: payment.RefundCompleted, ReferenceNumber: read.clear("reference_number", 255),
		Message: read.personal("message"), Source: payment.SourceImported, CreatedAt: at, CompletedAt: &done,
	}
	sale, found := sales[of]
	switch {
	case len(read.problems) > 0:
	case !found:
		read.problem("its payment is not among those of this dump that can be imported")
	case sale.Payment.Status != payment.StatusCompleted:
		read.problem("its payment is %s", sale.Payment.Status)
	}
	if len(read.problems) > 0 {
		r.unreadable(read)
		return
	}
	given.PaymentID = sale.Payment.ID
	given.ID = ledger.DeriveRefundID(given.PaymentID, Origin+":"+id)
	if before, twice := known[given.ID]; twice {
		if before.Amount != given.Amount {
			read.problem("another row of the dump is the same refund, with another amount")
			r.unreadable(read)
			return
		}
		r.dump.Repeated[Refunds]++
		return
	}
	known[given.ID] = given
	sale.Refunds = append(sale.Refunds, Refund{At: read.at, Refund: given})
}

// look finds what deserves a look when everything is read.
func (r *reader) look() {
	refunded := make(map[string]money.Amount)
	for _, sale := range r.dump.Sales {
		sum := money.Amount{}
		for _, given := range sale.Refunds {
			sum = sum.Add(given.Refund.Amount)
		}
		refunded[sale.At.Key] = sum
		if at := sale.Payment.CompletedAt; at != nil && at.Sub(sale.Payment.CreatedAt).Abs() > time.Hour {
			r.dump.Skewed++
		}
	}
	for _, read := range r.rows[Payments] {
		sum, imported := refunded[read.at.Key]
		// Refund webhooks leave django-athm's own total behind, so only more
		// than its refunds deserves a look.
		if total := read.amount("total_refunded_amount"); imported && total.Cmp(sum) > 0 {
			note := read.at
			note.Reason = "total_refunded_amount is $" + total.String() + " and its refunds come to $" + sum.String() +
				": Cobro asks ATH Móvil before it refunds more"
			r.dump.Notes = append(r.dump.Notes, note)
		}
	}
}
