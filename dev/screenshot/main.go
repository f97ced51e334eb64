// Command screenshot takes a picture of a payment's workflow in the Temporal UI
// of a running dev, with headless Chromium: its summary, its decoded input and
// result, and every event with the name and the summary of its activity.
//
//	go run ./dev/screenshot --payment pay_… --out payment.png
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/chromedp/chromedp"
)

// startAndShoot is what the browser may take beside the page.
const startAndShoot = 30 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type flags struct {
	Data    string        `default:".cobro" env:"COBRO_DATA" help:"Data folder of the running dev."`
	Payment string        `required:"" help:"Id of the payment."`
	Out     string        `default:"payment.png" help:"Where the picture goes."`
	Want    []string      `sep:"none" help:"More text that the page has to show, decoded, before the picture is taken. May be repeated."`
	Within  time.Duration `default:"60s" help:"How long the page may take."`
	Browser string        `default:"chromium" env:"CHROMIUM" help:"Chromium's program."`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
	parser, err := kong.New(&f, kong.Name("screenshot"), kong.Writers(stdout, stderr))
	if err == nil {
		_, err = parser.Parse(args)
	}
	if err != nil {
		fmt.Fprintln(stderr, "screenshot:", err)
		return 2
	}
	if err := take(ctx, f); err != nil {
		fmt.Fprintln(stderr, "screenshot:", err)
		return 1
	}
	fmt.Fprintln(stdout, f.Out)
	return 0
}

// take opens the page, waits until it shows everything wanted, and writes the
// picture.
func take(ctx context.Context, f flags) error {
	data, err := os.ReadFile(filepath.Join(f.Data, "addresses.json"))
	if err != nil {
		return fmt.Errorf("%w (start dev first; --data names its folder)", err)
	}
	var at struct {
		TemporalUI string `json:"temporal_ui"`
		Namespace  string `json:"namespace"`
	}
	if err := json.Unmarshal(data, &at); err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(f.Browser), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1500, 2600),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := context.WithTimeout(ctx, f.Within+startAndShoot)
	defer cancel()
	workflow := fmt.Sprintf("%s/api/v1/namespaces/%s/workflows/%s", at.TemporalUI, at.Namespace, f.Payment)
	run, err := runOf(ctx, workflow)
	if err != nil {
		return err
	}
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	defer closeBrowser()
	ctx, closeTab := chromedp.NewContext(ctx)
	defer closeTab()

	wanted, err := json.Marshal(slices.Concat([]string{f.Payment}, loaded[:], f.Want))
	if err != nil {
		return err
	}
	address := fmt.Sprintf("%s/namespaces/%s/workflows/%s/%s/history", at.TemporalUI, at.Namespace, f.Payment, run)
	missing := show(ctx, address, fmt.Sprintf(shows, wanted), f.Within)
	if missing != nil {
		missing = fmt.Errorf("%s never showed %s, with every payload decoded: %w", address, wanted, missing)
	}
	// The picture is taken all the same: it shows what was there instead.
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return errors.Join(missing, err)
	}
	return errors.Join(missing, os.WriteFile(f.Out, picture, 0o600))
}

// loaded is what the page of every payment shows once it has everything: the
// first event, and the input, decoded.
var loaded = [...]string{"Workflow Execution Started", `"payment_id"`}

// shows reports whether the page shows every text of a list, and nothing that is
// still encrypted. The page renders summaries in frames of their own, which are
// empty at first.
const shows = `(wanted => {
	const frames = [...document.querySelectorAll('iframe')].map(f => f.contentDocument?.body?.innerText ?? '')
	const page = [document.body.innerText, ...frames].join('\n')
	return wanted.every(text => page.includes(text)) && !page.includes('encryption-key-id') && frames.every(text => text.trim() !== '')
})(%s)`

// reloadEvery is how long a page may take before it is asked for again: one that
// was opened while the workflow ran does not always follow it to its end.
const reloadEvery = 15 * time.Second

// show opens the page, again and again, until the condition holds.
func show(ctx context.Context, address, condition string, within time.Duration) error {
	for deadline := time.Now().Add(within); ; {
		if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
			return fmt.Errorf("open %s: %w", address, err)
		}
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](condition, chromedp.WithPollingTimeout(min(reloadEvery, within))))
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

// runOf asks the Temporal UI for the id of a workflow's latest run.
func runOf(ctx context.Context, workflow string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, workflow, http.NoBody)
	if err != nil {
		return "", err
	}
	client := &http.Client{Timeout: startAndShoot}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	var described struct {
		Info struct {
			Execution struct {
				RunID string `json:"runId"`
			} `json:"execution"`
		} `json:"workflowExecutionInfo"`
	}
	if err := json.NewDecoder(response.Body).Decode(&described); err != nil || described.Info.Execution.RunID == "" {
		return "", errors.Join(fmt.Errorf("%s answered %s: is it a payment of this dev?", workflow, response.Status), err)
	}
	return described.Info.Execution.RunID, nil
}
