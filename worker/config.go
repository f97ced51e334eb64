package worker

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/interceptor"
	"golang.org/x/time/rate"

	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/private"
)

// builtInHost is the host of the receivers that Cobro brings along.
const builtInHost = ledger.BuiltInHost

// Config says what a worker runs and what it runs on. Fill it with
// [ConfigFromEnv] or by hand.
type Config struct {
	// Required fields

	// Store is the DSN of Cobro's database, such as "sqlite:/var/lib/cobro/cobro.db"
	// or "postgres://cobro@db:5432/cobro?sslmode=verify-full".
	Store string
	// KeyFile is the path of the key ring that encrypts histories and personal
	// data. Every process of one installation has the same.
	KeyFile string

	// Required fields for programs with receivers

	// Host names the program among those that host receivers: 1 to 40 of a-z,
	// 0-9 and hyphens, such as "shop". Its receivers run on the task queue
	// "notify-" and this name, so two programs with different receivers must
	// not share it, and many copies of one program do.
	Host string

	// Required fields for payments

	// Payments also runs the payment workflows and the calls to ATH Móvil, as
	// the program "cobro worker" does.
	Payments bool
	// PublicToken and PrivateToken are the business's, from the ATH Business
	// app.
	PublicToken  string
	PrivateToken private.Token

	// Optional fields

	// TemporalAddress is the frontend's host and port. Empty means what the
	// TEMPORAL_… variables say, or 127.0.0.1:7233.
	TemporalAddress string
	// TemporalNamespace is empty for what the TEMPORAL_… variables say, or
	// "default".
	TemporalNamespace string
	// GatewayURL and GatewayReportURL are ATH Móvil's hosts. Empty means
	// production.
	GatewayURL       string
	GatewayReportURL string
	// CallTimeout bounds one call to ATH Móvil. Zero means 30 seconds.
	CallTimeout time.Duration
	// CallsPerSecond bounds this process's calls to ATH Móvil. Zero means no
	// bound.
	CallsPerSecond rate.Limit
	// Waiting is how many customers this process waits for at once. Zero means
	// 10,000.
	Waiting int
	// ReconcileAt is when yesterday is compared with the gateway's report, as
	// "02:00" in Puerto Rico, or "off" for never. Empty means 02:00.
	ReconcileAt string
	// StartTimeout is how long to wait for the database, and then for Temporal.
	// Zero means 30 seconds.
	StartTimeout time.Duration
	// Endpoints is the path of the endpoints file, which lists the URLs that the
	// program with Payments tells of events (docs/webhooks.md). It is read again
	// when it changes. Empty means none.
	Endpoints string
	// StopTimeout is how long work under way may take after the context ends, all
	// queues together. What takes longer is cut: an activity begins again
	// elsewhere, and one that moves money is looked into first. Zero means 10
	// seconds.
	StopTimeout time.Duration
	// OpsListen is the address, such as "127.0.0.1:8082", of /healthz, /readyz
	// and /metrics; port 0 takes a free one. It must never be public. Empty means
	// that nothing is served.
	OpsListen string
	// Metrics are those of an API in the same process, as in dev. Nil means the
	// worker's own; a program of another module has no other.
	Metrics *metrics.Metrics
	// Logger is nil for slog.Default().
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Started is called once every queue is polled; nil means nobody asks.
	Started func()

	temporal engine.Options      // the rest of what the TEMPORAL_… variables say
	tracing  tracing.Options     // what the OTEL_… variables say
	getenv   func(string) string // of secrets that the endpoints file names; nil means os.Getenv

	traces       *tracing.Tracing // set by Run; nil where nothing is traced
	interceptors []interceptor.ClientInterceptor
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
	temporal, err := engine.LoadOptions(getenv)
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

// validate reports everything that is missing or wrong at once.
func (c *Config) validate(receivers int) error {
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
	if c.StartTimeout == 0 {
		c.StartTimeout = engine.DefaultWait
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
