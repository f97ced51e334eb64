package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.temporal.io/sdk/worker"

	"github.com/cobropay/cobro/dev/stack"
)

// asDev makes the test binary be the program dev, so that stories can kill it.
const asDev = "COBRO_E2E_AS_DEV"

// withoutCache makes dev replay each workflow from its start at every task.
const withoutCache = "COBRO_E2E_WITHOUT_CACHE"

// world is the process that most stories share.
var world *cobro

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
	if os.Getenv(onCluster) != "" {
		os.Exit(runOnCluster(m))
	}
	os.Exit(runWithWorld(m))
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
	if err := world.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "dev did not stop cleanly:", err)
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
