// Command cobro runs the parts of a payment orchestrator for ATH Móvil: its
// HTTP API, its worker, and the migrations of its database.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // the gateway's times are America/Puerto_Rico on any machine

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode) // it prints every route otherwise
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr, os.Environ()...)
	stop()
	os.Exit(code)
}
