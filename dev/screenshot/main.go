// Command screenshot takes a picture of a payment's workflow in the Temporal UI
// of a running dev, with headless Chromium.
//
//	go run ./dev/screenshot --payment pay_… --out payment.png
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
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
	Want    []string      `sep:"none" help:"Text that the page has to show, decoded, before the picture is taken. May be repeated."`
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
		chromedp.ExecPath(f.Browser), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1500, 1700),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := context.WithTimeout(ctx, f.Within+startAndShoot)
	defer cancel()
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	defer closeBrowser()
	ctx, closeTab := chromedp.NewContext(ctx)
	defer closeTab()

	wanted, err := json.Marshal(append([]string{f.Payment}, f.Want...))
	if err != nil {
		return err
	}
	address := fmt.Sprintf("%s/namespaces/%s/workflows/%s", at.TemporalUI, at.Namespace, f.Payment)
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		return fmt.Errorf("open %s: %w", address, err)
	}
	shows := fmt.Sprintf(`%s.every(text => document.body.textContent.includes(text))`, wanted)
	_, missing := chromedp.Run(ctx, chromedp.Poll[bool](shows, chromedp.WithPollingTimeout(f.Within)))
	if missing != nil {
		missing = fmt.Errorf("%s never showed %s: %w", address, wanted, missing)
	}
	// The picture is taken all the same: it shows what was there instead.
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return errors.Join(missing, err)
	}
	return errors.Join(missing, os.WriteFile(f.Out, picture, 0o600))
}
