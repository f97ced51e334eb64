package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
		env[part] = append([]string{"COBRO_TIMING_GRACE=15m", "COBRO_TIMING_REVIEW=1h", "COBRO_TIMING_STALE=30s"}, quick...)
	}
	s, err := rig.StartCluster(ctx, programs, folder, env, rig.Cluster{Store: server.DSN("cobro"), TemporalStore: server.DSN("temporal")})
	if err != nil {
		return 1, err
	}
	defer s.KillAll()
	at := s.At()
	world = &cobro{at: addresses{
		API: at.API, Ops: at.Ops, Temporal: at.Temporal, Gateway: at.Gateway, GatewayControl: at.Control,
		WebhookURL: at.WebhookURL, APIKey: at.APIKey, Namespace: "default", Store: at.Store, KeyFile: at.KeyFile,
	}}
	if code = stories(); code != 0 {
		fmt.Fprintln(os.Stderr, "kept for a look:", folder)
		return code, nil
	}
	return code, os.RemoveAll(folder)
}
