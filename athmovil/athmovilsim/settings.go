package athmovilsim

import (
	"cmp"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"
)

// The tokens of a [Config] that names none: samples, and no secret.
const (
	DefaultPublicToken  = "a66ce73d04f2087615f6320b724defc5b4eedc55"
	DefaultPrivateToken = "b7c1f5a09e3d4c2f8a6e1d0b9c8f7a6e5d4c3b2a"
)

// DefaultBusinessName is the business of a [Config] that names none.
const DefaultBusinessName = "Café Cobro"

// DefaultMinTimeout is the shortest documented life of a ticket
// (docs/athmovil.md §1.1).
const DefaultMinTimeout = 120 * time.Second

// defaultReportDays is the longest span of a report: the documentation says
// "%s days" and no number (docs/athmovil.md §1.8).
const defaultReportDays = 31

// Config says which gateway to play. The zero value is a gateway with one
// business that keeps everything in memory and sends no webhooks.
type Config struct {
	// PublicToken and PrivateToken belong to the business; empty means
	// [DefaultPublicToken] and [DefaultPrivateToken].
	PublicToken, PrivateToken string

	// BusinessName is shown to customers; empty means [DefaultBusinessName].
	BusinessName string

	// OtherBusinesses share the gateway, so that a client can meet tickets that
	// are not its own, or a business that may not sell.
	OtherBusinesses []Business

	// WebhookURL is the listener of the first business, until it subscribes
	// another one (docs/athmovil.md §1.7). Empty: no webhooks.
	WebhookURL string

	// Journal is a file that keeps every ticket, so that the simulator survives
	// kill -9. One simulator at a time may use it. Empty: memory only.
	Journal string

	// MinTimeout is the shortest life that a ticket may ask for; zero means
	// [DefaultMinTimeout]. Development is quicker with one second.
	MinTimeout time.Duration

	// Seed decides the faults that have a probability and no seed of their own.
	Seed uint64

	// Settings answers what the documentation leaves open.
	Settings Settings

	// SigningKey signs the auth tokens unless the journal holds a key already;
	// nil means a new 2048-bit key, which takes a moment to find.
	SigningKey *rsa.PrivateKey

	// Now is the real time beneath the simulator's own clock; nil means
	// [time.Now].
	Now func() time.Time

	// Logger hears about webhooks that nobody took and a journal that broke; nil
	// means silence. Nothing personal and no token is logged.
	Logger *slog.Logger
}

// Business is a merchant's account.
type Business struct {
	Name, PublicToken, PrivateToken string

	// Standing says whether it may sell; empty means [Active].
	Standing Standing
}

// Standing is the state of a business's account.
type Standing string

// The standings of a business. All but Active refuse create.
const (
	Active       Standing = "active"
	Inactive     Standing = "inactive"      // BTRA_0009
	Suspended    Standing = "suspended"     // BTRA_0010
	TokenExpired Standing = "token_expired" // BCUS_0092
)

// Settings holds one choice for each question that docs/athmovil.md §6.3 lists
// as unknown. The zero value is the proposed answer to each.
type Settings struct {
	// HTTPStatus replaces the HTTP status of a code, such as "BTRA_0031".
	HTTPStatus map[string]int

	// AuthorizeTwiceSucceeds repeats the transaction where a completed ticket is
	// authorised again; otherwise BTRA_0032.
	AuthorizeTwiceSucceeds bool

	// CancelTwiceSucceeds repeats the answer where a cancelled ticket is
	// cancelled again; otherwise BTRA_0035.
	CancelTwiceSucceeds bool

	// ForeignTicketIsNamed answers BTRA_0008 for another business's ticket;
	// otherwise BTRA_0031, as if it did not exist.
	ForeignTicketIsNamed bool

	// ConfirmStopsTimer lets a confirmed ticket live for ever; otherwise it
	// expires like an open one.
	ConfirmStopsTimer bool

	// ExpiredTokenIs0402 answers BTRA_0402 for an expired auth token; otherwise
	// token.expired.
	ExpiredTokenIs0402 bool

	// RefundEchoesReference gives a refund the reference number of its payment;
	// otherwise it has its own.
	RefundEchoesReference bool

	// RefundDate is the form of a refund's date; empty means RefundDateMillis.
	RefundDate RefundDate

	// MerchantCancelIsSilent sends no webhook where the merchant cancels;
	// otherwise the cancelled event goes out.
	MerchantCancelIsSilent bool

	// WebhookRetries is how often an event that got no 2xx is sent again, at
	// once; none is documented.
	WebhookRetries int

	// WebhookDelay passes, by the simulator's clock, before an event goes out.
	// Two to three seconds were observed (docs/athmovil.md §4.1).
	WebhookDelay time.Duration

	// LongTimeout is what becomes of a timeout above 600 seconds; empty means
	// LongTimeoutAccepted.
	LongTimeout LongTimeout

	// PhoneAtAnyTime lets updatePhoneNumber succeed on a ticket that is not
	// open; otherwise BTRA_0035.
	PhoneAtAnyTime bool

	// FeeRoundsDown cuts the fee to whole cents; otherwise it is rounded half up.
	FeeRoundsDown bool

	// PlainFees leaves out the float noise of the fee (docs/athmovil.md §1.2).
	PlainFees bool

	// ReportDays is the longest span of a report; zero means 31.
	ReportDays int

	// ReportOmitsRefunds lists payments only; otherwise refunds are rows too.
	ReportOmitsRefunds bool
}

// RefundDate is a form of the date in a refund's answer (docs/athmovil.md
// §1.5).
type RefundDate string

// The forms of a refund's date.
const (
	RefundDateMillis  RefundDate = "millis"  // "1733690348000"
	RefundDateSeconds RefundDate = "seconds" // "1733690348"
	RefundDateNaive   RefundDate = "naive"   // "2021-07-08 18:13:58.0"
)

// LongTimeout is the fate of a timeout above the documented 600 seconds.
type LongTimeout string

// What happens to a long timeout.
const (
	LongTimeoutAccepted LongTimeout = "accepted"
	LongTimeoutClamped  LongTimeout = "clamped"
	LongTimeoutRefused  LongTimeout = "refused" // BTRA_0006
)

// withDefaults returns c with its empty fields filled, or every problem with
// it.
func (c Config) withDefaults() (Config, error) {
	c.PublicToken = cmp.Or(c.PublicToken, DefaultPublicToken)
	c.PrivateToken = cmp.Or(c.PrivateToken, DefaultPrivateToken)
	c.BusinessName = cmp.Or(c.BusinessName, DefaultBusinessName)
	c.MinTimeout = cmp.Or(c.MinTimeout, DefaultMinTimeout)
	c.Settings.RefundDate = cmp.Or(c.Settings.RefundDate, RefundDateMillis)
	c.Settings.LongTimeout = cmp.Or(c.Settings.LongTimeout, LongTimeoutAccepted)
	c.Settings.ReportDays = cmp.Or(c.Settings.ReportDays, defaultReportDays)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.problems()
}

func (c Config) problems() error {
	var problems []error
	complain := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.WebhookURL != "" {
		if u, err := url.Parse(c.WebhookURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			complain("WebhookURL: give an absolute http or https URL")
		}
	}
	if c.MinTimeout < time.Second {
		complain("MinTimeout: %s is less than one second, the unit of a timeout", c.MinTimeout)
	}
	if c.Settings.WebhookRetries < 0 || c.Settings.WebhookDelay < 0 || c.Settings.ReportDays < 1 {
		complain("Settings: WebhookRetries, WebhookDelay and ReportDays must not be negative")
	}
	switch c.Settings.RefundDate {
	case RefundDateMillis, RefundDateSeconds, RefundDateNaive:
	default:
		complain("Settings.RefundDate: %q is none of millis, seconds, naive", c.Settings.RefundDate)
	}
	switch c.Settings.LongTimeout {
	case LongTimeoutAccepted, LongTimeoutClamped, LongTimeoutRefused:
	default:
		complain("Settings.LongTimeout: %q is none of accepted, clamped, refused", c.Settings.LongTimeout)
	}
	for code, status := range c.Settings.HTTPStatus {
		if _, known := meanings[code]; !known {
			complain("Settings.HTTPStatus: no error code %q", code)
		}
		if status < 200 || status > 599 {
			complain("Settings.HTTPStatus: %s: %d is no final HTTP status", code, status)
		}
	}
	seen := map[string]bool{c.PublicToken: true}
	for i, b := range c.OtherBusinesses {
		if b.PublicToken == "" || b.PrivateToken == "" {
			complain("OtherBusinesses[%d]: both tokens are required", i)
		}
		if seen[b.PublicToken] {
			complain("OtherBusinesses[%d]: another business has this public token", i)
		}
		seen[b.PublicToken] = true
		switch b.Standing {
		case "", Active, Inactive, Suspended, TokenExpired:
		default:
			complain("OtherBusinesses[%d]: standing %q is none of active, inactive, suspended, token_expired", i, b.Standing)
		}
	}
	return errors.Join(problems...)
}

// businesses returns every business by its public token.
func (c Config) businesses() map[string]Business {
	all := map[string]Business{
		c.PublicToken: {Name: c.BusinessName, PublicToken: c.PublicToken, PrivateToken: c.PrivateToken},
	}
	for _, b := range c.OtherBusinesses {
		all[b.PublicToken] = b
	}
	return all
}
