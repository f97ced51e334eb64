// Package doctor looks at everything that an installation needs, and says of each
// what was seen and what to do.
//
// It makes no payment, moves no money, and changes nothing but one row. At the gateway it asks for a ticket
// and a sale that cannot exist. To the webhook's address it sends the event of
// the test button of the ATH Business app, always the same one, which is kept
// once and never touches a payment (docs/athmovil.md §4.4).
package doctor

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/private"
)

// Status is what a check came to.
type Status string

// The statuses, from good to bad.
const (
	OK      Status = "ok"
	Skipped Status = "skipped" // something before it has to work first
	Warning Status = "warn"    // it works, for now or in part
	Failed  Status = "fail"
)

// Finding is the outcome of one check.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Saw    string `json:"saw"`
	Do     string `json:"do,omitempty"`
}

// Config says what to look at.
type Config struct {
	// Problems are those of the settings, which come first.
	Problems []settings.Problem

	Store, KeyFile, MerchantID string
	// Temporal's Sealer is set from KeyFile.
	Temporal temporalclient.Options

	PublicToken                  string
	PrivateToken                 private.Token
	GatewayURL, GatewayReportURL string // empty means production

	// WebhookSecret and PublicURL make the address that ATH Móvil posts to.
	// Without PublicURL that one is not looked at.
	WebhookSecret private.Token
	PublicURL     string

	// Queues are those that need a worker.
	Queues []string
	// Timeout bounds each check. Zero means 10 seconds.
	Timeout time.Duration
	// HTTPClient makes the calls that are not the gateway client's; nil means
	// one with the machine's own certificates.
	HTTPClient *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Examine runs every check and returns what they found, in a fixed order.
func Examine(ctx context.Context, cfg Config) []Finding {
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		}}
	}
	// A redirect would carry the webhook's secret elsewhere.
	once := *cfg.HTTPClient
	once.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cfg.HTTPClient = &once

	e := &examination{cfg: cfg}
	groups := []func(context.Context) []Finding{e.settings, e.inside, e.gateway, e.tokens, e.webhook}
	found := make([][]Finding, len(groups))
	var checks sync.WaitGroup
	for i, group := range groups {
		checks.Go(func() { found[i] = group(ctx) })
	}
	checks.Wait()
	var all []Finding
	for _, some := range found {
		all = append(all, some...)
	}
	return append(all, e.clock())
}

// Worst returns the worst status of some findings.
func Worst(findings []Finding) Status {
	worst := OK
	for _, f := range findings {
		switch {
		case f.Status == Failed:
			return Failed
		case f.Status == Warning:
			worst = Warning
		}
	}
	return worst
}

// examination is one run of all checks.
type examination struct {
	cfg Config

	mu    sync.Mutex
	skews []skew // guarded by mu
}

func (e *examination) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, e.cfg.Timeout)
}

func (e *examination) settings(context.Context) []Finding {
	var findings []Finding
	for _, p := range e.cfg.Problems {
		f := Finding{Check: "settings", Status: Failed, Saw: p.Setting + " " + p.Problem, Do: p.Do}
		if p.Warning {
			f.Status = Warning
		}
		findings = append(findings, f)
	}
	if len(findings) == 0 {
		return []Finding{{Check: "settings", Status: OK, Saw: "every setting has its form"}}
	}
	return findings
}
