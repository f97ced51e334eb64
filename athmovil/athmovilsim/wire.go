package athmovilsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The structs of this file are the documented responses, with their keys in order.
// A test compares them with the samples in athmovil/testdata/wire.

// created is the response to create (docs/athmovil.md §1.1).
type created struct {
	EcommerceID string `json:"ecommerceId"`
	AuthToken   string `json:"auth_token"`
}

// transaction is the response to findPayment and authorization (docs/athmovil.md
// §1.2).
type transaction struct {
	EcommerceStatus     status            `json:"ecommerceStatus"`
	EcommerceID         string            `json:"ecommerceId"`
	ReferenceNumber     string            `json:"referenceNumber"`
	BusinessCustomerID  string            `json:"businessCustomerId"`
	TransactionDate     string            `json:"transactionDate"`
	DailyTransactionID  string            `json:"dailyTransactionId"`
	BusinessName        string            `json:"businessName"`
	BusinessPath        string            `json:"businessPath"`
	Industry            string            `json:"industry"`
	SubTotal            number            `json:"subTotal"`
	Tax                 number            `json:"tax"`
	Total               number            `json:"total"`
	Fee                 noisy             `json:"fee"`
	NetAmount           number            `json:"netAmount"`
	TotalRefundedAmount number            `json:"totalRefundedAmount"`
	Metadata1           string            `json:"metadata1"`
	Metadata2           string            `json:"metadata2"`
	Items               []transactionItem `json:"items"`
	IsNonProfit         bool              `json:"isNonProfit"`
}

type transactionItem struct {
	Name           string  `json:"name"`
	Description    string  `json:"description"`
	Quantity       int     `json:"quantity"`
	Price          number  `json:"price"`
	Tax            number  `json:"tax"`
	Metadata       string  `json:"metadata"`
	FormattedPrice *string `json:"formattedPrice,omitempty"` // absent once completed
	SKU            *string `json:"sku,omitempty"`            // absent once completed
}

// transactionOf returns a ticket as its merchant sees it.
func (s *Simulator) transactionOf(t ticket) transaction {
	b := s.businesses[t.Business]
	return transaction{
		EcommerceStatus:     t.Status,
		EcommerceID:         t.ID,
		ReferenceNumber:     t.Reference,
		BusinessCustomerID:  idOf(t.Business),
		TransactionDate:     naive(t.CompletedAt),
		DailyTransactionID:  dailyText(t.DailyID),
		BusinessName:        b.Name,
		BusinessPath:        b.Name,
		Industry:            industry,
		SubTotal:            number(t.SubTotal),
		Tax:                 number(t.Tax),
		Total:               number(t.Total),
		Fee:                 noisy{t.Fee, s.config.Settings.PlainFees},
		NetAmount:           number(t.net()),
		TotalRefundedAmount: number(t.refunded()),
		Metadata1:           t.Metadata1,
		Metadata2:           t.Metadata2,
		Items:               transactionItems(t),
	}
}

// industry is that of the sample (docs/athmovil.md §1.2).
const industry = "COMPUTERS"

func transactionItems(t ticket) []transactionItem {
	items := make([]transactionItem, 0, len(t.Items))
	for _, i := range t.Items {
		line := transactionItem{
			Name: i.Name, Description: i.Description, Quantity: i.Quantity,
			Price: number(i.Price), Tax: number(i.Tax), Metadata: i.Metadata,
		}
		if t.Status != statusCompleted {
			line.FormattedPrice, line.SKU = new(string), &i.SKU
		}
		items = append(items, line)
	}
	return items
}

// oldHead has the first keys of the events in the old dialect and of the original
// transaction in the response to refund.
type oldHead struct {
	TransactionType    string `json:"transactionType"`
	Status             string `json:"status"`
	Date               string `json:"date"`
	ReferenceNumber    string `json:"referenceNumber"`
	DailyTransactionID string `json:"dailyTransactionID"`
	Name               string `json:"name"`
	PhoneNumber        string `json:"phoneNumber"`
	Email              string `json:"email"`
	Message            string `json:"message"`
}

// refundPair is the response to refund (docs/athmovil.md §1.5).
type refundPair struct {
	Refund   refundSide   `json:"refund"`
	Original originalSide `json:"originalTransaction"`
}

type refundSide struct {
	TransactionType    string `json:"transactionType"`
	Status             string `json:"status"`
	RefundedAmount     number `json:"refundedAmount"`
	Date               string `json:"date"`
	ReferenceNumber    string `json:"referenceNumber"`
	DailyTransactionID string `json:"dailyTransactionID"`
	Name               string `json:"name"`
	PhoneNumber        string `json:"phoneNumber"`
	Email              string `json:"email"`
}

type originalSide struct {
	oldHead
	Total               number       `json:"total"`
	Tax                 number       `json:"tax"`
	Subtotal            number       `json:"subtotal"`
	Fee                 number       `json:"fee"`
	NetAmount           number       `json:"netAmount"`
	TotalRefundedAmount number       `json:"totalRefundedAmount"`
	Metadata1           string       `json:"metadata1"`
	Metadata2           string       `json:"metadata2"`
	Items               []reportItem `json:"items"`
}

// refundAnswer returns the response to the last refund of t.
func (s *Simulator) refundAnswer(t ticket) refundPair {
	r, payer := t.Refunds[len(t.Refunds)-1], customerOf(t.Phone)
	return refundPair{
		Refund: refundSide{
			TransactionType:    "REFUND",
			Status:             string(statusCompleted),
			RefundedAmount:     number(r.Amount),
			Date:               s.refundDate(r.At),
			ReferenceNumber:    r.Reference,
			DailyTransactionID: dailyText(r.DailyID),
			Name:               " " + payer.name, // as in the sample
			PhoneNumber:        formatPhone(t.Phone),
			Email:              payer.email,
		},
		Original: originalSide{
			oldHead: oldHead{
				TransactionType:    "PAYMENT",
				Status:             string(t.Status),
				Date:               s.refundDate(t.CompletedAt),
				ReferenceNumber:    t.Reference,
				DailyTransactionID: dailyText(t.DailyID),
				Name:               payer.name,
				PhoneNumber:        formatPhone(t.Phone),
				Email:              payer.email,
			},
			Total:               number(t.Total),
			Tax:                 number(t.Tax),
			Subtotal:            number(t.SubTotal),
			Fee:                 number(t.Fee),
			NetAmount:           number(t.net()),
			TotalRefundedAmount: number(t.refunded()),
			Metadata1:           t.Metadata1,
			Metadata2:           t.Metadata2,
			Items:               reportItems(t.Items),
		},
	}
}

// refundDate writes a time in the form that the settings choose.
func (s *Simulator) refundDate(at time.Time) string {
	switch s.config.Settings.RefundDate {
	case RefundDateSeconds:
		return strconv.FormatInt(at.Unix(), 10)
	case RefundDateNaive:
		return naiveOld(at)
	default:
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
}

// reportRow is one row of a report (docs/athmovil.md §1.8).
type reportRow struct {
	legacyTransaction

	TotalRefundAmount decimal `json:"totalRefundAmount"` // no "ed", as documented
}

// foundRow is what a search finds: a row of a report that spells one key
// differently (docs/athmovil.md §1.9).
type foundRow struct {
	legacyTransaction

	TotalRefundedAmount decimal `json:"totalRefundedAmount"`
}

// legacyTransaction is what the www host says of a transaction.
type legacyTransaction struct {
	TransactionType    string       `json:"transactionType"`
	Status             string       `json:"status"`
	Date               string       `json:"date"`
	ReferenceNumber    string       `json:"referenceNumber"` // with a trailing space, as observed
	DailyTransactionID int          `json:"dailyTransactionID"`
	Name               string       `json:"name"`
	PhoneNumber        string       `json:"phoneNumber"`
	Email              string       `json:"email"`
	Message            string       `json:"message"`
	Total              decimal      `json:"total"`
	Tax                decimal      `json:"tax"`
	Subtotal           decimal      `json:"subtotal"`
	Fee                decimal      `json:"fee"`
	NetAmount          decimal      `json:"netAmount"`
	Metadata1          string       `json:"metadata1"`
	Metadata2          string       `json:"metadata2"`
	Items              []reportItem `json:"items"`

	at       time.Time
	refunded cents
}

type reportItem struct {
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Quantity    int     `json:"quantity"`
	Price       decimal `json:"price"`
	Tax         decimal `json:"tax"`
	Metadata    string  `json:"metadata"`
}

func reportItems(items []item) []reportItem {
	rows := make([]reportItem, 0, len(items))
	for _, i := range items {
		rows = append(rows, reportItem{i.Name, i.Description, i.Quantity, decimal(i.Price), decimal(i.Tax), i.Metadata})
	}
	return rows
}

// transactionsOf returns a business's transactions, oldest first.
func (s *Simulator) transactionsOf(b Business) []legacyTransaction {
	var rows []legacyTransaction
	for _, t := range s.state.all() {
		if t.Business != b.PublicToken || t.Status != statusCompleted {
			continue
		}
		rows = append(rows, paymentOf(t))
		if s.config.Settings.ReportOmitsRefunds {
			continue
		}
		for _, r := range t.Refunds {
			rows = append(rows, refundOf(t, r))
		}
	}
	slices.SortStableFunc(rows, func(a, b legacyTransaction) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.DailyTransactionID, b.DailyTransactionID))
	})
	return rows
}

func paymentOf(t ticket) legacyTransaction {
	payer := customerOf(t.Phone)
	return legacyTransaction{
		TransactionType:    "ECOMMERCE",
		Status:             string(t.Status),
		Date:               naiveOld(t.CompletedAt),
		ReferenceNumber:    t.Reference + " ",
		DailyTransactionID: t.DailyID,
		Name:               payer.name,
		PhoneNumber:        formatPhone(t.Phone),
		Email:              payer.email,
		Total:              decimal(t.Total),
		Tax:                decimal(t.Tax),
		Subtotal:           decimal(t.SubTotal),
		Fee:                decimal(t.Fee),
		NetAmount:          decimal(t.net()),
		Metadata1:          t.Metadata1,
		Metadata2:          t.Metadata2,
		Items:              reportItems(t.Items),
		at:                 t.CompletedAt,
		refunded:           t.refunded(),
	}
}

// refundOf is a refund as a row of its own. That is a guess, as there is no sample
// (docs/athmovil.md §1.8). Like the captured webhook, the row does not say which
// payment it belongs to.
func refundOf(t ticket, r refund) legacyTransaction {
	payer := customerOf(t.Phone)
	return legacyTransaction{
		TransactionType:    "REFUND",
		Status:             string(statusCompleted),
		Date:               naiveOld(r.At),
		ReferenceNumber:    r.Reference + " ",
		DailyTransactionID: r.DailyID,
		Name:               payer.name,
		PhoneNumber:        formatPhone(t.Phone),
		Email:              payer.email,
		Message:            r.Message,
		Total:              decimal(r.Amount),
		Items:              []reportItem{},
		at:                 r.At,
	}
}

// matches reports whether the transaction has every value of a search.
func (r legacyTransaction) matches(wanted map[string]string) bool {
	have := map[string]string{
		"referenceNumber":    strings.TrimSpace(r.ReferenceNumber),
		"dailyTransactionID": strconv.Itoa(r.DailyTransactionID),
		"name":               r.Name,
		"phoneNumber":        r.PhoneNumber,
		"email":              r.Email,
		"total":              cents(r.Total).String(),
		"metadata1":          r.Metadata1,
		"metadata2":          r.Metadata2,
	}
	for name, value := range wanted {
		if have[name] != value {
			return false
		}
	}
	return true
}

// naive writes a time as the newer calls do, or nothing for the zero time
// (docs/athmovil.md §3).
func naive(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.In(puertoRico).Format(naiveTime)
}

// naiveOld writes a time as the older calls and events do (docs/athmovil.md §3).
func naiveOld(at time.Time) string { return at.In(puertoRico).Format(naiveTime) + oldFraction }

// dailyText writes a daily id as the newer calls do: at least four digits, padded
// with zeros, or nothing if there is none (docs/athmovil.md §3).
func dailyText(id int) string {
	if id == 0 {
		return ""
	}
	digits := strconv.Itoa(id)
	return strings.Repeat("0", max(0, 4-len(digits))) + digits
}

// idOf returns an id of 32 hex digits, such as businessCustomerId.
func idOf(what string) string {
	digest := sha256.Sum256([]byte(what))
	return hex.EncodeToString(digest[:16])
}
