package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// reference describes everything under /v1 (OpenAPI 3.1). Tests hold it to what
// the server does.
//
//go:embed openapi.yaml
var reference []byte

// serveReference answers GET /openapi.yaml, with 304 where the client has it
// already. It is asked for each time, since an upgrade changes it.
func (s *Server) serveReference(c *gin.Context) {
	digest := sha256.Sum256(reference)
	c.Header("Content-Type", "application/yaml")
	c.Header("Cache-Control", "no-cache")
	c.Header("ETag", `"`+hex.EncodeToString(digest[:16])+`"`)
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(reference))
}
