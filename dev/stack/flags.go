package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"time"
	_ "time/tzdata" // the gateway's times are America/Puerto_Rico on any machine

	"github.com/alecthomas/kong"
	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/commandline"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/telemetry"
)

// flags is the command line. Each flag is a setting, which has its default and
// its help from the table of settings.
type flags struct {
	Data                 string        `default:"${COBRO_DATA_default}" env:"COBRO_DATA" help:"Folder that keeps everything."`
	Listen               string        `default:"${COBRO_LISTEN_default}" env:"COBRO_LISTEN" help:"${COBRO_LISTEN_help}"`
	OpsListen            string        `default:"${COBRO_OPS_LISTEN_default}" env:"COBRO_OPS_LISTEN" help:"${COBRO_OPS_LISTEN_help}"`
	TemporalListen       string        `default:"${COBRO_TEMPORAL_LISTEN_default}" env:"COBRO_TEMPORAL_LISTEN" help:"${COBRO_TEMPORAL_LISTEN_help}"`
	TemporalUIListen     string        `name:"temporal-ui-listen" default:"${COBRO_TEMPORAL_UI_LISTEN_default}" env:"COBRO_TEMPORAL_UI_LISTEN" help:"${COBRO_TEMPORAL_UI_LISTEN_help}"`
	GatewayListen        string        `default:"${COBRO_GATEWAY_LISTEN_default}" env:"COBRO_GATEWAY_LISTEN" help:"${COBRO_GATEWAY_LISTEN_help}"`
	GatewayControlListen string        `default:"${COBRO_GATEWAY_CONTROL_LISTEN_default}" env:"COBRO_GATEWAY_CONTROL_LISTEN" help:"${COBRO_GATEWAY_CONTROL_LISTEN_help}"`
	GatewayWebhookDelay  time.Duration `default:"${COBRO_GATEWAY_WEBHOOK_DELAY_default}" env:"COBRO_GATEWAY_WEBHOOK_DELAY" help:"${COBRO_GATEWAY_WEBHOOK_DELAY_help}"`
	Gateway              string        `default:"${COBRO_GATEWAY_default}" env:"COBRO_GATEWAY" help:"${COBRO_GATEWAY_help}"`
	Only                 string        `enum:",temporal" default:"" env:"COBRO_ONLY" help:"${COBRO_ONLY_help}"`
	TemporalStore        string        `env:"COBRO_TEMPORAL_STORE" help:"${COBRO_TEMPORAL_STORE_help}"`
	LogFormat            string        `enum:"${COBRO_LOG_FORMAT_words}" default:"${COBRO_LOG_FORMAT_default}" env:"COBRO_LOG_FORMAT" help:"${COBRO_LOG_FORMAT_help}"`
	LogLevel             string        `enum:"${COBRO_LOG_LEVEL_words}" default:"${COBRO_LOG_LEVEL_default}" env:"COBRO_LOG_LEVEL" help:"${COBRO_LOG_LEVEL_help}"`
}

// gateways that the flag knows by name.
const (
	gatewaySimulator = "sim"
	gatewayLive      = "live"
)

// onlyTemporal starts Temporal and its UI alone.
const onlyTemporal = "temporal"

func (f *flags) validate() error {
	if f.TemporalStore != "" && f.Only != onlyTemporal {
		return errors.New("--temporal-store is for --only temporal: everything else keeps its data in the folder")
	}
	if f.Gateway == gatewaySimulator || f.Gateway == gatewayLive {
		return nil
	}
	if u, err := url.Parse(f.Gateway); err != nil || u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("--gateway %q: use sim, live, or the http:// address of a simulator", f.Gateway)
	}
	return nil
}

// Main is the whole program. It returns the exit code: 0, 1 after an error, 2
// after a wrong command line.
func Main(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	gin.SetMode(gin.ReleaseMode) // it prints every route otherwise
	code := -1
	f, err := parse(args, getenv,
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }), // kong asks to leave after --help
	)
	if code >= 0 {
		return code
	}
	var level slog.Level
	if err := errors.Join(err, f.validate(), level.UnmarshalText([]byte(f.LogLevel))); err != nil {
		fmt.Fprintf(stderr, "dev: %v\nRun it with --help for the flags.\n", err)
		return 2
	}
	logger, err := telemetry.NewLogger(stderr, f.LogFormat, level, terminal(stderr))
	if err == nil {
		telemetry.RedirectStandardLog(logger)
		err = run(ctx, f, getenv, logger, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "dev:", err)
		return 1
	}
	return 0
}

func parse(args []string, getenv func(string) string, options ...kong.Option) (f flags, err error) {
	parser, err := commandline.New(&f, commandline.Variables(settings.Files(getenv)), append(options,
		kong.Name("dev"),
		kong.Description("Runs all of Cobro in one process. Port 0 takes a free port, everywhere."),
		kong.Vars(settings.Vars(settings.DevProgram)),
	)...)
	if err == nil {
		_, err = commandline.Parse(parser, args)
	}
	return f, err
}

// terminal reports whether w is a terminal, which can show colors.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
