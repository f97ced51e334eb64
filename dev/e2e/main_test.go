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

// asDev makes the test binary run as the program dev, so that tests can kill it.
const asDev = "COBRO_E2E_AS_DEV"

// withoutCache makes dev replay each workflow from its start at every workflow
// task.
const withoutCache = "COBRO_E2E_WITHOUT_CACHE"

// system is the instance that most tests share.
var system *cobro

// What all tests leave behind besides their folders. See private_test.go.
var (
	spans    = &collector{named: map[string][]string{}, from: map[string]bool{}}
	refusals telemetrytest.LogBuffer // the bodies of error responses
	metrics  telemetrytest.LogBuffer
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
	listener := httptest.NewServer(spans)
	traced = append(traced, "OTEL_EXPORTER_OTLP_ENDPOINT="+listener.URL)
	run := runOnDev
	if os.Getenv(onCluster) != "" {
		run = runOnCluster
	}
	code := run(m)
	listener.Close()
	if err := scanAll(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runOnDev(m *testing.M) int {
	data, err := os.MkdirTemp("", "cobro-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	system = &cobro{data: data}
	if err := system.start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(system.collect(), system.stop(), system.scan()); err != nil {
		fmt.Fprintln(os.Stderr, "the shared dev:", err)
		code = 1
	}
	if code != 0 {
		fmt.Fprintln(os.Stderr, "kept:", data)
		return code
	}
	if err := os.RemoveAll(data); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
