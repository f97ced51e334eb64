package temporal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/csrf"
	"github.com/temporalio/ui-server/v2/server/headers"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
)

// UIOptions configure [StartUI].
type UIOptions struct {
	// Required fields

	// TemporalAddress is the frontend's host and port.
	TemporalAddress string

	// Optional fields

	// Listen is the interface's loopback address and port. Empty or port 0
	// means a free port.
	Listen string
	// ListenFlag is what a person changes when Listen is taken, such as
	// "--ui-listen". Errors name it.
	ListenFlag string
	// Namespace is shown first. Empty means "default".
	Namespace string
	// CodecEndpoint is the URL to which the browser appends /decode and /encode,
	// without a setting in the browser. It has to allow the origins of
	// [UI.Origins]. Empty means that payloads are shown as they are stored.
	CodecEndpoint string
}

// UI is a running web interface.
type UI struct {
	address netip.AddrPort
	server  *http.Server
	stopped chan struct{} // closed when the server's goroutine has ended
	stop    sync.Once
}

// StartUI starts Temporal's web interface. It has no authentication, answers no
// request that comes by the name of another host, and fetches neither news nor new
// versions. A taken port is a [*PortTakenError]. The caller calls [UI.Stop].
func StartUI(ctx context.Context, o UIOptions) (*UI, error) {
	if o.TemporalAddress == "" {
		return nil, errors.New("temporal UI: UIOptions.TemporalAddress is required")
	}
	address, err := freeAddress(o.Listen, o.ListenFlag)
	if err != nil {
		return nil, err
	}
	handler, err := handleUI(&uiconfig.Config{
		TemporalGRPCAddress: o.TemporalAddress,
		EnableUI:            true,
		DefaultNamespace:    cmp.Or(o.Namespace, defaultNamespace),
		DisableNewsFetch:    true,
		Codec:               uiconfig.Codec{Endpoint: o.CodecEndpoint},
	})
	if err != nil {
		return nil, fmt.Errorf("temporal UI: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address.String())
	if err != nil {
		return nil, &PortTakenError{Address: address.String(), Flag: o.ListenFlag, Err: unwrapOp(err)}
	}
	started := &UI{
		address: address,
		server:  &http.Server{Handler: byOwnName(handler), ReadHeaderTimeout: 10 * time.Second},
		stopped: make(chan struct{}),
	}
	go func() { // Stop waits for it
		defer close(started.stopped)
		_ = started.server.Serve(listener) // after Stop; a listener on loopback does not break
	}()
	return started, nil
}

// handleUI does what the interface's own server does, which can be given neither a
// listener nor a handler in front of it.
func handleUI(cfg *uiconfig.Config) (http.Handler, error) {
	provider, err := uiconfig.NewConfigProviderWithRefresh(cfg)
	if err != nil {
		return nil, err
	}
	assets, err := ui.Assets()
	if err != nil {
		return nil, err
	}
	if assets, err = fs.Sub(assets, "local"); err != nil {
		return nil, err
	}
	// There is no TLS here, and browsers keep a Secure cookie away from
	// http://127.0.0.1.
	const secureCookie = false
	e := echo.New()
	e.Use(middleware.Recover(), middleware.Gzip(), middleware.Secure(),
		csrf.EnsureTokenCookie(secureCookie), middleware.CSRFWithConfig(csrf.MiddlewareConfig(provider, secureCookie)))
	route.SetHealthRoute(e)
	forwarded := []api.Middleware{headers.WithForwardHeaders([]string{"Caller-Type"})}
	if err := errors.Join(route.SetAPIRoutes(e, provider, forwarded), route.SetUIRoutes(e, "", assets, provider)); err != nil {
		return nil, err
	}
	route.SetRenderRoute(e, "/")
	return e, nil
}

// byOwnName refuses requests by any other name than localhost. A page whose name its
// owner has pointed to 127.0.0.1 is of our origin to the browser that shows it, and
// could end workflows. Addresses cannot be pointed elsewhere.
func byOwnName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !strings.EqualFold(host, "localhost") && net.ParseIP(strings.Trim(host, "[]")) == nil {
			http.Error(w, "open the Temporal UI as http://127.0.0.1 or http://localhost, with its port", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// URL returns the address to open, without a slash at the end.
func (ui *UI) URL() string { return "http://" + ui.address.String() }

// Origins returns the origins from which browsers that show the interface call
// the codec endpoint: people type localhost too.
func (ui *UI) Origins() []string {
	return []string{ui.URL(), fmt.Sprintf("http://localhost:%d", ui.address.Port())}
}

// Stop stops the interface and drops its connections. A second call does
// nothing; concurrent calls wait.
func (ui *UI) Stop() {
	ui.stop.Do(func() {
		_ = ui.server.Close() // who is cut sees it
		<-ui.stopped
	})
}
