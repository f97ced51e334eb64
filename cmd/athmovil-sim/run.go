package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/internal/commandline"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/private"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// flags are the command line. Each flag is also an environment variable, ATHSIM_
// followed by its name in capitals.
type flags struct {
	Listen        string        `default:"127.0.0.1:8090" help:"Address of the gateway; port 0 picks a free port."`
	ControlListen string        `default:"127.0.0.1:8091" help:"Address of the control API and the phone page."`
	WebhookURL    string        `help:"URL that events are posted to, until a listener is subscribed."`
	Journal       string        `help:"File that keeps the tickets over restarts; without it they are in memory."`
	PublicToken   string        `help:"The business's public token; a documented sample by default."`
	PrivateToken  string        `help:"The business's private token; better set in the environment."`
	BusinessName  string        `help:"The name that customers see."`
	MinTimeout    time.Duration `default:"120s" help:"The shortest timeout that a ticket may ask for, 1s or more."`
	Seed          uint64        `help:"Seed of the faults that have a probability."`

	Guesses guesses `embed:"" group:"What is a guess"`
}

// guesses are [athmovilsim.Settings] as flags: the same fields in the same order, so
// that one without a flag does not compile.
type guesses struct {
	HTTPStatus             map[string]int          `name:"http-status" placeholder:"CODE=STATUS" help:"HTTP status of an error code, such as BTRA_0031=404; several are separated by semicolons."`
	AuthorizeTwiceSucceeds bool                    `help:"Authorizing a completed ticket returns it again."`
	CancelTwiceSucceeds    bool                    `help:"A canceled ticket can be canceled again."`
	ForeignTicketIsNamed   bool                    `help:"Another business's ticket is BTRA_0008, not BTRA_0031."`
	ConfirmStopsTimer      bool                    `help:"A confirmed ticket does not expire."`
	ExpiredTokenIs0402     bool                    `name:"expired-token-is-0402" help:"An expired auth token is BTRA_0402, not token.expired."`
	RefundEchoesReference  bool                    `help:"A refund has the reference number of its payment."`
	RefundDate             athmovilsim.RefundDate  `enum:"millis,seconds,naive" default:"millis" help:"Form of a refund's date: ${enum}."`
	MerchantCancelIsSilent bool                    `help:"No event is sent if the merchant cancels."`
	WebhookRetries         int                     `default:"0" help:"How often an event that got no 2xx is sent again."`
	WebhookDelay           time.Duration           `default:"${webhook_delay}" help:"How long an event waits before it is sent; 0s for tests."`
	LongTimeout            athmovilsim.LongTimeout `enum:"accepted,clamped,refused" default:"accepted" help:"What happens to a timeout above 600 seconds: ${enum}."`
	PhoneAtAnyTime         bool                    `help:"A phone number can be set on a ticket that is not open."`
	FeeRoundsDown          bool                    `help:"The fee is rounded down, not half up."`
	PlainFees              bool                    `help:"Fees have no float noise."`
	ReportDays             int                     `default:"31" help:"Longest range of a report, in days."`
	ReportOmitsRefunds     bool                    `help:"A report lists payments only."`
}

// environment is the prefix of every environment variable.
const environment = "ATHSIM_"

// run is the whole program. It serves until ctx ends and returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	settings, code, done := parse(args, getenv, stdout, stderr)
	if done {
		return code
	}
	if err := serve(ctx, settings, stdout, stderr); err != nil {
		_, _ = fmt.Fprintf(stderr, "athmovil-sim: %v\n", err)
		return exitFailure
	}
	return exitOK
}

// parse reads flags, then the environment, then defaults. It returns done if help
// was requested or the command line is invalid.
func parse(args []string, getenv func(string) string, stdout, stderr io.Writer) (settings flags, code int, done bool) {
	parser, err := kong.New(&settings,
		kong.Name("athmovil-sim"),
		kong.Description("Simulates the ATH Móvil Business gateway for tests. Every flag is also an environment variable: "+
			environment+"CONTROL_LISTEN for --control-listen. A secret can be in a file whose name is in a variable: "+environment+"WEBHOOK_URL_FILE."),
		kong.Vars{"webhook_delay": athmovilsim.ObservedWebhookDelay.String()},
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { done = true }),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			return setting(flag.Name, getenv)
		})),
	)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "athmovil-sim: %v\n", err)
		return settings, exitFailure, true
	}
	_, err = commandline.Parse(parser, args)
	switch {
	case done: // help was printed
		return settings, exitOK, true
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "athmovil-sim: %v\nhint: athmovil-sim --help lists the flags\n", err)
		return settings, exitUsage, true
	}
	return settings, exitOK, false
}

// variable returns the environment variable of a flag.
func variable(flag string) string {
	return environment + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// setting returns a flag's value from its environment variable, or from the file that
// the variable with _FILE names, as container platforms mount secrets. It returns nil
// if neither says anything.
func setting(flag string, getenv func(string) string) (any, error) {
	if value := getenv(variable(flag)); value != "" {
		return value, nil
	}
	path := getenv(variable(flag) + "_FILE")
	if path == "" {
		return nil, nil
	}
	content, err := private.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s_FILE: %w", variable(flag), err)
	}
	if content.IsZero() {
		return nil, nil
	}
	return content.Reveal(), nil
}

// serve runs the simulator until ctx ends.
func serve(ctx context.Context, settings flags, stdout, stderr io.Writer) (err error) {
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	if stderr == os.Stderr { // the standard log belongs to the process, and tests run in parallel
		telemetry.RedirectStandardLog(logger)
	}
	sim, err := athmovilsim.New(athmovilsim.Config{
		PublicToken:  settings.PublicToken,
		PrivateToken: settings.PrivateToken,
		BusinessName: settings.BusinessName,
		WebhookURL:   settings.WebhookURL,
		Journal:      settings.Journal,
		MinTimeout:   settings.MinTimeout,
		Seed:         settings.Seed,
		Settings:     athmovilsim.Settings(settings.Guesses),
		Logger:       logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.Close()) }()

	gateway, err := serveHTTP(ctx, settings.Listen, "--listen", sim.Gateway(), logger)
	if err != nil {
		return err
	}
	defer gateway.stop()
	control, err := serveHTTP(ctx, settings.ControlListen, "--control-listen", sim.Control(), logger)
	if err != nil {
		return err
	}
	defer control.stop()

	_, err = fmt.Fprintf(stdout, `gateway  %[1]s
control  %[2]s   (the customer's phone: open it in a browser)

Create a payment, then confirm it on the phone:
  curl -s %[1]s/api/business-transaction/ecommerce/payment -d '{"publicToken":"%[3]s","total":"25.00","subtotal":"25.00","tax":"0.00","metadata1":"order 1","metadata2":"","items":[],"phoneNumber":"7875551234"}'
`, gateway.url, control.url, cmp.Or(settings.PublicToken, athmovilsim.DefaultPublicToken))
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-gateway.failed:
		return err
	case err := <-control.failed:
		return err
	}
}

// server serves one address.
type server struct {
	url    string
	http   *http.Server
	failed chan error // receives the error that ended serving, nil after stop; then closed
}

// grace is how long calls in flight may take when the program ends.
const grace = 5 * time.Second

// serveHTTP listens on address, the value of flag, and serves handler.
func serveHTTP(ctx context.Context, address, flag string, handler http.Handler, logger *slog.Logger) (*server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: choose another address with %s", err, flag)
	}
	s := &server{
		url: "http://" + listener.Addr().String(),
		http: &http.Server{
			Handler:           handler,
			ErrorLog:          telemetry.StandardLog(logger),
			ReadHeaderTimeout: grace,
			BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		},
		failed: make(chan error, 1),
	}
	go func() { // ends when stop closes the server, which then waits for failed
		err := s.http.Serve(listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.failed <- err
		close(s.failed)
	}()
	return s, nil
}

// stop waits for calls in flight, then closes the server.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(s.http.BaseContext(nil), grace)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // a call took longer than grace
	}
	for range s.failed { // until the serving goroutine has ended
	}
}
