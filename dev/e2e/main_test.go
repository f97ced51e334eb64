package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/dev/stack"
	"github.com/cobropay/cobro/internal/telemetry/telemetrytest"
)

// asDev makes the test binary be the program dev, so that stories can kill it.
const asDev = "COBRO_E2E_AS_DEV"

// withoutCache makes dev replay each workflow from its start at every task.
const withoutCache = "COBRO_E2E_WITHOUT_CACHE"

// world is the process that most stories share.
var world *cobro

// What all stories leave behind, beside their folders. See private_test.go.
var (
	collected = &collector{named: map[string][]string{}, from: map[string]bool{}}
	refusals  telemetrytest.Lines // the bodies of answers that refuse
	measured  telemetrytest.Lines // metrics
)

func TestMain(m *testing.M) {
	if os.Getenv(asDev) != "" {
		if os.Getenv(withoutCache) != "" {
			worker.SetStickyWorkflowCacheSize(0)
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := stack.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	listener := httptest.NewServer(collected)
	traced = append(traced, "OTEL_EXPORTER_OTLP_ENDPOINT="+listener.URL)
	run := runWithWorld
	if os.Getenv(onCluster) != "" {
		run = runOnCluster
	}
	code := run(m)
	listener.Close()
	if err := searched(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runWithWorld(m *testing.M) int {
	data, err := os.MkdirTemp("", "cobro-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	world = &cobro{data: data}
	if err := world.start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(world.ask(), world.stop(), world.search()); err != nil {
		fmt.Fprintln(os.Stderr, "the dev of all stories:", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "kept for a look:", data)
		return code
	}
	if err := os.RemoveAll(data); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
