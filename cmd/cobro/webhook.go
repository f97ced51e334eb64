package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/doctor"
	"github.com/cobropay/cobro/internal/settings"
)

type webhookCommand struct {
	Subscribe webhookSubscribe `cmd:"" help:"Register cobro api as the listener of the business's webhooks."`
}

type webhookSubscribe struct {
	URL          string        `name:"url" env:"COBRO_PUBLIC_URL" required:"" help:"${COBRO_PUBLIC_URL_help}"`
	AllowPrivate bool          `help:"Take http and addresses that the internet does not reach; for a simulator."`
	Timeout      time.Duration `default:"30s" help:"How long ATH Móvil may take to answer."`
	JSON         bool          `name:"json" help:"Print JSON."`
}

func (*webhookSubscribe) Help() string {
	return "A business has one listener: this one takes the place of any other, and running it again changes nothing. Run it again " +
		"after a new COBRO_WEBHOOK_SECRET. Needs COBRO_WEBHOOK_SECRET, COBRO_ATHM_PUBLIC_TOKEN and COBRO_ATHM_PRIVATE_TOKEN."
}

// subscribed is what the command prints as JSON.
type subscribed struct {
	Listener string `json:"listener"` // the secret is masked
	Events   string `json:"events"`
}

func (c *webhookSubscribe) Run(p *program) error {
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	problems := slices.DeleteFunc(settings.Check(settings.Subscribe, p.settings.getenv, nil), func(problem settings.Problem) bool {
		return problem.Setting == "COBRO_PUBLIC_URL" // checkURL looks closer
	})
	if err := settings.Join(problems); err != nil {
		return err
	}
	if err := c.checkURL(ctx); err != nil {
		return err
	}
	read, _ := settings.Read(settings.Subscribe, p.settings.getenv) // the check has found no problem
	dev, err := settings.ReadDev(p.settings.getenv)
	if err == nil {
		err = read.CallGatewayOf(dev)
	}
	if err != nil {
		return err
	}
	client, err := athmovil.New(athmovil.Config{
		PublicToken: read.PublicToken, PrivateToken: read.PrivateToken,
		BaseURL: read.GatewayURL, ReportBaseURL: read.GatewayReportURL, Timeout: c.Timeout,
	})
	if err != nil {
		return fmt.Errorf("%w (set COBRO_ATHM_PUBLIC_TOKEN and COBRO_ATHM_PRIVATE_TOKEN)", err)
	}
	defer client.CloseIdleConnections()
	if err := client.SubscribeWebhook(ctx, athmovil.AllEvents(doctor.WebhookURL(c.URL, read.WebhookSecret))); err != nil {
		return fmt.Errorf("%w (the listener may or may not have changed: running this again is harmless)", err)
	}
	shown := strings.TrimRight(c.URL, "/") + "/webhooks/athmovil/…"
	if c.JSON {
		return writeJSON(p.stdout, subscribed{Listener: shown, Events: "all"})
	}
	gateway := "ATH Móvil"
	if read.GatewayURL != "" {
		gateway += " at " + settings.WithoutCredentials(cmp.Or(read.GatewayReportURL, athmovil.DefaultReportBaseURL))
	}
	_, err = fmt.Fprintf(p.stdout, "%s sends all events of this business to %s now, and to nobody else.\n"+
		"Check that they arrive: press the test button in the ATH Business app, or run cobro doctor\n", gateway, shown)
	return err
}

// checkURL refuses what ATH Móvil cannot reach or would reach without TLS.
func (c *webhookSubscribe) checkURL(ctx context.Context) error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("--url must be like https://pay.example.com")
	case strings.Contains(u.Path, "/webhooks/"):
		return errors.New("--url must end before /webhooks/: the path and the secret are added, so that the secret is on no command line")
	case c.AllowPrivate:
		return nil
	case u.Scheme != "https":
		return errors.New("--url must be https: the secret in the address would travel in clear (--allow-private takes it for a simulator)")
	}
	addresses, err := (&net.Resolver{}).LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return fmt.Errorf("--url: %w (ATH Móvil could not find it either; --allow-private leaves this check out)", err)
	}
	for _, address := range addresses {
		if !public(address) {
			return fmt.Errorf("--url: %s is at %s, which the internet does not reach (--allow-private takes it for a simulator)", u.Hostname(), address)
		}
	}
	return nil
}

// public reports whether an address is one of the internet.
func public(address netip.Addr) bool {
	address = address.Unmap()
	return address.IsGlobalUnicast() && !address.IsPrivate() && !netip.MustParsePrefix("100.64.0.0/10").Contains(address)
}
