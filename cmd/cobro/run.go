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
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/cobropay/cobro/internal/commandline"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/serve"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/worker"
)

// commands is the command line. Flags that are settings have their default and
// their help from the table of settings; secrets are environment variables only,
// since a command line is public.
type commands struct {
	LogFormat string `enum:"${COBRO_LOG_FORMAT_words}" default:"${COBRO_LOG_FORMAT_default}" env:"COBRO_LOG_FORMAT" help:"${COBRO_LOG_FORMAT_help}"`
	LogLevel  string `enum:"${COBRO_LOG_LEVEL_words}" default:"${COBRO_LOG_LEVEL_default}" env:"COBRO_LOG_LEVEL" help:"${COBRO_LOG_LEVEL_help}"`

	API          apiCommand          `cmd:"" help:"Serve the HTTP API and relay webhooks."`
	Worker       workerCommand       `cmd:"" help:"Run the payment workflows and the calls to ATH Móvil."`
	Reconcile    reconcileCommand    `cmd:"" help:"Compare days with ATH Móvil's report."`
	Import       importCommand       `cmd:"" help:"Take over the books of another system."`
	Endpoint     endpointCommand     `cmd:"" help:"Try the endpoints that receive events, and make secrets for them."`
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
	getenv   func(string) string // flags and secrets in files included
	settings environ
	logger   *slog.Logger
	stdout   io.Writer
}

// environ is the process's variables without what files hold.
type environ struct {
	getenv func(string) string
	all    []string // as os.Environ gives them; nil means that nobody looks for misspelled names
}

// errTold ends the program with code 1 after everything was printed.
var errTold = errors.New("see above")

// run is the whole program. It returns the exit code: 0, 1 after an error, 2
// after a wrong command line, 3 where a reconciliation finds differences. all is
// what os.Environ gives, to find misspelled names in.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer, all ...string) int {
	variables := environ{getenv: getenv, all: all}
	var cli commands
	code := -1
	parser, err := commandline.New(&cli, variables.resolver(),
		kong.Name("cobro"),
		kong.Description("Takes ATH Móvil payments, each one a durable workflow."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }), // kong asks to leave after --help
		kong.Help(helpWithVariables),
		kong.Vars(settings.Vars(settings.API)),
		kong.NamedMapper("moment", kong.MapperFunc(decodeMoment)),
	)
	if err != nil {
		fmt.Fprintln(stderr, "cobro:", err)
		return 2
	}
	command, err := commandline.Parse(parser, args)
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
	variables = variables.under(command)
	err = command.Run(&program{ctx: ctx, getenv: settings.Files(variables.getenv), settings: variables, logger: logger, stdout: stdout})
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errDifferences):
		return 3
	case !errors.Is(err, errTold):
		fmt.Fprintln(stderr, "cobro:", err)
	}
	return 1
}

// decodeMoment reads a moment, which kong would explain by Go's layout.
func decodeMoment(at *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := at.Scan.PopValueInto("moment", &text); err != nil {
		return err
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("%q is not a moment: write it like 2026-01-31T14:00:00-04:00", text)
	}
	target.Set(reflect.ValueOf(moment))
	return nil
}

// under lets the flags of a command line go before their variables, files of
// secrets included.
func (e environ) under(command *kong.Context) environ {
	given := map[string]string{}
	for _, path := range command.Path {
		if path.Flag == nil || path.Resolved {
			continue
		}
		for _, name := range path.Flag.Envs {
			value := command.FlagValue(path.Flag)
			if list, ok := value.([]string); ok {
				value = strings.Join(list, ",")
			}
			given[name] = fmt.Sprint(value)
		}
	}
	getenv := e.getenv
	e.getenv = func(name string) string {
		if value := given[name]; value != "" {
			return value
		}
		if given[strings.TrimSuffix(name, "_FILE")] != "" {
			return ""
		}
		return getenv(name)
	}
	return e
}

// resolver resolves flags from the variables. A secret that a command cannot do
// without and whose file is broken is an error, and a [settings.Problem].
func (e environ) resolver() kong.Resolver {
	variables := commandline.Variables(settings.Files(e.getenv))
	return kong.ResolverFunc(func(at *kong.Context, path *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			command := topOf(at)
			if (command == "config" || command == "doctor") && (name == "COBRO_LOG_FORMAT" || name == "COBRO_LOG_LEVEL") {
				return nil, nil //nolint:nilnil // what is wrong with them is what these commands tell
			}
			if flag.Required {
				if _, err := e.secret(name); err != nil {
					return nil, err
				}
			}
		}
		return variables.Resolve(at, path, flag)
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
	return settings.Describe(settings.Check(of, e.under(parsing.Context).getenv, e.all))
}

// apiCommand has a flag for each of these settings. Run reads all of them from
// the table, where a flag goes before its variable.
type apiCommand struct {
	Listen       string        `default:"${COBRO_LISTEN_default}" env:"COBRO_LISTEN" help:"${COBRO_LISTEN_help}"`
	OpsListen    string        `default:"${COBRO_OPS_LISTEN_default}" env:"COBRO_OPS_LISTEN" help:"${COBRO_OPS_LISTEN_help}"`
	Store        string        `env:"COBRO_STORE" help:"${COBRO_STORE_help}"`
	KeyFile      string        `env:"COBRO_KEY_FILE" help:"${COBRO_KEY_FILE_help}"`
	MerchantID   string        `default:"${COBRO_MERCHANT_ID_default}" env:"COBRO_MERCHANT_ID" help:"${COBRO_MERCHANT_ID_help}"`
	MinExpiresIn time.Duration `default:"${COBRO_MIN_EXPIRES_IN_default}" env:"COBRO_MIN_EXPIRES_IN" help:"${COBRO_MIN_EXPIRES_IN_help}"`
	Wait         time.Duration `default:"${COBRO_WAIT_default}" env:"COBRO_WAIT" help:"${COBRO_WAIT_help}"`
	StartTimeout time.Duration `default:"${COBRO_START_TIMEOUT_default}" env:"COBRO_START_TIMEOUT" help:"${COBRO_START_TIMEOUT_help}"`
	StopTimeout  time.Duration `default:"${COBRO_STOP_TIMEOUT_default}" env:"COBRO_STOP_TIMEOUT" help:"${COBRO_STOP_TIMEOUT_help}"`
	Drain        time.Duration `default:"${COBRO_DRAIN_default}" env:"COBRO_DRAIN" help:"${COBRO_DRAIN_help}"`
	CodecOrigins []string      `env:"COBRO_CODEC_ORIGINS" help:"${COBRO_CODEC_ORIGINS_help}"`
}

// Run serves until the context ends.
func (*apiCommand) Run(p *program) error {
	problems := p.checkSettings(settings.API, nil)
	read, _ := settings.Read(settings.API, p.settings.getenv) // what cannot be read is among the problems
	temporal, err := temporalclient.LoadOptions(p.getenv)
	traces, tracesErr := tracing.LoadOptions(p.getenv)
	if err := errors.Join(problems, err, tracesErr); err != nil {
		return err
	}
	if err := process.CheckFree(p.ctx, read.Listen, "--listen"); err != nil {
		return err
	}
	operations, err := process.Listen(p.ctx, read.OpsListen, "--ops-listen")
	if err != nil {
		return err
	}
	ops := "http://" + operations.Addr().String()
	p.logger.Info("api starting", "ops", ops)
	return serve.Run(p.ctx, serve.Config{
		Config: process.Config{
			Store: read.Store, KeyFile: read.KeyFile, MerchantID: read.MerchantID, Temporal: temporal, StartTimeout: read.StartTimeout,
			Operations: func(context.Context) (net.Listener, error) { return operations, nil },
			Tracing:    traces, Logger: p.logger,
		},
		API:    func(ctx context.Context) (net.Listener, error) { return process.Listen(ctx, read.Listen, "--listen") },
		APIKey: read.APIKey, WebhookSecret: read.WebhookSecret, MinExpiresIn: read.MinExpiresIn,
		Timing: read.Timing, Wait: read.Wait, StopTimeout: read.StopTimeout,
		Drain:        func(limit context.Context) { drain(limit, read.Drain, p.logger) },
		CodecOrigins: read.CodecOrigins, CodecToken: read.CodecToken,
		Started: func(api net.Addr) { p.logger.Info("api started", "api", "http://"+api.String(), "ops", ops) },
	})
}

// drain waits until load balancers have seen that we stop. A second signal says
// that nobody needs to.
func drain(limit context.Context, pause time.Duration, logger *slog.Logger) {
	hurried, stop := signal.NotifyContext(limit, os.Interrupt, syscall.SIGTERM)
	defer stop()
	drained, cancel := context.WithTimeout(hurried, pause)
	defer cancel()
	logger.Info("api draining", "for", pause.String())
	<-drained.Done()
}

// workerCommand has a flag for two of its settings.
type workerCommand struct {
	Endpoints string `env:"COBRO_ENDPOINTS" help:"${COBRO_ENDPOINTS_help}"`
	OpsListen string `env:"COBRO_OPS_LISTEN" help:"Address of health checks and metrics, such as 127.0.0.1:8082; never public. Without it none are served."`
}

// Run works until the context ends.
func (*workerCommand) Run(p *program) error {
	cfg, err := worker.ConfigFromEnv(p.settings.getenv)
	// What a running dev fills in is not in the variables.
	problems := p.checkSettings(settings.Worker, map[string]string{"COBRO_STORE": cfg.Store, "COBRO_KEY_FILE": cfg.KeyFile})
	if problems != nil {
		return errors.Join(problems, onlyTemporal(p.getenv))
	}
	if err != nil {
		return err
	}
	cfg.Payments = true
	cfg.Logger = p.logger
	cfg.Started = func() { p.logger.Info("worker started") }
	return worker.Run(p.ctx, cfg, nil)
}

type migrateCommand struct {
	Store string `required:"" env:"COBRO_STORE" help:"${COBRO_STORE_help}"`
}

func (c *migrateCommand) Run(p *program) error {
	if err := store.Migrate(p.ctx, store.Config{DSN: c.Store, Logger: p.logger}); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout, "the database is up to date")
	return err
}
