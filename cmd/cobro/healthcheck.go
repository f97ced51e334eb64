package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/settings"
)

type healthcheckCommand struct {
	URL     string        `name:"url" help:"What to ask; /readyz of COBRO_OPS_LISTEN if not given."`
	Live    bool          `help:"Ask /healthz instead: whether the process lives, whatever is away."`
	Timeout time.Duration `default:"5s" help:"How long it may take to answer."`
	JSON    bool          `name:"json" help:"Print JSON."`
}

func (*healthcheckCommand) Help() string {
	return "Ends with code 0 where the process is ready, and with code 1 where it is not, with what is missing. It needs no shell " +
		"and no curl, so that an image with this program alone can have a health check."
}

// answered is what the command prints as JSON.
type answered struct {
	URL    string `json:"url"`
	Status int    `json:"status"`
	Answer string `json:"answer"`
}

func (c *healthcheckCommand) Run(p *program) error {
	url, err := c.url(p.getenv("COBRO_OPS_LISTEN"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("--url must be like http://127.0.0.1:8081/readyz: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: it is this machine
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("nobody answers: %w (start the process, or set COBRO_OPS_LISTEN as it has it)", err)
	}
	defer func() { _ = response.Body.Close() }() // what matters is read below
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return fmt.Errorf("the answer of %s was cut: %w", url, err)
	}
	answer := strings.TrimSpace(string(body))
	if c.JSON {
		err = writeJSON(p.stdout, answered{URL: url, Status: response.StatusCode, Answer: answer})
	} else {
		_, err = fmt.Fprintln(p.stdout, answer)
	}
	if err == nil && response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", url, response.StatusCode)
	}
	return err
}

func (c *healthcheckCommand) url(listen string) (string, error) {
	if c.URL != "" {
		return c.URL, nil
	}
	host, port, err := net.SplitHostPort(cmp.Or(listen, settings.DefaultOpsListen))
	if err != nil {
		return "", fmt.Errorf("COBRO_OPS_LISTEN: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens on every address
	}
	path := "/readyz"
	if c.Live {
		path = "/healthz"
	}
	return "http://" + net.JoinHostPort(host, port) + path, nil
}
