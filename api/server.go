package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
	"github.com/cobropay/cobro/workflows"
)

// Defaults of [Config].
const (
	DefaultWait    = 10 * time.Second
	DefaultMaxBody = 64 << 10 // bytes
)

// Config says what a [Server] works with.
type Config struct {
	// Required fields

	// Store is what the workflows write and the API reads.
	Store Store
	// Flows reaches the workflows; see [NewFlows].
	Flows Flows
	// Relay takes the gateway's events. Who composes the process runs it.
	Relay *relay.Relay
	// Keys are the merchant's bearer keys. At least one is required.
	Keys []APIKey
	// WebhookSecret is the last part of the path that the gateway posts to. It
	// must be unguessable: 16 characters at the least.
	WebhookSecret private.Token
	// MerchantID goes into every payment id that is derived from an
	// idempotency key. It must never change: keys are not what it depends on,
	// because they rotate.
	MerchantID string
	// Fingerprint returns a keyed digest, the same for the same purpose and
	// data, from which nothing can be guessed. It must be safe for concurrent
	// use.
	Fingerprint func(purpose string, data []byte) string

	// Optional fields

	// MinExpiresIn is the shortest life of a payment. Zero means
	// [payment.MinExpiresIn], the gateway's; a simulator takes one second.
	MinExpiresIn time.Duration
	// Timing travels in the input of every workflow. Its zero fields mean the
	// defaults.
	Timing workflows.Timing
	// Wait is how long a POST waits for its outcome before it answers 202.
	// Zero means [DefaultWait].
	Wait time.Duration
	// Ready is what /readyz asks.
	Ready []ReadyCheck
	// Codec is mounted at /codec/ of the operations address; it decrypts for
	// the Temporal UI. Nil means none.
	Codec http.Handler
	// Metrics is served at /metrics of the operations address; nil means none.
	Metrics http.Handler
	// Watch follows requests; nil means that nobody does.
	Watch Watcher
	// MaxBody is the most bytes that a body may have. Zero means
	// [DefaultMaxBody].
	MaxBody int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Entropy is where random ids come from; nil means crypto/rand. It must be
	// safe for concurrent use.
	Entropy io.Reader
	// Logger gets one line for each request; nil means silence.
	Logger *slog.Logger
}

// Store is what the API reads. It returns errors
// that are [ledger.ErrNotFound] where an id is unknown, and is safe for
// concurrent use.
type Store interface {
	Payment(ctx context.Context, id string) (ledger.Record, error)
	// Payments returns one page, newest first, and the cursor of the next: the
	// zero value at the end.
	Payments(ctx context.Context, filter ledger.PaymentFilter) ([]payment.Payment, ledger.Cursor, error)
	// UnfinishedByReference returns the id of the payment that is not terminal
	// and has the reference.
	UnfinishedByReference(ctx context.Context, reference string) (string, error)
	Refund(ctx context.Context, id string) (ledger.RefundRecord, error)
	// Refunds returns a payment's refunds, oldest first.
	Refunds(ctx context.Context, paymentID string) ([]payment.Refund, error)

	// Reviews returns one page of what people were asked, newest first, as
	// Payments does.
	Reviews(ctx context.Context, filter ledger.ReviewFilter) ([]payment.Review, ledger.Cursor, error)

	// Reconciliations returns the latest runs, newest first.
	Reconciliations(ctx context.Context, limit int) ([]payment.Reconciliation, error)
	// Mismatches returns differences, newest first.
	Mismatches(ctx context.Context, filter ledger.MismatchFilter) ([]payment.Mismatch, error)

	// AnnounceReceivers adds a host's receivers or updates them; it never
	// removes one.
	AnnounceReceivers(ctx context.Context, host string, receivers []ledger.Receiver) error
	// Receivers returns every receiver, ordered by host, event and name.
	Receivers(ctx context.Context) ([]ledger.Receiver, error)

	// Transitions returns a payment's, oldest first.
	Transitions(ctx context.Context, paymentID string) ([]ledger.Transition, error)
	// Deliveries returns the notifications of a payment and of its refunds.
	Deliveries(ctx context.Context, paymentID string) ([]payment.Delivery, error)
	// Notifications returns one page, newest first, as Payments does.
	Notifications(ctx context.Context, filter ledger.DeliveryFilter) ([]payment.Delivery, ledger.Cursor, error)
	Delivery(ctx context.Context, id string) (payment.Delivery, error)
	// Attempts returns the calls of a delivery's receiver, oldest first.
	Attempts(ctx context.Context, deliveryID string) ([]ledger.Attempt, error)

	// GatewayEvents returns one page, newest first, as Payments does.
	GatewayEvents(ctx context.Context, filter ledger.GatewayEventFilter) ([]ledger.GatewayEvent, ledger.Cursor, error)
}

// Server answers HTTP requests. Make one with [New]; it is
// safe for concurrent use and holds nothing that needs closing.
type Server struct {
	cfg      Config
	handler  http.Handler
	webhooks webhookGate

	draining chan struct{} // closed by Drain: no more long waits
	drain    func()
}

// New returns a server, or an error that names everything that is wrong with
// the configuration.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.fillDefaults()
	s := &Server{
		cfg:      cfg,
		webhooks: newWebhookGate(cfg.WebhookSecret, cfg.Now),
		draining: make(chan struct{}),
	}
	s.drain = sync.OnceFunc(func() { close(s.draining) })
	s.handler = s.routes()
	return s, nil
}

// Drain has requests that wait for something answer at once, from now on. A
// second call does nothing.
func (s *Server) Drain() { s.drain() }

// Handler serves merchants under /v1/, their reference at /openapi.yaml and the
// gateway under /webhooks/athmovil/. Keep it off the operations address.
func (s *Server) Handler() http.Handler { return s.handler }

// routes is the whole address space of [Server.Handler].
func (s *Server) routes() http.Handler {
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false // a redirect would drop the body of a POST
	e.ForwardedByClientIP = false   // anybody can write X-Forwarded-For
	e.Use(s.observe, s.recover)
	e.NoRoute(s.handle(func(*gin.Context) error { return &problem{kind: noRoute} }))
	e.NoMethod(s.handle(func(*gin.Context) error { return &problem{kind: methodNotAllowed} }))

	v1 := e.Group("/v1", s.handle(s.authenticate))
	v1.POST("/payments", s.handle(s.createPayment))
	v1.GET("/payments", s.handle(s.listPayments))
	v1.GET("/payments/:id", s.handle(s.showPayment))
	v1.POST("/payments/:id/cancel", s.handle(s.cancelPayment))
	v1.PUT("/payments/:id/phone-number", s.handle(s.setPhoneNumber))
	v1.POST("/payments/:id/refunds", s.handle(s.createRefund))
	v1.GET("/payments/:id/refunds", s.handle(s.listRefunds))
	v1.POST("/payments/:id/review", s.handle(s.reviewPayment))
	v1.POST("/payments/:id/refunds/:rid/review", s.handle(s.reviewRefund))
	v1.GET("/payments/:id/events", s.handle(s.showTimeline))
	v1.GET("/notifications", s.handle(s.listNotifications))
	v1.GET("/notifications/:id", s.handle(s.showNotification))
	v1.POST("/notifications/:id/redeliver", s.handle(s.redeliver))
	v1.GET("/reviews", s.handle(s.listReviews))
	v1.GET("/webhook-events", s.handle(s.listWebhookEvents))
	v1.GET("/reconciliations", s.handle(s.listReconciliations))
	v1.GET("/receivers", s.handle(s.listReceivers))
	v1.PUT("/receivers/:host", s.handle(s.announceReceivers))

	e.GET("/openapi.yaml", s.serveReference)
	e.POST("/webhooks/athmovil/:secret", s.handle(s.receiveWebhook))
	return e
}

// handle lets a handler return the error that it refuses with.
func (s *Server) handle(h func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := h(c); err != nil {
			s.refuse(c, err)
		}
	}
}

// minSecret is the fewest characters of a webhook secret.
const minSecret = 16

func (cfg Config) validate() error {
	var errs []error
	demand := func(ok bool, text string) {
		if !ok {
			errs = append(errs, fmt.Errorf("api: %s", text))
		}
	}
	demand(cfg.Store != nil, "Store is required")
	demand(cfg.Flows != nil, "Flows is required")
	demand(cfg.Relay != nil, "Relay is required")
	demand(len(cfg.Keys) > 0, "Keys needs one API key at the least")
	for _, key := range cfg.Keys {
		demand(key.Digest != APIKey{}.Digest, "the API key "+key.Name+" has no digest: use DigestAPIKey")
	}
	demand(len(cfg.WebhookSecret.Reveal()) >= minSecret, fmt.Sprintf("WebhookSecret needs %d characters at the least", minSecret))
	demand(cfg.MerchantID != "", "MerchantID is required")
	demand(cfg.Fingerprint != nil, "Fingerprint is required")
	demand(cfg.MinExpiresIn >= 0 && cfg.MinExpiresIn <= payment.MaxExpiresIn,
		fmt.Sprintf("MinExpiresIn must be between 0 and %s", payment.MaxExpiresIn))
	demand(cfg.Wait >= 0, "Wait must not be negative")
	demand(cfg.MaxBody >= 0, "MaxBody must not be negative")
	for _, check := range cfg.Ready {
		demand(check.Name != "" && check.Check != nil, "a Ready check needs a name and a function")
	}
	return errors.Join(errs...)
}

func (cfg *Config) fillDefaults() {
	if cfg.MinExpiresIn == 0 {
		cfg.MinExpiresIn = payment.MinExpiresIn
	}
	if cfg.Wait == 0 {
		cfg.Wait = DefaultWait
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Entropy == nil {
		cfg.Entropy = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Watch == nil {
		cfg.Watch = unwatched{}
	}
}

// now is the present, cut to what the store keeps.
func (s *Server) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }
