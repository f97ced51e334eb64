package main

import (
	"cmp"
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
		"Run it with the variables of both api and worker, or in the folder of a running dev. Ends with code 1 where a check fails."
}

// examined is what the command prints as JSON.
type examined struct {
	Status doctor.Status    `json:"status"`
	Checks []doctor.Finding `json:"checks"`
}

func (c *doctorCommand) Run(p *program) error {
	getenv, err := besideDev(p.settings.getenv)
	if err != nil {
		return err
	}
	p.settings.getenv, p.getenv = getenv, settings.Files(getenv)
	temporal, err := temporalclient.LoadOptions(p.getenv)
	if err != nil {
		temporal = temporalclient.Options{} // the problems of the settings say so
	}
	read, _ := settings.Read(settings.Doctor, getenv) // so do they of what cannot be read
	findings := doctor.Run(p.ctx, doctor.Config{
		Problems: p.problems(settings.Everything),
		Store:    read.Store, KeyFile: read.KeyFile, MerchantID: read.MerchantID,
		Temporal:    temporal,
		PublicToken: read.PublicToken, PrivateToken: read.PrivateToken,
		GatewayURL: read.GatewayURL, GatewayReportURL: read.GatewayReportURL,
		WebhookSecret: read.WebhookSecret, PublicURL: cmp.Or(c.PublicURL, getenv("COBRO_PUBLIC_URL")),
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

// besideDev lets a running dev give what is not set.
func besideDev(getenv func(string) string) (func(string) string, error) {
	dev, err := settings.ReadDev(getenv)
	if err != nil || dev == (settings.Dev{}) {
		return getenv, err
	}
	read, _ := settings.Read(settings.Doctor, getenv) // what cannot be read is reported later
	if err := read.CallGatewayOf(dev); err != nil {
		return nil, err
	}
	isSet := func(name string) bool { return getenv(name) != "" || getenv(name+"_FILE") != "" }
	given := map[string]string{
		"COBRO_STORE": dev.Store, "COBRO_KEY_FILE": dev.KeyFile, "COBRO_API_KEY": dev.APIKey,
		"COBRO_PUBLIC_URL": dev.API, "COBRO_WEBHOOK_SECRET": dev.WebhookURL[strings.LastIndex(dev.WebhookURL, "/")+1:],
		"COBRO_GATEWAY_URL": read.GatewayURL, "COBRO_GATEWAY_REPORT_URL": read.GatewayReportURL,
		"COBRO_ATHM_PUBLIC_TOKEN": read.PublicToken, "COBRO_ATHM_PRIVATE_TOKEN": read.PrivateToken.Reveal(),
		"TEMPORAL_ADDRESS": dev.Temporal, "TEMPORAL_NAMESPACE": dev.Namespace,
	}
	return func(name string) string {
		if isSet(name) {
			return getenv(name)
		}
		return given[name]
	}, nil
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
