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

// ticketLife is how long a ticket of django-athm is valid. It is not configurable
// there.
const ticketLife = 600 * time.Second

// assemble converts rows to records.
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
	r.check()
	for _, remarks := range [][]Remark{r.dump.Unfinished, r.dump.Unreadable, r.dump.Notes} {
		slices.SortStableFunc(remarks, func(a, b Remark) int {
			return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Row, b.Row))
		})
	}
}

// client reads a customer.
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

// factsByStatus returns the facts that lead to each of django-athm's statuses.
// Payments that have not ended have none.
func factsByStatus() map[string][]payment.Fact {
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
	facts, known := factsByStatus()[read.values["status"]]
	if !known {
		read.problem("status must be OPEN, CONFIRM, COMPLETED, CANCEL or EXPIRED")
	}
	p := r.payment(read, ecommerceID, clients)
	completed := slices.Contains(facts, payment.FactCompleted)
	switch {
	case completed && p.ReferenceNumber == "" && read.values["reference_number"] == "":
		read.problem("reference_number is missing, so it matches no sale of ATH Móvil's")
	case completed && ecommerceID != "" && isRandom(ecommerceID):
		read.problem("ecommerce_id is random: athm_sync made it up, and ATH Móvil has no such ticket")
	}
	if len(read.problems) > 0 {
		r.unreadable(read)
		return
	}
	if facts == nil {
		read.problem("it is %s", read.values["status"])
		r.dump.Unfinished = append(r.dump.Unfinished, read.remark())
		return
	}
	sale := &Sale{At: read.at, Payment: p}
	ended := p.UpdatedAt
	if completed {
		if ended = read.gatewayTime("transaction_date", r.settings.Zone); ended.IsZero() {
			// Only a webhook reports the time. Every refund changes updated_at, but a
			// ticket cannot complete after it expires.
			ended = earlier(p.UpdatedAt, p.ExpiresAt)
		}
		captured := p.Total
		sale.Payment.CompletedAt, sale.Payment.Captured = &ended, &captured
		sale.Payment.Fee, sale.Payment.NetAmount = feeAndNet(read)
	}
	if err := sale.apply(facts, ended); err != nil {
		read.problem("its status is inconsistent: %v", err)
		r.unreadable(read)
		return
	}
	if first, duplicate := sales[ecommerceID]; duplicate {
		if !same(first.Payment, sale.Payment) {
			read.problem("row %d of %s is the same payment with a different amount, status or reference", first.At.Row, first.At.File)
			r.unreadable(read)
			return
		}
		r.dump.Repeated[Payments]++
		return
	}
	sales[ecommerceID] = sale
}

// payment reads the columns that every payment has.
func (r *reader) payment(read *row, ecommerceID string, clients map[string]payment.Customer) payment.Payment {
	p := payment.Payment{
		ID:     ledger.DeriveID(r.settings.Merchant, Origin+":"+ecommerceID),
		Status: payment.StatusPending,
		Request: payment.Request{
			Total: read.positive("total"), Subtotal: optional(read.amount("subtotal")), Tax: optional(read.amount("tax")),
			Metadata1: read.personal("metadata_1"), Metadata2: read.personal("metadata_2"), ExpiresIn: ticketLife,
		},
		EcommerceID:        ecommerceID,
		ReferenceNumber:    read.gatewayID("reference_number", 255),
		DailyTransactionID: read.gatewayID("daily_transaction_id", 10),
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
		read.amount(column) // only to report a problem
	}
	read.time("transaction_date") // only to report a problem
	if id, ok := parseUUID(read.values["client"]); ok && p.Customer.IsZero() {
		p.Customer = clients[id]
	}
	p.ExpiresAt = p.CreatedAt.Add(ticketLife)
	return p
}

// feeAndNet returns the fee and net amount of a completed payment. If both are
// zero, no webhook came after the authorization and they are unknown: nil.
func feeAndNet(read *row) (fee, net *money.Amount) {
	charged, left := read.amount("fee"), read.amount("net_amount")
	if charged.IsZero() && left.IsZero() {
		return nil, nil
	}
	return &charged, &left
}

// apply moves the payment through its facts. django-athm does not store when a
// payment was confirmed, so that step gets the time of the end.
func (s *Sale) apply(facts []payment.Fact, ended time.Time) error {
	p := &s.Payment
	for i, fact := range facts {
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

// same reports whether two rows agree on amount, status and reference.
func same(a, b payment.Payment) bool {
	return a.Status == b.Status && a.Total == b.Total && a.ReferenceNumber == b.ReferenceNumber
}

// unfinished drops payments that another row of the dump shows too, or shows as
// ended, which happens when an older dump is read along with a newer one.
func (r *reader) unfinished(sales map[string]*Sale) {
	seen := make(map[string]bool)
	r.dump.Unfinished = slices.DeleteFunc(r.dump.Unfinished, func(u Remark) bool {
		repeated := seen[u.Key] || sales[u.Key] != nil
		seen[u.Key] = true
		if repeated {
			r.dump.Repeated[Payments]++
		}
		return repeated
	})
}

// refund reads a refund and adds it to its payment.
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
	refund := payment.Refund{
		Amount: read.positive("amount"), Status: payment.RefundCompleted, ReferenceNumber: read.gatewayID("reference_number", 255),
		Message: read.personal("message"), Source: payment.SourceImported, CreatedAt: at, CompletedAt: &done,
	}
	sale, found := sales[of]
	switch {
	case len(read.problems) > 0:
	case !found:
		read.problem("its payment is not in this dump or cannot be imported")
	case sale.Payment.Status != payment.StatusCompleted:
		read.problem("its payment is %s", sale.Payment.Status)
	}
	if len(read.problems) > 0 {
		r.unreadable(read)
		return
	}
	refund.PaymentID = sale.Payment.ID
	refund.ID = ledger.DeriveRefundID(refund.PaymentID, Origin+":"+id)
	if first, duplicate := known[refund.ID]; duplicate {
		if first.Amount != refund.Amount {
			read.problem("another row of the dump is the same refund with a different amount")
			r.unreadable(read)
			return
		}
		r.dump.Repeated[Refunds]++
		return
	}
	known[refund.ID] = refund
	sale.Refunds = append(sale.Refunds, Refund{At: read.at, Refund: refund})
}

// check finds what a person should check, when every row has been read.
func (r *reader) check() {
	refunded := make(map[string]money.Amount)
	for _, sale := range r.dump.Sales {
		sum := money.Amount{}
		for _, refund := range sale.Refunds {
			sum = sum.Add(refund.Refund.Amount)
		}
		refunded[sale.At.Key] = sum
		if at := sale.Payment.CompletedAt; at != nil && at.Sub(sale.Payment.CreatedAt).Abs() > time.Hour {
			r.dump.Skewed++
		}
	}
	for _, read := range r.rows[Payments] {
		sum, imported := refunded[read.at.Key]
		// django-athm does not add refund webhooks to its total, so a lower total is
		// normal. A higher one is not.
		if total := read.amount("total_refunded_amount"); imported && total.Cmp(sum) > 0 {
			note := read.at
			note.Reason = "total_refunded_amount is $" + total.String() + ", but its refunds add up to $" + sum.String() +
				": Cobro checks with ATH Móvil before it refunds more"
			r.dump.Notes = append(r.dump.Notes, note)
		}
	}
}
