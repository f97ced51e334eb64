package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	_ "time/tzdata" // the gateway's times are America/Puerto_Rico on any machine

	"github.com/alecthomas/kong"
	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/telemetry"
)

// flags is the command line; each flag is also an environment variable.
type flags struct {
	Data                 string `default:".cobro" env:"COBRO_DATA" help:"Folder that keeps everything."`
	Listen               string `default:"127.0.0.1:8080" env:"COBRO_LISTEN" help:"Address of the API."`
	OpsListen            string `default:"127.0.0.1:8081" env:"COBRO_OPS_LISTEN" help:"Address of health checks, metrics and the codec."`
	TemporalListen       string `default:"127.0.0.1:7233" env:"COBRO_TEMPORAL_LISTEN" help:"Address of Temporal's frontend."`
	TemporalUIListen     string `name:"temporal-ui-listen" default:"127.0.0.1:8233" env:"COBRO_TEMPORAL_UI_LISTEN" help:"Address of the Temporal UI."`
	GatewayListen        string `default:"127.0.0.1:8090" env:"COBRO_GATEWAY_LISTEN" help:"Address of the simulated ATH Móvil."`
	GatewayControlListen string `default:"127.0.0.1:8091" env:"COBRO_GATEWAY_CONTROL_LISTEN" help:"Address of the simulator's control surface and the customer's phone."`
	Gateway              string `default:"sim" env:"COBRO_GATEWAY" help:"sim, live (real money), or the http:// address of a simulator elsewhere."`
	Only                 string `enum:",temporal" default:"" env:"COBRO_ONLY" help:"Start this part alone: temporal."`
	TemporalStore        string `env:"COBRO_TEMPORAL_STORE" help:"PostgreSQL database for Temporal instead of a file, such as postgres://user@host:5432/temporal; only with --only temporal."`
	LogFormat            string `enum:"text,json" default:"text" env:"COBRO_LOG_FORMAT" help:"Log lines for people (text) or machines (json)."`
	LogLevel             string `enum:"debug,info,warn,error" default:"info" env:"COBRO_LOG_LEVEL" help:"The least level that is logged."`
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
	var f flags
	code := -1
	parser, err := kong.New(&f,
		kong.Name("dev"),
		kong.Description("Runs all of Cobro in one process. Port 0 takes a free port, everywhere."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }), // kong asks to leave after --help
	)
	if err != nil {
		fmt.Fprintln(stderr, "dev:", err)
		return 2
	}
	_, err = parser.Parse(args)
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

// terminal reports whether w is a terminal, which can show colours.
func terminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
