package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/djangoathm"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/store"
)

type importCommand struct {
	DjangoAthm importDjangoAthm `cmd:"" name:"django-athm" help:"Import the payments, refunds and clients that django-athm has kept."`
}

type importDjangoAthm struct {
	Files       []string `arg:"" name:"file" help:"What manage.py dumpdata django_athm wrote, CSV files of the tables, or a folder of them."`
	Store       string   `env:"COBRO_STORE" help:"${COBRO_STORE_help}"`
	KeyFile     string   `env:"COBRO_KEY_FILE" help:"${COBRO_KEY_FILE_help}"`
	MerchantID  string   `default:"${COBRO_MERCHANT_ID_default}" env:"COBRO_MERCHANT_ID" help:"${COBRO_MERCHANT_ID_help}"`
	TimeZone    string   `help:"TIME_ZONE of the Django settings, such as America/Puerto_Rico; UTC if not given."`
	AcceptTimes bool     `help:"Import even if most payments seem to be completed more than an hour before or after they were made."`
	DryRun      bool     `help:"Write nothing, and print what would be imported."`
	JSON        bool     `name:"json" help:"Print JSON instead of a table."`
}

func (*importDjangoAthm) Help() string {
	return "Writes what django-athm has kept into Cobro's database, so that old payments are listed, refunded and reconciled " +
		"like new ones. Nobody is told of them. What is there already is never changed: the same dump again changes nothing, " +
		"and a later one adds what is new. Rows that cannot be imported are listed, do not stop the others, and end with code 1. " +
		"Without --store and --key-file it takes those of a running dev in this folder."
}

// errNotAll makes the program end with code 1 after everything was printed.
var errNotAll = errors.New("some rows were not imported: see the list")

// importedTable counts the rows of one table.
type importedTable struct {
	Rows          int `json:"rows"`
	Imported      int `json:"imported"`
	AlreadyThere  int `json:"already_there"`
	Own           int `json:"own"`
	Unfinished    int `json:"unfinished"`
	Contradicting int `json:"contradicting"`
	Unreadable    int `json:"unreadable"`
}

// importedRow is a row that deserves a word.
type importedRow struct {
	What string `json:"what"` // "own", "unfinished", "contradicting", "unreadable" or "note"
	djangoathm.Remark
}

// imported is what the command prints.
type imported struct {
	DryRun bool                                `json:"dry_run"`
	Tables map[djangoathm.Table]*importedTable `json:"tables"`
	Others int                                 `json:"others"` // rows of other tables
	Rows   []importedRow                       `json:"rows"`
	Hints  []string                            `json:"hints"`
}

func (c *importDjangoAthm) Run(p *program) error {
	zone, err := time.LoadLocation(c.TimeZone) // "" is UTC
	if err != nil {
		return errors.New("--time-zone must be the TIME_ZONE of the Django settings, such as UTC or America/Puerto_Rico")
	}
	dump, err := c.read(zone)
	if err != nil {
		return err
	}
	// What is imported under wrong times is never changed again.
	if skewed := skew(dump); skewed != "" && !c.AcceptTimes && !c.DryRun {
		return errors.New(skewed + ": nothing was written; give --time-zone the TIME_ZONE of the Django settings, " +
			"or --accept-times where these are the times")
	}
	opened, _, err := p.open(opening{of: settings.Import})
	if err != nil {
		return err
	}
	out, err := c.write(p.ctx, opened.Store, dump)
	if err := errors.Join(err, opened.Close()); err != nil {
		return err
	}
	if err := c.print(p.stdout, out); err != nil {
		return err
	}
	for _, table := range out.Tables {
		if table.Contradicting+table.Unreadable > 0 {
			return errNotAll
		}
	}
	return nil
}

// read reads every file of the dump.
func (c *importDjangoAthm) read(zone *time.Location) (dump djangoathm.Dump, err error) {
	names, err := c.names()
	if err != nil {
		return djangoathm.Dump{}, err
	}
	var files []djangoathm.File
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return djangoathm.Dump{}, err
		}
		defer func() { _ = file.Close() }() // it was only read
		files = append(files, djangoathm.File{Name: name, Content: file})
	}
	return djangoathm.Read(djangoathm.Settings{Merchant: c.MerchantID, Zone: zone}, files...)
}

// names lists the files: those that are given, and those of the folders.
func (c *importDjangoAthm) names() ([]string, error) {
	var names []string
	for _, given := range c.Files {
		info, err := os.Stat(given)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			names = append(names, given)
			continue
		}
		entries, err := os.ReadDir(given)
		if err != nil {
			return nil, err
		}
		before := len(names)
		for _, entry := range entries {
			kind := strings.ToLower(filepath.Ext(entry.Name()))
			if !entry.IsDir() && (kind == ".json" || kind == ".csv") {
				names = append(names, filepath.Join(given, entry.Name()))
			}
		}
		if len(names) == before {
			return nil, fmt.Errorf("%s holds no .json and no .csv file", given)
		}
	}
	return names, nil
}

// imports is what the store is given of a dump.
func (c *importDjangoAthm) imports(dump djangoathm.Dump) ([]store.Import, []store.CustomerImport) {
	sales := make([]store.Import, len(dump.Sales))
	for i, sale := range dump.Sales {
		sales[i] = store.Import{Merchant: c.MerchantID, Origin: djangoathm.Origin, Payment: sale.Payment, Transitions: sale.Transitions}
		for _, refund := range sale.Refunds {
			sales[i].Refunds = append(sales[i].Refunds, refund.Refund)
		}
	}
	customers := make([]store.CustomerImport, len(dump.Clients))
	for i, client := range dump.Clients {
		customers[i] = store.CustomerImport{Merchant: c.MerchantID, Customer: client.Customer, At: client.UpdatedAt}
	}
	return sales, customers
}

// bringIn imports one thing after another: an import that is interrupted is finished
// by the next one. Customers come first, since their payments tell of them too and
// would leave nothing to import.
func bringIn(ctx context.Context, db *store.Store, sales []store.Import, customers []store.CustomerImport) ([]store.Imported, []store.ImportOutcome, error) {
	done, kept := make([]store.Imported, len(sales)), make([]store.ImportOutcome, len(customers))
	var err error
	for i, customer := range customers {
		if kept[i], err = db.ImportCustomer(ctx, customer); err != nil {
			return nil, nil, err
		}
	}
	for i, sale := range sales {
		if done[i], err = db.Import(ctx, sale); err != nil {
			return nil, nil, err
		}
	}
	return done, kept, nil
}

// rehearse answers what bringIn would. It takes together what shares a phone
// number or a reference number, since that decides what becomes of the later
// ones; the whole dump at once would keep others from the database for too long.
func rehearse(ctx context.Context, db *store.Store, sales []store.Import, customers []store.CustomerImport) ([]store.Imported, []store.ImportOutcome, error) {
	joined := groups{}
	for i, sale := range sales {
		of := saleName(i)
		joined.join(of, "phone", string(sale.Payment.Customer.PhoneNumber))
		joined.join(of, "reference", sale.Payment.ReferenceNumber)
		for _, refund := range sale.Refunds {
			joined.join(of, "reference", refund.ReferenceNumber)
		}
	}
	type group struct{ sales, customers []int }
	var order []*group
	all := map[string]*group{}
	in := func(name string) *group {
		root := joined.of(name)
		if all[root] == nil {
			all[root] = &group{}
			order = append(order, all[root])
		}
		return all[root]
	}
	for i := range sales {
		g := in(saleName(i))
		g.sales = append(g.sales, i)
	}
	for i, customer := range customers {
		g := in("phone " + string(customer.Customer.PhoneNumber))
		g.customers = append(g.customers, i)
	}
	done, kept := make([]store.Imported, len(sales)), make([]store.ImportOutcome, len(customers))
	for _, g := range order {
		gotSales, gotCustomers, err := db.RehearseImport(ctx, pick(sales, g.sales), pick(customers, g.customers))
		if err != nil {
			return nil, nil, err
		}
		for i, at := range g.sales {
			done[at] = gotSales[i]
		}
		for i, at := range g.customers {
			kept[at] = gotCustomers[i]
		}
	}
	return done, kept, nil
}

func saleName(i int) string { return fmt.Sprint("sale ", i) }

func pick[T any](all []T, at []int) []T {
	picked := make([]T, len(at))
	for i, j := range at {
		picked[i] = all[j]
	}
	return picked
}

// groups joins names: each points to another one of its group, except the root.
type groups map[string]string

// of returns the root of a name's group.
func (g groups) of(name string) string {
	next := g[name]
	if next == "" {
		return name
	}
	g[name] = g.of(next) // so that chains stay short
	return g[name]
}

// join puts a name and a value of some kind into one group.
func (g groups) join(name, kind, value string) {
	if value == "" {
		return
	}
	if a, b := g.of(name), g.of(kind+" "+value); a != b {
		g[a] = b
	}
}

// write imports what was read, or rehearses it, and counts.
func (c *importDjangoAthm) write(ctx context.Context, db *store.Store, dump djangoathm.Dump) (imported, error) {
	out := imported{DryRun: c.DryRun, Tables: make(map[djangoathm.Table]*importedTable), Others: dump.Others, Rows: []importedRow{}, Hints: []string{}}
	for _, table := range djangoathm.Tables() {
		out.Tables[table] = &importedTable{Rows: dump.Rows[table], AlreadyThere: dump.Repeated[table]}
	}
	sales, customers := c.imports(dump)
	bring := bringIn
	if c.DryRun {
		bring = rehearse
	}
	done, kept, err := bring(ctx, db, sales, customers)
	if err != nil {
		return out, err
	}
	for i, sale := range dump.Sales {
		out.count(sale.At, done[i].Payment)
		for j, refund := range done[i].Refunds {
			out.count(sale.Refunds[j].At, refund)
		}
	}
	for i, client := range dump.Clients {
		out.count(client.At, store.ImportResult{Outcome: kept[i]})
	}
	for _, remark := range dump.Unfinished {
		out.Tables[remark.Table].Unfinished++
		out.Rows = append(out.Rows, importedRow{"unfinished", remark})
	}
	for _, remark := range dump.Unreadable {
		if table, known := out.Tables[remark.Table]; known {
			table.Unreadable++
		} else { // nothing tells of which table it is
			out.Tables[djangoathm.Payments].Rows++
			out.Tables[djangoathm.Payments].Unreadable++
		}
		out.Rows = append(out.Rows, importedRow{"unreadable", remark})
	}
	for _, remark := range dump.Notes {
		out.Rows = append(out.Rows, importedRow{"note", remark})
	}
	order := []string{"unfinished", "note", "own", "contradicting", "unreadable"}
	slices.SortStableFunc(out.Rows, func(a, b importedRow) int {
		return slices.Index(order, a.What) - slices.Index(order, b.What)
	})
	out.hint(dump)
	return out, nil
}

// count notes what became of a row.
func (out *imported) count(at djangoathm.Remark, result store.ImportResult) {
	table := out.Tables[at.Table]
	at.Reason = result.Reason
	switch result.Outcome {
	case store.ImportWritten:
		table.Imported++
	case store.ImportKnown:
		table.AlreadyThere++
	case store.ImportOwn:
		table.Own++
		out.Rows = append(out.Rows, importedRow{"own", at})
	case store.ImportContradicts:
		table.Contradicting++
		out.Rows = append(out.Rows, importedRow{"contradicting", at})
	}
}

// hint says what can be done about what was left out.
func (out *imported) hint(dump djangoathm.Dump) {
	if len(dump.Unfinished) > 0 {
		out.Hints = append(out.Hints, "Unfinished payments are left to django-athm, where a ticket lives ten minutes: dump again after that and "+
			"import again. What is open even then was given up, or was debited without django-athm hearing of it; "+
			"cobro reconcile --from <its day> shows the latter as missing_here.")
	}
	if skewed := skew(dump); skewed != "" {
		out.Hints = append(out.Hints, skewed+": is --time-zone the TIME_ZONE of the Django settings? The import asks for --accept-times.")
	}
	if slices.ContainsFunc(out.Rows, func(r importedRow) bool { return r.What == "contradicting" }) {
		out.Hints = append(out.Hints, "What contradicts Cobro's books is not written. ATH Móvil decides who is right: look the payment up in the ATH Business app.")
	}
}

// skew says that the times of most completed payments make no sense, or "".
func skew(dump djangoathm.Dump) string {
	completed := 0
	for _, sale := range dump.Sales {
		if sale.Payment.CompletedAt != nil {
			completed++
		}
	}
	if dump.Skewed*2 <= completed {
		return ""
	}
	return fmt.Sprintf("%d of %d payments seem to be completed more than an hour before or after they were made", dump.Skewed, completed)
}

func (c *importDjangoAthm) print(w io.Writer, out imported) error {
	if c.JSON {
		return writeJSON(w, out)
	}
	done := "IMPORTED"
	if c.DryRun {
		done = "WOULD IMPORT"
	}
	table := newTable(w)
	fmt.Fprintf(table, "TABLE\tROWS\t%s\tALREADY THERE\tCOBRO'S OWN\tUNFINISHED\tCONTRADICTING\tUNREADABLE\n", done)
	for _, name := range djangoathm.Tables() {
		t := out.Tables[name]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n",
			name, t.Rows, t.Imported, t.AlreadyThere, t.Own, t.Unfinished, t.Contradicting, t.Unreadable)
	}
	if len(out.Rows) > 0 {
		fmt.Fprintln(table, "\nWHAT\tFILE\tROW\tTABLE\tKEY\tREASON")
	}
	for _, r := range out.Rows {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", r.What, r.File, r.Row, dash(string(r.Table)), dash(r.Key), r.Reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, hint := range out.Hints {
		if _, err := fmt.Fprintln(w, "\n"+hint); err != nil {
			return err
		}
	}
	return nil
}
