package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// openBrowser starts a Chromium that closes when the test ends.
func openBrowser(t *testing.T) context.Context {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err, "CI must have Chromium: .ci/install brings it")
		}
		t.Skip("Chromium is not installed; `make install` brings it")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, closeBrowser := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1500, 2600))...)
	t.Cleanup(closeBrowser)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	return ctx
}

// until waits until a JavaScript condition holds on the page.
func until(ctx context.Context, condition string, within time.Duration) error {
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](condition, chromedp.WithPollingTimeout(within)))
	return err
}

// TestPhonePageConfirmsAndCancels uses the simulator's page as a customer does, in
// both languages: it updates by itself, and its buttons decide.
func TestPhonePageConfirmsAndCancels(t *testing.T) {
	t.Parallel()
	ctx := openBrowser(t)
	shows := func(text string) {
		t.Helper()
		require.NoError(t, until(ctx, fmt.Sprintf("document.body.innerText.includes(%q)", text), time.Minute), text)
	}
	const phone = "7875554321"
	for language, confirm := range map[string]string{"en": "Confirm", "es": "Confirmar"} {
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(system.at.GatewayControl+"/?lang="+language+"&phone="+phone)))
		paid := system.open(t, m{"total": "12.34", "phone_number": phone, "items": []m{{"name": "Café con leche", "description": "hot", "quantity": 2, "price": "6.17"}}})
		// Without reloading the page: business, amount, items, time left.
		for _, text := range []string{"Café Cobro", "$12.34", "2 × Café con leche", "9:", confirm} {
			shows(text)
		}
		require.NoError(t, chromedp.Do(ctx, chromedp.Click("button.confirm")))
		system.await(t, paid.ID, "completed")

		cancelled := system.open(t, m{"total": "3.21", "phone_number": phone})
		shows("$3.21")
		require.NoError(t, chromedp.Do(ctx, chromedp.Click("button.cancel")))
		require.Equal(t, "cancelled_by_customer", system.await(t, cancelled.ID, "cancelled").Failure.Code)
	}
}

// undecoded lists what the page of a workflow does not show of some texts, and
// what it shows that is no decoded payload. The page renders summaries in frames of
// their own, which are empty at first.
const undecoded = `(wanted => {
	const frames = [...document.querySelectorAll('iframe')].map(f => f.contentDocument?.body?.innerText ?? '')
	const page = [document.body.innerText, ...frames].join('\n')
	return [
		...wanted.filter(text => !page.includes(text)),
		...(page.includes('encryption-key-id') ? ['the rest decoded'] : []),
		...(frames.every(text => text.trim() !== '') ? [] : ['every summary']),
	]
})(%s)`

// TestTemporalUIShowsDecodedPayment opens a payment in the Temporal UI: its
// summary, its input and result, and every activity with its own summary.
func TestTemporalUIShowsDecodedPayment(t *testing.T) {
	t.Parallel()
	ctx := openBrowser(t)
	// A dev of its own: the shared one has receivers whose program has gone, and a
	// workflow waits for these for days.
	c := newCobro(t)
	opened := c.open(t, m{"total": "25.00", "reference": "order-1042"})
	c.phone(t, "confirm", opened.EcommerceID)
	c.await(t, opened.ID, "completed")
	temporal, _ := c.dial(t)
	described, err := temporal.DescribeWorkflowExecution(t.Context(), opened.ID, "")
	require.NoError(t, err)
	page := fmt.Sprintf("%s/namespaces/%s/workflows/%s/%s/history", c.at.TemporalUI, c.at.Namespace,
		opened.ID, described.GetWorkflowExecutionInfo().GetExecution().GetRunId())
	wanted, err := json.Marshal([]string{
		"$25.00 · order-1042", // the summary
		"Workflow Execution Started", opened.ID, `"payment_id"`,
		"CreateTicket", "asks for $25.00",
		"TicketSeen", "FindTicket", "looks at the ticket",
		"Authorize", "debits $25.00",
		"payment_completed/log", "notifies cobro",
		`{"status":"completed"}`, // the result
	})
	require.NoError(t, err)
	// A page that was opened while the workflow ran does not always follow it to
	// its end, so it is loaded again.
	for range 6 {
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(page)))
		if err = until(ctx, fmt.Sprintf(undecoded, wanted)+".length === 0", 20*time.Second); err == nil {
			return
		}
	}
	missing, _ := chromedp.Run(ctx, chromedp.Evaluate[[]string](fmt.Sprintf(undecoded, wanted)))
	require.NoError(t, err, "%s never showed %q", page, missing)
}
