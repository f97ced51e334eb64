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

// The default tokens of a [Config]. They are samples, not secrets.
const (
	DefaultPublicToken  = "a66ce73d04f2087615f6320b724defc5b4eedc55"
	DefaultPrivateToken = "b7c1f5a09e3d4c2f8a6e1d0b9c8f7a6e5d4c3b2a"
)

// DefaultBusinessName is the default business name of a [Config].
const DefaultBusinessName = "Café Cobro"

// DefaultMinTimeout is the shortest documented timeout of a ticket
// (docs/athmovil.md §1.1).
const DefaultMinTimeout = 120 * time.Second

// ObservedWebhookDelay is between the two to three seconds that a completed event
// came after its debit (docs/athmovil.md §4.1). The programs wait that long.
const ObservedWebhookDelay = 2500 * time.Millisecond

// defaultReportDays is the longest range of a report. It is a guess: the
// documentation says "%s days" without a number (docs/athmovil.md §1.8).
const defaultReportDays = 31

// Config configures a [Simulator]. The zero value is a gateway with one business
// that keeps everything in memory and sends no webhooks. Every field is optional.
type Config struct {
	// PublicToken and PrivateToken are those of the business. Empty means
	// [DefaultPublicToken] and [DefaultPrivateToken].
	PublicToken, PrivateToken string

	// BusinessName is what customers see. Empty means [DefaultBusinessName].
	BusinessName string

	// OtherBusinesses share the gateway, so that a client can meet another
	// business's ticket, or a business that cannot sell.
	OtherBusinesses []Business

	// WebhookURL is the listener of the first business until it subscribes
	// another one (docs/athmovil.md §1.7). Empty means no webhooks.
	WebhookURL string

	// Journal is a file that stores every ticket, so that the simulator survives
	// kill -9. Only one simulator at a time may use it. Empty means memory only.
	Journal string

	// MinTimeout is the shortest timeout that a create may ask for, one second
	// or more. Zero means [DefaultMinTimeout].
	MinTimeout time.Duration

	// Seed is for the faults that have a probability and no seed of their own.
	Seed uint64

	// Settings chooses what the documentation leaves open.
	Settings Settings

	// SigningKey signs the auth tokens, unless the journal already has a key. Nil
	// means a new 2048-bit key, which takes a moment to generate.
	SigningKey *rsa.PrivateKey

	// Now is the real time, on which the simulator's clock is based. Nil means
	// [time.Now].
	Now func() time.Time

	// Logger gets undelivered webhooks and journal errors, never tokens or
	// personal data. Nil means no logs.
	Logger *slog.Logger
}

// Business is a merchant's account. Both tokens are required.
type Business struct {
	Name, PublicToken, PrivateToken string

	// Standing says whether the business can sell. Empty means [Active].
	Standing Standing
}

// Standing is the status of a business's account.
type Standing string

// The standings of a business. Create is refused unless it is Active.
const (
	Active       Standing = "active"
	Inactive     Standing = "inactive"      // BTRA_0009
	Suspended    Standing = "suspended"     // BTRA_0010
	TokenExpired Standing = "token_expired" // BCUS_0092
)

// Settings has one choice for each question that docs/athmovil.md §6.3 lists as
// unknown. The zero value is the default that §6.3 proposes. Each field is a flag
// of cmd/athmovil-sim.
type Settings struct {
	// HTTPStatus overrides the HTTP status of error codes such as "BTRA_0031".
	HTTPStatus map[string]int

	// AuthorizeTwiceSucceeds returns the transaction again if a completed ticket
	// is authorized. Otherwise the error is BTRA_0032.
	AuthorizeTwiceSucceeds bool

	// CancelTwiceSucceeds lets a canceled ticket be canceled again. Otherwise the
	// error is BTRA_0035.
	CancelTwiceSucceeds bool

	// ForeignTicketIsNamed returns BTRA_0008 for another business's ticket.
	// Otherwise the error is BTRA_0031, as if the ticket did not exist.
	ForeignTicketIsNamed bool

	// ConfirmStopsTimer keeps a confirmed ticket from expiring. Otherwise it
	// expires like an open one.
	ConfirmStopsTimer bool

	// ExpiredTokenIs0402 returns BTRA_0402 for an expired auth token. Otherwise
	// the error is token.expired.
	ExpiredTokenIs0402 bool

	// RefundEchoesReference gives a refund the reference number of its payment.
	// Otherwise it has its own.
	RefundEchoesReference bool

	// RefundDate is the form of a refund's date. Empty means RefundDateMillis.
	RefundDate RefundDate

	// MerchantCancelIsSilent sends no webhook if the merchant cancels. Otherwise
	// the canceled event is sent.
	MerchantCancelIsSilent bool

	// WebhookRetries is how often an event that got no 2xx is sent again, without
	// a delay. No retry is documented.
	WebhookRetries int

	// WebhookDelay is how long an event waits, by the simulator's clock, before
	// it is sent. Zero sends it at once, which suits most tests; production was
	// seen to take [ObservedWebhookDelay].
	WebhookDelay time.Duration

	// LongTimeout says what happens to a timeout above 600 seconds. Empty means
	// LongTimeoutAccepted.
	LongTimeout LongTimeout

	// PhoneAtAnyTime lets updatePhoneNumber succeed on a ticket that is not open.
	// Otherwise the error is BTRA_0035.
	PhoneAtAnyTime bool

	// FeeRoundsDown rounds the fee down to a cent. Otherwise it is rounded half up.
	FeeRoundsDown bool

	// PlainFees writes fees without float noise (docs/athmovil.md §1.2).
	PlainFees bool

	// ReportDays is the longest range of a report, in days. Zero means 31.
	ReportDays int

	// ReportOmitsRefunds lists only payments. Otherwise refunds are rows too.
	ReportOmitsRefunds bool
}

// RefundDate is the form of the date in the response to a refund
// (docs/athmovil.md §1.5).
type RefundDate string

// The forms of a refund's date.
const (
	RefundDateMillis  RefundDate = "millis"  // "1733690348000"
	RefundDateSeconds RefundDate = "seconds" // "1733690348"
	RefundDateNaive   RefundDate = "naive"   // "2021-07-08 18:13:58.0"
)

// LongTimeout says what happens to a timeout above the documented 600 seconds.
type LongTimeout string

// The ways to handle a long timeout.
const (
	LongTimeoutAccepted LongTimeout = "accepted"
	LongTimeoutClamped  LongTimeout = "clamped"
	LongTimeoutRefused  LongTimeout = "refused" // BTRA_0006
)

// withDefaults returns c with defaults in its empty fields, or an error that lists
// every problem.
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
			complain("WebhookURL: must be an absolute http or https URL")
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
		if _, known := errorCodes[code]; !known {
			complain("Settings.HTTPStatus: %q is not an error code", code)
		}
		if status < 200 || status > 599 {
			complain("Settings.HTTPStatus: %s: %d is not a final HTTP status", code, status)
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
