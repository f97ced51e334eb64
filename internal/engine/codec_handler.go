package engine

import (
	"net/http"
	"slices"

	"go.temporal.io/sdk/converter"
)

// maxCodecBody bounds a request to the codec endpoint, in bytes. The server
// takes 2 MiB a payload at most, and the UI sends those of one event together.
const maxCodecBody = 8 << 20

// CodecHandler serves POST …/decode and POST …/encode, by which the Temporal UI
// and the temporal command show encrypted payloads in clear.
//
// A browser may call it from the allowed origins only ("http://127.0.0.1:8233",
// without a path). That is no access control: whoever can send a request without
// a browser reads everything, so serve it on a loopback address or behind
// authentication.
func CodecHandler(sealer Sealer, allowedOrigins []string) http.Handler {
	codecs := converter.NewPayloadCodecHTTPHandler(codec{sealer})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" {
			if !slices.Contains(allowedOrigins, origin) {
				http.Error(w, "this origin may not decode payloads", http.StatusForbidden)
				return
			}
			header.Set("Access-Control-Allow-Origin", origin)
			header.Set("Access-Control-Allow-Credentials", "true")
		}
		switch {
		case r.Method == http.MethodOptions:
			header.Set("Access-Control-Allow-Methods", http.MethodPost)
			header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
			header.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
		case r.ContentLength > maxCodecBody:
			http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxCodecBody)
			codecs.ServeHTTP(w, r)
		}
	})
}
