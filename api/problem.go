package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/cobropay/cobro/internal/catalog"
	"github.com/cobropay/cobro/internal/ledger"
	"github.com/cobropay/cobro/payment"
)

// problemKind is a row of the table in [problemKind.row].
type problemKind int

const (
	internal problemKind = iota // the zero value, for what nobody expected
	bodyMalformed
	parameterInvalid
	keyMalformed
	keyRequired
	unauthorized
	noRoute
	paymentNotFound
	methodNotAllowed
	referenceInUse
	notCancellable
	notCompleted
	paymentEnded
	phoneDeclined
	refundInProgress
	refundExceeds
	refundNotFound
	notificationNotFound
	notInReview
	reviewContradicted
	bodyTooLarge
	mediaType
	invalid
	keyReused
	declined
	rateLimited
	gatewayUnavailable
	unavailable
)

// row is what a problem document says in every case.
type row struct {
	status int
	code   string // for programs: stable, documented, never renamed
	texts  string // their key in the catalog, where it is not the code
}

// row is the one table from errors to answers.
func (k problemKind) row() row {
	switch k {
	case bodyMalformed:
		return row{status: http.StatusBadRequest, code: "body_malformed"}
	case parameterInvalid:
		return row{status: http.StatusBadRequest, code: "parameter_invalid"}
	case keyMalformed:
		return row{status: http.StatusBadRequest, code: "idempotency_key_malformed"}
	case keyRequired:
		return row{status: http.StatusBadRequest, code: "idempotency_key_required"}
	case unauthorized:
		return row{status: http.StatusUnauthorized, code: "unauthorized"}
	case noRoute:
		return row{status: http.StatusNotFound, code: "not_found"}
	case paymentNotFound:
		return row{status: http.StatusNotFound, code: "payment_not_found"}
	case refundNotFound:
		return row{status: http.StatusNotFound, code: "refund_not_found"}
	case notificationNotFound:
		return row{status: http.StatusNotFound, code: "notification_not_found"}
	case notInReview:
		return row{status: http.StatusConflict, code: "not_in_review"}
	case reviewContradicted:
		return row{status: http.StatusConflict, code: "review_contradicted"}
	case methodNotAllowed:
		return row{status: http.StatusMethodNotAllowed, code: "method_not_allowed"}
	case referenceInUse:
		return row{status: http.StatusConflict, code: "payment_in_progress"}
	case notCancellable:
		return row{status: http.StatusConflict, code: "payment_not_cancellable"}
	case notCompleted:
		return row{status: http.StatusConflict, code: "payment_not_completed"}
	case paymentEnded:
		return row{status: http.StatusConflict, code: "payment_ended"}
	case phoneDeclined:
		return row{status: http.StatusConflict, code: "gateway_declined", texts: "phone_number_declined"}
	case refundInProgress:
		return row{status: http.StatusConflict, code: "refund_in_progress"}
	case refundExceeds:
		return row{status: http.StatusConflict, code: "refund_exceeds_balance"}
	case bodyTooLarge:
		return row{status: http.StatusRequestEntityTooLarge, code: "body_too_large"}
	case mediaType:
		return row{status: http.StatusUnsupportedMediaType, code: "unsupported_media_type"}
	case invalid:
		return row{status: http.StatusUnprocessableEntity, code: "validation_failed"}
	case keyReused:
		return row{status: http.StatusUnprocessableEntity, code: "idempotency_key_reused"}
	case declined:
		return row{status: http.StatusUnprocessableEntity, code: "gateway_declined"}
	case rateLimited:
		return row{status: http.StatusTooManyRequests, code: "rate_limited"}
	case gatewayUnavailable:
		return row{status: http.StatusServiceUnavailable, code: "gateway_unavailable"}
	case unavailable:
		return row{status: http.StatusServiceUnavailable, code: "temporarily_unavailable"}
	case internal:
		fallthrough
	default:
		return row{status: http.StatusInternalServerError, code: "internal"}
	}
}

// problem is an error that knows its answer: a row of the table, and what is
// true of this case alone.
type problem struct {
	kind       problemKind
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
	code := p.kind.row().code
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
	var fields payment.FieldErrors
	var refusal *payment.RefundRefusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &fields):
		return &problem{kind: invalid, fields: fields}
	case errors.As(err, &refusal):
		return problemOfRefusal(refusal)
	case errors.As(err, &tooLarge):
		return &problem{kind: bodyTooLarge, fields: payment.FieldErrors{{Field: "body", Rule: ruleBytes(tooLarge.Limit)}}}
	case errors.Is(err, ledger.ErrNotFound):
		return &problem{kind: paymentNotFound}
	case errors.Is(err, ErrUnavailable), errors.Is(err, ErrStillWorking),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &problem{kind: unavailable, retryAfter: retrySoon, cause: err}
	default:
		return &problem{kind: internal, cause: err}
	}
}

// fromStore marks an error of the store as one that time may heal. What the
// store does not know is no such error.
func fromStore(err error) error {
	if err == nil || errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	return &problem{kind: unavailable, retryAfter: retrySoon, cause: err}
}

func problemOfRefusal(refusal *payment.RefundRefusal) *problem {
	switch refusal.Code {
	case payment.RefusedNoPayment:
		return &problem{kind: paymentNotFound}
	case payment.RefusedNotCompleted:
		return &problem{kind: notCompleted, members: members{PaymentStatus: refusal.Status}}
	case payment.RefusedInProgress, payment.RefusedHeld:
		return &problem{kind: refundInProgress, retryAfter: retrySoon, members: members{RefundID: refusal.Blocking}}
	case payment.RefusedExceeds:
		return &problem{kind: refundExceeds, members: members{Left: refusal.Left.String()}}
	case payment.RefusedKeyReused:
		return &problem{kind: keyReused}
	default:
		return &problem{kind: internal, cause: refusal}
	}
}

// problemOfOpening returns the answer to a payment that failed before the
// gateway made a ticket.
func problemOfOpening(p payment.Payment) *problem {
	about := members{PaymentID: p.ID, PaymentStatus: p.Status}
	if p.Failure == nil {
		return &problem{kind: declined, members: about}
	}
	switch p.Failure.Code {
	case payment.FailureGatewayUnavailable, payment.FailureGatewayNoAnswer, payment.FailureStale:
		return &problem{kind: gatewayUnavailable, retryAfter: retrySoon, members: about}
	case payment.FailureReferenceInUse:
		return &problem{kind: referenceInUse} // about the other payment, whose id the caller adds
	default:
		about.GatewayCode, about.GatewayMessage = p.Failure.Code, p.Failure.Message
		return &problem{kind: declined, members: about}
	}
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
	r := p.kind.row()
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
