package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/private"
)

// APIKey is a bearer key that merchants may use. Only its digest is kept; keys
// are long and random, so a plain SHA-256 is enough.
type APIKey struct {
	Name   string            // for logs, such as "shop-2026"; no secret
	Digest [sha256.Size]byte // see [DigestAPIKey]
}

// DigestAPIKey returns the SHA-256 of a bearer key.
func DigestAPIKey(key private.Token) [sha256.Size]byte {
	return sha256.Sum256([]byte(key.Reveal()))
}

// authenticate lets a request pass that carries one of the keys.
func (s *Server) authenticate(c *gin.Context) error {
	c.Header("Cache-Control", "no-store") // answers hold personal data
	scheme, presented, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || presented == "" {
		return &app.Error{Kind: unauthorized}
	}
	digest := sha256.Sum256([]byte(presented))
	found := false
	for _, key := range s.cfg.Keys { // all of them, so that time tells nothing
		if subtle.ConstantTimeCompare(digest[:], key.Digest[:]) == 1 {
			found = true
			c.Set(logKeyName, key.Name)
		}
	}
	if !found {
		return &app.Error{Kind: unauthorized}
	}
	return nil
}
