// Package stack starts all of Cobro in one process and stops it in the right
// order. Package dev is its command; the tests of dev/e2e run it too.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/dev/temporal"
	"github.com/cobropay/cobro/internal/metrics"
	"github.com/cobropay/cobro/internal/process"
	"github.com/cobropay/cobro/internal/runner"
	"github.com/cobropay/cobro/internal/serve"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/internal/store"
	"github.com/cobropay/cobro/internal/telemetry"
	"github.com/cobropay/cobro/internal/temporalclient"
	"github.com/cobropay/cobro/internal/tracing"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

const (
	namespace = "default"
	// simulatorExpiry is the shortest life of a payment against a simulator.
	simulatorExpiry = time.Second
)

// addresses is what a run writes into addresses.json and prints. Addresses are
// URLs, except Temporal's, which is host:port.
type addresses struct {
	API            string `json:"api,omitempty"`
	Ops            string `json:"ops,omitempty"`
	Temporal       string `json:"temporal"`
	TemporalUI     string `json:"temporal_ui"`
	Gateway        string `json:"gateway,omitempty"`
	PublicToken    string `json:"public_token,omitempty"`
	PrivateToken   string `json:"private_token,omitempty"`
	GatewayControl string `json:"gateway_control,omitempty"`
	WebhookURL     string `json:"webhook_url,omitempty"`
	APIKey         string `json:"api_key,omitempty"`
	Namespace      string `json:"namespace"`
	Store          string `json:"store,omitempty"`
	KeyFile        string `json:"key_file"`
}

// stack is one run. What is started last stops first.
type stack struct {
	flags   flags
	getenv  func(string) string
	logger  *slog.Logger
	folder  *folder
	secrets secrets

	addresses  addresses
	origins    []string // of the Temporal UI, which may decrypt payloads
	api, ops   net.Listener
	publicKey  string
	privateKey private.Token
	stops      []func() error
}

// run starts everything, writes and prints the addresses, and waits until ctx
// ends or a part breaks.
func run(ctx context.Context, f flags, getenv func(string) string, logger *slog.Logger, stdout io.Writer) (err error) {
	began := time.Now()
	s := &stack{flags: f, getenv: getenv, logger: logger}
	if s.folder, err = openFolder(f.Data); err != nil {
		return err
	}
	s.onStop(s.folder.close)
	defer func() { err = errors.Join(err, s.stop()) }()

	if s.secrets, err = s.folder.secrets(); err != nil {
		return err
	}
	if s.addresses.KeyFile, err = s.folder.keyFile(); err != nil {
		return err
	}
	if err := s.listen(ctx); err != nil {
		return err
	}
	if err := s.startTemporal(ctx); err != nil {
		return err
	}
	if f.Only == onlyTemporal {
		if err := s.announce(stdout, began); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	if err := s.chooseGateway(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.serve(ctx, stdout, began)
}

func (s *stack) onStop(stop func() error) { s.stops = append(s.stops, stop) }

func (s *stack) stop() error {
	var problems []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		problems = append(problems, s.stops[i]())
	}
	return errors.Join(problems...)
}

// listen opens the API's listeners first, since other parts need their addresses.
func (s *stack) listen(ctx context.Context) (err error) {
	if s.flags.Only != "" {
		s.addresses.Ops = "http://" + s.flags.OpsListen // where the codec of a cobro api beside us is expected
		return nil
	}
	if s.api, err = process.Listen(ctx, s.flags.Listen, "--listen"); err != nil {
		return err
	}
	s.onStop(ignoreClosed(s.api.Close))
	if s.ops, err = process.Listen(ctx, s.flags.OpsListen, "--ops-listen"); err != nil {
		return err
	}
	s.onStop(ignoreClosed(s.ops.Close))
	s.addresses.API = "http://" + s.api.Addr().String()
	s.addresses.Ops = "http://" + s.ops.Addr().String()
	s.addresses.APIKey = s.secrets.APIKey.Reveal()
	s.addresses.WebhookURL = s.addresses.API + "/webhooks/athmovil/" + s.secrets.WebhookSecret.Reveal()
	return nil
}

// ignoreClosed lets a listener be closed by the server that used it.
func ignoreClosed(stop func() error) func() error {
	return func() error {
		if err := stop(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

func (s *stack) startTemporal(ctx context.Context) error {
	server, err := temporal.Start(ctx, temporal.Options{
		Path: s.folder.file("temporal.db"), Postgres: s.flags.TemporalStore, Namespace: namespace, Listen: s.flags.TemporalListen,
		ListenFlag: "--temporal-listen", Logger: s.logger,
	})
	if err != nil {
		return err
	}
	s.onStop(func() error { server.Stop(); return nil })
	ui, err := temporal.StartUI(ctx, temporal.UIOptions{
		TemporalAddress: server.Address(), Namespace: namespace, Listen: s.flags.TemporalUIListen,
		ListenFlag: "--temporal-ui-listen", CodecEndpoint: s.addresses.Ops + "/codec",
	})
	if err != nil {
		return err
	}
	s.onStop(func() error { ui.Stop(); return nil })
	s.origins = ui.Origins()
	s.addresses.Temporal, s.addresses.Namespace, s.addresses.TemporalUI = server.Address(), namespace, ui.URL()
	return nil
}

// chooseGateway starts the simulator, or takes the gateway that the flag names.
func (s *stack) chooseGateway(ctx context.Context) error {
	s.publicKey = cmp.Or(s.getenv("COBRO_ATHM_PUBLIC_TOKEN"), athmovilsim.DefaultPublicToken)
	s.privateKey = private.NewToken(cmp.Or(s.getenv("COBRO_ATHM_PRIVATE_TOKEN"), athmovilsim.DefaultPrivateToken))
	switch s.flags.Gateway {
	case gatewaySimulator:
		return s.startSimulator(ctx)
	case gatewayLive:
		if s.getenv("COBRO_ATHM_PUBLIC_TOKEN") == "" || s.getenv("COBRO_ATHM_PRIVATE_TOKEN") == "" {
			return errors.New("--gateway live moves real money: set COBRO_ATHM_PUBLIC_TOKEN and COBRO_ATHM_PRIVATE_TOKEN")
		}
	default:
		s.addresses.Gateway = s.flags.Gateway
		s.shareTokens()
	}
	return nil
}

// shareTokens gives a simulator's sample tokens to commands beside us. Others are
// somebody's, and are not for a file.
func (s *stack) shareTokens() {
	if s.publicKey == athmovilsim.DefaultPublicToken && s.privateKey.Reveal() == athmovilsim.DefaultPrivateToken {
		s.addresses.PublicToken, s.addresses.PrivateToken = athmovilsim.DefaultPublicToken, athmovilsim.DefaultPrivateToken
	}
}

func (s *stack) startSimulator(ctx context.Context) error {
	gateway, err := process.Listen(ctx, s.flags.GatewayListen, "--gateway-listen")
	if err != nil {
		return err
	}
	s.onStop(ignoreClosed(gateway.Close))
	control, err := process.Listen(ctx, s.flags.GatewayControlListen, "--gateway-control-listen")
	if err != nil {
		return err
	}
	s.onStop(ignoreClosed(control.Close))
	simulator, err := athmovilsim.New(athmovilsim.Config{
		PublicToken: s.publicKey, PrivateToken: s.privateKey.Reveal(), WebhookURL: s.addresses.WebhookURL,
		Journal: s.folder.file("simulator.jsonl"), MinTimeout: simulatorExpiry, Logger: s.logger,
		Settings: athmovilsim.Settings{WebhookDelay: s.flags.GatewayWebhookDelay},
	})
	if err != nil {
		return err
	}
	s.onStop(simulator.Close)
	s.serveSimulator(gateway, simulator.Gateway())
	s.serveSimulator(control, simulator.Control())
	s.addresses.Gateway = "http://" + gateway.Addr().String()
	s.addresses.GatewayControl = "http://" + control.Addr().String()
	s.shareTokens()
	return nil
}

// serveSimulator serves until stop, which waits for the goroutine.
func (s *stack) serveSimulator(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: telemetry.StandardLog(s.logger)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	s.onStop(func() error {
		err := server.Close()
		if served := <-served; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
}

func (s *stack) migrate(ctx context.Context) error {
	s.addresses.Store = "sqlite:" + s.folder.file("cobro.db")
	return store.Migrate(ctx, store.Config{DSN: s.addresses.Store, Logger: s.logger})
}

// serve runs the API and the worker until ctx ends or one of them breaks. The
// API stops first, so that what it accepted still finds the runner.
func (s *stack) serve(ctx context.Context, stdout io.Writer, began time.Time) error {
	read, problems := settings.Read(settings.DevProgram, s.getenv)
	if err := settings.Join(problems); err != nil {
		return err
	}
	workerConfig, err := s.workerConfig()
	if err != nil {
		return err
	}
	apiConfig, err := s.apiConfig(read.Timing)
	if err != nil {
		return err
	}
	// One process has one set of metrics, at the API's operations address.
	apiConfig.Metrics = metrics.New(metrics.ProgramAPI, metrics.ProgramWorker)
	workerConfig.Metrics, workerConfig.OpsListen = apiConfig.Metrics, ""
	apiStarted, workerStarted := make(chan struct{}), make(chan struct{})
	apiConfig.Started = func(net.Addr) { close(apiStarted) }
	workerConfig.Started = func() { close(workerStarted) }

	group, ended := errgroup.WithContext(ctx)
	apiStopped := make(chan struct{})
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	group.Go(func() error {
		defer close(apiStopped)
		return serve.Run(ended, apiConfig)
	})
	group.Go(func() error { return runner.Run(working, workerConfig, nil) })
	group.Go(func() error {
		<-ended.Done()
		<-apiStopped
		stopWorking()
		return nil
	})
	group.Go(func() error {
		for _, started := range []chan struct{}{apiStarted, workerStarted} {
			select {
			case <-started:
			case <-ended.Done():
				return nil
			}
		}
		return s.announce(stdout, began)
	})
	return group.Wait()
}

func (s *stack) apiConfig(timing workflows.Timing) (serve.Config, error) {
	traces, err := tracing.LoadOptions(s.getenv)
	config := serve.Config{
		Config: process.Config{
			Store: s.addresses.Store, KeyFile: s.addresses.KeyFile,
			Temporal:   temporalclient.Options{Address: s.addresses.Temporal, Namespace: namespace},
			Operations: func(context.Context) (net.Listener, error) { return s.ops, nil },
			Tracing:    traces, Logger: s.logger,
		},
		API:    func(context.Context) (net.Listener, error) { return s.api, nil },
		APIKey: s.secrets.APIKey, WebhookSecret: s.secrets.WebhookSecret, Timing: timing, CodecOrigins: s.origins,
	}
	if s.flags.Gateway != gatewayLive {
		config.MinExpiresIn = simulatorExpiry
	}
	return config, err
}

func (s *stack) workerConfig() (runner.Config, error) {
	config, err := runner.ConfigFromEnv(s.getenv)
	if err != nil {
		return runner.Config{}, err
	}
	config.Payments = true
	config.Host = ""
	config.Store, config.KeyFile = s.addresses.Store, s.addresses.KeyFile
	config.Temporal.Address, config.Temporal.Namespace = s.addresses.Temporal, namespace
	config.Gateway.PublicToken, config.Gateway.PrivateToken = s.publicKey, s.privateKey
	config.Gateway.BaseURL, config.Gateway.ReportBaseURL = s.addresses.Gateway, s.addresses.Gateway
	config.Logger = s.logger
	return config, nil
}

// announce writes the addresses for programs and prints them for people.
func (s *stack) announce(stdout io.Writer, began time.Time) error {
	a := s.addresses
	if s.flags.Only != "" {
		a.Ops = ""
	}
	if err := s.folder.writeJSON("addresses.json", a); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nCobro is ready after %.1f s. Everything is kept in %s.\n\n", time.Since(began).Seconds(), s.folder.path)
	for _, line := range []struct{ name, value string }{
		{"API", a.API},
		{"Temporal UI", a.TemporalUI},
		{"Customer's phone", a.GatewayControl},
		{"ATH Móvil", cmp.Or(a.Gateway, "the real one: payments move real money")},
		{"Operations", a.Ops},
		{"Temporal", a.Temporal},
		{"Webhooks come to", a.WebhookURL},
		{"API key", a.APIKey},
	} {
		if line.value != "" && (s.flags.Only == "" || line.value == a.Temporal || line.value == a.TemporalUI) {
			fmt.Fprintf(stdout, "  %-18s %s\n", line.name, line.value)
		}
	}
	if a.API != "" {
		fmt.Fprintf(stdout, "\nA first payment:\n\n  curl -X POST %s/v1/payments -H 'Authorization: Bearer %s' \\\n"+
			"       -H 'Content-Type: application/json' -d '{\"total\": \"25.00\", \"phone_number\": \"7875551234\"}'\n\n", a.API, a.APIKey)
	}
	return nil
}
