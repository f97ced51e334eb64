package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/outbound"
	"github.com/cobropay/cobro/payment"
)

type endpointCommand struct {
	Test   endpointTestCommand   `cmd:"" help:"Send an example notification to an endpoint."`
	Secret endpointSecretCommand `cmd:"" help:"Print a fresh secret for an endpoint."`
}

type endpointTestCommand struct {
	Name      string `arg:"" help:"The endpoint's name in the file."`
	Endpoints string `required:"" env:"COBRO_ENDPOINTS" help:"${COBRO_ENDPOINTS_help}"`
	Event     string `default:"payment_completed" help:"The event to tell of, such as payment_completed."`
}

func (*endpointTestCommand) Help() string {
	return "Sends one signed notification of an event that never happened, as the worker would, and prints the answer. " +
		"Its id begins with ntf_test. Nothing is recorded and nothing is sent again."
}

func (c *endpointTestCommand) Run(p *program) error {
	event := payment.Event(c.Event)
	if !payment.IsEvent(event) {
		return fmt.Errorf("--event: no such event; the events are %s", payment.EventNames())
	}
	endpoints, err := outbound.Load(c.Endpoints, p.getenv)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(endpoints, func(e outbound.Endpoint) bool { return e.Name == c.Name })
	if at < 0 {
		var names []string
		for _, e := range endpoints {
			names = append(names, e.Name)
		}
		return fmt.Errorf("%s has no endpoint %q; it has: %s", c.Endpoints, c.Name, strings.Join(names, ", "))
	}
	n, err := outbound.Example(event, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	sender := outbound.NewSender(outbound.Options{})
	defer sender.Close()
	answer, err := sender.Send(p.ctx, endpoints[at], n)
	fmt.Fprintf(p.stdout, "sent %s of %s to %s\n", n.ID, event, c.Name)
	if answer.Status != 0 {
		fmt.Fprintf(p.stdout, "answered %d %s after %s\n", answer.Status, http.StatusText(answer.Status), answer.Duration.Round(time.Millisecond))
	}
	if answer.Body != "" {
		fmt.Fprintf(p.stdout, "\n%s\n", strings.TrimRight(string(answer.Body), "\n"))
	}
	if err != nil {
		return err
	}
	if !slices.Contains(endpoints[at].Events, event) {
		return errors.New("delivered, but by its events the endpoint is never told of " + c.Event)
	}
	return nil
}

type endpointSecretCommand struct{}

// Run prints the secret: it is for the person who asked, and for nobody's log.
func (*endpointSecretCommand) Run(p *program) error {
	secret, err := outbound.NewSecret(rand.Reader)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, secret.Reveal())
	return err
}
