package temporalclient

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

// maxCodecBody is the most bytes that a request to the codec endpoint may have.
// The Temporal server takes at most 2 MiB for one payload, and the UI sends all
// payloads of one event together.
const maxCodecBody = 8 << 20

// CodecAccess says who may decrypt with [CodecHandler].
type CodecAccess struct {
	// Origins are the web pages that may, such as "http://127.0.0.1:8233",
	// without a path. They are no access control by themselves: a client that is
	// not a browser sends no origin.
	Origins []string
	// Token must be sent as a bearer token, or as the password of HTTP Basic
	// with any user name. With the zero token, everybody who reaches the address
	// may decrypt.
	Token private.Token
}

// CodecHandler serves POST …/decode and POST …/encode, so that the Temporal UI
// and the temporal command can show encrypted payloads in clear.
//
// The temporal command sends the token with --codec-auth "Bearer …". The UI has
// two ways. With "pass access token" it sends the token of the person's own
// login, to https addresses only: a proxy in front of this handler has to verify
// that token and send ours instead. With "include cross-origin credentials" it
// sends the password that the browser has saved for this address: open GET … once
// in the same browser, and it asks for that password.
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
		if r.Method == http.MethodOptions { // a preflight request never has credentials
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
			_, _ = io.WriteString(w, "This browser may decode payloads now. Go back to the Temporal UI.\n") // the client is gone
		case r.ContentLength > maxCodecBody:
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxCodecBody)
			codecs.ServeHTTP(w, r)
		}
	})
}

// admits compares digests, so that the time it takes does not even show the
// token's length.
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
