package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/cobropay/cobro/dev/testcluster"
	"github.com/cobropay/cobro/internal/store/postgrestest"
)

// onCluster runs the tests against two APIs and two workers on PostgreSQL, with
// Temporal on PostgreSQL, too. Tests that need a dev of their own are skipped.
const onCluster = "COBRO_E2E_CLUSTER"

// runOnCluster runs the tests against a cluster.
func runOnCluster(m *testing.M) int {
	var programs testcluster.Programs
	return testcluster.WithPrograms(&programs, func() int {
		code, err := startCluster(context.Background(), programs, m.Run)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

func startCluster(ctx context.Context, programs testcluster.Programs, tests func() int) (code int, err error) {
	server, err := postgrestest.Start(ctx, postgrestest.Config{Settings: testcluster.PostgresSettings()})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	if err := server.Create(ctx, "cobro", ""); err != nil {
		return 1, err
	}
	folder, err := os.MkdirTemp("", "cobro-e2e-cluster-")
	if err != nil {
		return 1, err
	}
	env := map[testcluster.Part][]string{}
	for _, part := range []testcluster.Part{testcluster.API, testcluster.API2, testcluster.Worker, testcluster.Worker2} {
		env[part] = slices.Concat([]string{"COBRO_OPS_LISTEN=127.0.0.1:0", "COBRO_TIMING_GRACE=15m", "COBRO_TIMING_REVIEW=1h", "COBRO_TIMING_STALE=30s"}, quick, traced)
	}
	s, err := testcluster.StartCluster(ctx, programs, folder, env, testcluster.Cluster{Store: server.DSN("cobro"), TemporalStore: server.DSN("temporal")})
	if err != nil {
		return 1, err
	}
	defer s.KillAll()
	at := s.Addresses()
	system = &cobro{data: folder, postgres: server.Folder(), at: addresses{
		API: at.API, Ops: at.Ops, Temporal: at.Temporal, Gateway: at.Gateway, GatewayControl: at.Control,
		WebhookURL: at.WebhookURL, APIKey: at.APIKey, Namespace: "default", Store: at.Store, KeyFile: at.KeyFile,
	}}
	code = tests()
	if err := errors.Join(system.collect(), system.scan()); err != nil {
		fmt.Fprintln(os.Stderr, "the shared cluster:", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "kept:", folder)
		return code, nil
	}
	return code, os.RemoveAll(folder)
}
