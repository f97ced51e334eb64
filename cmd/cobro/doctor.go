package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/doctor"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/workflows"
)

type doctorCommand struct {
	PublicURL string        `name:"public-url" env:"COBRO_PUBLIC_URL" help:"${COBRO_PUBLIC_URL_help}"`
	Timeout   time.Duration `default:"10s" help:"How long each check may take."`
	JSON      bool          `name:"json" help:"Print JSON."`
}

func (*doctorCommand) Help() string {
	return "Checks settings, key ring, database, Temporal, the gateway and its tokens, the webhook's address and the clock, and says " +
		"of each what was seen and what to do. It moves no money. To the webhook's address it sends the event of the test button " +
		"of the ATH Business app, always the same one, which is stored once and touches no payment; nothing else is changed. " +
		"Run it with the variables of both api and worker. Ends with code 1 where a check fails."
}

// examined is what the command prints as JSON.
type examined struct {
	Status doctor.Status    `json:"status"`
	Checks []doctor.Finding `json:"checks"`
}

func (c *doctorCommand) Run(p *program) error {
	temporal, err := temporalclient.LoadOptions(p.getenv)
	if err != nil {
		temporal = temporalclient.Options{} // the problems of the settings say so
	}
	read, _ := settings.Read(settings.Doctor, p.settings.getenv) // so do they of what cannot be read
	problems := p.problems(settings.Everything)
	dev, err := settings.ReadDev(p.settings.getenv)
	if err == nil {
		err = read.CallGatewayOf(dev)
	}
	if err != nil {
		return err
	}
	findings := doctor.Run(p.ctx, doctor.Config{
		Problems: problems,
		Store:    read.Store, KeyFile: read.KeyFile, MerchantID: read.MerchantID,
		Temporal:    temporal,
		PublicToken: read.PublicToken, PrivateToken: read.PrivateToken,
		GatewayURL: read.GatewayURL, GatewayReportURL: read.GatewayReportURL,
		WebhookSecret: read.WebhookSecret, PublicURL: c.PublicURL,
		Queues: []string{workflows.TaskQueue}, Timeout: c.Timeout,
	})
	found := examined{doctor.Worst(findings), findings}
	if c.JSON {
		err = writeJSON(p.stdout, found)
	} else {
		err = c.print(p.stdout, findings)
	}
	if err == nil && found.Status == doctor.Failed {
		return errTold
	}
	return err
}

func (c *doctorCommand) print(w io.Writer, findings []doctor.Finding) error {
	var problems []error
	for _, f := range findings {
		_, err := fmt.Fprintf(w, "%-7s  %-17s  %s\n", f.Status, f.Check, indented(f.Saw))
		problems = append(problems, err)
		if f.Do != "" && f.Status != doctor.OK {
			_, err := fmt.Fprintf(w, "%29s%s\n", "→ ", indented(f.Do))
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// indented keeps the lines of a text below each other.
func indented(text string) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 28))
}
