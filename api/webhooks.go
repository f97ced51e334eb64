package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/relay"
	"github.com/cobropay/cobro/payment"
	"github.com/cobropay/cobro/private"
)

// receiveWebhook answers POST /webhooks/athmovil/{secret}, once the event is
// durable.
func (s *Server) receiveWebhook(c *gin.Context) error {
	if err := s.webhooks.admit(c.Param("secret"), c.Request.RemoteAddr); err != nil {
		return err
	}
	body, err := readAtMost(c, relay.MaxBody)
	if refused, ok := errors.AsType[*app.Error](err); ok && refused.Kind == bodyTooLarge {
		if err := s.cfg.Relay.ReceiveTooLarge(c.Request.Context(), body, worthKeeping(c.Request)); err != nil {
			return app.Unavailable(err)
		}
	}
	if err != nil {
		return err
	}
	malformed, err := s.cfg.Relay.Receive(c.Request.Context(), body, worthKeeping(c.Request))
	switch {
	case err != nil:
		return app.Unavailable(err)
	case malformed:
		return &app.Error{Kind: bodyMalformed, Fields: payment.FieldErrors{{Field: "body", Rule: ruleObject()}}}
	default:
		c.Status(http.StatusOK)
		return nil
	}
}

// worthKeeping returns what may help to find out who sent a webhook.
func worthKeeping(r *http.Request) map[string]string {
	kept := map[string]string{"Remote-Addr": r.RemoteAddr}
	for _, name := range []string{
		"Content-Type", "User-Agent", "Date", "Forwarded", "X-Forwarded-For", "X-Real-Ip", "X-Request-Id", "Via",
	} {
		if values := r.Header.Values(name); len(values) > 0 {
			kept[name] = strings.Join(values, ", ")
		}
	}
	return kept
}

// Wrong secrets: each address may try a few, and then one in a while.
const (
	wrongSecrets     = 10
	wrongSecretEvery = 10 * time.Second
	// maxAddresses bounds the memory that strangers can take.
	maxAddresses = 4096
)

// webhookGate tells the gateway from strangers by the secret in the path. Only
// wrong secrets are counted, so strangers behind the gateway's own proxy never
// keep it out. It is safe for concurrent use.
type webhookGate struct {
	digest [sha256.Size]byte
	now    func() time.Time

	mu    *sync.Mutex
	tries map[netip.Prefix]*rate.Limiter // guarded by mu
}

func newWebhookGate(secret private.Token, now func() time.Time) webhookGate {
	return webhookGate{
		digest: sha256.Sum256([]byte(secret.Reveal())), now: now,
		mu: new(sync.Mutex), tries: map[netip.Prefix]*rate.Limiter{},
	}
}

// admit returns nil for the right secret. A wrong one looks like any address
// where nothing is. Digests are compared, so that time tells not even the
// secret's length.
func (g webhookGate) admit(secret, remote string) error {
	presented := sha256.Sum256([]byte(secret))
	switch {
	case subtle.ConstantTimeCompare(presented[:], g.digest[:]) == 1:
		return nil
	case g.allow(network(remote)):
		return &app.Error{Kind: noRoute}
	default:
		return &app.Error{Kind: rateLimited, RetryAfter: wrongSecretEvery}
	}
}

func (g webhookGate) allow(from netip.Prefix) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	limiter, ok := g.tries[from]
	if !ok {
		if len(g.tries) >= maxAddresses {
			for other := range g.tries { // any one will do
				delete(g.tries, other)
				break
			}
		}
		limiter = rate.NewLimiter(rate.Every(wrongSecretEvery), wrongSecrets)
		g.tries[from] = limiter
	}
	return limiter.AllowN(g.now(), 1)
}

// network returns what one sender can hardly leave: an IPv4 address, or the /64
// of an IPv6 one. What cannot be read shares one entry.
func network(remote string) netip.Prefix {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := address.Addr().Unmap(), 32
	if ip.Is6() {
		bits = 64
	}
	prefix, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
