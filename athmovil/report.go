package athmovil

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cobropay/cobro/money"
	"github.com/cobropay/cobro/private"
)

// Report holds the rows of a transaction report or a search.
type Report struct {
	Rows []ReportRow
	// Quarantined lists the rows that cannot be read. If there are any, the
	// report is incomplete.
	Quarantined []RowError
}

// ReportRow is a transaction as the report, the search and the response to a
// refund describe it (docs/athmovil.md §1.5, §1.8). It has no ecommerceId: join by
// ReferenceNumber or metadata. Amounts are in US dollars.
type ReportRow struct {
	TransactionType     string    // upper case: ECOMMERCE, PAYMENT, and presumably REFUND, DONATION
	Status              string    // upper case: COMPLETED
	Date                time.Time // in [Location]
	ReferenceNumber     string
	DailyTransactionID  string
	Name                private.Text
	PhoneNumber         private.Text // ten digits
	Email               private.Text
	Message             private.Text
	Total               money.Amount
	SubTotal            money.Amount
	Tax                 money.Amount
	Fee                 *money.Amount // nil if absent
	NetAmount           *money.Amount // nil if absent
	TotalRefundedAmount money.Amount
	Metadata1           private.Text
	Metadata2           private.Text
	Items               []Item
	// Unreadable names the fields that are present but cannot be read. In a
	// [Report] they are never an amount of the row, its date or its reference
	// number: such a row is quarantined.
	Unreadable []string
}

// RowError is a row of a report that cannot be read.
type RowError struct {
	Index           int       // from 0
	ReferenceNumber string    // empty if it cannot be read
	Date            time.Time // in [Location]; zero if it cannot be read
	Digest          string    // of all that the row says: the same in every report that has it
	Err             error     // names the fields, never their values
}

// Error implements the error interface.
func (e RowError) Error() string { return fmt.Sprintf("row %d: %v", e.Index, e.Err) }

// Unwrap returns the cause.
func (e RowError) Unwrap() error { return e.Err }

// ParseReport reads the body of a transaction report, a JSON array
// (docs/athmovil.md §1.8). It returns an error only if the body is not an array.
// A row that cannot be read goes to [Report.Quarantined].
func ParseReport(body []byte) (Report, error) {
	elements, ok := parseArray(body)
	if !ok {
		return Report{}, errors.New("the report is not a JSON array")
	}
	var report Report
	for i, element := range elements {
		o, err := parseObject(element)
		if err != nil {
			report.Quarantined = append(report.Quarantined, RowError{Index: i, Digest: digestOf(element), Err: err})
			continue
		}
		row := readRow(o)
		if err := o.completeRow(); err != nil {
			report.Quarantined = append(report.Quarantined, RowError{
				Index: i, ReferenceNumber: row.ReferenceNumber, Date: row.Date, Digest: digestOf(element), Err: err,
			})
			continue
		}
		report.Rows = append(report.Rows, row)
	}
	return report, nil
}

func digestOf(element json.RawMessage) string {
	sum := sha256.Sum256([]byte(canonical(element)))
	return hex.EncodeToString(sum[:])
}

// parseSearch reads the response to a search: an object for one match, an array
// for several, and an undocumented form for none (docs/athmovil.md §1.9).
func parseSearch(body []byte) (Report, error) {
	switch text := string(trimBody(body)); {
	case text == "null" || text == "{}" || text == `""`:
		return Report{}, nil
	case strings.HasPrefix(text, "{"):
		return ParseReport([]byte("[" + text + "]"))
	default:
		return ParseReport(body)
	}
}

func readRow(o *object) ReportRow {
	row := ReportRow{
		TransactionType:     strings.ToUpper(o.text("transactionType")),
		Status:              strings.ToUpper(o.text("status")),
		Date:                o.date("date"),
		ReferenceNumber:     o.text("referenceNumber"),
		DailyTransactionID:  o.dailyID(),
		Name:                o.private("name"),
		PhoneNumber:         o.phone("phoneNumber"),
		Email:               o.private("email"),
		Message:             o.private("message"),
		Total:               o.amountOrZero("total"),
		SubTotal:            o.amountOrZero("subTotal", "subtotal"),
		Tax:                 o.amountOrZero("tax"),
		Fee:                 o.amount("fee"),
		NetAmount:           o.amount("netAmount"),
		TotalRefundedAmount: o.amountOrZero("totalRefundedAmount", "totalRefundAmount"),
		Metadata1:           o.private("metadata1"),
		Metadata2:           o.private("metadata2"),
		Items:               o.items(),
	}
	row.Unreadable = o.unreadable
	return row
}

// completeRow checks that a row has what reconciliation needs.
func (o *object) completeRow() error {
	return errors.Join(
		o.require("transactionType", "status", "date", "referenceNumber", "total"),
		o.readable("subTotal", "tax", "fee", "netAmount", "totalRefundedAmount"),
	)
}

type reportBody struct {
	PublicToken  string `json:"publicToken"`
	PrivateToken string `json:"privateToken"`
	FromDate     string `json:"fromDate"`
	ToDate       string `json:"toDate"`
}

// TransactionReport lists the transactions between two times, to the second
// (docs/athmovil.md §1.8). If there are none, the report is empty and there is no
// error. The gateway limits the range and is known to time out, so keep ranges
// short and do not rely on the report alone.
func (c *Client) TransactionReport(ctx context.Context, from, to time.Time) (Report, error) {
	if !from.Before(to) {
		return Report{}, invalid(OpTransactionReport, errors.New("from must be before to"))
	}
	return c.list(ctx, request{
		op: OpTransactionReport,
		// A GET with a body, which is what the gateway expects.
		method: http.MethodGet, url: c.config.ReportBaseURL + "/transactions/v4/transactionReport",
		body: reportBody{
			PublicToken: c.config.PublicToken, PrivateToken: c.config.PrivateToken.Reveal(),
			FromDate: from.In(Location()).Format(time.DateTime), ToDate: to.In(Location()).Format(time.DateTime),
		},
	}, ParseReport)
}

// SearchRequest finds transactions by exact match of every field that is set. At
// least one is required (docs/athmovil.md §1.9).
type SearchRequest struct {
	ReferenceNumber    string
	DailyTransactionID string
	Name               private.Text
	PhoneNumber        private.Text // in any form that [ParsePhone] accepts
	Email              private.Text
	Total              money.Amount
	Metadata1          private.Text
	Metadata2          private.Text
}

type searchBody struct {
	PublicToken        string `json:"publicToken"`
	PrivateToken       string `json:"privateToken"`
	ReferenceNumber    string `json:"referenceNumber,omitempty"`
	DailyTransactionID string `json:"dailyTransactionID,omitempty"`
	Name               string `json:"name,omitempty"`
	PhoneNumber        string `json:"phoneNumber,omitempty"`
	Email              string `json:"email,omitempty"`
	Total              string `json:"total,omitempty"`
	Metadata1          string `json:"metadata1,omitempty"`
	Metadata2          string `json:"metadata2,omitempty"`
}

// Search finds transactions by their fields. It is the only way to find a sale by
// its metadata. If nothing matches, the report is empty and there is no error.
// The call belongs to the gateway's older API.
func (c *Client) Search(ctx context.Context, r SearchRequest) (Report, error) {
	if r == (SearchRequest{}) {
		return Report{}, invalid(OpSearch, errors.New("give at least one field to search by"))
	}
	body := searchBody{
		PublicToken: c.config.PublicToken, PrivateToken: c.config.PrivateToken.Reveal(),
		ReferenceNumber: r.ReferenceNumber, DailyTransactionID: r.DailyTransactionID,
		Name: string(r.Name), Email: string(r.Email),
		Metadata1: string(r.Metadata1), Metadata2: string(r.Metadata2),
	}
	digits, err := optionalPhone(r.PhoneNumber)
	if err != nil {
		return Report{}, invalid(OpSearch, fmt.Errorf("phone number: %w", err))
	}
	if digits != "" {
		body.PhoneNumber = formatPhone(digits)
	}
	if !r.Total.IsZero() {
		body.Total = r.Total.String()
	}
	return c.list(ctx, request{
		op: OpSearch, method: http.MethodPost, url: c.config.ReportBaseURL + "/api/v4/searchTransaction", body: body,
	}, parseSearch)
}

// list makes a call that returns rows. The gateway reports an empty list as an
// error.
func (c *Client) list(ctx context.Context, r request, parse func([]byte) (Report, error)) (Report, error) {
	var report Report
	r.read = func(body []byte) (err error) {
		report, err = parse(body)
		return err
	}
	err := c.do(ctx, r)
	if failed := (*Error)(nil); errors.As(err, &failed) && failed.Kind == KindDeclined {
		switch failed.Code {
		case codeNoRecord, codeNoRows, codeNoLegacyTransfer:
			return Report{}, nil
		}
	}
	if err != nil {
		return Report{}, err
	}
	return report, nil
}
