package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/cobropay/cobro/athmovil/athmovilsim"
	"github.com/cobropay/cobro/dev/rig"
)

// canary is what stories plant where a merchant may write as he likes, and
// where others send us what they like.
const canary = "canary-7c1f"

// private looks for keys, tokens, canaries and who paid in everything that the
// stories leave behind: the databases as whoever steals the disk reads them,
// logs, spans, metrics, and the bodies of answers that refuse.
var private = newSearch()

func newSearch() *rig.Search {
	s := rig.NewSearch( // one mark or two for each kind of output
		"ProcessPayment", "payment_completed", // both databases
		`"route":"/v1/payments"`,                              // logs
		"RunWorkflow:ProcessPayment",                          // spans
		"cobro_payments_total",                                // metrics
		`"code":"unauthorized"`, `"code":"validation_failed"`, // answers
	)
	s.For("a canary", canary)
	s.For("a token", athmovilsim.DefaultPrivateToken, rig.AnyAuthToken)
	s.For("a key", strings.TrimPrefix(endpointSecret, "whsec_"))
	return s
}

// noting is a transport that notes what answers say that refuse.
type noting struct{ http.RoundTripper }

func (n noting) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := n.RoundTripper.RoundTrip(request)
	if err != nil || response.StatusCode < http.StatusBadRequest {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if _, err := refusals.Write(body); err != nil {
		return nil, err
	}
	return response, nil
}

// operationsAt is what programs say when they serve their operations.
var operationsAt = regexp.MustCompile(`"ops":"(http://[^"]+)"`)

// ask learns what is private here, and takes the metrics of what still runs.
func (c *cobro) ask() error {
	private.For("a key", c.at.APIKey, path.Base(c.at.WebhookURL))
	_, err := private.ForPayers(context.Background(), c.at.Store, c.at.KeyFile)
	logs, globbed := filepath.Glob(filepath.Join(c.data, "*.log"))
	if err = errors.Join(err, globbed, measure(c.at.Ops)); err != nil {
		return err
	}
	for _, log := range logs { // a cluster's programs have one each
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if found := operationsAt.FindSubmatch(text); found != nil {
			if err := measure(string(found[1])); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure takes a program's metrics, if it still runs.
func measure(operations string) error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, operations+"/metrics", nil)
	if err != nil {
		return err
	}
	response, err := browser.Do(request)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(&measured, response.Body)
	return errors.Join(err, response.Body.Close())
}

// search looks through the folders.
func (c *cobro) search() error {
	for _, folder := range []string{c.data, c.postgres} {
		if folder == "" {
			continue
		}
		if err := private.InFolder(folder, rig.Secret()...); err != nil {
			return err
		}
	}
	return private.Found()
}

// searched looks through what is in no folder, when all stories have been told.
func searched() error {
	private.In("the spans", collected.bytes())
	private.In("the metrics", []byte(measured.String()))
	private.In("the answers that refuse", []byte(refusals.String()))
	err := private.Found()
	if flag.Lookup("test.run").Value.String() == "" { // one story alone leaves little behind
		err = errors.Join(err, private.Saw())
	}
	return err
}
