package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/catalog"
	"github.com/cobropay/cobro/payment"
)

// Kinds of refusal that only HTTP has. Those of the use cases are [app.Kind]'s.
const (
	bodyMalformed    app.Kind = "body_malformed"
	parameterInvalid app.Kind = "parameter_invalid"
	keyMalformed     app.Kind = "idempotency_key_malformed"
	unauthorized     app.Kind = "unauthorized"
	noRoute          app.Kind = "not_found"
	methodNotAllowed app.Kind = "method_not_allowed"
	bodyTooLarge     app.Kind = "body_too_large"
	headersTooLarge  app.Kind = "headers_too_large"
	mediaType        app.Kind = "unsupported_media_type"
	rateLimited      app.Kind = "rate_limited"
)

// statusClientGone is what logs and metrics show where the client hung up: it is
// no error of the server's.
const statusClientGone = 499

// statusOf is the one table from refusals to statuses.
func statusOf(k app.Kind) int {
	switch k {
	case bodyMalformed, parameterInvalid, keyMalformed, app.KindKeyRequired:
		return http.StatusBadRequest
	case unauthorized:
		return http.StatusUnauthorized
	case noRoute, app.KindPaymentNotFound, app.KindRefundNotFound, app.KindNotificationNotFound:
		return http.StatusNotFound
	case methodNotAllowed:
		return http.StatusMethodNotAllowed
	case app.KindReferenceInUse, app.KindNotCancellable, app.KindPaymentEnded, app.KindPhoneDeclined, app.KindNotCompleted,
		app.KindRefundInProgress, app.KindRefundExceeds, app.KindNotInReview, app.KindReviewContradicted:
		return http.StatusConflict
	case bodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case headersTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case mediaType:
		return http.StatusUnsupportedMediaType
	case app.KindInvalid, app.KindKeyReused, app.KindDeclined:
		return http.StatusUnprocessableEntity
	case rateLimited:
		return http.StatusTooManyRequests
	case app.KindGatewayUnavailable, app.KindUnavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// codeOf is what programs read: stable, documented, never renamed.
func codeOf(k app.Kind) string {
	if k == app.KindPhoneDeclined { // which only has texts of its own
		k = app.KindDeclined
	}
	return string(k)
}

// refusalOf finds the refusal in an error. What it does not know is internal.
func refusalOf(err error) *app.Error {
	var refusal *app.Error
	if errors.As(err, &refusal) {
		return refusal
	}
	return &app.Error{Kind: app.KindInternal, Err: err}
}

// document is a problem document (RFC 9457). Members that say nothing of a case
// are absent.
type document struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Code      string       `json:"code"`
	RequestID string       `json:"request_id"`
	Errors    []brokenRule `json:"errors,omitempty"`

	PaymentID      string         `json:"payment_id,omitempty"`
	RefundID       string         `json:"refund_id,omitempty"` // the refund in the way, or in review
	PaymentStatus  payment.Status `json:"payment_status,omitempty"`
	Left           string         `json:"left,omitempty"` // what can still be refunded
	GatewayCode    string         `json:"gateway_code,omitempty"`
	GatewayMessage string         `json:"gateway_message,omitempty"`
}

// brokenRule is a field and its rule in the language of the answer.
type brokenRule struct {
	Field string `json:"field"`
	Rule  string `json:"rule"`
}

// refuse answers with a problem document, and leaves the cause for the log.
func (s *Server) refuse(c *gin.Context, err error) {
	e := refusalOf(err)
	status, code := statusOf(e.Kind), codeOf(e.Kind)
	if status == http.StatusServiceUnavailable && errors.Is(c.Request.Context().Err(), context.Canceled) {
		status = statusClientGone
	}
	c.Set(logCode, code)
	if e.Err != nil {
		c.Set(logCause, e.Err)
	}
	c.Abort()
	if c.Writer.Written() {
		return // a panic in the middle of an answer: there is no other answer left
	}
	language := catalog.Match(c.GetHeader("Accept-Language"))
	title, detail := catalog.Problem(language, string(e.Kind))
	d := document{
		Type: "urn:cobro:problem:" + code, Title: title, Status: status, Detail: detail,
		Code: code, RequestID: c.GetString(logRequestID),
		PaymentID: e.PaymentID, RefundID: e.RefundID, PaymentStatus: e.Status,
		GatewayCode: e.GatewayCode, GatewayMessage: e.GatewayMessage,
	}
	for _, f := range e.Fields {
		d.Errors = append(d.Errors, brokenRule{f.Field, catalog.Rule(language, f.Rule)})
	}
	if e.Kind == app.KindRefundExceeds {
		d.Left = e.Left.String()
	}
	body, err := json.Marshal(d)
	if err != nil { // no value of document can cause it
		c.Set(logCause, err)
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Header("Content-Language", language.String())
	c.Header("Vary", "Accept-Language")
	if e.Kind == unauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="cobro"`)
	}
	if e.RetryAfter > 0 {
		c.Header("Retry-After", strconv.FormatInt(int64(e.RetryAfter.Seconds()), 10))
	}
	c.Data(status, "application/problem+json", append(body, '\n'))
}
