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
	"github.com/cobropay/cobro/dev/testcluster"
)

// canary is what tests write wherever merchants, or strangers, can send free text.
const canary = "canary-7c1f"

// scanner looks for keys, tokens, canaries and personal data in everything that
// the tests leave behind: the databases as a thief of the disk reads them, logs,
// spans, metrics, and the bodies of error responses.
var scanner = newScanner()

func newScanner() *testcluster.SecretScanner {
	s := testcluster.NewSecretScanner( // one mark or two for each kind of output
		"ProcessPayment", "payment_completed", // both databases
		`"route":"/v1/payments"`,                              // logs
		"RunWorkflow:ProcessPayment",                          // spans
		"cobro_payments_total",                                // metrics
		`"code":"unauthorized"`, `"code":"validation_failed"`, // answers
	)
	s.Add("a canary", canary)
	s.Add("a token", athmovilsim.DefaultPrivateToken, testcluster.AuthTokenPrefix)
	s.Add("a key", strings.TrimPrefix(testcluster.EndpointSecret, "whsec_"))
	return s
}

// recorder is a transport that keeps the bodies of error responses.
type recorder struct{ http.RoundTripper }

func (r recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := r.RoundTripper.RoundTrip(request)
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

// operationsAt matches what programs log when their operations server listens.
var operationsAt = regexp.MustCompile(`"ops":"(http://[^"]+)"`)

// collect adds what is secret in this installation to the scanner, and keeps the
// metrics of what still runs.
func (c *cobro) collect() error {
	scanner.Add("a key", c.at.APIKey, path.Base(c.at.WebhookURL))
	_, err := scanner.AddCustomers(context.Background(), c.at.Store, c.at.KeyFile)
	logs, globbed := filepath.Glob(filepath.Join(c.data, "*.log"))
	if err = errors.Join(err, globbed, collectMetrics(c.at.Ops)); err != nil {
		return err
	}
	for _, log := range logs { // a cluster's programs have one each
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		if found := operationsAt.FindSubmatch(text); found != nil {
			if err := collectMetrics(string(found[1])); err != nil {
				return err
			}
		}
	}
	return nil
}

// collectMetrics keeps a program's metrics, if it still runs.
func collectMetrics(operations string) error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, operations+"/metrics", nil)
	if err != nil {
		return err
	}
	response, err := httpClient.Do(request)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(&metrics, response.Body)
	return errors.Join(err, response.Body.Close())
}

// scan scans the folders.
func (c *cobro) scan() error {
	for _, folder := range []string{c.data, c.postgres} {
		if folder == "" {
			continue
		}
		if err := scanner.ScanFolder(folder, testcluster.SecretFiles()...); err != nil {
			return err
		}
	}
	return scanner.Leaks()
}

// scanAll scans what is in no folder, once all tests have ended.
func scanAll() error {
	scanner.Scan("the spans", spans.bytes())
	scanner.Scan("the metrics", []byte(metrics.String()))
	scanner.Scan("the error responses", []byte(refusals.String()))
	err := scanner.Leaks()
	if flag.Lookup("test.run").Value.String() == "" { // a single test leaves little behind
		err = errors.Join(err, scanner.MissingMarks())
	}
	return err
}
