package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/payment"
)

type reconcileCommand struct {
	From   string `required:"" help:"First day, such as 2026-01-31, in Puerto Rico."`
	To     string `help:"Last day, included; the first one if not given."`
	DryRun bool   `help:"Compare in this process, and write nothing."`
	JSON   bool   `name:"json" help:"Print JSON instead of a table."`
}

func (*reconcileCommand) Help() string {
	return "Compares days with ATH Móvil's report and prints the differences. Without --dry-run each day is a run of " +
		"ReconcileDay, which records the differences, tells the receivers of those that are new, fills in payers that only " +
		"the report knows, and books refunds made elsewhere. Ends with code 3 where there are differences."
}

// errDifferences makes the program end with a code of its own.
var errDifferences = errors.New("there are differences")

// reconciled is what the command prints.
type reconciled struct {
	Days        []payment.Reconciliation `json:"days"`
	Differences []payment.Mismatch       `json:"differences"`
}

func (c *reconcileCommand) Run(p *program) error {
	from, to, err := c.days()
	if err != nil {
		return err
	}
	var found app.Reconciled
	err = p.withApp(opening{of: settings.Reconcile, temporal: !c.DryRun, gateway: c.DryRun}, func(a *app.App) (err error) {
		reconcile := a.Reconcile
		if c.DryRun {
			reconcile = a.CompareDays
		}
		found, err = reconcile(p.ctx, app.Days{From: from, To: to})
		return err
	})
	if err != nil {
		return err
	}
	out := reconciled{found.Days, found.Mismatches}
	if err := c.print(p.stdout, out); err != nil {
		return err
	}
	for _, day := range out.Days {
		if day.Mismatches > 0 {
			return errDifferences
		}
	}
	return nil
}

func (c *reconcileCommand) days() (from, to time.Time, err error) {
	// Puerto Rico is four hours behind UTC all the year round.
	zone := time.FixedZone("AST", -4*60*60)
	from, err = time.ParseInLocation(time.DateOnly, c.From, zone)
	to = from
	if err == nil && c.To != "" {
		to, err = time.ParseInLocation(time.DateOnly, c.To, zone)
	}
	switch {
	case err != nil:
		return from, to, errors.New("a day must be like 2026-01-31")
	case to.Before(from):
		return from, to, errors.New("--to must not be before --from")
	default:
		return from, to, nil
	}
}

func (c *reconcileCommand) print(w io.Writer, out reconciled) error {
	if c.JSON {
		out.Days, out.Differences = neverNull(out.Days), neverNull(out.Differences)
		return writeJSON(w, out)
	}
	table := newTable(w)
	fmt.Fprintln(table, "DAY\tROWS\tOURS\tPAYERS FILLED\tREFUNDS BOOKED\tSET ASIDE\tDIFFERENCES")
	for _, d := range out.Days {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", d.Day, d.Rows, d.Matched, d.Filled, d.Booked, d.Quarantined, d.Mismatches)
	}
	if len(out.Differences) > 0 {
		fmt.Fprintln(table, "\nKIND\tPAYMENT\tREFERENCE\tCOBRO\tATH MÓVIL")
	}
	for _, m := range out.Differences {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", m.Kind, dash(m.PaymentID), dash(m.ReferenceNumber), dash(m.Ours), dash(m.Theirs))
	}
	return table.Flush()
}
