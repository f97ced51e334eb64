package athmovilsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// tokenLife is how long an auth token is valid in the official sample
// (docs/athmovil.md §2). That is longer than a ticket's default timeout and shorter
// than a long one.
const tokenLife = 900 * time.Second

// tokenIssuer and tokenScope are claims of the official samples.
const (
	tokenIssuer = "Process Payment"
	tokenScope  = "customer.business.ecommerce.authorization:write"
)

// authClaims are the claims of an auth token, as decoded from the samples of
// docs/athmovil.md §2.
type authClaims struct {
	Subject     string           `json:"sub"` // 96 hex digits, which only the gateway maps to the ticket
	FiID        string           `json:"fiId"`
	NotBefore   *jwt.NumericDate `json:"nbf"`
	Azp         []string         `json:"azp"`
	Permissions []string         `json:"permissions"`
	Scopes      []string         `json:"scopes"`
	Issuer      string           `json:"iss"`
	ExpiresAt   *jwt.NumericDate `json:"exp"`
	IssuedAt    *jwt.NumericDate `json:"iat"`
}

func (c authClaims) GetExpirationTime() (*jwt.NumericDate, error) { return c.ExpiresAt, nil }
func (c authClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.IssuedAt, nil }
func (c authClaims) GetNotBefore() (*jwt.NumericDate, error)      { return c.NotBefore, nil }
func (c authClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c authClaims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c authClaims) GetAudience() (jwt.ClaimStrings, error)       { return nil, nil }

// sign returns the auth token of a ticket.
func (s *Simulator) sign(subject string, now time.Time) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, authClaims{
		Subject:     subject,
		NotBefore:   jwt.NewNumericDate(now),
		Azp:         []string{},
		Permissions: []string{tokenScope},
		Scopes:      []string{tokenScope},
		Issuer:      tokenIssuer,
		ExpiresAt:   jwt.NewNumericDate(now.Add(tokenLife)),
		IssuedAt:    jwt.NewNumericDate(now),
	})
	token.Header["kid"] = keyID(s.key)
	signed, err := token.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("sign auth token: %w", err)
	}
	return signed, nil
}

// bearer returns the ticket of an Authorization header, or the refusal of
// docs/athmovil.md §1.3. The lock is held.
func (s *Simulator) bearer(header http.Header, now time.Time) (ticket, error) {
	value := header.Get("Authorization")
	if value == "" {
		return ticket{}, refuse(codeNoHeader)
	}
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return ticket{}, refuse(codeBadCredentials)
	}
	var claims authClaims
	_, err := jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodRS256.Alg()}),
		jwt.WithTimeFunc(func() time.Time { return now }),
	).ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return &s.key.PublicKey, nil })
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) && s.config.Settings.ExpiredTokenIs0402:
		return ticket{}, refuse(codeAuthTokenExpired)
	case errors.Is(err, jwt.ErrTokenExpired):
		return ticket{}, refuse(codeTokenExpired, claims.ExpiresAt.In(puertoRico).Format(tokenTime))
	case err != nil:
		return ticket{}, refuse(codeBadToken)
	}
	id, known := s.state.subjects[claims.Subject]
	if !known {
		return ticket{}, refuse(codeTokenOfOther)
	}
	return s.state.tickets[id], nil
}

// newSigningKey encodes key, or a new one if key is nil.
func newSigningKey(key *rsa.PrivateKey) ([]byte, error) {
	if key == nil {
		var err error
		if key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, fmt.Errorf("generate signing key: %w", err)
		}
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

func parseSigningKey(encoded []byte) (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(encoded)
	if err != nil {
		return nil, fmt.Errorf("signing key in the journal: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key in the journal: %T is not an RSA key", parsed)
	}
	return key, nil
}

// keyID names the key in a token's header.
func keyID(key *rsa.PrivateKey) string {
	digest := sha256.Sum256(key.N.Bytes())
	return hex.EncodeToString(digest[:8])
}

// newSubject returns the 96 hex digits of a new token's subject.
func newSubject() string {
	var random [48]byte
	_, _ = rand.Read(random[:]) // never returns an error
	return hex.EncodeToString(random[:])
}

// newReference returns a new reference number, such as
// 1024264030-8a36d6ba967ef82501968c5eb7376349 (docs/athmovil.md §3). It is random
// even with a seed, because a restart must not repeat one.
func newReference() string {
	digits, err := rand.Int(rand.Reader, big.NewInt(900_000_000))
	if err != nil {
		digits = big.NewInt(0) // the other half is unique
	}
	id := uuid.New()
	return fmt.Sprintf("%d-%s", digits.Int64()+100_000_000, hex.EncodeToString(id[:]))
}
