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
	"github.com/cobropay/cobro/workflows"
)

// Config says what a process runs and what it runs on. Package worker says what
// each setting means.
type Config struct {
	// Config says what the process opens. [Run] sets Operations and the name of
	// the service that it traces. A program for receivers alone leaves Payments
	// false.
	process.Config

	// Gateway says how ATH Móvil is called. [Config.Client] sets Now and Observe.
	Gateway athmovil.Config

	Host        string
	PollFirst   time.Duration
	PollMost    time.Duration
	ReconcileAt string
	Endpoints   string
	StopTimeout time.Duration
	OpsListen   string
	Started     func()

	getenv func(string) string // of secrets that the endpoints file names; nil means os.Getenv
	// unnamed is why ATH Móvil cannot be called unless Gateway gets both addresses.
	unnamed error
}

// ConfigFromEnv reads a Config from COBRO_… and TEMPORAL_… variables. Where
// neither COBRO_STORE nor TEMPORAL_ADDRESS is set, the data folder of a running
// dev fills what is missing: COBRO_DATA, or .cobro in the current folder. Calls to ATH
// Móvil then go where dev's go, and to the real one only where the variables name it.
//
// Each field has its variable; docs/operations.md lists them with their defaults.
// A secret NAME may be in the file that NAME_FILE names. Every mistake is
// reported at once.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	return ConfigFor(settings.Worker|settings.Receivers, getenv)
}

// ConfigFor is [ConfigFromEnv] for a command, which reads its own settings alone: no
// mistake in another one is in its way.
func ConfigFor(of settings.Program, getenv func(string) string) (Config, error) {
	read, wrong := settings.Read(of, getenv)
	problems := []error{settings.Join(wrong)}
	raw := getenv
	getenv = settings.Files(raw)
	temporal, err := temporalclient.LoadOptions(getenv)
	problems = append(problems, err)
	var traces tracing.Options // a command makes no spans
	if of&(settings.Worker|settings.Receivers) != 0 {
		traces, err = tracing.LoadOptions(getenv)
		problems = append(problems, err)
	}
	dev, err := settings.ReadDev(raw)
	problems = append(problems, err)
	unnamed := read.CallGatewayOf(dev)
	if dev != (settings.Dev{}) {
		temporal.Address, temporal.Namespace = dev.Temporal, dev.Namespace
		read.Store, read.KeyFile = dev.Store, dev.KeyFile
	}
	cfg := Config{
		Config: process.Config{
			Store: read.Store, KeyFile: read.KeyFile, Temporal: temporal, StartTimeout: read.StartTimeout, Tracing: traces,
		},
		Gateway: athmovil.Config{
			PublicToken: read.PublicToken, PrivateToken: read.PrivateToken, BaseURL: read.GatewayURL, ReportBaseURL: read.GatewayReportURL,
			Timeout: read.CallTimeout, CallsPerSecond: rate.Limit(read.CallsPerSecond),
		},
		Host: read.ReceiverHost, PollFirst: read.Timing.PollFirst, PollMost: read.Timing.PollMost, ReconcileAt: read.ReconcileAt, Endpoints: read.Endpoints,
		StopTimeout: read.StopTimeout, OpsListen: read.OpsListen, getenv: getenv, unnamed: unnamed,
	}
	return cfg, errors.Join(problems...)
}

// CheckGateway returns why ATH Móvil cannot be called: nobody named the real one in
// the folder of a dev.
func (c *Config) CheckGateway() error {
	if c.Gateway.BaseURL != "" && c.Gateway.ReportBaseURL != "" {
		return nil // a program has set them since
	}
	return c.unnamed
}

// validate reports at once everything that is missing or wrong for a process with
// this many receivers.
func (c *Config) validate(receivers int) error {
	var problems []error
	require := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	require(c.Store != "", "worker: no database: set COBRO_STORE, start dev in this folder, or name the folder of a dev in COBRO_DATA")
	require(c.KeyFile != "", "worker: no key ring: set COBRO_KEY_FILE, start dev in this folder, or name the folder of a dev in COBRO_DATA")
	require(c.Payments || receivers > 0, "worker: nothing to run: register a receiver, or set Payments")
	if receivers > 0 {
		require(ledger.IsHost(c.Host), `worker: Config.Host must name this program with 1 to 40 of a-z, 0-9 and hyphens, such as "shop"`)
		require(c.Host != ledger.BuiltInHost, `worker: the host "cobro" is Cobro's own; give this program another name`)
	}
	if c.Payments {
		_, _, err := reconcileTime(c.ReconcileAt)
		require(err == nil, `worker: the time of the reconciliation must be like "02:00", or "off": fix COBRO_RECONCILE_AT`)
		require(c.Gateway.PublicToken != "", "worker: no public token: set COBRO_ATHM_PUBLIC_TOKEN")
		require(!c.Gateway.PrivateToken.IsZero(), "worker: no private token: set COBRO_ATHM_PRIVATE_TOKEN")
		problems = append(problems, c.CheckGateway(), c.checkEndpoints())
	}
	return errors.Join(problems...)
}

func (c *Config) setDefaults() {
	standard := workflows.DefaultTiming()
	c.PollFirst, c.PollMost = cmp.Or(c.PollFirst, standard.PollFirst), cmp.Or(c.PollMost, standard.PollMost)
	c.StopTimeout = cmp.Or(c.StopTimeout, settings.DefaultWorkerStopTimeout)
	c.Logger = cmp.Or(c.Logger, slog.Default())
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
	c.Tracing.Service = cmp.Or(c.Tracing.Service, "cobro-worker")
	if c.OpsListen != "" {
		c.Operations = c.listen
	}
}

func (c *Config) listen(ctx context.Context) (net.Listener, error) {
	listener, err := process.Listen(ctx, c.OpsListen, "COBRO_OPS_LISTEN")
	if err == nil {
		c.Logger.Info("worker's operations", "ops", "http://"+listener.Addr().String())
	}
	return listener, err
}

// Client returns a client of ATH Móvil whose calls the process measures and
// traces.
func (c *Config) Client(p *process.Process) (*athmovil.Client, error) {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	gateway := c.Gateway
	gateway.Now = now
	gateway.Observe = func(ctx context.Context, call athmovil.Call) {
		p.Metrics.GatewayCalled(call)
		p.Traces.GatewayCalled(ctx, call, now())
	}
	return athmovil.New(gateway)
}
