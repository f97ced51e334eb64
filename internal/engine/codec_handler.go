package engine

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"slices"
	"strings"

	"go.temporal.io/sdk/converter"

	"github.com/cobropay/cobro/private"
)

// maxCodecBody bounds a request to the codec endpoint, in bytes. The server
// takes 2 MiB a payload at most, and the UI sends those of one event together.
const maxCodecBody = 8 << 20

// CodecAccess says who may decrypt through [CodecHandler].
type CodecAccess struct {
	// Origins are the pages that may, such as "http://127.0.0.1:8233", without
	// a path. That alone is no access control: whoever can send a request
	// without a browser is not asked for an origin.
	Origins []string
	// Token must be presented as a bearer token, or as the password of HTTP
	// Basic under any name. The zero token lets everybody in who reaches the
	// address.
	Token private.Token
}

// CodecHandler serves POST …/decode and POST …/encode, by which the Temporal UI
// and the temporal command show encrypted payloads in clear.
//
// The temporal command presents the token with --codec-auth "Bearer …". The UI
// has two ways. With "pass access token" it sends the token of the person's own
// login, to https addresses only: something in front of this handler has to
// verify that one and present ours. With "include cross-origin credentials" it
// sends what the browser was told for this address: open GET … once in the same
// browser, and it asks for the password.
func CodecHandler(sealer Sealer, access CodecAccess) http.Handler {
	codecs := converter.NewPayloadCodecHTTPHandler(codec{sealer})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" {
			if !slices.Contains(access.Origins, origin) {
				http.Error(w, "this origin may not decode payloads: COBRO_CODEC_ORIGINS lists those that may", http.StatusForbidden)
				return
			}
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Allow-Credentials", "true")
		}
		if r.Method == http.MethodOptions { // a browser asks first, and never with credentials
			header.Set("Access-Control-Allow-Methods", http.MethodPost)
			header.Set("Access-Control-Allow-Headers", "Authorization, Authorization-Extras, Content-Type, X-Namespace")
			header.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		switch {
		case !access.admits(r):
			header.Set("WWW-Authenticate", `Basic realm="Cobro codec", charset="UTF-8"`)
			http.Error(w, "present COBRO_CODEC_TOKEN as a bearer token or as a password", http.StatusUnauthorized)
		case r.Method == http.MethodGet && (r.URL.Path == "/" || r.URL.Path == ""):
			_, _ = io.WriteString(w, "This browser may decode payloads now. Go back to the Temporal UI.\n") // whoever asked has hung up
		case r.ContentLength > maxCodecBody:
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxCodecBody)
			codecs.ServeHTTP(w, r)
		}
	})
}

// admits compares digests, so that time tells not even the token's length.
func (a CodecAccess) admits(r *http.Request) bool {
	if a.Token.IsZero() {
		return true
	}
	_, presented, basic := r.BasicAuth()
	if scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " "); !basic && strings.EqualFold(scheme, "Bearer") {
		presented = bearer
	}
	want, got := sha256.Sum256([]byte(a.Token.Reveal())), sha256.Sum256([]byte(presented))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}
