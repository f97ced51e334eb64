// Package temporal runs a Temporal server and its web interface inside the
// calling process, for development and tests: one program, one file, no Docker.
//
// It is the real server on SQLite, with its queues read often enough that an
// idle payment does not wait for them. It listens on loopback addresses only,
// since it has no authentication. Start few of them in one process: the
// server never closes its database.
package temporal

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/common/authorization"
	serverconfig "go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cobropay/cobro/internal/temporalclient"
)

const (
	defaultNamespace = "default"
	defaultRetention = 30 * 24 * time.Hour
	// startTimeout bounds a start on a busy machine; an idle one needs a second.
	startTimeout = 2 * time.Minute
)

// Options configure [Start]. The zero value is a server in memory on a free
// port.
type Options struct {
	// Required fields: none.

	// Optional fields

	// Path is the SQLite file, created if missing in a directory that exists.
	// Beside it lie its -wal and -shm files, Path + ".version" and Path +
	// ".lock". Empty means in memory.
	Path string
	// Postgres is the DSN of a database on a PostgreSQL server, such as
	// "postgres://user:password@host:5432/temporal", instead of a file. It and a
	// second one beside it, "temporal_visibility", are made where they are
	// missing.
	Postgres string
	// Listen is the frontend's loopback address and port. Empty or port 0 means
	// a free port.
	Listen string
	// ListenFlag is what a person changes when Listen is taken, such as
	// "--temporal-listen". Errors name it.
	ListenFlag string
	// Namespace is created if missing. Empty means "default".
	Namespace string
	// Retention is how long a closed workflow can be seen. Zero means 30 days;
	// the server takes no less than an hour.
	Retention time.Duration
	// Logger receives the server's warnings and errors. Nil means none.
	Logger *slog.Logger
}

// Server is a running Temporal server.
type Server struct {
	address   string
	namespace string
	server    temporal.Server // nil if it could not be made
	release   func()          // releases the database
	stopping  atomic.Bool
	stop      sync.Once
}

// Start starts a server and returns when it can be used: the frontend answers,
// the namespace is there, and so are the search attributes of
// [temporalclient.SearchAttributes]. Errors are meant for the person at the terminal;
// a taken port is a [*PortTakenError]. The caller calls [Server.Stop] after
// having stopped everything that uses the server.
func Start(ctx context.Context, o Options) (*Server, error) {
	o.Namespace = cmp.Or(o.Namespace, defaultNamespace)
	o.Retention = cmp.Or(o.Retention, defaultRetention)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))

	frontend, err := freeAddress(o.Listen, o.ListenFlag)
	if err != nil {
		return nil, err
	}
	kept, release, err := openStores(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Server{address: frontend.String(), namespace: o.Namespace, release: release}
	if err := s.run(ctx, o, frontend, kept); err != nil {
		s.Stop()
		return nil, cmp.Or(ctx.Err(), err)
	}
	return s, nil
}

func openStores(ctx context.Context, o Options) (stores, func(), error) {
	if o.Postgres != "" {
		kept, err := openPostgres(o.Postgres)
		return kept, func() {}, err
	}
	database, release, err := openDatabase(ctx, o.Path)
	if err != nil {
		return stores{}, nil, err
	}
	return sqliteStores(database), release, nil
}

// run does what [Start] promises. What it has started when it returns an error
// is up to [Server.Stop].
func (s *Server) run(ctx context.Context, o Options, frontend netip.AddrPort, kept stores) error {
	if err := createNamespace(kept.main, o.Namespace, o.Retention); err != nil {
		return err
	}
	settings, hosts, err := serverSettings(frontend, kept)
	if err != nil {
		return err
	}
	if err := s.start(o.Logger,
		temporal.WithConfig(settings),
		temporal.WithStaticHosts(hosts),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithDynamicConfigClient(dynamicSettings()),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*serverconfig.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
	); err != nil {
		return fmt.Errorf("temporal server: %w", err)
	}
	if err := s.awaitReady(ctx, o.Retention); err != nil {
		return fmt.Errorf("temporal server is not ready: %w", err)
	}
	return nil
}

// Address returns the frontend's host and port.
func (s *Server) Address() string { return s.address }

// Namespace returns the namespace that the server was started with.
func (s *Server) Namespace() string { return s.namespace }

// Stop stops the server, which takes a few seconds. What it acknowledged is in
// the file. A second call does nothing; concurrent calls wait.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.stopping.Store(true)
		if s.server != nil {
			_ = s.server.Stop() // always nil in this version
		}
		s.release()
	})
}

// start turns the server's way to report a lost race for a port, which is to
// end the process, into an error.
func (s *Server) start(logger *slog.Logger, options ...temporal.ServerOption) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatalError:
			err = r
		default:
			panic(r)
		}
	}()
	server, err := temporal.NewServer(append(options, temporal.WithLogger(serverLogger{logger, &s.stopping}))...)
	if err != nil {
		return err
	}
	s.server = server
	return server.Start()
}

// awaitReady also brings the namespace of an older file up to date.
func (s *Server) awaitReady(ctx context.Context, retention time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{
		HostPort:  s.address,
		Namespace: s.namespace,
		Logger:    sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := keepFor(ctx, c, s.namespace, retention); err != nil {
		return err
	}
	if err := temporalclient.EnsureSearchAttributes(ctx, c, s.namespace); err != nil {
		return err
	}
	// Whatever the answer, it comes from the history service.
	_, err = c.DescribeWorkflowExecution(ctx, "is-history-ready", "")
	if serviceerror.ToStatus(err).Code() != codes.NotFound {
		return fmt.Errorf("history service: %w", err)
	}
	return nil
}

// keepFor sets a retention that is not the namespace's, since creating does
// nothing to a namespace that exists.
func keepFor(ctx context.Context, c client.Client, namespace string, retention time.Duration) error {
	described, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	settings := described.GetConfig()
	if settings.GetWorkflowExecutionRetentionTtl().AsDuration() == retention {
		return nil
	}
	settings.WorkflowExecutionRetentionTtl = durationpb.New(retention)
	_, err = c.WorkflowService().UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{Namespace: namespace, Config: settings})
	return err
}
