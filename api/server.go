package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/private"
)

// DefaultMaxBody is the default of [Config].
const DefaultMaxBody = 64 << 10 // bytes

// Config says what a [Server] works with.
type Config struct {
	// Required fields

	// App is what can be done; HTTP only asks for it.
	App *app.App
	// Relay takes the gateway's events. Who composes the process runs it.
	Relay *relay.Relay
	// Keys are the merchant's bearer keys. At least one is required.
	Keys []APIKey
	// WebhookSecret is the last part of the path that the gateway posts to. It
	// must be unguessable: 16 characters at the least.
	WebhookSecret private.Token

	// Optional fields

	// Stopping is closed when this process stops: from then on it is not ready. Nil
	// means never.
	Stopping <-chan struct{}
	// Ready is what /readyz asks.
	Ready []ReadyCheck
	// Codec is mounted at /codec/ of the operations address; it decrypts for
	// the Temporal UI. Nil means none.
	Codec http.Handler
	// Metrics is served at /metrics of the operations address; nil means none.
	Metrics http.Handler
	// Watch follows requests; nil means that nobody does.
	Watch Watcher
	// MaxBody is the most bytes that a merchant's body may have. Zero means
	// [DefaultMaxBody]. A webhook may have [relay.MaxBody].
	MaxBody int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Entropy is where random ids come from; nil means crypto/rand. It must be
	// safe for concurrent use.
	Entropy io.Reader
	// Logger gets one line for each request; nil means silence.
	Logger *slog.Logger
}

// Server answers HTTP requests. Make one with [New]; it is safe for concurrent
// use and holds nothing that needs closing.
type Server struct {
	cfg      Config
	handler  http.Handler
	webhooks webhookGate
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
	}
	s.handler = s.routes()
	return s, nil
}

// Handler serves merchants under /v1/, their reference at /openapi.yaml and the
// gateway under /webhooks/athmovil/. Keep it off the operations address.
func (s *Server) Handler() http.Handler { return s.handler }

// routes is the whole address space of [Server.Handler].
func (s *Server) routes() http.Handler {
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false // a redirect would drop the body of a POST
	e.ForwardedByClientIP = false   // anybody can write X-Forwarded-For
	e.Use(s.observe, s.recover, s.boundHeaders)
	e.NoRoute(s.handle(func(*gin.Context) error { return &app.Error{Kind: noRoute} }))
	e.NoMethod(s.handle(func(*gin.Context) error { return &app.Error{Kind: methodNotAllowed} }))

	v1 := e.Group("/v1", s.handle(s.authenticate), s.handle(refuseQueryOfWrites))
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
	e.POST("/webhooks/athmovil/:secret/", s.handle(s.receiveWebhook)) // as it may have been pasted into the app
	return e
}

// maxHeaders is the most bytes that the address and the headers of a request may
// have. What net/http itself refuses, it answers without a problem document.
const maxHeaders = 32 << 10

// boundHeaders refuses a request whose address and headers are too long.
func (s *Server) boundHeaders(c *gin.Context) {
	size := len(c.Request.RequestURI)
	for name, values := range c.Request.Header {
		for _, value := range values {
			size += len(name) + len(": ") + len(value) + len("\r\n")
		}
	}
	if size > maxHeaders {
		s.refuse(c, &app.Error{Kind: headersTooLarge})
	}
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
	demand(cfg.App != nil, "App is required")
	demand(cfg.Relay != nil, "Relay is required")
	demand(len(cfg.Keys) > 0, "Keys needs one API key at the least")
	for _, key := range cfg.Keys {
		demand(key.Digest != APIKey{}.Digest, "the API key "+key.Name+" has no digest: use DigestAPIKey")
	}
	demand(len(cfg.WebhookSecret.Reveal()) >= minSecret, fmt.Sprintf("WebhookSecret needs %d characters at the least", minSecret))
	demand(cfg.MaxBody >= 0, "MaxBody must not be negative")
	for _, check := range cfg.Ready {
		demand(check.Name != "" && check.Check != nil, "a Ready check needs a name and a function")
	}
	return errors.Join(errs...)
}

func (cfg *Config) fillDefaults() {
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
