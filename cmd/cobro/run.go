package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/serve"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/worker"
	"github.com/cobropay/cobro/workflows"
)

// commands is the command line. Each flag is also an environment variable;
// secrets are environment variables only, since a command line is public.
type commands struct {
	LogFormat string `enum:"text,json" default:"json" env:"COBRO_LOG_FORMAT" help:"Log lines for people (text) or machines (json)."`
	LogLevel  string `enum:"debug,info,warn,error" default:"info" env:"COBRO_LOG_LEVEL" help:"The least level that is logged."`

	API          apiCommand          `cmd:"" help:"Serve the HTTP API and relay webhooks."`
	Worker       workerCommand       `cmd:"" help:"Run the payment workflows and the calls to ATH Móvil."`
	Reconcile    reconcileCommand    `cmd:"" help:"Compare days with ATH Móvil's report."`
	Import       importCommand       `cmd:"" help:"Take over the books of another system."`
	Endpoint     endpointCommand     `cmd:"" help:"Try the endpoints that are told of events, and make secrets for them."`
	Receiver     receiverCommand     `cmd:"" help:"List or remove receivers of notifications."`
	Notification notificationCommand `cmd:"" help:"Send notifications again."`
	Migrate      migrateCommand      `cmd:"" help:"Bring the database to this program's schema."`
	Keys         keysCommand         `cmd:"" help:"Make the key ring of a new installation, list its keys, and change the one that writes."`

	Config      configCommand      `cmd:"" help:"Check the settings of an installation."`
	Doctor      doctorCommand      `cmd:"" help:"Check everything that an installation needs, and say what to do."`
	Healthcheck healthcheckCommand `cmd:"" help:"Ask a process whether it is ready; for container health checks."`
	Review      reviewCommand      `cmd:"" help:"List what waits for a person's decision, and decide."`
	Webhook     webhookCommand     `cmd:"" help:"Tell ATH Móvil where to send its webhooks."`
}

// program is what every command works with.
type program struct {
	ctx      context.Context
	getenv   func(string) string // secrets in files included
	settings environ
	logger   *slog.Logger
	stdout   io.Writer
}

// environ is the process's variables as they are, without what files hold.
type environ struct {
	getenv func(string) string
	all    []string // as os.Environ gives them; nil means that nobody looks for misspelt names
}

// errTold ends the program with code 1 after everything was printed.
var errTold = errors.New("see above")

// run is the whole program. It returns the exit code: 0, 1 after an error, 2
// after a wrong command line, 3 where a reconciliation finds differences. all is
// what os.Environ gives, to find misspelt names in.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer, all ...string) int {
	variables := environ{getenv: getenv, all: all}
	getenv = settings.Files(getenv)
	var cli commands
	code := -1
	parser, err := kong.New(&cli,
		kong.Name("cobro"),
		kong.Description("Takes ATH Móvil payments, each one a durable workflow."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }), // kong asks to leave after --help
		kong.ValueFormatter(withVariable),
		kong.Resolvers(variables.resolver()),
	)
	if err == nil {
		err = kong.Visit(parser.Model, forgetVariables)
	}
	if err != nil {
		fmt.Fprintln(stderr, "cobro:", err)
		return 2
	}
	command, err := parser.Parse(args)
	if code >= 0 {
		return code
	}
	if problem, ok := errors.AsType[settings.Problem](err); ok { // the command line is right
		fmt.Fprintln(stderr, "cobro:", problem)
		return 1
	}
	if err != nil {
		fmt.Fprintf(stderr, "cobro: %v\n%sRun \"cobro --help\" for the commands, and \"cobro config check\" for the variables.\n", err, variables.describe(err))
		return 2
	}
	var level slog.Level
	err = level.UnmarshalText([]byte(cli.LogLevel))
	logger, logErr := telemetry.NewLogger(stderr, cli.LogFormat, level, false)
	if err := errors.Join(err, logErr); err != nil {
		fmt.Fprintln(stderr, "cobro:", err)
		return 2
	}
	if stderr == os.Stderr { // the standard log is the process's, and tests run beside each other
		telemetry.RedirectStandardLog(logger)
	}
	err = command.Run(&program{ctx: ctx, getenv: getenv, settings: variables, logger: logger, stdout: stdout})
	if errors.Is(err, errDifferences) {
		return 3
	}
	if errors.Is(err, errTold) {
		return 1
	}
	if err != nil {
		fmt.Fprintln(stderr, "cobro:", err)
		return 1
	}
	return 0
}

// withVariable shows a flag's variable in the help.
func withVariable(value *kong.Value) string {
	if value.Flag == nil || len(value.Flag.Envs) == 0 {
		return value.Help
	}
	return strings.TrimSuffix(value.Help, ".") + " ($" + strings.Join(value.Flag.Envs, ", $") + ")."
}

// forgetVariables keeps kong from reading variables by itself: to it one that is
// set to nothing is a value, such as an address that is every address of this
// machine, and the process's variables are not those that run was given.
func forgetVariables(node kong.Visitable, next kong.Next) error {
	if flag, ok := node.(*kong.Flag); ok {
		flag.Tag.Envs = nil // and not flag.Envs, which the resolver and the help read
	}
	return next(nil)
}

// resolver resolves flags from the variables. One that is set to nothing is not
// set. A secret that a command cannot do without and whose file is broken is an
// error, and a [settings.Problem].
func (e environ) resolver() kong.Resolver {
	getenv := settings.Files(e.getenv)
	return kong.ResolverFunc(func(at *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			command := topOf(at)
			if (command == "config" || command == "doctor") && (name == "COBRO_LOG_FORMAT" || name == "COBRO_LOG_LEVEL") {
				continue // what is wrong with them is what these commands tell
			}
			if flag.Required {
				if _, err := e.secret(name); err != nil {
					return nil, err
				}
			}
			if value := getenv(name); value != "" {
				return value, nil
			}
		}
		return nil, nil //nolint:nilnil // kong's way to say that this resolver knows nothing of the flag
	})
}

// secret returns a secret, or what is wrong with its file.
func (e environ) secret(name string) (string, error) {
	for _, problem := range settings.CheckFiles(e.getenv) {
		if problem.Setting == name+"_FILE" && !problem.Warning {
			return "", problem
		}
	}
	return settings.Files(e.getenv)(name), nil
}

// topOf names the first command of a command line, "" before there is one.
func topOf(at *kong.Context) string {
	for _, path := range at.Path {
		if path.Command != nil {
			return path.Command.Name
		}
	}
	return ""
}

// describe lists everything that is wrong with the variables of a program that
// could not start, so that one start shows all of it.
func (e environ) describe(failed error) string {
	parsing, ok := errors.AsType[*kong.ParseError](failed)
	if !ok {
		return ""
	}
	of, ok := map[string]settings.Program{"api": settings.API, "worker": settings.Worker}[topOf(parsing.Context)]
	if !ok {
		return ""
	}
	return settings.Describe(settings.Check(of, e.getenv, e.all))
}

type apiCommand struct {
	Listen       string        `default:"127.0.0.1:8080" env:"COBRO_LISTEN" help:"Address of the API; port 0 takes a free one."`
	OpsListen    string        `default:"127.0.0.1:8081" env:"COBRO_OPS_LISTEN" help:"Address of health checks, metrics and the codec; never public."`
	Store        string        `env:"COBRO_STORE" help:"Database: sqlite:/var/lib/cobro/cobro.db or postgres://user@host/database."`
	KeyFile      string        `env:"COBRO_KEY_FILE" help:"Key ring that encrypts histories and personal data."`
	MerchantID   string        `default:"default" env:"COBRO_MERCHANT_ID" help:"Takes part in every payment id; can never change."`
	MinExpiresIn time.Duration `default:"120s" env:"COBRO_MIN_EXPIRES_IN" help:"Shortest life of a payment; less than ATH Móvil's 120s only against a simulator."`
	Wait         time.Duration `default:"10s" env:"COBRO_WAIT" help:"How long a request waits for its outcome."`
	StartTimeout time.Duration `default:"30s" env:"COBRO_START_TIMEOUT" help:"How long to wait for the database, and then for Temporal."`
	StopTimeout  time.Duration `default:"15s" env:"COBRO_STOP_TIMEOUT" help:"How long the end may take, the drain included; requests that take longer are cut."`
	Drain        time.Duration `default:"5s" env:"COBRO_DRAIN" help:"How long requests are still taken at the end, while /readyz says so; 0s where no load balancer looks at it."`
	CodecOrigins []string      `env:"COBRO_CODEC_ORIGINS" help:"Addresses of the Temporal UI that may decrypt payloads."`
}

// Validate refuses an empty address, which would be every address of this machine.
func (c *apiCommand) Validate() error {
	if c.Listen == "" || c.OpsListen == "" {
		return errors.New("--listen and --ops-listen must be like 127.0.0.1:8080")
	}
	return nil
}

// Run serves until the context ends.
func (c *apiCommand) Run(p *program) error {
	problems := p.checkSettings(settings.API, map[string]string{"COBRO_STORE": c.Store, "COBRO_KEY_FILE": c.KeyFile})
	temporal, err := temporalclient.LoadOptions(p.getenv)
	timing, timingErr := workflows.TimingFromEnv(p.getenv)
	traces, tracesErr := tracing.LoadOptions(p.getenv)
	if err := errors.Join(problems, err, tracesErr); err != nil {
		return err
	}
	if timingErr != nil { // which a problem says better
		return timingErr
	}
	if err := process.CheckFree(p.ctx, c.Listen, "--listen"); err != nil {
		return err
	}
	operations, err := process.Listen(p.ctx, c.OpsListen, "--ops-listen")
	if err != nil {
		return err
	}
	ops := "http://" + operations.Addr().String()
	p.logger.Info("api starting", "ops", ops)
	return serve.Run(p.ctx, serve.Config{
		API:        func(ctx context.Context) (net.Listener, error) { return process.Listen(ctx, c.Listen, "--listen") },
		Operations: operations, Store: c.Store, KeyFile: c.KeyFile,
		APIKey:        private.NewToken(p.getenv("COBRO_API_KEY")),
		WebhookSecret: private.NewToken(p.getenv("COBRO_WEBHOOK_SECRET")),
		Temporal:      temporal, MerchantID: c.MerchantID, MinExpiresIn: c.MinExpiresIn,
		Timing: timing, Wait: c.Wait, StartTimeout: c.StartTimeout, StopTimeout: c.StopTimeout,
		Drain:        func(limit context.Context) { c.drain(limit, p.logger) },
		CodecOrigins: c.CodecOrigins, CodecToken: private.NewToken(p.getenv("COBRO_CODEC_TOKEN")), Logger: p.logger,
		Tracing: traces,
		Started: func(api net.Addr) { p.logger.Info("api started", "api", "http://"+api.String(), "ops", ops) },
	})
}

// drain waits until load balancers have seen that we stop. A second signal says
// that nobody needs to.
func (c *apiCommand) drain(limit context.Context, logger *slog.Logger) {
	hurried, stop := signal.NotifyContext(limit, os.Interrupt, syscall.SIGTERM)
	defer stop()
	drained, cancel := context.WithTimeout(hurried, c.Drain)
	defer cancel()
	logger.Info("api draining", "for", c.Drain.String())
	<-drained.Done()
}

type workerCommand struct {
	Endpoints string `env:"COBRO_ENDPOINTS" help:"The endpoints file: URLs that are told of events."`
	OpsListen string `env:"COBRO_OPS_LISTEN" help:"Address of health checks and metrics, such as 127.0.0.1:8082; never public. Without it none are served."`
}

// Run works until the context ends.
func (c *workerCommand) Run(p *program) error {
	cfg, err := worker.ConfigFromEnv(p.getenv)
	// What a running dev fills in is not in the variables.
	problems := p.checkSettings(settings.Worker, map[string]string{"COBRO_STORE": cfg.Store, "COBRO_KEY_FILE": cfg.KeyFile})
	if problems != nil {
		return errors.Join(problems, onlyTemporal(p.getenv))
	}
	if err != nil {
		return err
	}
	cfg.Payments = true
	cfg.Endpoints = c.Endpoints
	cfg.OpsListen = c.OpsListen
	cfg.Logger = p.logger
	cfg.Started = func() { p.logger.Info("worker started") }
	return worker.Run(p.ctx, cfg, nil)
}

type migrateCommand struct {
	Store string `required:"" env:"COBRO_STORE" help:"Database: sqlite:/var/lib/cobro/cobro.db or postgres://user@host/database."`
}

// Run migrates the database.
func (c *migrateCommand) Run(p *program) error {
	if err := store.Migrate(p.ctx, store.Config{DSN: c.Store, Logger: p.logger}); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, "the database is up to date")
	return err
}
