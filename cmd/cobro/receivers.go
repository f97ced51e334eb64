package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/payment"
)

type receiverCommand struct {
	List   receiverListCommand   `cmd:"" help:"List the receivers that were announced."`
	Remove receiverRemoveCommand `cmd:"" help:"Forget receivers, and drop what is on its way to them."`
}

type receiverListCommand struct {
	JSON bool `name:"json" help:"Print JSON instead of a table."`
}

func (c *receiverListCommand) Run(p *program) error {
	return p.withApp(opening{of: settings.Deliveries}, func(a *app.App) error {
		receivers, err := a.Receivers(p.ctx)
		if err != nil {
			return err
		}
		return printReceivers(p.stdout, c.JSON, receivers)
	})
}

type receiverRemoveCommand struct {
	Host  string `arg:"" help:"The host, such as shop."`
	Event string `help:"Only those of this event."`
	Name  string `help:"Only those of this name."`
	JSON  bool   `name:"json" help:"Print JSON instead of a table."`
}

func (*receiverRemoveCommand) Help() string {
	return "A receiver is never removed because its program has gone: what it was not told waits for it, for a week. This " +
		"command says that it will not come back: its deliveries that are pending or have failed become dropped, and later events are not for it."
}

func (c *receiverRemoveCommand) Run(p *program) error {
	if c.Event != "" && !payment.IsEvent(payment.Event(c.Event)) {
		return errors.New("no such event; the events are " + payment.EventNames())
	}
	var removed app.RemovedReceivers
	err := p.withApp(opening{of: settings.Deliveries, temporal: true}, func(a *app.App) (err error) {
		removed, err = a.RemoveReceivers(p.ctx, app.RemoveReceiversInput{Host: c.Host, Event: payment.Event(c.Event), Name: c.Name})
		return err
	})
	if err != nil {
		return err
	}
	if len(removed.Receivers) == 0 && removed.Dropped == 0 {
		return fmt.Errorf("no such receiver: %q lists those that there are", "cobro receiver list")
	}
	if err := printReceivers(p.stdout, c.JSON, removed.Receivers); err != nil || c.JSON {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "removed %d, and dropped %d deliveries that were on their way or had failed\n", len(removed.Receivers), removed.Dropped)
	return err
}

func printReceivers(w io.Writer, asJSON bool, receivers []ledger.Receiver) error {
	if asJSON {
		return writeJSON(w, neverNull(receivers))
	}
	table := newTable(w)
	fmt.Fprintln(table, "HOST\tEVENT\tNAME\tTIMEOUT")
	for _, r := range receivers {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Host, r.Event, r.Name, r.Timeout)
	}
	return table.Flush()
}

type notificationCommand struct {
	Redeliver redeliverCommand `cmd:"" help:"Send notifications again that have failed or were dropped."`
}

type redeliverCommand struct {
	Since    time.Time `required:"" type:"moment" help:"Only those that were told since, such as 2026-01-31T14:00:00-04:00."`
	Until    time.Time `type:"moment" help:"Only those that were told before."`
	Host     string    `help:"Only those to this host."`
	Receiver string    `help:"Only those to receivers of this name."`
	Event    string    `help:"Only those of this event."`
	Status   string    `enum:"failed,dropped,pending,delivered" default:"failed" help:"Only those that stand so: failed, dropped, delivered, or pending ones, which are tried at once."`
	DryRun   bool      `help:"List them, and send nothing."`
	JSON     bool      `name:"json" help:"Print JSON instead of a table."`
}

func (c *redeliverCommand) Run(p *program) error {
	if c.Event != "" && !payment.IsEvent(payment.Event(c.Event)) {
		return errors.New("no such event; the events are " + payment.EventNames())
	}
	var sent []app.Redelivered
	err := p.withApp(opening{of: settings.Deliveries, temporal: !c.DryRun}, func(a *app.App) (err error) {
		sent, err = a.RedeliverAll(p.ctx, ledger.DeliveryFilter{
			Host: c.Host, Receiver: c.Receiver, Event: payment.Event(c.Event), Status: payment.DeliveryStatus(c.Status),
			CreatedFrom: c.Since, CreatedTo: c.Until,
		}, c.DryRun)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(p.stdout, neverNull(sent))
	}
	table := newTable(p.stdout)
	fmt.Fprintln(table, "NOTIFICATION\tPAYMENT\tEVENT\tRECEIVER\tTOLD AT\tWAS\tIS")
	for _, d := range sent {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s/%s\t%s\t%s\t%s\n", d.ID, dash(d.PaymentID), d.Event, d.Host, d.Receiver,
			d.CreatedAt.Format(time.RFC3339), d.Status, dash(ordered(d.Redelivery)))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, redelivered(sent, c.DryRun))
	return err
}

// redelivered sums orders up.
func redelivered(sent []app.Redelivered, dryRun bool) string {
	if dryRun {
		return fmt.Sprintf("%d would be sent again", len(sent))
	}
	counts := map[ledger.Redelivery]int{}
	for _, d := range sent {
		counts[d.Redelivery]++
	}
	text := fmt.Sprintf("%d %s", counts[ledger.SentAgain], ordered(ledger.SentAgain))
	for _, r := range []ledger.Redelivery{ledger.TriedNow, ledger.LeftAlone} {
		if counts[r] > 0 {
			text += fmt.Sprintf(", %d %s", counts[r], ordered(r))
		}
	}
	return text
}

func ordered(r ledger.Redelivery) string { return strings.ReplaceAll(string(r), "_", " ") }
