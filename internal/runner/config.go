package runner

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/time/rate"

	"github.com/cobropay/cobro/athmovil"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/private"
)

// builtInHost is the host of the receivers that Cobro brings along.
const builtInHost = ledger.BuiltInHost

// Config says what a process runs and what it runs on. Package worker says more
// of each field.
type Config struct {
	// Required fields

	Store   string
	KeyFile string

	// Required fields for programs with receivers

	Host string

	// Required fields for payments

	Payments     bool
	PublicToken  string
	PrivateToken private.Token

	// Optional fields

	TemporalAddress   string
	TemporalNamespace string
	GatewayURL        string
	GatewayReportURL  string
	CallTimeout       time.Duration
	CallsPerSecond    rate.Limit
	Waiting           int
	ReconcileAt       string
	StartTimeout      time.Duration
	Endpoints         string
	StopTimeout       time.Duration
	OpsListen         string
	// Metrics are those of an API in the same process, as in dev. Nil means new
	// ones.
	Metrics *metrics.Metrics
	Logger  *slog.Logger
	Now     func() time.Time
	Started func()

	temporal temporalclient.Options // the rest of what the TEMPORAL_… variables say
	tracing  tracing.Options        // what the OTEL_… variables say
	getenv   func(string) string    // of secrets that the endpoints file names; nil means os.Getenv
}

// ConfigFromEnv reads a Config from COBRO_… and TEMPORAL_… variables. Where
// neither COBRO_STORE nor TEMPORAL_ADDRESS is set, the data folder of a running
// dev fills what is missing: COBRO_DATA, or .cobro in the current folder. The
// gateway and its tokens are filled from it only where that is dev's simulator.
//
// Each field has its variable; docs/operations.md lists them with their defaults.
// A secret NAME may be in the file that NAME_FILE names. Every mistake is
// reported at once.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	read, wrong := settings.Read(settings.Worker|settings.Receivers, getenv)
	problems := []error{settings.Join(wrong)}
	raw := getenv
	getenv = settings.Files(raw)
	temporal, err := temporalclient.LoadOptions(getenv)
	problems = append(problems, err)
	traces, err := tracing.LoadOptions(getenv)
	problems = append(problems, err)
	cfg := Config{
		Store: read.Store, KeyFile: read.KeyFile, Host: read.ReceiverHost,
		PublicToken: read.PublicToken, PrivateToken: read.PrivateToken,
		TemporalAddress: temporal.Address, TemporalNamespace: temporal.Namespace,
		GatewayURL: read.GatewayURL, GatewayReportURL: read.GatewayReportURL,
		CallTimeout: read.CallTimeout, CallsPerSecond: rate.Limit(read.CallsPerSecond), Waiting: read.Waiting,
		ReconcileAt: read.ReconcileAt, StartTimeout: read.StartTimeout, Endpoints: read.Endpoints,
		StopTimeout: read.StopTimeout, OpsListen: read.OpsListen,
		temporal: temporal, tracing: traces, getenv: getenv,
	}
	dev, err := settings.ReadDev(raw)
	cfg.fillFrom(dev)
	problems = append(problems, err)
	return cfg, errors.Join(problems...)
}

// fillFrom fills in what a running dev says. Its simulator and the simulator's
// tokens go together: where a setting says anything of the gateway, the settings
// say it all.
func (c *Config) fillFrom(dev settings.Dev) {
	if dev == (settings.Dev{}) {
		return
	}
	c.TemporalAddress, c.TemporalNamespace = dev.Temporal, dev.Namespace
	c.Store, c.KeyFile = dev.Store, dev.KeyFile
	if c.GatewayURL == "" && c.GatewayReportURL == "" && c.PublicToken == "" && c.PrivateToken.IsZero() {
		c.GatewayURL, c.GatewayReportURL = dev.Gateway, dev.Gateway
		c.PublicToken, c.PrivateToken = dev.PublicToken, private.NewToken(dev.PrivateToken)
	}
}

// Validate reports at once everything that is missing or wrong for a process with
// this many receivers.
func (c *Config) Validate(receivers int) error {
	var problems []error
	require := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	require(c.Store != "", "worker: no database: set COBRO_STORE, or start dev in this folder")
	require(c.KeyFile != "", "worker: no key ring: set COBRO_KEY_FILE, or start dev in this folder")
	require(c.Payments || receivers > 0, "worker: nothing to run: register a receiver, or set Payments")
	if receivers > 0 {
		require(ledger.IsHost(c.Host), `worker: Config.Host must name this program with 1 to 40 of a-z, 0-9 and hyphens, such as "shop"`)
		require(c.Host != builtInHost, `worker: the host "cobro" is Cobro's own; give this program another name`)
	}
	if c.Payments {
		_, _, err := reconcileTime(c.ReconcileAt)
		require(err == nil, `worker: the time of the reconciliation must be like "02:00", or "off": fix COBRO_RECONCILE_AT`)
		require(c.PublicToken != "", "worker: no public token: set COBRO_ATHM_PUBLIC_TOKEN")
		require(!c.PrivateToken.IsZero(), "worker: no private token: set COBRO_ATHM_PRIVATE_TOKEN")
		problems = append(problems, c.checkEndpoints())
	}
	return errors.Join(problems...)
}

func (c *Config) setDefaults() {
	if c.Waiting == 0 {
		c.Waiting = settings.DefaultWaiting
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = settings.DefaultWorkerStopTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.getenv == nil {
		c.getenv = os.Getenv
	}
	if c.Metrics == nil {
		program := metrics.ProgramReceivers
		if c.Payments {
			program = metrics.ProgramWorker
		}
		c.Metrics = metrics.New(program)
	}
	if c.Started == nil {
		c.Started = func() {}
	}
}

// Process returns what a command opens with [process.Open] that needs the same
// store and the same Temporal, and runs no worker.
func (c *Config) Process() process.Config {
	temporal := c.temporal
	temporal.Address, temporal.Namespace = c.TemporalAddress, c.TemporalNamespace
	return process.Config{
		Store: c.Store, KeyFile: c.KeyFile, Temporal: temporal, StartTimeout: c.StartTimeout,
		Metrics: c.Metrics, Logger: c.Logger, Now: c.Now,
	}
}

// process returns what Run opens.
func (c *Config) process() process.Config {
	opened := c.Process()
	opened.Payments, opened.Tracing = c.Payments, c.tracing
	opened.Tracing.Service = cmp.Or(c.tracing.Service, "cobro-worker")
	if c.OpsListen != "" {
		opened.Operations = c.listen
	}
	return opened
}

func (c *Config) listen(ctx context.Context) (net.Listener, error) {
	listener, err := process.Listen(ctx, c.OpsListen, "COBRO_OPS_LISTEN")
	if err == nil {
		c.Logger.Info("worker's operations", "ops", "http://"+listener.Addr().String())
	}
	return listener, err
}

// Gateway returns a client of ATH Móvil whose calls the process measures and
// traces.
func (c *Config) Gateway(p *process.Process) (*athmovil.Client, error) {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	return athmovil.New(athmovil.Config{
		PublicToken: c.PublicToken, PrivateToken: c.PrivateToken, BaseURL: c.GatewayURL, ReportBaseURL: c.GatewayReportURL,
		Timeout: c.CallTimeout, CallsPerSecond: c.CallsPerSecond, Now: c.Now,
		Observe: func(ctx context.Context, call athmovil.Call) {
			p.Metrics.GatewayCalled(call)
			p.Traces.GatewayCalled(ctx, call, now())
		},
	})
}
