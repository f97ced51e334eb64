package api

import (
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
	en, es text
}

// text is what a problem document says to people.
type text struct{ title, detail string }

// row is the one table from errors to answers.
func (k problemKind) row() row {
	switch k {
	case bodyMalformed:
		return row{http.StatusBadRequest, "body_malformed",
			text{"The body cannot be read", "Send one JSON object in UTF-8, with each member once and nothing after it."},
			text{"No se puede leer el cuerpo", "Envía un solo objeto JSON en UTF-8, con cada campo una vez y nada después."}}
	case parameterInvalid:
		return row{http.StatusBadRequest, "parameter_invalid",
			text{"A query parameter cannot be used", "Correct the parameters listed in errors."},
			text{"Un parámetro no se puede usar", "Corrige los parámetros indicados en errors."}}
	case keyMalformed:
		return row{http.StatusBadRequest, "idempotency_key_malformed",
			text{"The Idempotency-Key cannot be read", "Send one header with 1 to 255 printable ASCII characters, bare or in double quotes."},
			text{"No se puede leer la Idempotency-Key", "Envía una sola cabecera de 1 a 255 caracteres ASCII imprimibles, con o sin comillas dobles."}}
	case keyRequired:
		return row{http.StatusBadRequest, "idempotency_key_required",
			text{"An Idempotency-Key is required", "Send an Idempotency-Key header, so that a repeated request never refunds twice."},
			text{"Hace falta una Idempotency-Key", "Envía la cabecera Idempotency-Key, para que una petición repetida nunca reembolse dos veces."}}
	case unauthorized:
		return row{http.StatusUnauthorized, "unauthorized",
			text{"An API key is required", "Send a valid key as Authorization: Bearer KEY."},
			text{"Hace falta una clave de API", "Envía una clave válida como Authorization: Bearer CLAVE."}}
	case noRoute:
		return row{http.StatusNotFound, "not_found",
			text{"Nothing is here", "No resource has this address."},
			text{"Aquí no hay nada", "Ningún recurso tiene esta dirección."}}
	case paymentNotFound:
		return row{http.StatusNotFound, "payment_not_found",
			text{"The payment is not known", "No payment has this id. One that was answered with 202 may take a moment to appear."},
			text{"No se conoce el pago", "Ningún pago tiene este id. Uno contestado con 202 puede tardar un momento en aparecer."}}
	case refundNotFound:
		return row{http.StatusNotFound, "refund_not_found",
			text{"The refund is not known", "The payment has no refund with this id."},
			text{"No se conoce el reembolso", "El pago no tiene ningún reembolso con este id."}}
	case notificationNotFound:
		return row{http.StatusNotFound, "notification_not_found",
			text{"The notification is not known", "No notification has this id."},
			text{"No se conoce la notificación", "Ninguna notificación tiene este id."}}
	case notInReview:
		return row{http.StatusConflict, "not_in_review",
			text{"Nothing is to be decided here", "No review is open: the outcome is known, or was never in doubt."},
			text{"Aquí no hay nada que decidir", "No hay ninguna revisión abierta: el resultado se conoce, o nunca se dudó de él."}}
	case reviewContradicted:
		return row{http.StatusConflict, "review_contradicted",
			text{"ATH Móvil says otherwise", "A fresh look contradicts the verdict; what it says is in gateway_message. Nothing was decided by this request."},
			text{"ATH Móvil dice otra cosa", "Una nueva consulta contradice el veredicto; lo que dice está en gateway_message. Esta petición no decidió nada."}}
	case methodNotAllowed:
		return row{http.StatusMethodNotAllowed, "method_not_allowed",
			text{"The method is not allowed here", "Use one of the methods in the Allow header."},
			text{"El método no se permite aquí", "Usa uno de los métodos de la cabecera Allow."}}
	case referenceInUse:
		return row{http.StatusConflict, "payment_in_progress",
			text{"The reference has an unfinished payment", "Wait until that payment ends, or cancel it, before asking for another with its reference."},
			text{"La referencia tiene un pago sin terminar", "Espera a que ese pago termine, o cancélalo, antes de pedir otro con su referencia."}}
	case notCancellable:
		return row{http.StatusConflict, "payment_not_cancellable",
			text{"The payment cannot be cancelled any more", "It has ended; how is in payment_status."},
			text{"El pago ya no se puede cancelar", "Ya terminó; cómo está en payment_status."}}
	case notCompleted:
		return row{http.StatusConflict, "payment_not_completed",
			text{"Only a completed payment can be refunded", "The status of this one is in payment_status."},
			text{"Solo se reembolsa un pago completado", "El estado de este está en payment_status."}}
	case paymentEnded:
		return row{http.StatusConflict, "payment_ended",
			text{"The payment has ended", "Nothing in it can be changed; its status is in payment_status."},
			text{"El pago terminó", "Nada en él se puede cambiar; su estado está en payment_status."}}
	case phoneDeclined:
		return row{http.StatusConflict, "gateway_declined",
			text{"ATH Móvil did not take the phone number", "Its answer is in gateway_code and gateway_message. The payment goes on as it was."},
			text{"ATH Móvil no aceptó el número de teléfono", "Su respuesta está en gateway_code y gateway_message. El pago sigue como estaba."}}
	case refundInProgress:
		return row{http.StatusConflict, "refund_in_progress",
			text{"Another refund of the payment is not settled", "Wait until it is, then ask again with a new Idempotency-Key. Nothing was refunded by this request."},
			text{"Otro reembolso del pago no ha terminado", "Espera a que termine y vuelve a pedirlo con otra Idempotency-Key. Esta petición no reembolsó nada."}}
	case refundExceeds:
		return row{http.StatusConflict, "refund_exceeds_balance",
			text{"The refund is more than what is left", "The most that can still be refunded is in left."},
			text{"El reembolso es mayor que lo que queda", "Lo máximo que aún se puede reembolsar está en left."}}
	case bodyTooLarge:
		return row{http.StatusRequestEntityTooLarge, "body_too_large",
			text{"The body is too large", "Send fewer bytes."},
			text{"El cuerpo es demasiado grande", "Envía menos bytes."}}
	case mediaType:
		return row{http.StatusUnsupportedMediaType, "unsupported_media_type",
			text{"The body must be JSON", "Send it with Content-Type: application/json."},
			text{"El cuerpo debe ser JSON", "Envíalo con Content-Type: application/json."}}
	case invalid:
		return row{http.StatusUnprocessableEntity, "validation_failed",
			text{"The request breaks a rule", "Correct the fields listed in errors. Nothing was done."},
			text{"La petición no cumple una regla", "Corrige los campos indicados en errors. No se hizo nada."}}
	case keyReused:
		return row{http.StatusUnprocessableEntity, "idempotency_key_reused",
			text{"The Idempotency-Key belongs to another request", "Use a new key for a new request, or repeat the first one unchanged."},
			text{"La Idempotency-Key es de otra petición", "Usa una clave nueva para otra petición, o repite la primera sin cambios."}}
	case declined:
		return row{http.StatusUnprocessableEntity, "gateway_declined",
			text{"ATH Móvil refused the payment", "Its answer is in gateway_code and gateway_message. A new try needs a new Idempotency-Key."},
			text{"ATH Móvil rechazó el pago", "Su respuesta está en gateway_code y gateway_message. Otro intento necesita otra Idempotency-Key."}}
	case rateLimited:
		return row{http.StatusTooManyRequests, "rate_limited",
			text{"Too many requests", "Wait for the seconds in the Retry-After header."},
			text{"Demasiadas peticiones", "Espera los segundos de la cabecera Retry-After."}}
	case gatewayUnavailable:
		return row{http.StatusServiceUnavailable, "gateway_unavailable",
			text{"ATH Móvil cannot be reached", "The payment failed and nobody was charged. A new try needs a new Idempotency-Key."},
			text{"No se puede contactar a ATH Móvil", "El pago falló y no se le cobró a nadie. Otro intento necesita otra Idempotency-Key."}}
	case unavailable:
		return row{http.StatusServiceUnavailable, "temporarily_unavailable",
			text{"Cobro cannot do this at the moment", "Ask again with the same Idempotency-Key: nothing is done twice."},
			text{"Cobro no puede hacer esto en este momento", "Vuelve a pedirlo con la misma Idempotency-Key: nada se hace dos veces."}}
	case internal:
		fallthrough
	default:
		return row{http.StatusInternalServerError, "internal",
			text{"Something went wrong in Cobro", "The cause is in Cobro's log under the request_id."},
			text{"Algo falló en Cobro", "La causa está en el registro de Cobro bajo el request_id."}}
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
	language, words := catalog.Match(c.GetHeader("Accept-Language")), r.en
	if language.String() == "es" {
		words = r.es
	}
	broken := make([]brokenRule, len(p.fields))
	for i, f := range p.fields {
		broken[i] = brokenRule{f.Field, catalog.Rule(language, f.Rule)}
	}
	body, err := json.Marshal(document{
		Type: "urn:cobro:problem:" + r.code, Title: words.title, Status: r.status, Detail: words.detail,
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
