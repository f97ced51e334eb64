package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/app"
	"github.com/cobropay/cobro/internal/catalog"
	"github.com/cobropay/cobro/payment"
)

// Kinds of refusal that only HTTP has. Those of the use cases are [app.Kind]'s.
const (
	bodyMalformed    app.Kind = "body_malformed"
	parameterInvalid app.Kind = "parameter_invalid"
	keyMalformed     app.Kind = "key_malformed"
	unauthorized     app.Kind = "unauthorized"
	noRoute          app.Kind = "no_route"
	methodNotAllowed app.Kind = "method_not_allowed"
	bodyTooLarge     app.Kind = "body_too_large"
	mediaType        app.Kind = "media_type"
	rateLimited      app.Kind = "rate_limited"
)

// row is what a problem document says in every case.
type row struct {
	status int
	code   string // for programs: stable, documented, never renamed
	texts  string // their key in the catalog, where it is not the code
}

// rowOf is the one table from errors to answers.
func rowOf(k app.Kind) row {
	switch k {
	case bodyMalformed:
		return row{status: http.StatusBadRequest, code: "body_malformed"}
	case parameterInvalid:
		return row{status: http.StatusBadRequest, code: "parameter_invalid"}
	case keyMalformed:
		return row{status: http.StatusBadRequest, code: "idempotency_key_malformed"}
	case app.KindKeyRequired:
		return row{status: http.StatusBadRequest, code: "idempotency_key_required"}
	case unauthorized:
		return row{status: http.StatusUnauthorized, code: "unauthorized"}
	case noRoute:
		return row{status: http.StatusNotFound, code: "not_found"}
	case app.KindPaymentNotFound:
		return row{status: http.StatusNotFound, code: "payment_not_found"}
	case app.KindRefundNotFound:
		return row{status: http.StatusNotFound, code: "refund_not_found"}
	case app.KindNotificationNotFound:
		return row{status: http.StatusNotFound, code: "notification_not_found"}
	case app.KindNotInReview:
		return row{status: http.StatusConflict, code: "not_in_review"}
	case app.KindReviewContradicted:
		return row{status: http.StatusConflict, code: "review_contradicted"}
	case methodNotAllowed:
		return row{status: http.StatusMethodNotAllowed, code: "method_not_allowed"}
	case app.KindReferenceInUse:
		return row{status: http.StatusConflict, code: "payment_in_progress"}
	case app.KindNotCancellable:
		return row{status: http.StatusConflict, code: "payment_not_cancellable"}
	case app.KindNotCompleted:
		return row{status: http.StatusConflict, code: "payment_not_completed"}
	case app.KindPaymentEnded:
		return row{status: http.StatusConflict, code: "payment_ended"}
	case app.KindPhoneDeclined:
		return row{status: http.StatusConflict, code: "gateway_declined", texts: "phone_number_declined"}
	case app.KindRefundInProgress:
		return row{status: http.StatusConflict, code: "refund_in_progress"}
	case app.KindRefundExceeds:
		return row{status: http.StatusConflict, code: "refund_exceeds_balance"}
	case bodyTooLarge:
		return row{status: http.StatusRequestEntityTooLarge, code: "body_too_large"}
	case mediaType:
		return row{status: http.StatusUnsupportedMediaType, code: "unsupported_media_type"}
	case app.KindInvalid:
		return row{status: http.StatusUnprocessableEntity, code: "validation_failed"}
	case app.KindKeyReused:
		return row{status: http.StatusUnprocessableEntity, code: "idempotency_key_reused"}
	case app.KindDeclined:
		return row{status: http.StatusUnprocessableEntity, code: "gateway_declined"}
	case rateLimited:
		return row{status: http.StatusTooManyRequests, code: "rate_limited"}
	case app.KindGatewayUnavailable:
		return row{status: http.StatusServiceUnavailable, code: "gateway_unavailable"}
	case app.KindUnavailable:
		return row{status: http.StatusServiceUnavailable, code: "temporarily_unavailable"}
	case app.KindInternal:
		fallthrough
	default:
		return row{status: http.StatusInternalServerError, code: "internal"}
	}
}

// problem is an error that knows its answer: a row of the table, and what is
// true of this case alone.
type problem struct {
	kind       app.Kind
	fields     payment.FieldErrors
	members    members
	retryAfter time.Duration // where waiting may help
	cause      error         // for the log; never shown
}

// members are what some problem documents say beside RFC 9457's own members.
type members struct {
	PaymentID      string         `json:"payment_id,omitempty"`
	RefundID       string         `json:"refund_id,omitempty"` // the refund in the way, or in review
	PaymentStatus  payment.Status `json:"payment_status,omitempty"`
	Left           string         `json:"left,omitempty"` // what can still be refunded
	GatewayCode    string         `json:"gateway_code,omitempty"`
	GatewayMessage string         `json:"gateway_message,omitempty"`
}

// Error implements error.
func (p *problem) Error() string {
	code := rowOf(p.kind).code
	if p.cause != nil {
		return code + ": " + p.cause.Error()
	}
	return code
}

// Unwrap returns the cause.
func (p *problem) Unwrap() error { return p.cause }

// retrySoon is what Retry-After says where nobody knows better.
const retrySoon = 5 * time.Second

// problemOf finds the answer to an error. What it does not know is internal.
func problemOf(err error) *problem {
	var known *problem
	var refusal *app.Error
	var fields payment.FieldErrors
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &refusal):
		return problemOfRefusal(refusal)
	case errors.As(err, &fields):
		return &problem{kind: app.KindInvalid, fields: fields}
	case errors.As(err, &tooLarge):
		return &problem{kind: bodyTooLarge, fields: payment.FieldErrors{{Field: "body", Rule: ruleBytes(tooLarge.Limit)}}}
	default:
		return &problem{kind: app.KindInternal, cause: err}
	}
}

func problemOfRefusal(e *app.Error) *problem {
	p := &problem{kind: e.Kind, fields: e.Fields, retryAfter: e.RetryAfter, cause: e.Err, members: members{
		PaymentID: e.PaymentID, RefundID: e.RefundID, PaymentStatus: e.Status,
		GatewayCode: e.GatewayCode, GatewayMessage: e.GatewayMessage,
	}}
	if e.Kind == app.KindRefundExceeds {
		p.members.Left = e.Left.String()
	}
	return p
}

// document is a problem document (RFC 9457).
type document struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Code      string       `json:"code"`
	RequestID string       `json:"request_id"`
	Errors    []brokenRule `json:"errors,omitempty"`
	members
}

// brokenRule is a field and its rule in the language of the answer.
type brokenRule struct {
	Field string `json:"field"`
	Rule  string `json:"rule"`
}

// refuse answers with a problem document, and leaves the cause for the log.
func (s *Server) refuse(c *gin.Context, err error) {
	p := problemOf(err)
	r := rowOf(p.kind)
	c.Set(logCode, r.code)
	if p.cause != nil {
		c.Set(logCause, p.cause)
	}
	c.Abort()
	if c.Writer.Written() {
		return // a panic in the middle of an answer: there is no other answer left
	}
	language := catalog.Match(c.GetHeader("Accept-Language"))
	title, detail := catalog.Problem(language, cmp.Or(r.texts, r.code))
	broken := make([]brokenRule, len(p.fields))
	for i, f := range p.fields {
		broken[i] = brokenRule{f.Field, catalog.Rule(language, f.Rule)}
	}
	body, err := json.Marshal(document{
		Type: "urn:cobro:problem:" + r.code, Title: title, Status: r.status, Detail: detail,
		Code: r.code, RequestID: c.GetString(logRequestID), Errors: broken, members: p.members,
	})
	if err != nil { // no value of document can cause it
		c.Set(logCause, err)
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Header("Content-Language", language.String())
	c.Header("Vary", "Accept-Language")
	if p.kind == unauthorized {
		c.Header("WWW-Authenticate", `Bearer realm="cobro"`)
	}
	if p.retryAfter > 0 {
		c.Header("Retry-After", strconv.FormatInt(int64(p.retryAfter.Seconds()), 10))
	}
	c.Data(r.status, "application/problem+json", body)
}
