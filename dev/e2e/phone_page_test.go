package e2e

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestTheCustomersPhone looks at the simulator's page as a customer does, in
// both languages: it updates by itself, and its buttons decide.
func TestTheCustomersPhone(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err, "CI must have Chromium: .ci/install brings it")
		}
		t.Skip("Chromium is not installed; `make install` brings it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, options...)
	defer closeBrowser()
	ctx, closeTab := chromedp.NewContext(ctx)
	defer closeTab()
	shows := func(text string) {
		t.Helper()
		_, err := chromedp.Run(ctx, chromedp.Poll[bool](`document.body.innerText.includes(`+quoted(text)+`)`, chromedp.WithPollingTimeout(time.Minute)))
		require.NoError(t, err, text)
	}
	const phone = "7875554321"
	for language, confirm := range map[string]string{"en": "Confirm", "es": "Confirmar"} {
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(world.at.GatewayControl+"/?lang="+language+"&phone="+phone)))
		paid := world.open(t, m{"total": "12.34", "phone_number": phone, "items": []m{{"name": "Café con leche", "description": "hot", "quantity": 2, "price": "6.17"}}})
		// Without anybody loading the page again: business, amount, items, time left.
		for _, text := range []string{"Café Cobro", "$12.34", "2 × Café con leche", "9:", confirm} {
			shows(text)
		}
		require.NoError(t, chromedp.Do(ctx, chromedp.Click("button.confirm")))
		world.await(t, paid.ID, "completed")

		refused := world.open(t, m{"total": "3.21", "phone_number": phone})
		shows("$3.21")
		require.NoError(t, chromedp.Do(ctx, chromedp.Click("button.cancel")))
		require.Equal(t, "cancelled_by_customer", world.await(t, refused.ID, "cancelled").Failure.Code)
	}
	if kept := os.Getenv("COBRO_SCREENSHOT"); kept != "" {
		picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(kept, picture, 0o600))
	}
}

func quoted(text string) string { return `"` + text + `"` }
