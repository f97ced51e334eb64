package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cobropay/cobro/dev/rig"
	"github.com/cobropay/cobro/internal/store/postgrestest"
)

// onCluster has the stories told by two APIs and two workers on PostgreSQL,
// with Temporal on PostgreSQL too. Those that need a dev of their own are
// skipped.
const onCluster = "COBRO_E2E_CLUSTER"

// runOnCluster makes the world a cluster.
func runOnCluster(m *testing.M) int {
	var programs rig.Programs
	return rig.WithPrograms(filepath.Join("..", ".."), &programs, func() int {
		code, err := tellOnCluster(context.Background(), programs, m.Run)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	})
}

func tellOnCluster(ctx context.Context, programs rig.Programs, stories func() int) (code int, err error) {
	server, err := postgrestest.Start(ctx, postgrestest.Config{Settings: rig.PostgresSettings()})
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
	env := map[rig.Part][]string{}
	for _, part := range []rig.Part{rig.API, rig.API2, rig.Worker, rig.Worker2} {
		env[part] = slices.Concat([]string{"COBRO_OPS_LISTEN=127.0.0.1:0", "COBRO_TIMING_GRACE=15m", "COBRO_TIMING_REVIEW=1h", "COBRO_TIMING_STALE=30s"}, quick, traced)
	}
	s, err := rig.StartCluster(ctx, programs, folder, env, rig.Cluster{Store: server.DSN("cobro"), TemporalStore: server.DSN("temporal")})
	if err != nil {
		return 1, err
	}
	defer s.KillAll()
	at := s.At()
	world = &cobro{data: folder, postgres: server.Folder(), at: addresses{
		API: at.API, Ops: at.Ops, Temporal: at.Temporal, Gateway: at.Gateway, GatewayControl: at.Control,
		WebhookURL: at.WebhookURL, APIKey: at.APIKey, Namespace: "default", Store: at.Store, KeyFile: at.KeyFile,
	}}
	code = stories()
	if err := errors.Join(world.ask(), world.search()); err != nil {
		fmt.Fprintln(os.Stderr, "the cluster of all stories:", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "kept for a look:", folder)
		return code, nil
	}
	return code, os.RemoveAll(folder)
}
