package temporal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
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
	server  *server.Server
	stopped chan struct{} // closed when the server's goroutine has ended
	stop    sync.Once
}

// StartUI starts Temporal's web interface and returns when it answers. It has
// no authentication, and fetches neither news nor new versions. A taken
// port is a [*PortTakenError]. The caller calls [UI.Stop].
func StartUI(ctx context.Context, o UIOptions) (*UI, error) {
	if o.TemporalAddress == "" {
		return nil, errors.New("temporal UI: UIOptions.TemporalAddress is required")
	}
	address, err := freeAddress(o.Listen, o.ListenFlag)
	if err != nil {
		return nil, err
	}
	ui := &UI{
		address: address,
		server: server.NewServer(server_options.WithConfigProvider(&uiconfig.Config{
			TemporalGRPCAddress: o.TemporalAddress,
			Host:                bracketed(address.Addr()),
			Port:                int(address.Port()),
			EnableUI:            true,
			DefaultNamespace:    cmp.Or(o.Namespace, defaultNamespace),
			DisableNewsFetch:    true,
			HideLogs:            true,
			Codec:               uiconfig.Codec{Endpoint: o.CodecEndpoint},
			// There is no TLS here, and browsers keep a Secure cookie away from
			// http://127.0.0.1.
			CORS: uiconfig.CORS{CookieInsecure: true},
		})),
		stopped: make(chan struct{}),
	}
	go func() { // Stop waits for it
		defer close(ui.stopped)
		_ = ui.server.Start() // nil after Stop; anything else ends the process
	}()
	if err := ui.awaitReady(ctx); err != nil {
		ui.Stop()
		return nil, err
	}
	return ui, nil
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
		ui.server.Stop()
		<-ui.stopped
	})
}

func (ui *UI) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		err := healthy(ctx, browser, ui.URL()+"/healthz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("temporal UI is not ready: %w", cmp.Or(err, ctx.Err()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func healthy(ctx context.Context, browser *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := browser.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// bracketed is how the interface wants a host: it appends a colon and the port.
func bracketed(host netip.Addr) string {
	if host.Is6() {
		return "[" + host.String() + "]"
	}
	return host.String()
}
