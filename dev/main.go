// Command dev runs all of Cobro in one process, for a developer's first minute
// and for tests: an embedded Temporal server with its web UI, a simulator of
// ATH Móvil with the customer's phone, the API and the worker, with everything
// kept in one folder.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/cobropay/cobro/dev/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := stack.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
