// Package doctor checks everything that an installation needs. For each check it
// reports what it saw and what to do.
//
// It makes no payment and moves no money. It asks ATH Móvil for a ticket and a
// sale that cannot exist. It sends the webhook address the test event of the ATH
// Business app, always the same one, so that the store keeps one row of it, which
// never affects a payment (docs/athmovil.md §4.4).
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

// Status is the result of a check.
type Status string

// The statuses, from best to worst.
const (
	OK      Status = "ok"
	Skipped Status = "skipped" // it depends on something that does not work yet
	Warning Status = "warn"    // it works for now, or in part
	Failed  Status = "fail"
)

// Finding is the outcome of one check.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Saw    string `json:"saw"`
	Do     string `json:"do,omitempty"`
}

// Config says what to check.
type Config struct {
	// Problems are the problems of the settings. They are reported first.
	Problems []settings.Problem

	Store, KeyFile, MerchantID string
	// Temporal's Sealer is set from KeyFile.
	Temporal temporalclient.Options

	PublicToken                  string
	PrivateToken                 private.Token
	GatewayURL, GatewayReportURL string // empty means production

	// WebhookSecret and PublicURL form the address that ATH Móvil posts to.
	// Without PublicURL it is not checked.
	WebhookSecret private.Token
	PublicURL     string

	// Queues are the task queues that need a worker.
	Queues []string
	// Timeout limits each check. Zero means 10 seconds.
	Timeout time.Duration
	// HTTPClient makes the calls that package athmovil does not make; nil means a
	// client that trusts the machine's certificates.
	HTTPClient *http.Client
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Run runs every check and returns the findings in a fixed order.
func Run(ctx context.Context, cfg Config) []Finding {
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
	// A redirect would send the webhook secret to another host.
	direct := *cfg.HTTPClient
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cfg.HTTPClient = &direct

	c := &checker{cfg: cfg}
	groups := []func(context.Context) []Finding{c.settings, c.installation, c.gateway, c.tokens, c.webhook}
	found := make([][]Finding, len(groups))
	var checks sync.WaitGroup
	for i, group := range groups {
		checks.Go(func() { found[i] = group(ctx) })
	}
	checks.Wait()
	var all []Finding
	for _, findings := range found {
		all = append(all, findings...)
	}
	return append(all, c.clock()) // last: it uses the times that the others collected
}

// Worst returns the worst status of the findings.
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

// checker is one run of all checks.
type checker struct {
	cfg Config

	mu    sync.Mutex
	skews []skew // guarded by mu
}

func (c *checker) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.Timeout)
}

func (c *checker) settings(context.Context) []Finding {
	var findings []Finding
	for _, p := range c.cfg.Problems {
		f := Finding{Check: "settings", Status: Failed, Saw: p.Setting + " " + p.Problem, Do: p.Do}
		if p.Warning {
			f.Status = Warning
		}
		findings = append(findings, f)
	}
	if len(findings) == 0 {
		return []Finding{{Check: "settings", Status: OK, Saw: "every setting is well formed"}}
	}
	return findings
}
