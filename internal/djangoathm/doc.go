// Package djangoathm reads what django-athm 1.0 keeps of payments, and says it
// in the words of package payment. It is pure: a dump goes in, records and
// remarks come out.
//
// A dump is the JSON that "manage.py dumpdata django_athm" writes, or one CSV
// file for each table, as PostgreSQL's COPY … CSV HEADER or sqlite's .mode csv
// writes it. The same row always becomes the same record, under an id that is
// derived from the merchant and django-athm's own key, so that a dump can be
// read again.
//
// A row that cannot be read never stops the others: it becomes a [Remark].
// Remarks say where a row is and what is wrong with it, and never repeat what
// it says: a shifted column may hold a name or a phone number.
package djangoathm

import (
	"io"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Origin marks what was imported, and begins the keys that ids are derived
// from. Stored ids depend on it: never change it.
const Origin = "django-athm"

// Settings is what a dump does not say of itself.
type Settings struct {
	// Required fields

	// Merchant is the installation's; it takes part in every id.
	Merchant string
	// Zone is TIME_ZONE of the Django settings. The gateway writes times of
	// Puerto Rico without a zone, and django-athm reads them in this one.
	Zone *time.Location
}

// File is one file of a dump.
type File struct {
	Name    string // for remarks
	Content io.Reader
}

// Table is one of django-athm's models.
type Table string

// The tables that are read. Webhook events are not: they have had their effect.
const (
	Payments Table = "payment"
	Refunds  Table = "refund"
	Clients  Table = "client"
)

// Tables lists them.
func Tables() []Table { return []Table{Payments, Refunds, Clients} }

// Remark is about one row. It holds no personal data.
type Remark struct {
	File   string `json:"file"`
	Row    int    `json:"row"` // the line of a CSV file, or the place in a JSON list, from 1
	Table  Table  `json:"table,omitempty"`
	Key    string `json:"key,omitempty"` // the primary key, where it is a UUID
	Reason string `json:"reason"`
}

// Dump is what was read.
type Dump struct {
	Sales   []Sale   // payments that have ended, oldest first
	Clients []Client // as they were found

	Unfinished []Remark // payments that are open or confirmed
	Unreadable []Remark // rows that are left out
	Notes      []Remark // rows that were read and deserve a look

	Rows     map[Table]int // that were found
	Repeated map[Table]int // of them, those that another row of the dump repeats
	Others   int           // rows of other tables

	// Skewed counts the sales that were completed more than an hour before or
	// after they were made. Where that is most of them, Settings.Zone is wrong.
	Skewed int
}

// Sale is a payment that has ended, with its refunds.
type Sale struct {
	At          Remark // without a reason
	Payment     payment.Payment
	Transitions []ledger.Transition
	Refunds     []Refund // oldest first
}

// Refund is a refund of a sale.
type Refund struct {
	At     Remark // without a reason
	Refund payment.Refund
}

// Client is who has paid.
type Client struct {
	At        Remark // without a reason
	Customer  payment.Customer
	UpdatedAt time.Time
}
