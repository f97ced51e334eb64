package outbound

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cobropay/cobro/private"
)

// The format of a secret in the Standard Webhooks specification.
const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes
	maxSecret    = 64 // bytes
	newSecret    = 32 // bytes of a new one
)

// NewSecret makes a secret from 32 bytes of entropy.
func NewSecret(entropy io.Reader) (private.Token, error) {
	key := make([]byte, newSecret)
	if _, err := io.ReadFull(entropy, key); err != nil {
		return private.Token{}, err
	}
	return private.NewToken(secretPrefix + base64.StdEncoding.EncodeToString(key)), nil
}

// parseSecret checks the format of a secret. It ignores white space around it,
// because a file ends with a newline.
func parseSecret(text string) (private.Token, error) {
	text = strings.TrimSpace(text)
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return private.Token{}, errors.New(`must begin with "whsec_" ("cobro endpoint secret" makes one), "file:/" or "env:"`)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return private.Token{}, errors.New(`after "whsec_" it must be base64 with padding: "cobro endpoint secret" makes one`)
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return private.Token{}, fmt.Errorf(`must have %d to %d bytes, and this one has %d: "cobro endpoint secret" makes one`, minSecret, maxSecret, len(key))
	}
	return private.NewToken(text), nil
}
