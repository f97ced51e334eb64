package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/settings"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

type reviewCommand struct {
	List    reviewList    `cmd:"" help:"List what waits for a person's decision, with everything that was seen."`
	Resolve reviewResolve `cmd:"" help:"Decide what became of a payment or a refund."`
}

// merchantAPI is how a command reaches cobro api.
type merchantAPI struct {
	API     string        `name:"api" env:"COBRO_API_URL" help:"${COBRO_API_URL_help} ${COBRO_API_URL_default} if not given. The key is COBRO_API_KEY. Without both it is that of a running dev in this folder, or COBRO_STORE says where to work without an API."`
	Timeout time.Duration `default:"30s" help:"How long an answer may take."`
	JSON    bool          `name:"json" help:"Print JSON."`
}

type reviewList struct {
	State   string `enum:"open,decided,all" default:"open" help:"open, decided, or all."`
	Payment string `help:"Only those of this payment."`
	merchantAPI
}

// reviews is what the command prints as JSON.
type reviews struct {
	Reviews []payment.Review `json:"reviews"`
}

func (c *reviewList) Run(p *program) error {
	listed := reviews{Reviews: []payment.Review{}}
	list := c.listOverHTTP
	if c.inProcess(p) {
		list = c.listInProcess
	}
	if err := list(p, &listed); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(p.stdout, listed)
	}
	return printReviews(p.stdout, listed.Reviews)
}

func (c *reviewList) listOverHTTP(p *program, listed *reviews) error {
	query := url.Values{"state": {c.State}, "limit": {"100"}}
	if c.Payment != "" {
		query.Set("payment_id", c.Payment)
	}
	for {
		var page struct {
			reviews
			NextCursor string `json:"next_cursor"`
		}
		if _, err := c.call(p, http.MethodGet, "/v1/reviews?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		listed.Reviews = append(listed.Reviews, page.Reviews...)
		if page.NextCursor == "" {
			return nil
		}
		query.Set("cursor", page.NextCursor)
	}
}

func (c *reviewList) listInProcess(p *program, listed *reviews) error {
	filter := ledger.ReviewFilter{PaymentID: c.Payment, Limit: 100}
	if open := c.State == "open"; c.State != "all" {
		filter.Open = &open
	}
	return p.withApp(opening{of: settings.Review}, func(a *app.App) error {
		for {
			page, err := a.Reviews(p.ctx, filter)
			if err != nil {
				return err
			}
			listed.Reviews = append(listed.Reviews, page.Items...)
			if page.Next == (ledger.Cursor{}) {
				return nil
			}
			filter.After = page.Next
		}
	})
}

func printReviews(w io.Writer, all []payment.Review) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nothing waits for a decision")
		return err
	}
	table := newTable(w)
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\topened %s\n", r.ID, r.PaymentID, dash(r.RefundID), r.Cause, r.OpenedAt.Format(time.RFC3339))
		for _, seen := range r.Evidence {
			fmt.Fprintf(table, "\t%s\t%s\n", seen.At.Format(time.RFC3339), seen.What)
		}
		if d := r.Decision; d != nil {
			fmt.Fprintf(table, "\t%s\tdecided: %s, by %s\n", d.At.Format(time.RFC3339), d.Verdict, cmp.Or(d.By, string(d.Source)))
		}
	}
	return table.Flush()
}

type reviewResolve struct {
	Payment string `arg:"" help:"The payment's id."`
	Refund  string `help:"The refund's id, where a refund is in question."`
	Verdict string `enum:"completed,not_executed" required:"" help:"completed: the money moved; not_executed: it did not."`
	Reason  string `required:"" help:"Why you know, for whoever reads it later; no personal data."`
	merchantAPI
}

func (*reviewResolve) Help() string {
	return "Look into the ATH Business app first. Cobro looks at ATH Móvil once more before it takes your word: where that is definite " +
		"and says otherwise, nothing is decided, and what it says is printed. The verdict stays for ever, with your reason."
}

// resolved is what the command prints as JSON.
type resolved struct {
	Decided bool            `json:"decided"` // false while the workflow still looks
	Became  json.RawMessage `json:"became"`  // the payment or the refund
}

func (c *reviewResolve) Run(p *program) error {
	decide := c.decideOverHTTP
	if c.inProcess(p) {
		decide = c.decideInProcess
	}
	out, err := decide(p)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(p.stdout, out)
	}
	if !out.Decided {
		_, err = fmt.Fprintln(p.stdout, "the verdict was taken, and Cobro still looks at ATH Móvil: see cobro review list --state all --payment "+c.Payment)
		return err
	}
	var shown struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(out.Became, &shown); err != nil {
		return errors.New("the answer is not that of cobro api: check --api")
	}
	_, err = fmt.Fprintf(p.stdout, "decided: %s is %s\n", shown.ID, shown.Status)
	return err
}

func (c *reviewResolve) decideOverHTTP(p *program) (out resolved, err error) {
	path := "/v1/payments/" + url.PathEscape(c.Payment)
	if c.Refund != "" {
		path += "/refunds/" + url.PathEscape(c.Refund)
	}
	status, err := c.call(p, http.MethodPost, path+"/review", map[string]string{"verdict": c.Verdict, "reason": c.Reason}, &out.Became)
	out.Decided = status == http.StatusOK
	return out, err
}

func (c *reviewResolve) decideInProcess(p *program) (out resolved, err error) {
	decision := app.Decision{
		PaymentID: c.Payment, RefundID: c.Refund, Verdict: payment.Verdict(c.Verdict), Reason: private.Text(c.Reason), By: "cobro review",
	}
	err = p.withApp(opening{of: settings.Review, temporal: true}, func(a *app.App) error {
		ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
		defer cancel()
		var became any
		if c.Refund != "" {
			decided, err := a.DecideRefund(ctx, decision)
			if err != nil {
				return err
			}
			out.Decided, became = !decided.Pending, decided.Refund
		} else {
			decided, err := a.DecidePayment(ctx, decision)
			if err != nil {
				return err
			}
			out.Decided, became = !decided.Pending, decided.Payment
		}
		out.Became, err = json.Marshal(became)
		return err
	})
	return out, err
}

// refusal is a problem document of the API.
type refusal struct {
	Title          string `json:"title"`
	Detail         string `json:"detail"`
	Code           string `json:"code"`
	GatewayMessage string `json:"gateway_message"`
	Errors         []struct {
		Field string `json:"field"`
		Rule  string `json:"rule"`
	} `json:"errors"`
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// inProcess reports whether a command decides in this process: where it is told
// of no API, and of the installation's own database.
func (c *merchantAPI) inProcess(p *program) bool {
	key, err := p.settings.secret("COBRO_API_KEY")
	return err == nil && key == "" && c.API == "" && p.getenv("COBRO_STORE") != ""
}

// reach returns the API's address and its key.
func (c *merchantAPI) reach(p *program) (address, key string, err error) {
	if key, err = p.settings.secret("COBRO_API_KEY"); err != nil {
		return "", "", err
	}
	if key == "" && c.API == "" {
		dev, err := settings.ReadDev(p.settings.getenv)
		if err != nil || dev.APIKey != "" {
			return dev.API, dev.APIKey, err
		}
	}
	if key == "" {
		return "", "", errors.New("COBRO_API_KEY is not set: give this command the key that cobro api has, start dev in this folder, or name the folder of a dev in COBRO_DATA")
	}
	return cmp.Or(c.API, "http://"+settings.DefaultListen), key, nil
}

// call makes one call and reads its answer into out.
func (c *merchantAPI) call(p *program, method, path string, in, out any) (status int, err error) {
	address, key, err := c.reach(p)
	if err != nil {
		return 0, err
	}
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(p.ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(address, "/")+path, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("--api must be like http://127.0.0.1:8080")
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{ // a redirect would carry the key elsewhere
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("cobro api does not answer: %w (start it, or set COBRO_API_URL)", err)
	}
	defer func() { _ = response.Body.Close() }() // what matters is read below
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return 0, fmt.Errorf("the answer was cut: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return response.StatusCode, refused(response.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return 0, errors.New("the answer is not that of cobro api: check COBRO_API_URL")
	}
	return response.StatusCode, nil
}

// refused says what the API refused, and above all what the gateway says.
func refused(status int, answer []byte) error {
	var r refusal
	if json.Unmarshal(answer, &r) != nil || r.Code == "" {
		return fmt.Errorf("what answers is not cobro api (%d): check COBRO_API_URL", status)
	}
	text := r.Code + ": " + r.Detail
	for _, field := range r.Errors {
		text += fmt.Sprintf("; %s %s", field.Field, field.Rule)
	}
	if r.GatewayMessage != "" {
		text += "\nATH Móvil says: " + r.GatewayMessage
	}
	switch status {
	case http.StatusUnauthorized:
		text += " (give this command the COBRO_API_KEY that cobro api has)"
	case http.StatusNotFound:
		text += " (cobro review list shows the ids)"
	}
	return errors.New(text)
}
