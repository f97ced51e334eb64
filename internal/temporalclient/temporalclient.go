// Package temporalclient connects Cobro's programs to Temporal. Every program
// uses it, so all of them get the same client.
//
// That client encrypts payloads and failures with a [Sealer] and lets the server
// deduplicate signals ([WithSignalRequestID]). The package also creates the
// search attributes before a workflow sets them ([EnsureSearchAttributes]), and
// serves the codec endpoint, where the Temporal UI decrypts payloads
// ([CodecHandler]).
package temporalclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

const (
	// DefaultWait covers a compose file that starts Temporal and Cobro together.
	DefaultWait = 30 * time.Second
	// retryPause is the time between two tries while something is not there yet.
	retryPause = 250 * time.Millisecond
)

// Options say which Temporal to connect to, and how. [LoadOptions] reads the
// connection settings from the environment.
type Options struct {
	// Required fields

	// Sealer encrypts and decrypts payloads and failures. Required.
	Sealer Sealer

	// Optional fields

	// Address is the frontend's host and port. Empty means 127.0.0.1:7233.
	Address string
	// Namespace must exist. Empty means "default".
	Namespace string
	// TLS secures the connection. Nil means no TLS, unless Credentials are set.
	TLS *tls.Config
	// TLSDisabled keeps Credentials from turning TLS on.
	TLSDisabled bool
	// Credentials is an API key, for example. Nil means none.
	Credentials client.Credentials
	// Headers are sent with every call. Nil means none.
	Headers interface {
		GetHeaders(context.Context) (map[string]string, error)
	}
	// Authority overrides the :authority header. Empty means the address.
	Authority string
	// Logger receives the SDK's messages. Nil means [slog.Default].
	Logger *slog.Logger
	// Metrics receives the SDK's metrics. Nil means none.
	Metrics client.MetricsHandler
	// Interceptors wrap the client and its workers, for example for tracing.
	Interceptors []interceptor.ClientInterceptor
	// Wait is how long [Dial] waits for the server and the namespace. Zero means
	// 30 seconds.
	Wait time.Duration
}

// LoadOptions reads the variables that every Temporal tool reads:
// TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY and TEMPORAL_TLS…, or a
// profile (TEMPORAL_PROFILE) in the file that TEMPORAL_CONFIG_FILE names. An
// empty variable counts as not set. TEMPORAL_GRPC_META_… is not read: put such
// headers into the file. The caller sets Sealer and Logger.
func LoadOptions(getenv func(string) string) (Options, error) {
	loaded, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: environment(getenv)})
	if err != nil {
		return Options{}, fmt.Errorf("temporal settings: %w", err)
	}
	return Options{
		Address:     loaded.HostPort,
		Namespace:   loaded.Namespace,
		TLS:         loaded.ConnectionOptions.TLS,
		TLSDisabled: loaded.ConnectionOptions.TLSDisabled,
		Credentials: loaded.Credentials,
		Headers:     loaded.HeadersProvider,
		Authority:   loaded.ConnectionOptions.Authority,
	}, nil
}

// environment lets envconfig read variables through a function.
type environment func(string) string

func (e environment) LookupEnv(name string) (string, bool) {
	value := e(name)
	return value, value != ""
}

func (environment) Environ() []string { return nil }

// DefaultNamespace is the namespace where [Options] name none.
const DefaultNamespace = client.DefaultNamespace

// Dial connects to Temporal. It returns once the server answers and the
// namespace exists. After [Options].Wait it gives up, with an error that says
// what to do. The caller closes the client.
func Dial(ctx context.Context, o Options) (client.Client, error) {
	if o.Sealer == nil {
		return nil, errors.New("temporalclient: Options.Sealer is required: payloads are never sent in clear")
	}
	o.Address = cmp.Or(o.Address, client.DefaultHostPort)
	o.Namespace = cmp.Or(o.Namespace, DefaultNamespace)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Wait = cmp.Or(o.Wait, DefaultWait)

	waiting, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	c, err := connect(waiting, o)
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	if err := awaitNamespace(waiting, c, o.Address, o.Namespace); err != nil {
		c.Close()
		return nil, interrupted(ctx, err)
	}
	return c, nil
}

// interrupted returns what ended a wait: the caller's context, or else err.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("wait for temporal: %w", ctx.Err())
	}
	return err
}

func connect(ctx context.Context, o Options) (client.Client, error) {
	options := clientOptions(o)
	var told bool
	for {
		c, err := client.DialContext(ctx, options)
		if err == nil {
			return c, nil
		}
		if refused(err) {
			return nil, fmt.Errorf("temporal at %s refuses us: %w (check TEMPORAL_API_KEY and TEMPORAL_TLS_…)", o.Address, err)
		}
		if !told {
			o.Logger.Info("waiting for temporal", "address", o.Address, "error", err)
			told = true
		}
		if !pause(ctx) {
			return nil, fmt.Errorf("temporal at %s does not answer: %w (waited %s: start it, or set TEMPORAL_ADDRESS; COBRO_START_TIMEOUT changes how long)", o.Address, err, o.Wait)
		}
	}
}

func clientOptions(o Options) client.Options {
	data := NewDataConverter(o.Sealer)
	return client.Options{
		HostPort:         o.Address,
		Namespace:        o.Namespace,
		Credentials:      o.Credentials,
		HeadersProvider:  o.Headers,
		Logger:           log.NewStructuredLogger(o.Logger),
		MetricsHandler:   o.Metrics,
		Interceptors:     o.Interceptors,
		DataConverter:    data,
		FailureConverter: NewFailureConverter(data),
		ConnectionOptions: client.ConnectionOptions{
			TLS:         o.TLS,
			TLSDisabled: o.TLSDisabled,
			Authority:   o.Authority,
			DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(setSignalRequestID)},
		},
	}
}

// awaitNamespace also waits for a namespace that does not exist yet, because a
// compose file may create it while we start.
func awaitNamespace(ctx context.Context, c client.Client, address, namespace string) error {
	var said error // the server's last error; a call that our own deadline ends says nothing new
	for {
		_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
		if err == nil {
			return nil
		}
		if ctx.Err() != nil && said != nil {
			err = said
		}
		said = err
		if refused(err) {
			return fmt.Errorf("temporal at %s refuses us the namespace %q: %w (check TEMPORAL_NAMESPACE and TEMPORAL_API_KEY)", address, namespace, err)
		}
		if pause(ctx) {
			continue
		}
		if code(err) == codes.NotFound {
			return fmt.Errorf("temporal at %s has no namespace %q: set TEMPORAL_NAMESPACE, or run: temporal operator namespace create --namespace %s --retention 30d", address, namespace, namespace)
		}
		return fmt.Errorf("temporal at %s does not describe the namespace %q: %w", address, namespace, err)
	}
}

// refused reports whether another try cannot help.
func refused(err error) bool {
	return code(err) == codes.PermissionDenied || code(err) == codes.Unauthenticated
}

// code finds the gRPC code of an error that the SDK may have wrapped.
func code(err error) codes.Code { return serviceerror.ToStatus(err).Code() }

// pause waits a moment and reports whether there is time for another try.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
