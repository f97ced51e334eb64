// Package djangoathm converts a dump of a django-athm 1.0 database to records of
// package payment. It does no I/O but reading the dump.
//
// A dump is the JSON of "manage.py dumpdata django_athm", or one CSV file for each
// table from PostgreSQL's COPY … CSV HEADER or SQLite's .mode csv. Importing a
// dump again is safe: a row always becomes the same record, with an id derived
// from the merchant and django-athm's own key.
//
// A row that cannot be read does not stop the others: it becomes a [Remark]. A
// Remark says where the row is and what is wrong, and never quotes the row,
// because a shifted column may hold a name or a phone number.
package djangoathm

import (
	"io"
	"time"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// Origin marks imported records and starts the key that each id is derived from.
// Never change it: stored ids depend on it.
const Origin = "django-athm"

// Settings is what a dump does not contain.
type Settings struct {
	// Required fields

	// Merchant is the installation's merchant id. Every derived id depends on it.
	Merchant string
	// Zone is TIME_ZONE of the Django settings. ATH Móvil sends Puerto Rico times
	// without a zone, and django-athm parses them in this zone.
	Zone *time.Location
}

// File is one file of a dump.
type File struct {
	Name    string // for remarks
	Content io.Reader
}

// Table is one of django-athm's models.
type Table string

// The tables to import. Webhook events are left out: their effect is in the
// payments already.
const (
	Payments Table = "payment"
	Refunds  Table = "refund"
	Clients  Table = "client"
)

// Tables lists the tables to import.
func Tables() []Table { return []Table{Payments, Refunds, Clients} }

// Remark says something about one row. It holds no personal data.
type Remark struct {
	File   string `json:"file"`
	Row    int    `json:"row"` // the line in a CSV file or the position in a JSON list, from 1
	Table  Table  `json:"table,omitempty"`
	Key    string `json:"key,omitempty"` // the primary key, if it is a UUID
	Reason string `json:"reason"`
}

// Dump is the content of a dump.
type Dump struct {
	Sales   []Sale   // payments that have ended, oldest first
	Clients []Client // in the order of the dump

	Unfinished []Remark // payments that are open or confirmed
	Unreadable []Remark // rows that cannot be imported
	Notes      []Remark // imported rows that a person should check

	Rows     map[Table]int // rows found
	Repeated map[Table]int // rows that duplicate another row of the dump
	Others   int           // rows of other tables

	// Skewed counts sales that were completed more than an hour before or after
	// they were created. If that is most of them, Settings.Zone is wrong.
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

// Client is a customer of django-athm's.
type Client struct {
	At        Remark // without a reason
	Customer  payment.Customer
	UpdatedAt time.Time
}
