package worker

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/cobropay/cobro/activities"
	"github.com/cobropay/cobro/internal/runner"
	"github.com/cobropay/cobro/private"
)

// Config says what a program runs and what it connects to. Fill it with
// [ConfigFromEnv] or by hand.
type Config struct {
	// Required fields

	// Store is the DSN of Cobro's database, such as "sqlite:/var/lib/cobro/cobro.db"
	// or "postgres://cobro@db:5432/cobro?sslmode=verify-full". Required.
	Store string
	// KeyFile is the path of the key ring that encrypts histories and personal
	// data. All programs of one installation use the same keys. Required.
	KeyFile string

	// Required fields for programs with receivers

	// Host names the program among all that host receivers: 1 to 40 of a-z, 0-9
	// and hyphens, such as "shop". Its receivers run on the task queue "notify-"
	// and this name. Copies of one program have the same Host; programs with
	// different receivers must not. Required with receivers.
	Host string

	// Required fields for payments

	// Payments also runs the payment workflows and the calls to ATH Móvil, as the
	// program "cobro worker" does. A program for receivers alone leaves it false.
	Payments bool
	// PublicToken and PrivateToken are the business's, from the ATH Business app.
	// Both are required with Payments.
	PublicToken  string
	PrivateToken private.Token

	// Optional fields

	// TemporalAddress is the host and port of Temporal's frontend. Empty means
	// 127.0.0.1:7233.
	TemporalAddress string
	// TemporalNamespace is empty for "default".
	TemporalNamespace string
	// GatewayURL and GatewayReportURL are the addresses of ATH Móvil. Empty means
	// production.
	GatewayURL       string
	GatewayReportURL string
	// CallTimeout is how long one call to ATH Móvil may take. Zero means 30
	// seconds.
	CallTimeout time.Duration
	// CallsPerSecond is the most calls to ATH Móvil that this process makes in a
	// second. Zero means no limit.
	CallsPerSecond int
	// PollFirst is the pause between the first looks at an open ticket. It grows to
	// PollMost while nothing happens. Zero means 1 second, and 5 seconds for
	// PollMost.
	PollFirst time.Duration
	PollMost  time.Duration
	// ReconcileAt is the time of day in Puerto Rico at which yesterday is compared
	// with ATH Móvil's report, such as "02:00". "off" means never. Empty means
	// 02:00.
	ReconcileAt string
	// StartTimeout is how long to wait for the database, and then for Temporal.
	// Zero means 30 seconds.
	StartTimeout time.Duration
	// Endpoints is the path of the endpoints file, which lists the URLs that
	// receive notifications (docs/webhooks.md). A program with Payments reads it,
	// and reads it again when it changes. Empty means none.
	Endpoints string
	// StopTimeout is how long the work in progress may take after the context
	// ends, on all task queues together. Work that takes longer is cut: another
	// process runs the activity again, and looks at ATH Móvil first if it moves
	// money. Zero means 10 seconds.
	StopTimeout time.Duration
	// OpsListen is the address, such as "127.0.0.1:8082", of /healthz, /readyz and
	// /metrics. It must never be public. Port 0 takes a free one. Empty means that
	// nothing is served.
	OpsListen string
	// Logger is nil for [slog.Default].
	Logger *slog.Logger
	// Now is the clock; nil means [time.Now].
	Now func() time.Time
	// Started is called once the program polls all of its task queues. Nil means
	// no call.
	Started func()

	// environment has what [ConfigFromEnv] read and no field has: credentials for
	// Temporal, tracing, and where the endpoints file finds its secrets.
	environment runner.Config
}

// ConfigFromEnv reads a Config from the environment; getenv is usually
// [os.Getenv]. Without COBRO_STORE and TEMPORAL_ADDRESS it takes what is missing
// from a running dev, whose data folder is COBRO_DATA or .cobro in the current
// folder. ATH Móvil is then called where dev calls it, and the real one only where
// both addresses are given.
//
//	COBRO_STORE, COBRO_KEY_FILE, COBRO_RECEIVER_HOST,
//	COBRO_ATHM_PUBLIC_TOKEN, COBRO_ATHM_PRIVATE_TOKEN,
//	COBRO_GATEWAY_URL, COBRO_GATEWAY_REPORT_URL, COBRO_CALL_TIMEOUT,
//	COBRO_CALLS_PER_SECOND, COBRO_TIMING_POLL_FIRST, COBRO_TIMING_POLL_MOST,
//	COBRO_START_TIMEOUT, COBRO_STOP_TIMEOUT, COBRO_RECONCILE_AT, COBRO_ENDPOINTS, COBRO_DATA, COBRO_OPS_LISTEN,
//	TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…,
//	OTEL_… (docs/telemetry.md)
//
// A secret NAME may also be in the file that NAME_FILE names. The error reports
// every mistake at once.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	c, err := runner.ConfigFromEnv(getenv)
	return fromRunner(c), err
}

// fromRunner is the inverse of [Config.runner].
func fromRunner(c runner.Config) Config {
	return Config{
		Store: c.Store, KeyFile: c.KeyFile, Host: c.Host,
		Payments: c.Payments, PublicToken: c.Gateway.PublicToken, PrivateToken: c.Gateway.PrivateToken,
		TemporalAddress: c.Temporal.Address, TemporalNamespace: c.Temporal.Namespace,
		GatewayURL: c.Gateway.BaseURL, GatewayReportURL: c.Gateway.ReportBaseURL, CallTimeout: c.Gateway.Timeout,
		CallsPerSecond: int(c.Gateway.CallsPerSecond), PollFirst: c.PollFirst, PollMost: c.PollMost, ReconcileAt: c.ReconcileAt,
		StartTimeout: c.StartTimeout, Endpoints: c.Endpoints, StopTimeout: c.StopTimeout,
		OpsListen: c.OpsListen, Logger: c.Logger, Now: c.Now, Started: c.Started,
		environment: c,
	}
}

// runner returns the configuration of package runner.
func (c *Config) runner() runner.Config {
	r := c.environment
	r.Store, r.KeyFile, r.Host = c.Store, c.KeyFile, c.Host
	r.Payments, r.Gateway.PublicToken, r.Gateway.PrivateToken = c.Payments, c.PublicToken, c.PrivateToken
	r.Temporal.Address, r.Temporal.Namespace = c.TemporalAddress, c.TemporalNamespace
	r.Gateway.BaseURL, r.Gateway.ReportBaseURL, r.Gateway.Timeout = c.GatewayURL, c.GatewayReportURL, c.CallTimeout
	r.Gateway.CallsPerSecond, r.ReconcileAt = rate.Limit(c.CallsPerSecond), c.ReconcileAt
	r.PollFirst, r.PollMost = c.PollFirst, c.PollMost
	r.StartTimeout, r.Endpoints, r.StopTimeout = c.StartTimeout, c.Endpoints, c.StopTimeout
	r.OpsListen, r.Logger, r.Now, r.Started = c.OpsListen, c.Logger, c.Now, c.Started
	return r
}

// Run works until ctx ends or something breaks. Then it finishes the work in
// progress, for at most [Config].StopTimeout. It returns nil once ctx has ended;
// errors that the stop itself has caused are logged.
//
// A mistake in cfg or in a receiver is an error before anything is opened, and
// all of them are reported at once. notifications may be nil where cfg.Payments
// is set.
//
// Run leaves the standard log, of package log, as it is: docs/telemetry.md says
// what net/http may write there.
func Run(ctx context.Context, cfg Config, notifications *activities.Notifications) error {
	return runner.Run(ctx, cfg.runner(), notifications)
}
